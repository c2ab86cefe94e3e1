//! One thread's wait: until descriptors are ready, deadlines have passed, or another thread wakes
//! it. It knows nothing of HTTP.
//!
//! Each thread that serves connections has its own reactor. A descriptor is registered once,
//! edge-triggered (epoll(7)), when a task first has to wait for it. From then on a wait costs one
//! system call for all ready descriptors together.

mod alarm;
mod bell;
mod clock;
mod held;
mod ready;
mod signal;
mod stream;
mod task;
mod watch;

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use log::Level;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use slab::Slab;

pub(crate) use alarm::Alarm;
use alarm::Alarms;
use bell::{Bell, Ringer};
use clock::{Clock, NOTHING};
pub(crate) use ready::{Direction, Readiness};
pub(crate) use stream::Stream;
use task::Tasks;
pub(crate) use watch::Watch;

use crate::base::guard::{RateLimitedLog, log_event};
use crate::base::overload::Overload;
use crate::base::turn;
use crate::base::wakes::Turns;
use crate::system::apart;

/// The number of events that are taken from the kernel at once.
const EVENTS_PER_WAIT: usize = 256;
/// A thread that no handler blocks returns to its wait within this time, also on a machine with
/// other work to do.
const RESPONSIVE_WITHIN: Duration = Duration::from_millis(10);
/// The data of the bell's and the clock's events. No watch has such a key.
const BELL: u64 = u64::MAX;
const CLOCK: u64 = u64::MAX - 1;

thread_local! {
    /// The reactor that this thread runs now.
    static CURRENT: RefCell<Option<Reactor>> = const { RefCell::new(None) };
}

/// A thread's reactor. Clones refer to the same reactor. Any thread may hold a clone; one thread
/// runs it.
#[derive(Clone)]
pub(crate) struct Reactor(Arc<Inner>);

struct Inner {
    epoll: OwnedFd,
    bell: Arc<Bell>,
    watched: Mutex<Slab<Arc<Readiness>>>,
    /// The number of watches made so far. It wraps.
    generation: AtomicU32,
    alarms: Alarms,
    tasks: Arc<Tasks>,
    /// How long requests may wait for a turn of the thread, if that is limited.
    overload: Option<Overload>,
    /// The log line for a descriptor that could not be registered.
    register_log: RateLimitedLog,
}

impl Reactor {
    /// Opens a reactor, which takes two descriptors. Its times count from `start`.
    pub fn new(start: Instant) -> io::Result<Self> {
        let epoll = apart(epoll::create(CreateFlags::CLOEXEC)?)?;
        let bell = Arc::new(Bell::new()?);
        // An edge-triggered eventfd need not be read before its next event.
        epoll::add(&epoll, &*bell, EventData::new_u64(BELL), EventFlags::IN | EventFlags::ET)?;
        let (alarms, tasks) = (Alarms::new(start), Tasks::new(&bell));
        let (watched, generation) = (Mutex::default(), AtomicU32::new(0));
        Ok(Self(Arc::new(Inner {
            epoll,
            bell,
            watched,
            generation,
            alarms,
            tasks,
            overload: None,
            register_log: RateLimitedLog::default(),
        })))
    }

