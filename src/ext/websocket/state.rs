//! The parts of a connection that change: its queues, and who waits for what. It knows of no lock, and wakes
//! nobody: it returns the wakers.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::encoded::opcode;
use super::message::WebSocketMessage;
use super::outbox::Outbox;
use crate::websocket::{Close, Deflater, Deflation, Opcode, encode};

/// Bytes of messages that wait to be received before the connection is read no further.
const INBOX: usize = 64 * 1024;
/// The bytes that a message counts for in the inbox, beside its payload: its place in the queue.
const MESSAGE: usize = 64;

/// The parts that change.
#[expect(clippy::struct_excessive_bools, reason = "they change by themselves")]
pub(super) struct State {
    pub outbox: Outbox,
    /// Bytes that the task has taken out of the outbox and not written.
    pub in_flight: usize,
    /// The oldest piece that waits to be received, and those after it. A receiver that keeps up has no other.
    next: Option<(WebSocketMessage, bool)>,
    later: VecDeque<(WebSocketMessage, bool)>,
    inbox_size: usize,
    /// False once nobody receives any more.
    pub has_receiver: bool,
    receiver: Option<Waker>,
    /// True from a message on until the receiver has asked for more than there is.
    is_receiver_behind: bool,
    /// True while the task waits for the receiver to ask.
    is_receiver_awaited: bool,
    /// Wakes the task of the connection.
    driver: Option<Waker>,
    /// True while the task runs or is woken: it then looks at the two below before it waits.
    is_awake: bool,
    is_dirty: bool,
    /// True if frames were put that the task has not taken. Apart from `is_dirty`, since the task takes those
    /// of its own handler in the same turn (bench: websocket, echo, 2026-11).
    has_frames: bool,
    /// True once the server's Close is in the outbox: nothing follows it.
    pub has_sent_close: bool,
    /// How the connection ended; nothing more is received.
    pub closed: Option<Box<Close>>,
    /// Boxed, because most idle connections have none of it.
    seldom: Option<Box<Seldom>>,
}

/// The parts that few connections have.
#[derive(Default)]
struct Seldom {
    /// The senders that wait for room in the queue.
    senders: Vec<Waker>,
    /// All that wait for the end.
    watchers: Vec<Waker>,
    /// The newest message of each broadcast that waits for room in the queue. There is none while there is
    /// room.
    latest: Vec<(u64, Bytes)>,
    /// The message that is sent in pieces.
    pieces: Option<Pieces>,
    /// The first pieces of the message that is received: true for a text, and its bytes.
    partial: Option<(bool, Vec<u8>)>,
    /// The server's window, if it keeps one and has sent something.
    deflater: Option<Deflater>,
}

/// A message that is sent in pieces, of which the last one has not come.
struct Pieces {
    is_text: bool,
    /// Other messages: frames of two messages are not mixed (RFC 6455 5.4).
    held: Outbox,
}

/// The reasons for which a message is not taken.
#[derive(Debug)]
pub(super) enum Refused {
    /// As many bytes wait as may.
    Full,
    /// The message that is sent in pieces has the other kind.
    OtherKind,
    /// The connection closes, or is closed.
    Closed,
}

impl State {
    /// Returns the state of a new connection.
    pub fn new() -> Self {
        Self {
            outbox: Outbox::default(),
            in_flight: 0,
            next: None,
            later: VecDeque::new(),
            inbox_size: 0,
            has_receiver: true,
            receiver: None,
            is_receiver_behind: false,
            is_receiver_awaited: false,
            driver: None,
            is_awake: false,
            is_dirty: false,
            has_frames: false,
            has_sent_close: false,
            closed: None,
            seldom: None,
        }
    }

    /// Returns how many bytes wait to be sent.
    pub fn queued(&self) -> usize {
        self.leaving() + self.pieces().map_or(0, |pieces| pieces.held.len())
    }

