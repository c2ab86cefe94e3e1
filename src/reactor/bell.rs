//! Wakes a thread that waits in the kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Wake, Waker};

use rustix::event::{EventfdFlags, Timespec, eventfd};

use crate::base::wakes;
use crate::system::apart;

/// The thread is running. It looks for work before it sleeps.
const AWAKE: u8 = 0;
/// The thread sleeps, or is about to.
const ASLEEP: u8 = 1;
/// The thread has been woken and runs as soon as the system schedules it.
const CALLED: u8 = 2;

/// An eventfd(2) that is written only if the thread sleeps.
pub(super) struct Bell {
    descriptor: OwnedFd,
    state: AtomicU8,
}

impl Bell {
    /// Opens the eventfd.
    pub fn new() -> io::Result<Self> {
        let descriptor = apart(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)?;
        // Until the thread first looks for work, it counts as woken: it is idle and need not be
        // rung.
        Ok(Self { descriptor, state: AtomicU8::new(CALLED) })
    }

    /// Wakes the thread, if it sleeps or is about to. The caller must have stored the work before,
    /// with `SeqCst`. In a batch of responses, the thread is woken at the end.
    pub fn ring(self: &Arc<Self>) {
        if !wakes::in_batch(|| Waker::from(Arc::clone(self))) {
            self.ring_now();
        }
    }

    fn ring_now(&self) {
        let called = self.state.compare_exchange(ASLEEP, CALLED, Ordering::SeqCst, Ordering::SeqCst);
        if called.is_ok() {
            // The write fails only if the counter is full, and then the eventfd is readable
            // already.
            let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
        }
    }

    /// Returns `true` if the thread has nothing to do: it sleeps, or has just been woken.
    pub fn is_idle(&self) -> bool {
        // Relaxed: a hint for the choice of a worker. An old answer costs a wake, and nothing is read because of it.
        self.state.load(Ordering::Relaxed) != AWAKE
    }

    /// Marks the thread as asleep and returns how long it may sleep: no time if there is work. Work
    /// that arrives after this call rings the bell.
    pub fn sleep(
        &self,
        has_work: impl FnOnce() -> bool,
        timeout: impl FnOnce() -> Option<Timespec>,
    ) -> Option<Timespec> {
        self.state.store(ASLEEP, Ordering::SeqCst);
        if has_work() { Some(Timespec { tv_sec: 0, tv_nsec: 0 }) } else { timeout() }
    }

    /// Marks the thread as awake: it looks for work before it sleeps again.
    pub fn awake(&self) {
        self.state.store(AWAKE, Ordering::SeqCst);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring_now();
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The waker of the future that a thread runs.
pub(super) struct Ringer {
    bell: Arc<Bell>,
    rung: AtomicBool,
}

impl Ringer {
    /// Returns a ringer that is rung, so that the future is polled a first time.
    pub fn new(bell: &Arc<Bell>) -> Self {
        Self { bell: Arc::clone(bell), rung: AtomicBool::new(true) }
    }

    /// Returns `true` if the ringer is rung.
    pub fn is_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// Returns `true` if the ringer was rung since the last call.
    pub fn take(&self) -> bool {
        self.rung.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::base::threads::races;

    /// Returns `true` once for each time that the bell was rung.
    fn heard(bell: &Bell) -> bool {
        rustix::io::read(bell, &mut [0; 8]).is_ok()
    }

    #[test]
    fn it_rings_for_those_who_sleep_or_are_about_to() {
        let bell = Arc::new(Bell::new().unwrap());
        bell.ring();
        assert!(!heard(&bell), "nobody sleeps");
        bell.sleep(|| false, || None);
        bell.ring();
        assert!(heard(&bell));
        bell.ring();
        assert!(!heard(&bell), "it was called already");
        bell.sleep(|| false, || None);
        bell.awake();
        bell.ring();
        assert!(!heard(&bell), "it is awake");
        // Work that arrives while the thread looks for work.
        bell.sleep(
            || {
                bell.ring();
                false
            },
            || None,
        );
        assert!(heard(&bell));
    }

    #[test]
    fn a_thread_is_free_until_it_is_awake() {
        let bell = Arc::new(Bell::new().unwrap());
        assert!(bell.is_idle(), "it has not begun");
        bell.awake();
        assert!(!bell.is_idle());
        bell.sleep(|| false, || None);
        assert!(bell.is_idle());
        bell.ring();
        assert!(bell.is_idle(), "it has not been let run yet");
        bell.awake();
        assert!(!bell.is_idle());
    }

    #[test]
    fn whoever_has_work_does_not_sleep() {
        let bell = Arc::new(Bell::new().unwrap());
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let long = Timespec { tv_sec: 9, tv_nsec: 0 };
        assert_eq!(bell.sleep(|| true, || Some(long)), Some(zero));
        assert_eq!(bell.sleep(|| false, || Some(long)), Some(long));
        assert_eq!(bell.sleep(|| false, || None), None);
    }

    #[test]
    fn a_ringer_is_rung_until_it_is_asked() {
        let ringer = Arc::new(Ringer::new(&Arc::new(Bell::new().unwrap())));
        assert!(ringer.take(), "the first poll");
        assert!(!ringer.take());
        ringer.wake_by_ref();
        ringer.wake_by_ref();
        assert!(ringer.is_rung() && ringer.take() && !ringer.take());
    }

    #[test]
    fn work_that_comes_while_a_thread_goes_to_sleep_is_seen_or_rings() {
        for _ in races() {
            let (bell, work) = (Arc::new(Bell::new().unwrap()), AtomicBool::new(false));
            bell.awake();
            let sleeps = thread::scope(|scope| {
                scope.spawn(|| {
                    work.store(true, Ordering::SeqCst);
                    bell.ring();
                });
                bell.sleep(|| work.load(Ordering::SeqCst), || None).is_none()
            });
            assert!(heard(&bell) || !sleeps, "the thread sleeps for ever");
        }
    }

    #[test]
    fn a_ringer_that_is_rung_while_its_thread_goes_to_sleep_is_seen_or_rings() {
        for round in races() {
            let bell = Arc::new(Bell::new().unwrap());
            let ringer = Arc::new(Ringer::new(&bell));
            bell.awake();
            ringer.take();
            let sleeps = thread::scope(|scope| {
                let rings = scope.spawn(|| ringer.wake_by_ref());
                // Sees that it has ended, without an order: a thread that is awake is not rung for.
                while round % 2 == 1 && !rings.is_finished() {
                    thread::yield_now();
                }
                bell.sleep(|| ringer.is_rung(), || None).is_none()
            });
            assert!(heard(&bell) || !sleeps, "the thread sleeps for ever");
        }
    }

    #[test]
    fn who_takes_a_ring_sees_what_was_done_before_it() {
        for _ in races() {
            let ringer = Arc::new(Ringer::new(&Arc::new(Bell::new().unwrap())));
            ringer.take();
            // Stored and loaded without an order: only the ring orders it.
            let value = AtomicU8::new(0);
            thread::scope(|scope| {
                scope.spawn(|| {
                    value.store(1, Ordering::Relaxed);
                    ringer.wake_by_ref();
                });
                while !ringer.take() {
                    thread::yield_now();
                }
                assert_eq!(value.load(Ordering::Relaxed), 1);
            });
        }
    }
}
