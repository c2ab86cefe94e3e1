//! The world of a simulated connection: its client, its network, a virtual clock, and an
//! executor of one task that jumps from event to event.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::client::Client;
use super::random::Random;
use super::script::{Buffering, Script};
use crate::conn::{Session, Stage, Transport};
use crate::duplex::{DuplexStream, Link, Wire};

/// The most bytes that the server's side holds unread. A client that sends more has to wait.
const INBOX: usize = 16 * 1024;
/// The most bytes that the client's side holds unread, as a socket buffer does.
pub const WINDOW: usize = 8 * 1024;
/// The most bytes that a buffering transport holds back until it is flushed.
pub const HELD: usize = 4 * 1024;

#[derive(Clone)]
pub struct World(Arc<Mutex<WorldState>>);

pub struct WorldState {
    start: Instant,
    now: Instant,
    random: Random,
    client: Client,
    wire: Wire,
    buffering: Buffering,
    /// True if the server's close is to be a reset.
    resets: bool,
    is_waited_for: bool,
    /// The time at which the server advances the connection to a stage, and the stage.
    stop: Option<(Instant, Stage)>,
    outcome: Outcome,
    alarms: BTreeMap<Instant, Waker>,
}

/// The outcome of a connection, as its client sees it. Times count from the start.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// All that the client has read.
    pub received: Vec<u8>,
    /// Bytes that reached the client's side.
    pub delivered: usize,
    /// Bytes that the client has sent and the server's side has taken in.
    pub came: usize,
    /// The time at which the last of them came.
    pub last_came: Duration,
    /// The time at which the server closed its sending side.
    pub closed: Option<Duration>,
    /// The time at which the server dropped the connection.
    pub dropped: Duration,
    /// Bytes that the client would have read without the reset.
    pub lost: Vec<u8>,
}

/// A waker that notes whether the task was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl World {
    pub fn new(script: &Script) -> Self {
        let start = Instant::now();
        Self(Arc::new(Mutex::new(WorldState {
            start,
            now: start,
            random: Random::new(!script.seed),
            client: Client::new(script, start),
            wire: Wire::default(),
            buffering: script.buffering,
            resets: false,
            is_waited_for: script.is_waited_for,
            stop: script.stop.map(|(at, stage)| (start + at, stage)),
            outcome: Outcome::default(),
            alarms: BTreeMap::new(),
        })))
    }

    pub fn transport(&self) -> DuplexStream<WorldState> {
        DuplexStream::new(&self.0)
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
        self.lock().wire.outbox.len()
    }

    /// Returns how many bytes have reached the client's side.
    pub fn delivered(&self) -> usize {
        self.lock().outcome.delivered
    }

    /// Ready at the time `at`.
    pub fn poll_until(&self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.lock().poll_until(cx, at)
    }

    pub async fn sleep(&self, length: Duration) {
        let at = self.lock().now + length;
        std::future::poll_fn(|cx| self.poll_until(cx, at)).await;
    }

    /// Runs the task, and lets the client read the bytes that are left for it. Returns `false` if
    /// nothing is left that could wake the task, or if that takes longer than the limit.
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

    fn lock(&self) -> MutexGuard<'_, WorldState> {
        self.0.lock().unwrap()
    }
}

impl WorldState {
    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Advances the clock to the next event and runs it. Returns `None` if there is no event.
    fn step(&mut self) -> Option<Vec<Waker>> {
        let alarm = self.alarms.keys().next().copied();
        let stop = self.stop.map(|(at, _)| at);
        let next = [self.client.next_send, self.client.next_read, alarm, stop].into_iter().flatten().min()?;
        self.now = self.now.max(next);
        let now = self.now;
        let mut wakers = Vec::new();
        if self.client.next_send.is_some_and(|at| at <= now) {
            let before = self.wire.inbox.len();
            self.client.send(now, &mut self.wire, INBOX);
            if self.wire.inbox.len() > before {
                self.outcome.came += self.wire.inbox.len() - before;
                self.outcome.last_came = self.elapsed();
            }
            wakers.extend(self.wire.reader.take());
            if self.wire.has_reset {
                wakers.extend(self.wire.writer.take());
            }
        }
        if self.client.next_read.is_some_and(|at| at <= now) {
            self.client.read(now, &mut self.wire);
            wakers.extend(self.wire.writer.take());
        }
        if self.outcome.closed.is_some() && self.client.leaves(&mut self.wire) {
            wakers.extend(self.wire.reader.take());
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

    fn poll_until(&mut self, cx: &Context<'_>, at: Instant) -> Poll<()> {
        if self.now >= at {
            return Poll::Ready(());
        }
        self.alarms.insert(at, cx.waker().clone());
        Poll::Pending
    }

    /// Returns a length that is shorter now and then, as of a read or a write.
    fn shortened(&mut self, most: usize) -> usize {
        if most > 0 && self.random.once_in(3) { 1 + self.random.below(most) } else { most }
    }

    /// Notes that the server has dropped the connection. Bytes that it left unread, and bytes that
    /// the client sends from now on, are answered with a reset: the client loses the bytes that it
    /// has not read.
    fn settle(&mut self) {
        if self.resets || !self.wire.inbox.is_empty() {
            self.outcome.lost = self.wire.outbox.drain(..).collect();
            return;
        }
        self.now = self.now.max(self.start + self.outcome.dropped);
        while !self.wire.outbox.is_empty() {
            match (self.client.next_read, self.client.next_bytes()) {
                (Some(read), send) if send.is_none_or(|send| read <= send) => {
                    self.now = self.now.max(read);
                    self.client.read(self.now, &mut self.wire);
                }
                (_, Some(_)) => {
                    self.outcome.lost = self.wire.outbox.drain(..).collect();
                    return;
                }
                _ => return,
            }
        }
    }
}

impl Link for WorldState {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn read_size(&mut self, ready: usize) -> usize {
        self.shortened(ready)
    }

    fn write_size(&mut self, offered: usize) -> usize {
        self.shortened(offered.min(WINDOW - self.wire.outbox.len()))
    }

    fn holds(&self) -> usize {
        if self.buffering == Buffering::None { 0 } else { HELD }
    }

    fn on_read(&mut self) {
        self.client.make_room(self.now);
    }

    fn on_write(&mut self, length: usize) {
        self.outcome.delivered += length;
        self.client.read_soon(self.now, &self.wire);
    }

    fn on_close(&mut self) {
        self.outcome.closed = Some(self.elapsed());
        self.client.leaves(&mut self.wire);
    }

    fn on_drop(&mut self) {
        self.outcome.dropped = self.elapsed();
    }
}

impl Transport for DuplexStream<WorldState> {
    fn now(&self) -> Instant {
        self.link().now
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.link().poll_until(cx, at)
    }

    fn is_waited_for(&self) -> bool {
        self.link().is_waited_for
    }

    fn held(&self) -> Option<usize> {
        let state = self.link();
        (state.buffering != Buffering::Silent).then(|| state.wire.held.len())
    }

    fn reset_on_close(&mut self, reset: bool) {
        self.link().resets = reset;
    }
}