    /// Measures the turns of the thread that runs this reactor; see [`turn`]. For a reactor that is
    /// not shared yet.
    pub fn limiting_waits(mut self, overload: Option<Overload>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.overload = overload;
        }
        self
    }

    /// Returns the reactor that runs the calling future or task.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Returns `true` if this thread runs the reactor now.
    fn is_current(&self) -> bool {
        CURRENT.with_borrow(|current| current.as_ref().is_some_and(|it| Arc::ptr_eq(&it.0, &self.0)))
    }

    /// Runs a task on the reactor's thread, beside the future of [`block_on`](Self::block_on),
    /// until it ends or the reactor is closed. Any thread may call this.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    /// Returns the time at which the thread last looked at the clock. It does so after each wait.
    pub fn now(&self) -> Instant {
        self.0.alarms.last()
    }

    /// Returns the time from `start` to [`now`](Self::now). This takes a few instructions if `start` is the
    /// one that the reactor was opened with.
    #[inline]
    pub fn now_since(&self, start: Instant) -> Duration {
        self.0.alarms.last_since(start)
    }

    /// Returns `true` if a spawned task would run soon: the thread waits, or did a moment ago.
    /// Otherwise something blocks the thread.
    pub fn is_responsive(&self, now: Instant) -> bool {
        self.0.bell.is_idle() || self.0.alarms.has_rung_since(now, RESPONSIVE_WITHIN)
    }

    /// Returns `true` if the thread polls the task that a waker belongs to. Any thread may ask; the
    /// answer may be old, unless the thread is stuck.
    pub fn polls(&self, waker: &Waker) -> bool {
        self.0.tasks.polls(waker)
    }

    /// Drops the tasks that have not ended. Later tasks are dropped at once.
    pub fn close(&self) {
        self.0.tasks.close();
    }

    /// Runs a future on this thread until it is done, together with the reactor's tasks.
    /// Afterwards, descriptors that are still registered report an error.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let _entered = Entered::new(self);
        let ringer = Arc::new(Ringer::new(&self.0.bell));
        let waker = Waker::from(Arc::clone(&ringer));
        let mut cx = Context::from_waker(&waker);
        let (mut events, mut woken) = (Vec::with_capacity(EVENTS_PER_WAIT), Vec::new());
        let clock = Clock::new(&self.0.epoll, CLOCK);
        let tasks = &self.0.tasks;
        let _running = tasks.enter();
        tasks.set_main(&waker);
        self.0.bell.awake();
        if let Some(overload) = self.0.overload {
            turn::begin_first(overload, Instant::now());
        }
        loop {
            if ringer.take()
                && let Poll::Ready(output) = future.as_mut().poll(&mut cx)
            {
                return output;
            }
            tasks.run();
            self.turn(&mut events, &mut woken, &clock, || ringer.is_rung() || tasks.has_work());
        }
    }

    /// Returns the watch of a descriptor that is not registered yet. The watch of a stream owns
    /// the socket.
    pub fn watch(&self, socket: Option<OwnedFd>) -> Watch {
        // Relaxed: the number only has to differ from the one before.
        let generation = self.0.generation.fetch_add(1, Ordering::Relaxed);
        let ready = Arc::new(Readiness::new(generation, socket));
        let key = self.0.watched().insert(Arc::clone(&ready));
        Watch::new(self.clone(), key, ready)
    }

    /// Registers a descriptor that other reactors also read from. The kernel wakes at least one of
    /// the waiting reactors, not all (`EPOLLEXCLUSIVE`, see `epoll_ctl(2)`).
    pub fn watch_shared(&self, descriptor: impl AsFd) -> io::Result<Watch> {
        let watch = self.watch(None);
        watch.register(descriptor, EventFlags::IN | EventFlags::EXCLUSIVE)?;
        Ok(watch)
    }

    /// Waits until a descriptor is ready, at most for `timeout`.
    fn wait(&self, events: &mut Vec<Event>, timeout: Option<&Timespec>) {
        match epoll::wait(&self.0.epoll, spare_capacity(events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            // Cannot happen by a program's fault: the descriptors are the reactor's own.
            Err(error) => log_event(Level::Error, format_args!("epoll_wait failed: {error}")),
        }
    }

    /// Waits until a descriptor is ready, an alarm is due or another thread rings the bell; does
    /// not block if there is work. Then wakes the tasks concerned.
    fn turn(
        &self,
        events: &mut Vec<Event>,
        woken: &mut Vec<Waker>,
        clock: &Clock<'_>,
        has_work: impl FnOnce() -> bool,
    ) {
        Turns::end_turn();
        if self.0.overload.is_some() {
            turn::end(Instant::now());
        }
        let timeout = self.0.bell.sleep(has_work, || clock.timeout(self.0.alarms.next(Instant::now())));
        let measures = self.0.overload.is_some();
        if measures {
            // A look that does not wait tells whether the thread has nothing to do. The time of a wait
            // does not, because another thread may have had the core.
            self.wait(events, Some(&NOTHING));
        }
        let is_idle = !measures || (events.is_empty() && timeout != Some(NOTHING));
        if is_idle {
            self.wait(events, timeout.as_ref());
        }
        self.0.bell.awake();
        if measures {
            turn::begin(Instant::now(), is_idle);
        }
        let watched = self.0.watched();
        for event in events.drain(..) {
            let (flags, tag) = (event.flags, event.data.u64());
            let key = Readiness::key(tag);
            if let Some(ready) = watched.get(key)
                && ready.tag(key) == tag
            {
                ready.set(flags, woken);
            }
        }
        // A waker may call back into the reactor and lock this again.
        drop(watched);
        woken.drain(..).for_each(Waker::wake);
        self.0.alarms.ring(Instant::now());
    }
}

