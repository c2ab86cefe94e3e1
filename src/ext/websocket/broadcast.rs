//! One message for many connections.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;

use super::encoded::{compress, plain};
use super::message::WebSocketMessage;
use super::sender::WebSocketSender;
use super::state::Refused;
use crate::SlowReader;
use crate::websocket::{Close, Deflation};

/// The number of members from which closed ones are looked for when one is added.
const FIRST_PURGE: usize = 64;

/// Sends messages to many WebSocket connections: each is encoded once for all of them, and compressed
/// once for all whose compression has the same parameters.
///
/// A clone has the same members. Members whose connections close are removed by themselves. All members
/// get the messages in the same order, whatever threads send them. A member that compresses with what
/// came before ([`context_takeover`](super::WebSocketUpgrade::context_takeover)) has a window of its own,
/// and gets the message without compression, which RFC 7692 allows for each message.
///
/// ```
/// use transom::{Broadcast, Request, Router, WebSocket};
///
/// let room = Broadcast::new();
/// Router::new().get("/chat", async move |req: Request| {
///     WebSocket::upgrade(&req, async move |mut socket: WebSocket| {
///         room.add(&socket.sender());
///         while let Some(message) = socket.recv().await {
///             room.send(message);
///         }
///     })
/// });
/// ```
#[derive(Clone, Default)]
pub struct Broadcast {
    members: Arc<Members>,
    slow: SlowReader,
}

/// The members that the clones of a broadcast share.
struct Members {
    /// Tells the messages of this broadcast from those of others.
    id: u64,
    list: Mutex<List>,
}

struct List {
    /// By the address of what a connection's handles share.
    members: HashMap<usize, Member>,
    /// The number of members from which closed ones are looked for.
    purge_from: usize,
}

struct Member {
    sender: WebSocketSender,
    /// How its messages are compressed, each by itself, and from how many bytes on.
    deflate: Option<(Deflation, usize)>,
}

/// The frames of one message.
struct Frames {
    plain: Bytes,
    /// One for each size of window.
    compressed: Vec<(u8, Bytes)>,
}

/// The fate of a message for one member.
enum Fate {
    Taken,
    Missed,
    /// The connection closes.
    Gone,
}

impl Default for Members {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let list = List { members: HashMap::new(), purge_from: FIRST_PURGE };
        // Relaxed: the number only has to differ from the others.
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), list: Mutex::new(list) }
    }
}

impl Members {
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broadcast {
    /// Returns a broadcast without members, whose slow readers miss messages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what happens to members that read too slowly, for the messages that this handle sends.
    #[must_use]
    pub fn slow(mut self, slow: SlowReader) -> Self {
        self.slow = slow;
        self
    }

    /// Adds a connection. One that is a member already is not added again. There are never more members
    /// than connections, which `limits.connections` bounds.
    pub fn add(&self, sender: &WebSocketSender) {
        let shared = &sender.shared;
        let deflate = shared.deflate.filter(|deflation| !deflation.keeps_own);
        let deflate = deflate.map(|deflation| (deflation, shared.settings.compress_from));
        let mut list = self.members.lock();
        list.members.insert(sender.address(), Member { sender: sender.clone(), deflate });
        if list.members.len() >= list.purge_from {
            list.purge();
            list.purge_from = FIRST_PURGE.max(2 * list.members.len());
        }
    }

    /// Removes a connection. Returns `true` if it was a member. It still gets what waits in its queue.
    pub fn remove(&self, sender: &WebSocketSender) -> bool {
        self.members.lock().members.remove(&sender.address()).is_some()
    }

    /// Sends a message to all members, without waiting. Returns how many take it: those in whose queue it
    /// is, and those for which [`SlowReader::Coalesce`] keeps it.
    pub fn send(&self, message: impl Into<WebSocketMessage>) -> usize {
        let message = message.into();
        // The lock is not held while a message is compressed.
        let frames = Frames::new(&message, &self.members.lock().windows(message.len()));
        let (mut reached, mut wakers) = (0, Vec::new());
        self.members.lock().members.retain(|_, member| {
            match self.give(member, frames.fitting(member, message.len()), &mut wakers) {
                Fate::Taken => reached += 1,
                Fate::Missed => {}
                Fate::Gone => return false,
            }
            true
        });
        #[cfg(feature = "metrics")]
        super::counts::send(reached * message.len(), reached);
        wakers.into_iter().for_each(Waker::wake);
        reached
    }

    /// Puts a frame into the queue of a member.
    fn give(&self, member: &Member, frame: &Bytes, wakers: &mut Vec<Waker>) -> Fate {
        let shared = &member.sender.shared;
        let mut state = shared.lock();
        let fate = match (state.check(shared.settings.queue), self.slow) {
            (Ok(()), _) => {
                state.put_common(frame.clone());
                Fate::Taken
            }
            (Err(Refused::Closed), _) => return Fate::Gone,
            (Err(_), SlowReader::Drop) => return Fate::Missed,
            (Err(_), SlowReader::Coalesce) => {
                state.keep_latest(self.members.id, frame.clone());
                return Fate::Taken;
            }
            (Err(_), SlowReader::Close) => {
                state.put_close(&Close::new(1008, "messages are read too slowly"));
                Fate::Gone
            }
        };
        wakers.extend(state.call_to_write());
        fate
    }

    /// Returns how many members there are whose connections are open.
    pub fn len(&self) -> usize {
        let mut list = self.members.lock();
        list.purge();
        list.members.len()
    }

    /// Returns `true` if there is no member whose connection is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl List {
    /// Removes members whose connections close.
    fn purge(&mut self) {
        self.members.retain(|_, member| !member.sender.is_closed());
    }

    /// Returns the windows for which a message of that length is compressed.
    fn windows(&self, length: usize) -> Vec<Deflation> {
        let mut windows = Vec::<Deflation>::new();
        for deflation in self.members.values().filter_map(|member| member.compression(length)) {
            if windows.iter().all(|window| window.bits != deflation.bits) {
                windows.push(deflation);
            }
        }
        windows
    }
}

impl Member {
    /// Returns how a message of that length is compressed, if it is.
    fn compression(&self, length: usize) -> Option<Deflation> {
        self.deflate.filter(|(_, from)| length >= *from).map(|(deflation, _)| deflation)
    }
}

impl Frames {
    fn new(message: &WebSocketMessage, windows: &[Deflation]) -> Self {
        let compressed =
            windows.iter().map(|deflation| (deflation.bits, compress(message, *deflation).into()));
        Self { plain: plain(message).into(), compressed: compressed.collect() }
    }

    /// Returns the frame for a member. One that was added after the message was compressed may get it
    /// without compression.
    fn fitting(&self, member: &Member, length: usize) -> &Bytes {
        let wanted = member.compression(length);
        let found = wanted.and_then(|wanted| self.compressed.iter().find(|(bits, _)| *bits == wanted.bits));
        found.map_or(&self.plain, |(_, frame)| frame)
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.members.lock().members.len();
        f.debug_struct("Broadcast").field("members", &members).field("slow", &self.slow).finish()
    }
}