    /// Returns how many bytes are written as soon as the peer reads.
    fn leaving(&self) -> usize {
        self.outbox.len() + self.in_flight
    }

    /// Returns `Ok` if a message would be taken.
    pub fn check(&self, limit: usize) -> Result<(), Refused> {
        let waiting = self.pieces().map_or_else(|| self.leaving(), |pieces| pieces.held.len());
        self.check_room(waiting, limit)
    }

    /// Returns `Ok` if a piece of a message would be taken. Messages that are held for it do not count: it
    /// would wait for itself.
    pub fn check_piece(&self, limit: usize) -> Result<(), Refused> {
        self.check_room(self.leaving(), limit)
    }

    fn check_room(&self, waiting: usize, limit: usize) -> Result<(), Refused> {
        if self.has_sent_close || self.closed.is_some() {
            Err(Refused::Closed)
        } else if waiting >= limit {
            Err(Refused::Full)
        } else {
            Ok(())
        }
    }

    fn pieces(&self) -> Option<&Pieces> {
        self.seldom.as_ref().and_then(|seldom| seldom.pieces.as_ref())
    }

    /// Begins a turn of the task. Returns `true` if its waker is a new one.
    pub fn begin_turn(&mut self, cx: &Context<'_>) -> bool {
        (self.is_awake, self.is_dirty, self.has_frames) = (true, false, false);
        if self.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return false;
        }
        self.driver = Some(cx.waker().clone());
        true
    }

    /// Ends a turn of the task. Returns `false` if there is something to do.
    pub fn end_turn(&mut self) -> bool {
        self.is_awake = std::mem::take(&mut self.is_dirty) | std::mem::take(&mut self.has_frames);
        !self.is_awake
    }

    /// Notes that there is something to do, and returns the waker of the task if it waits.
    pub fn call_driver(&mut self) -> Option<Waker> {
        self.is_dirty = true;
        self.wake()
    }

    /// Notes that there are frames to write, and returns the waker of the task if it waits.
    pub fn call_to_write(&mut self) -> Option<Waker> {
        self.has_frames = true;
        self.wake()
    }

    /// Notes that there are frames to write, without a wake: a task that runs still sees them.
    pub fn note_fed(&mut self) {
        self.has_frames = true;
    }

    /// Returns the waker of the task if there are frames to write and it waits.
    pub fn flush(&mut self) -> Option<Waker> {
        if self.has_frames { self.wake() } else { None }
    }

    fn wake(&mut self) -> Option<Waker> {
        if std::mem::replace(&mut self.is_awake, true) { None } else { self.driver.clone() }
    }

    /// Gives all frames to the task, which has written those that it had.
    pub fn take_frames(&mut self, frames: &mut Outbox) {
        self.has_frames = false;
        if !self.outbox.is_empty() {
            std::mem::swap(frames, &mut self.outbox);
        }
        self.in_flight = frames.len();
    }

    /// Returns the queue for frames of messages. `None` once the server's Close is sent.
    fn messages(&mut self) -> Option<&mut Outbox> {
        if self.has_sent_close {
            return None;
        }
        let pieces = self.seldom.as_mut().and_then(|seldom| seldom.pieces.as_mut());
        Some(pieces.map_or(&mut self.outbox, |pieces| &mut pieces.held))
    }

    /// Puts a message that is not compressed.
    pub fn put_plain(&mut self, message: WebSocketMessage) {
        let Some(queue) = self.messages() else { return };
        match message {
            WebSocketMessage::Text(text) => queue.put_frame(Opcode::Text, true, false, text),
            WebSocketMessage::Binary(bytes) => queue.put_frame(Opcode::Binary, true, false, bytes),
        }
    }

    /// Puts a message that is compressed with the server's window.
    pub fn put_kept(&mut self, message: &WebSocketMessage, deflation: Deflation) {
        let seldom = self.seldom.get_or_insert_default();
        let deflater = seldom.deflater.get_or_insert_with(|| Deflater::new(deflation));
        let mut payload = Vec::new();
        deflater.deflate(message.as_bytes(), &mut payload);
        if let Some(queue) = self.messages() {
            queue.put_frame(opcode(message), true, true, payload);
        }
    }

    pub fn put_encoded(&mut self, frame: Bytes) {
        if let Some(queue) = self.messages() {
            queue.push(frame);
        }
    }

    /// Puts the frame of a message that other connections send too.
    pub fn put_common(&mut self, frame: Bytes) {
        if let Some(queue) = self.messages() {
            queue.push_common(frame);
        }
    }

    /// Puts a piece of a message.
    pub fn put_piece(&mut self, piece: WebSocketMessage, is_last: bool) -> Result<(), Refused> {
        if self.has_sent_close {
            return Ok(());
        }
        let is_text = piece.as_text().is_some();
        let opcode = match self.pieces() {
            Some(pieces) if pieces.is_text != is_text => return Err(Refused::OtherKind),
            Some(_) => Opcode::Continuation,
            None => opcode(&piece),
        };
        self.outbox.put_frame(opcode, is_last, false, piece.into_bytes());
        if !is_last {
            let pieces = &mut self.seldom.get_or_insert_default().pieces;
            pieces.get_or_insert_with(|| Pieces { is_text, held: Outbox::default() });
        } else if let Some(pieces) = self.seldom.as_mut().and_then(|seldom| seldom.pieces.take()) {
            self.outbox.append(pieces.held);
        }
        Ok(())
    }

    /// Keeps the frame of a broadcast until there is room, instead of an older one.
    pub fn keep_latest(&mut self, broadcast: u64, frame: Bytes) {
        let latest = &mut self.seldom.get_or_insert_default().latest;
        match latest.iter_mut().find(|(id, _)| *id == broadcast) {
            Some((_, kept)) => *kept = frame,
            None => latest.push((broadcast, frame)),
        }
    }

    /// Puts the frames that were kept until there is room.
    fn put_latest(&mut self) {
        let latest = self.seldom.as_mut().map(|seldom| std::mem::take(&mut seldom.latest));
        for (_, frame) in latest.into_iter().flatten() {
            self.put_common(frame);
        }
    }

    /// Puts a Ping or a Pong.
    pub fn put_control(&mut self, opcode: Opcode, payload: &[u8]) {
        if !self.has_sent_close {
            self.outbox.put(|tail| encode(tail, opcode, payload));
        }
    }

    /// Puts a Close frame, unless there is one.
    pub fn put_close(&mut self, close: &Close) {
        self.put_latest();
        self.put_control(Opcode::Close, &close.payload());
        self.has_sent_close = true;
        if let Some(seldom) = &mut self.seldom {
            seldom.pieces = None;
        }
    }

    /// Returns `true` if the connection is to be read no further.
    pub fn is_inbox_full(&self) -> bool {
        self.inbox_size >= INBOX
    }

    /// Gives a piece to the receiver, and returns what is to be woken beside the task of the connection, and
    /// `true` if the connection is to be read no further.
    pub fn deliver(
        &mut self,
        cx: &Context<'_>,
        piece: WebSocketMessage,
        is_last: bool,
    ) -> (Option<Waker>, bool) {
        if !self.has_receiver {
            return (None, false);
        }
        self.inbox_size += piece.len() + MESSAGE;
        match self.next {
            None => self.next = Some((piece, is_last)),
            Some(_) => self.later.push_back((piece, is_last)),
        }
        self.is_receiver_behind = true;
        // The handler runs next anyway, and need not give its waker again.
        let is_handler = self.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        (if is_handler { None } else { self.receiver.take() }, self.is_inbox_full())
    }

    /// Takes the next piece that was received, and returns it with the waker of the task if the connection is to
    /// be read on. `None` once nothing more comes.
    pub fn receive(&mut self, cx: &Context<'_>) -> (Poll<Option<(WebSocketMessage, bool)>>, Option<Waker>) {
        let Some(piece) = self.next.take() else {
            if self.closed.is_some() {
                return (Poll::Ready(None), None);
            }
            if !self.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                self.receiver = Some(cx.waker().clone());
            }
            self.is_receiver_behind = false;
            let waker = if self.is_receiver_awaited { self.call_driver() } else { None };
            return (Poll::Pending, waker);
        };
        let was_full = self.is_inbox_full();
        self.inbox_size -= piece.0.len() + MESSAGE;
        let waker = if was_full && !self.is_inbox_full() { self.call_driver() } else { None };
        self.next = self.later.pop_front();
        if self.next.is_none() && self.later.capacity() > 0 {
            self.later = VecDeque::new();
        }
        (Poll::Ready(Some(piece)), waker)
    }

    /// Wakes a sender when there is room, or nothing is ever taken.
    pub fn await_room(&mut self, sender: &Waker) {
        add(&mut self.seldom.get_or_insert_default().senders, sender);
    }

    /// Wakes a watcher at the end.
    pub fn await_end(&mut self, watcher: &Waker) {
        add(&mut self.seldom.get_or_insert_default().watchers, watcher);
    }

    /// Returns `true` while the receiver may still answer a message. The task is then woken when it has.
    pub fn wait_for_receiver(&mut self) -> bool {
        let is_open = self.has_receiver && !self.has_sent_close && self.closed.is_none();
        self.is_receiver_awaited = is_open && self.is_receiver_behind;
        self.is_receiver_awaited
    }

    /// Drops what nobody will receive.
    pub fn drop_receiver(&mut self) {
        self.has_receiver = false;
        self.inbox_size = 0;
        (self.next, self.later) = (None, VecDeque::new());
    }

    /// Notes how the connection ended, and returns all that wait.
    pub fn end(&mut self, close: Close) -> Vec<Waker> {
        self.closed.get_or_insert_with(|| Box::new(close));
        self.waiting()
    }

    /// Returns all that wait for anything.
    pub fn waiting(&mut self) -> Vec<Waker> {
        let mut waiting = self.take_senders();
        let watchers = self.seldom.as_mut().map(|seldom| std::mem::take(&mut seldom.watchers));
        waiting.extend(self.receiver.take().into_iter().chain(watchers.into_iter().flatten()));
        waiting
    }

    /// Notes how many bytes the task has yet to write. Returns the senders that wait for room, if there is
    /// some.
    pub fn note_written(&mut self, in_flight: usize, limit: usize) -> Vec<Waker> {
        self.in_flight = in_flight;
        if self.seldom.is_none() {
            return Vec::new();
        }
        if self.check(limit).is_ok() {
            self.put_latest();
        }
        if self.leaving() < limit { self.take_senders() } else { Vec::new() }
    }

    fn take_senders(&mut self) -> Vec<Waker> {
        self.seldom.as_mut().map(|seldom| std::mem::take(&mut seldom.senders)).unwrap_or_default()
    }

    /// Keeps the first pieces of the message that is received.
    pub fn keep_partial(&mut self, is_text: bool, bytes: Vec<u8>) {
        self.seldom.get_or_insert_default().partial = Some((is_text, bytes));
    }

    /// Takes the first pieces of the message that is received: true for a text, and its bytes.
    pub fn take_partial(&mut self) -> Option<(bool, Vec<u8>)> {
        self.seldom.as_mut().and_then(|seldom| seldom.partial.take())
    }

    /// Drops what will not be sent.
    pub fn drop_unsent(&mut self) {
        self.outbox.clear();
        self.in_flight = 0;
        if let Some(seldom) = &mut self.seldom {
            (seldom.latest, seldom.pieces) = (Vec::new(), None);
        }
    }
}

/// Adds a waker, unless it is there.
fn add(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|other| other.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}