/// Marks a reactor as the thread's current one, until dropped.
struct Entered<'a> {
    reactor: &'a Reactor,
    /// The thread's reactor before.
    before: Option<Reactor>,
    _turns: Turns,
}

impl<'a> Entered<'a> {
    fn new(reactor: &'a Reactor) -> Self {
        Self { reactor, before: CURRENT.replace(Some(reactor.clone())), _turns: Turns::begin() }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
        // A task on another thread would wait for its descriptor for ever.
        let mut woken = Vec::new();
        for (_, ready) in self.reactor.0.watched().iter() {
            ready.abandon(&mut woken);
        }
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    fn watched(&self) -> MutexGuard<'_, Slab<Arc<Readiness>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::os::unix::net::UnixStream;
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use futures_lite::future::yield_now;

    use super::*;

    /// Longer than any test takes. A lost wake would wait for ever.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Runs `work` on another thread. Fails if it does not end in time.
    #[track_caller]
    pub(super) fn in_time<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
        let (sender, receiver) = mpsc::channel();
        let working = thread::spawn(move || sender.send(work()));
        let result = receiver.recv_timeout(PATIENCE);
        if let Err(mpsc::RecvTimeoutError::Disconnected) = result {
            std::panic::resume_unwind(working.join().unwrap_err());
        }
        result.expect("it does not end")
    }

    /// Returns at most `most` turns, or as many as fit into a third of `PATIENCE` on a machine with
    /// other work to do.
    pub(super) fn turns(most: usize) -> impl Iterator<Item = usize> {
        let begun = Instant::now();
        (0..most).take_while(move |turn| *turn < 100 || begun.elapsed() < PATIENCE / 3)
    }

