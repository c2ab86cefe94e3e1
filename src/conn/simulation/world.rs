//! A transport without a socket, a clock without time, and an executor of one
//! task that jumps from event to event.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};

use super::client::Client;
use super::random::Random;
use super::script::{Buffering, Script};
use crate::conn::{Session, Stage, Transport};

/// Bytes that the server's side holds unread: a client that sends more has to wait.
const INBOX: usize = 16 * 1024;
/// Bytes that the client's side holds unread: a socket buffer.
pub const WINDOW: usize = 8 * 1024;
/// Bytes that a transport holds back until it is flushed, if it is of that kind.
pub const HELD: usize = 4 * 1024;

#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

struct State {
    start: Instant,
    now: Instant,
    random: Random,
    client: Client,
    /// Sent and not yet read by the server.
    inbox: VecDeque<u8>,
    buffering: Buffering,
    /// Written and not yet handed on by the transport.
    held: VecDeque<u8>,
    /// Whether the server's close is to be a reset.
    resets: bool,
    is_waited_for: bool,
    /// When the server asks the connection to end.
    stop: Option<(Instant, Stage)>,
    outcome: Outcome,
    reader: Option<Waker>,
    writer: Option<Waker>,
    alarms: BTreeMap<Instant, Waker>,
}

/// What became of a connection, as its client sees it. Times count from the start.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// All that the client has read.
    pub received: Vec<u8>,
    /// Bytes that reached the client's side.
    pub delivered: usize,
    /// Bytes that the client has sent and the server's side has taken in.
    pub came: usize,
    /// When the last of them came.
    pub last_came: Duration,
    /// When the server ended its sending side.
    pub closed: Option<Duration>,
    /// When the server let go of the connection.
    pub dropped: Duration,
    /// Bytes that the client would have read, but for a reset.
    pub lost: Vec<u8>,
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
        Self(Arc::new(Mutex::new(State {
            start,
            now: start,
            random: Random::new(!script.seed),
            client: Client::new(script, start),
            inbox: VecDeque::new(),
            buffering: script.buffering,
            held: VecDeque::new(),
            resets: false,
            is_waited_for: script.is_waited_for,
            stop: script.stop.map(|(at, stage)| (start + at, stage)),
            outcome: Outcome::default(),
            reader: None,
            writer: None,
            alarms: BTreeMap::new(),
        })))
    }

    pub fn transport(&self) -> SimTransport {
        SimTransport(self.clone())
    }

    pub fn elapsed(&self) -> Duration {
        self.lock().elapsed()
    }

    pub fn outcome(&self) -> Outcome {
        let state = self.lock();
        Outcome { received: state.client.received.clone(), ..state.outcome.clone() }
    }

    /// Returns how many bytes the client has not taken of those on its side.
    pub fn unread(&self) -> usize {
        self.lock().client.outbox.len()
    }

    /// Returns how many bytes have reached the client's side.
    pub fn delivered(&self) -> usize {
        self.lock().outcome.delivered
    }

    /// Ready at that time.
    pub fn poll_until(&self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let mut state = self.lock();
        if state.now >= at {
            return Poll::Ready(());
        }
        state.alarms.insert(at, cx.waker().clone());
        Poll::Pending
    }

    pub async fn sleep(&self, length: Duration) {
        let at = self.lock().now + length;
        std::future::poll_fn(|cx| self.poll_until(cx, at)).await;
    }

    /// Runs the task, and lets the client read what is left for it; false if nothing
    /// is left that could wake the task, or it takes longer than that.
    pub fn drive(
        &self,
        mut task: Pin<Box<dyn Future<Output = ()> + '_>>,
        session: &Session,
        most: Duration,
    ) -> bool {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut cx = Context::from_waker(&waker);
        loop {
            while flag.0.swap(false, Ordering::SeqCst) {
                if task.as_mut().poll(&mut cx).is_ready() {
                    drop(task);
                    self.lock().settle();
                    return true;
                }
            }
            let wakers = self.lock().step();
            let Some(wakers) = wakers else { return false };
            wakers.into_iter().for_each(Waker::wake);
            let stage = self.lock().stops();
            if let Some(stage) = stage {
                session.advance(stage);
            }
            if self.elapsed() > most {
                return false;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Goes to the next event and lets it happen; `None` if there is none.
    fn step(&mut self) -> Option<Vec<Waker>> {
        let alarm = self.alarms.keys().next().copied();
        let stop = self.stop.map(|(at, _)| at);
        let next = [self.client.next_send, self.client.next_read, alarm, stop].into_iter().flatten().min()?;
        self.now = self.now.max(next);
        let now = self.now;
        let mut wakers = Vec::new();
        if self.client.next_send.is_some_and(|at| at <= now) {
            let before = self.inbox.len();
            self.client.send(now, &mut self.inbox, INBOX);
            if self.inbox.len() > before {
                self.outcome.came += self.inbox.len() - before;
                self.outcome.last_came = self.elapsed();
            }
            wakers.extend(self.reader.take());
            if self.client.has_reset {
                wakers.extend(self.writer.take());
            }
        }
        if self.client.next_read.is_some_and(|at| at <= now) {
            self.client.read(now);
            wakers.extend(self.writer.take());
        }
        if self.outcome.closed.is_some() && self.client.leaves() {
            wakers.extend(self.reader.take());
        }
        let later = self.alarms.split_off(&(now + Duration::from_nanos(1)));
        wakers.extend(std::mem::replace(&mut self.alarms, later).into_values());
        Some(wakers)
    }

    /// Returns the stage that the server asks for at this time.
    fn stops(&mut self) -> Option<Stage> {
        let (at, stage) = self.stop?;
        if at > self.now {
            return None;
        }
        self.stop = None;
        Some(stage)
    }

    /// Lets bytes go to the client, as far as there is room.
    fn deliver(&mut self, bytes: &[u8]) -> usize {
        let most = bytes.len().min(WINDOW - self.client.outbox.len());
        let length = if most > 0 && self.random.once_in(3) { 1 + self.random.below(most) } else { most };
        self.client.outbox.extend(&bytes[..length]);
        self.outcome.delivered += length;
        self.client.read_soon(self.now);
        length
    }

    /// Lets go what is held back.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.client.has_reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while !self.held.is_empty() {
            let room = WINDOW - self.client.outbox.len();
            let next: Vec<u8> = self.held.iter().copied().take(room).collect();
            let length = self.deliver(&next);
            self.held.drain(..length);
            if length == 0 {
                self.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The server has let go: what it left unread, or what the client sends from now
    /// on, is answered with a reset, and the client loses what it has not read.
    fn settle(&mut self) {
        if self.resets || !self.inbox.is_empty() {
            self.outcome.lost = self.client.outbox.drain(..).collect();
            return;
        }
        self.now = self.now.max(self.start + self.outcome.dropped);
        while !self.client.outbox.is_empty() {
            match (self.client.next_read, self.client.next_bytes()) {
                (Some(read), send) if send.is_none_or(|send| read <= send) => {
                    self.now = self.now.max(read);
                    self.client.read(self.now);
                }
                (_, Some(_)) => {
                    self.outcome.lost = self.client.outbox.drain(..).collect();
                    return;
                }
                _ => return,
            }
        }
    }
}

pub struct SimTransport(World);

impl Drop for SimTransport {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.outcome.dropped = state.elapsed();
    }
}

impl Transport for SimTransport {
    fn now(&self) -> Instant {
        self.0.lock().now
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.0.poll_until(cx, at)
    }

    fn is_waited_for(&self) -> bool {
        self.0.lock().is_waited_for
    }

    fn held(&self) -> Option<usize> {
        let state = self.0.lock();
        (state.buffering != Buffering::Silent).then(|| state.held.len())
    }

    fn reset_on_close(&mut self, reset: bool) {
        self.0.lock().resets = reset;
    }
}

impl AsyncRead for SimTransport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        assert!(!buffer.is_empty(), "a read into no room looks like the end");
        if state.client.has_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if state.inbox.is_empty() {
            if state.client.has_ended {
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
        let now = state.now;
        state.client.make_room(now);
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for SimTransport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        assert!(state.outcome.closed.is_none(), "written after the close");
        if state.client.has_reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.buffering != Buffering::None {
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
        state.outcome.closed = Some(state.elapsed());
        state.client.leaves();
        Poll::Ready(Ok(()))
    }
}
