//! A transport without a socket, a clock without time, and an executor of one
//! task that jumps from event to event.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};

use super::script::{End, Piece, Random, Script};
use crate::conn::Transport;

/// Bytes that the client's side holds unread: a socket buffer.
const WINDOW: usize = 8 * 1024;
/// Bytes that a transport holds back until it is flushed, if it is of that kind.
pub const HELD: usize = 4 * 1024;

#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

#[expect(clippy::struct_excessive_bools, reason = "each is a fact of the connection")]
struct State {
    start: Instant,
    now: Instant,
    random: Random,
    /// What the client is still to send, and when.
    pieces: VecDeque<Piece>,
    next_piece: Instant,
    end: End,
    end_wait: Duration,
    /// Sent and not yet read by the server.
    inbox: VecDeque<u8>,
    half_closed: bool,
    reset: bool,
    /// Whether what is written is held back until it is flushed, as by TLS.
    holds: bool,
    held: VecDeque<u8>,
    /// On its way and not yet read by the client.
    outbox: usize,
    received: Vec<u8>,
    reads: usize,
    read_wait: Duration,
    reads_until: usize,
    next_read: Option<Instant>,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    alarms: Vec<(Instant, Waker)>,
}

/// Whether the task was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl World {
    pub fn new(script: &Script) -> Self {
        let start = Instant::now();
        let mut random = Random::new(!script.seed);
        Self(Arc::new(Mutex::new(State {
            start,
            now: start,
            holds: random.once_in(3),
            held: VecDeque::new(),
            random,
            next_piece: start + script.pieces.first().map_or(script.end_wait, |piece| piece.wait),
            pieces: script.pieces.iter().cloned().collect(),
            end: script.end,
            end_wait: script.end_wait,
            inbox: VecDeque::new(),
            half_closed: false,
            reset: false,
            outbox: 0,
            received: Vec::new(),
            reads: script.reads,
            read_wait: script.read_wait,
            reads_until: script.reads_until,
            next_read: None,
            closed: false,
            reader: None,
            writer: None,
            alarms: Vec::new(),
        })))
    }

    pub fn transport(&self) -> SimTransport {
        SimTransport(self.clone())
    }

    pub fn elapsed(&self) -> Duration {
        let state = self.lock();
        state.now - state.start
    }

    pub fn unsent(&self) -> usize {
        self.lock().pieces.len()
    }

    pub fn received(&self) -> Vec<u8> {
        self.lock().received.clone()
    }

    /// Bytes that were written and that the client has not taken.
    pub fn unread(&self) -> usize {
        self.lock().outbox
    }

    /// Bytes that the server has written so far.
    pub fn written(&self) -> usize {
        self.lock().received.len()
    }

    /// Ready at that time.
    pub fn poll_until(&self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let mut state = self.lock();
        if state.now >= at {
            return Poll::Ready(());
        }
        state.alarms.push((at, cx.waker().clone()));
        Poll::Pending
    }

    pub async fn sleep(&self, length: Duration) {
        let at = self.lock().now + length;
        std::future::poll_fn(|cx| self.poll_until(cx, at)).await;
    }

    /// Runs the task; false if nothing is left that could wake it.
    pub fn drive(&self, mut task: Pin<Box<dyn Future<Output = ()> + '_>>) -> bool {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut cx = Context::from_waker(&waker);
        loop {
            while flag.0.swap(false, Ordering::SeqCst) {
                if task.as_mut().poll(&mut cx).is_ready() {
                    return true;
                }
            }
            let wakers = self.lock().step();
            let Some(wakers) = wakers else { return false };
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// Goes to the next event and lets it happen; `None` if there is none.
    fn step(&mut self) -> Option<Vec<Waker>> {
        let sends = !self.pieces.is_empty() || (self.end != End::Wait && !self.half_closed && !self.reset);
        let times = [sends.then_some(self.next_piece), self.next_read];
        let alarm = self.alarms.iter().map(|(at, _)| *at).min();
        let next = times.into_iter().chain([alarm]).flatten().min()?;
        self.now = self.now.max(next);
        let mut wakers = Vec::new();
        if sends && self.next_piece <= self.now {
            self.send();
            wakers.extend(self.reader.take());
            if self.reset {
                wakers.extend(self.writer.take());
            }
        }
        if self.next_read.is_some_and(|at| at <= self.now) {
            self.outbox -= self.outbox.min(self.reads);
            self.next_read = (self.outbox > 0).then(|| self.now + self.read_wait);
            wakers.extend(self.writer.take());
        }
        let now = self.now;
        self.alarms.retain(|(at, waker)| {
            let due = *at <= now;
            if due {
                wakers.push(waker.clone());
            }
            !due
        });
        Some(wakers)
    }

    /// Lets bytes go to the client, as far as there is room.
    fn deliver(&mut self, bytes: &[u8]) -> usize {
        let most = bytes.len().min(WINDOW - self.outbox);
        let length = if most > 0 && self.random.once_in(3) { 1 + self.random.below(most) } else { most };
        self.received.extend_from_slice(&bytes[..length]);
        self.outbox += length;
        if length > 0 && self.next_read.is_none() && self.received.len() < self.reads_until {
            self.next_read = Some(self.now + self.read_wait);
        }
        length
    }

    /// Lets go what is held back.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while !self.held.is_empty() {
            let held: Vec<u8> = self.held.iter().copied().collect();
            let length = self.deliver(&held);
            self.held.drain(..length);
            if length == 0 {
                self.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self) {
        if let Some(piece) = self.pieces.pop_front() {
            self.inbox.extend(piece.bytes);
            let wait = self.pieces.front().map_or(self.end_wait, |next| next.wait);
            self.next_piece = self.now + wait;
        } else {
            match self.end {
                End::HalfClose => self.half_closed = true,
                End::Reset => self.reset = true,
                End::Wait => {}
            }
        }
    }
}

pub struct SimTransport(World);

impl Transport for SimTransport {
    fn now(&self) -> Instant {
        self.0.lock().now
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.0.poll_until(cx, at)
    }
}

impl AsyncRead for SimTransport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        assert!(!buffer.is_empty(), "a read into no room looks like the end");
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if state.inbox.is_empty() {
            // A client that has seen the connection close goes as well.
            if state.half_closed || state.closed {
                return Poll::Ready(Ok(0));
            }
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = state.inbox.len().min(buffer.len());
        let length = if state.random.once_in(3) { 1 + state.random.below(most) } else { most };
        for (place, byte) in buffer.iter_mut().zip(state.inbox.drain(..length)) {
            *place = byte;
        }
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for SimTransport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        assert!(!state.closed, "written after the close");
        if state.reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.holds {
            if state.held.len() >= HELD {
                ready!(state.poll_held(cx))?;
            }
            let length = bytes.len().min(HELD - state.held.len());
            state.held.extend(&bytes[..length]);
            return Poll::Ready(Ok(length));
        }
        let length = state.deliver(bytes);
        if length == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_held(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        ready!(state.poll_held(cx))?;
        state.closed = true;
        Poll::Ready(Ok(()))
    }
}