    /// Returns a stream in the reactor, and its other end.
    pub(super) fn pair(reactor: &Reactor) -> (Stream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Stream::new(reactor, ours.into()), theirs)
    }

    /// A counter that one thread waits for and another raises, in turn.
    #[derive(Default)]
    struct Game {
        asked: AtomicU64,
        given: AtomicU64,
        over: AtomicBool,
        waker: Mutex<Option<Waker>>,
    }

    impl Game {
        async fn ask_again_and_again(&self) {
            for _ in turns(30_000) {
                self.ask().await;
            }
            self.over.store(true, Ordering::SeqCst);
        }

        async fn ask(&self) {
            let turn = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            poll_fn(|cx| {
                *self.waker.lock().unwrap() = Some(cx.waker().clone());
                if self.given.load(Ordering::SeqCst) == turn { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }

        /// Raises the counter after delays of all lengths, so that it meets the other thread at
        /// each point of its way to sleep.
        fn give(&self) {
            let mut delay = 0;
            for turn in 1.. {
                while self.asked.load(Ordering::SeqCst) < turn {
                    if self.over.load(Ordering::SeqCst) {
                        return;
                    }
                    thread::yield_now();
                }
                delay = (delay * 7 + 3) % 401;
                (0..delay).for_each(|_| std::hint::spin_loop());
                self.given.store(turn, Ordering::SeqCst);
                let waker = self.waker.lock().unwrap().take();
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }

    #[test]
    fn no_wake_from_another_thread_is_lost() {
        in_time(|| {
            let (reactor, game) = (Reactor::new(Instant::now()).unwrap(), Game::default());
            thread::scope(|scope| {
                scope.spawn(|| game.give());
                reactor.block_on(game.ask_again_and_again());
            });
        });
    }

    #[test]
    fn no_wake_of_a_task_is_lost() {
        in_time(|| {
            let (reactor, game) = (Reactor::new(Instant::now()).unwrap(), Arc::new(Game::default()));
            let giving = {
                let game = Arc::clone(&game);
                thread::spawn(move || game.give())
            };
            let (over, end) = async_channel::bounded::<()>(1);
            let task = Arc::clone(&game);
            reactor.spawn(async move {
                task.ask_again_and_again().await;
                drop(over);
            });
            reactor.block_on(end.recv()).unwrap_err();
            giving.join().unwrap();
        });
    }

    #[test]
    fn a_thread_that_sleeps_is_woken_by_another() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (sender, receiver) = async_channel::bounded(1);
            let sending = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                sender.send_blocking(7).unwrap();
            });
            assert_eq!(reactor.block_on(receiver.recv()).unwrap(), 7);
            sending.join().unwrap();
        });
    }

    #[test]
    fn a_task_may_be_spawned_by_any_thread_while_the_reactors_own_sleeps() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (sender, receiver) = async_channel::bounded(1);
            let spawning = {
                let reactor = reactor.clone();
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(20));
                    reactor.spawn(async move { sender.send(thread::current().id()).await.unwrap() });
                })
            };
            assert_eq!(reactor.block_on(receiver.recv()).unwrap(), thread::current().id());
            spawning.join().unwrap();
        });
    }

    #[test]
    fn a_panic_ends_a_task_and_no_other() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (sender, receiver) = async_channel::bounded(1);
            reactor.spawn(async { panic!("on purpose") });
            reactor.spawn(async move {
                yield_now().await;
                sender.send(()).await.unwrap();
            });
            reactor.block_on(receiver.recv()).unwrap();
        });
    }

    #[test]
    fn what_has_not_ended_is_dropped_when_the_reactor_is_closed() {
        struct Counted(Arc<AtomicUsize>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (reactor, dropped) = (Reactor::new(Instant::now()).unwrap(), Arc::new(AtomicUsize::new(0)));
        let task = || {
            let counted = Counted(Arc::clone(&dropped));
            async move {
                std::future::pending::<()>().await;
                drop(counted);
            }
        };
        (0..3).for_each(|_| reactor.spawn(task()));
        reactor.block_on(yield_now());
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        reactor.close();
        assert_eq!(dropped.load(Ordering::SeqCst), 3);
        reactor.spawn(task());
        assert_eq!(dropped.load(Ordering::SeqCst), 4, "it takes more");
        // The reactor still runs a future.
        reactor.block_on(yield_now());
    }

    #[test]
    fn a_reactor_that_something_holds_is_not_at_hand() {
        let reactor = Reactor::new(Instant::now()).unwrap();
        let later = || Instant::now() + 2 * RESPONSIVE_WITHIN;
        assert!(reactor.is_responsive(later()), "it has not begun");
        let held = reactor.block_on(async { !reactor.is_responsive(later()) });
        assert!(held, "from the first on");
        reactor.block_on(async {
            let now = Instant::now();
            yield_now().await;
            assert!(reactor.is_responsive(now), "it has just looked");
        });
    }

    #[test]
    fn the_current_reactor_is_that_which_runs() {
        let same = |one: &Reactor, other: Option<Reactor>| other.is_some_and(|o| Arc::ptr_eq(&one.0, &o.0));
        let (outer, inner) = (Reactor::new(Instant::now()).unwrap(), Reactor::new(Instant::now()).unwrap());
        assert!(Reactor::current().is_none());
        outer.block_on(async {
            assert!(same(&outer, Reactor::current()));
            inner.block_on(async { assert!(same(&inner, Reactor::current())) });
            assert!(same(&outer, Reactor::current()));
        });
        assert!(Reactor::current().is_none());
    }

    #[test]
    fn a_reactor_leaves_no_descriptor_behind() {
        // Other tests of this process open descriptors too, so this one is looked up by its number.
        let open = |number: i32| std::fs::read_link(format!("/proc/self/fd/{number}")).ok();
        let reactor = Reactor::new(Instant::now()).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&reactor.0.epoll);
        assert!(open(number).unwrap().to_string_lossy().contains("eventpoll"));
        let weak = Arc::downgrade(&reactor.0);
        reactor.spawn(std::future::pending());
        reactor.block_on(yield_now());
        reactor.close();
        drop(reactor);
        assert!(weak.upgrade().is_none(), "something still has it");
    }
}
