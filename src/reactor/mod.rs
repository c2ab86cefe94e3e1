//! Waiting, for one thread: until descriptors are ready, deadlines have passed,
//! or another thread calls. It knows nothing of HTTP.
//!
//! Each thread that serves has a reactor of its own. Descriptors are registered
//! once, edge-triggered (epoll(7)): from then on waiting costs one system call
//! for all that is ready, and none for each descriptor.

mod alarm;
mod bell;
mod clock;
mod ready;
mod stream;
mod task;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use slab::Slab;

pub(crate) use alarm::Alarm;
use alarm::Alarms;
use bell::{Bell, Ringer};
use clock::Clock;
use ready::Readiness;
pub(crate) use ready::{Watch, Way};
pub(crate) use stream::Stream;
use task::Tasks;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// The keys of the bell and the clock among the registered descriptors.
const BELL: u64 = u64::MAX;
const CLOCK: u64 = u64::MAX - 1;

thread_local! {
    /// The reactor that this thread waits with now.
    static CURRENT: RefCell<Option<Reactor>> = const { RefCell::new(None) };
}

/// A thread's reactor. Clones are the same one; any thread may have them, but
/// one waits.
#[derive(Clone)]
pub(crate) struct Reactor(Arc<Inner>);

struct Inner {
    epoll: OwnedFd,
    bell: Arc<Bell>,
    watched: Mutex<Slab<Arc<Readiness>>>,
    alarms: Alarms,
    tasks: Arc<Tasks>,
}

impl Reactor {
    /// Two descriptors.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let bell = Arc::new(Bell::new()?);
        // Edge-triggered, it need not be read to be heard again.
        epoll::add(&epoll, &*bell, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        let (alarms, tasks) = (Alarms::new(), Tasks::new(&bell));
        Ok(Self(Arc::new(Inner { epoll, bell, watched: Mutex::default(), alarms, tasks })))
    }

    /// That of this thread, while it runs a future or a task.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs a task beside the future of [`block_on`](Self::block_on), from any
    /// thread, until it ends or the reactor is closed.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    /// Drops the tasks that have not ended, and takes no more.
    pub fn close(&self) {
        self.0.tasks.close();
    }

    /// Runs a future on this thread until it is done, and the tasks there are.
    /// Descriptors that are still registered then are of no use any more.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let _entered = Entered::new(self);
        let ringer = Arc::new(Ringer::new(&self.0.bell));
        let waker = Waker::from(Arc::clone(&ringer));
        let mut cx = Context::from_waker(&waker);
        let mut events = Vec::with_capacity(EVENTS);
        let clock = Clock::new(&self.0.epoll, CLOCK);
        let mut turn = VecDeque::new();
        loop {
            if ringer.take()
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                return output;
            }
            self.0.tasks.run(&mut turn);
            self.turn(&mut events, &clock, || ringer.is_rung() || self.0.tasks.has_work());
        }
    }

    /// Registers a descriptor, which must not block, for as long as the watch lives.
    pub fn watch(&self, descriptor: impl AsFd) -> io::Result<Watch> {
        self.register(descriptor, EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP)
    }

    /// Registers a descriptor to read from that other reactors have registered
    /// too: of those that wait, one is woken (`EPOLLEXCLUSIVE`, see `epoll_ctl(2)`).
    pub fn watch_shared(&self, descriptor: impl AsFd) -> io::Result<Watch> {
        self.register(descriptor, EventFlags::IN | EventFlags::EXCLUSIVE)
    }

    fn register(&self, descriptor: impl AsFd, flags: EventFlags) -> io::Result<Watch> {
        let ready = Arc::<Readiness>::default();
        let key = self.0.watched().insert(Arc::clone(&ready));
        let watch = Watch::new(self.clone(), key, ready);
        let data = EventData::new_u64(key as u64);
        epoll::add(&self.0.epoll, descriptor, data, flags | EventFlags::ET)?;
        Ok(watch)
    }

    /// Waits until something is ready or due, or another thread calls, unless
    /// there is work; wakes whoever waits for it.
    fn turn(&self, events: &mut Vec<Event>, clock: &Clock<'_>, has_work: impl FnOnce() -> bool) {
        let timeout = self.0.bell.sleep(has_work, || clock.timeout(self.0.alarms.next(Instant::now())));
        match epoll::wait(&self.0.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            // Nothing that a program can bring about: the descriptors are ours.
            Err(error) => log::error!(target: "transom", "epoll_wait failed: {error}"),
        }
        self.0.bell.awake();
        for event in events.drain(..) {
            let (flags, data) = (event.flags, event.data);
            let ready = match data.u64() {
                BELL | CLOCK => None,
                key => usize::try_from(key).ok().and_then(|key| self.0.watched().get(key).cloned()),
            };
            if let Some(ready) = ready {
                ready.set(flags);
            }
        }
        self.0.alarms.ring(Instant::now());
    }
}

/// A thread waits with this reactor, until dropped.
struct Entered<'a> {
    reactor: &'a Reactor,
    /// What it waited with before.
    before: Option<Reactor>,
}

impl<'a> Entered<'a> {
    fn new(reactor: &'a Reactor) -> Self {
        Self { reactor, before: CURRENT.replace(Some(reactor.clone())) }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
        // What has been taken elsewhere would wait for ever.
        let left: Vec<_> = self.reactor.0.watched().iter().map(|(_, ready)| Arc::clone(ready)).collect();
        left.into_iter().for_each(|ready| ready.abandon());
    }
}

impl Inner {
    fn watched(&self) -> MutexGuard<'_, Slab<Arc<Readiness>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
