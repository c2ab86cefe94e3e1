//! The network of the simulation: a connection in memory that cuts what it carries, and a clock that
//! jumps to the next deadline.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crate::conn::Transport;
use crate::duplex::{DuplexStream, Link, Wire};

/// How the bytes of one direction are cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cut {
    Never,
    /// Once, after so many bytes.
    At(usize),
    /// Into pieces of so many bytes.
    Each(usize),
    /// Into pieces of up to 300 bytes, as a seed says.
    Seed(u64),
}

impl Cut {
    /// Returns the length of the next piece of `length` bytes, after `passed` bytes.
    pub fn piece(&mut self, passed: usize, length: usize) -> usize {
        let most = match self {
            Self::At(at) if passed < *at => *at - passed,
            Self::Never | Self::At(_) => length,
            Self::Each(size) => *size,
            Self::Seed(state) => {
                *state =
                    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                1 + usize::try_from(*state >> 40).unwrap() % 300
            }
        };
        most.min(length)
    }
}

/// One connection and its clock.
pub(super) struct Network {
    pub wire: Wire,
    /// How what the server writes is cut.
    pub cut: Cut,
    pub holds: usize,
    /// True after a cut: the next write has to wait for a step of the client.
    is_busy: bool,
    /// The bytes that the server has written, and read.
    pub written: usize,
    pub read: usize,
    /// Makes more bytes for the server, for a client that never stops.
    pub source: Option<Box<dyn FnMut() -> Vec<u8> + Send>>,
    now: Instant,
    alarms: Vec<(Instant, Waker)>,
}

/// The server's end of the network.
pub(super) type Socket = DuplexStream<Network>;

impl Network {
    pub fn new(cut: Cut, holds: usize) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            wire: Wire::default(),
            cut,
            holds,
            is_busy: false,
            written: 0,
            read: 0,
            source: None,
            now: Instant::now(),
            alarms: Vec::new(),
        }))
    }

    /// Takes what the server has sent, and lets it send more.
    pub fn take(&mut self) -> Vec<u8> {
        self.is_busy = false;
        if let Some(writer) = self.wire.writer.take() {
            writer.wake();
        }
        self.wire.outbox.drain(..).collect()
    }

    /// Sends bytes to the server.
    pub fn give(&mut self, bytes: &[u8]) {
        self.wire.inbox.extend(bytes);
        if let Some(reader) = self.wire.reader.take() {
            reader.wake();
        }
    }

    /// Closes the client's side.
    pub fn end(&mut self) {
        self.wire.has_ended = true;
        self.give(&[]);
    }

    /// Jumps to the next deadline. Returns `false` if there is none.
    pub fn jump(&mut self) -> bool {
        let Some(next) = self.alarms.iter().map(|(at, _)| *at).min() else { return false };
        self.now = next;
        let (due, later): (Vec<_>, Vec<_>) = self.alarms.drain(..).partition(|(at, _)| *at <= next);
        self.alarms = later;
        for (_, waker) in due {
            waker.wake();
        }
        true
    }
}

impl Link for Network {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn write_size(&mut self, offered: usize) -> usize {
        if self.is_busy {
            return 0;
        }
        let length = self.cut.piece(self.written, offered);
        self.is_busy = match self.cut {
            Cut::Never => false,
            Cut::At(at) => self.written + length == at,
            Cut::Each(_) | Cut::Seed(_) => true,
        };
        length
    }

    fn holds(&self) -> usize {
        self.holds
    }

    fn on_read(&mut self) {
        if let Some(source) = &mut self.source
            && self.wire.inbox.len() < 1024
        {
            let more = source();
            self.read += more.len();
            self.wire.inbox.extend(more);
        }
    }

    fn on_write(&mut self, length: usize) {
        self.written += length;
    }
}

impl Transport for Socket {
    fn now(&self) -> Instant {
        self.link().now
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let mut network = self.link();
        if network.now >= at {
            return Poll::Ready(());
        }
        network.alarms.push((at, cx.waker().clone()));
        Poll::Pending
    }

    fn held(&self) -> Option<usize> {
        Some(self.link().wire.held.len())
    }
}

/// A waker that notes that a task was woken.
pub(super) struct Woken(AtomicBool);

impl Woken {
    pub fn new() -> (Arc<Self>, Waker) {
        let woken = Arc::new(Self(AtomicBool::new(true)));
        (Arc::clone(&woken), Waker::from(woken))
    }

    /// Returns `true` if the task was woken since the last call.
    pub fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls a task and lets the other side step, in turn, until the task is done. The other side returns
/// `false` if it had nothing to do. Returns `None` if the task hangs.
pub(super) fn drive<T>(
    mut task: Pin<&mut dyn Future<Output = T>>,
    network: &Arc<Mutex<Network>>,
    mut step: impl FnMut(&mut MutexGuard<'_, Network>) -> bool,
) -> Option<T> {
    const MOST_STEPS: usize = 2_000_000;
    let (woken, waker) = Woken::new();
    for _ in 0..MOST_STEPS {
        if woken.take() {
            if let Poll::Ready(value) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(value);
            }
            continue;
        }
        let mut network = network.lock().unwrap();
        if !step(&mut network) && !woken.0.load(Ordering::SeqCst) && !network.jump() {
            return None;
        }
    }
    None
}
