//! What calls a thread that waits in the kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::Wake;

use rustix::event::{EventfdFlags, Timespec, eventfd};

use crate::base::descriptor::apart;

/// The thread is at work, and looks for more before it sleeps.
const AWAKE: u8 = 0;
/// It sleeps, or is about to.
const ASLEEP: u8 = 1;
/// It slept, and will be awake as soon as the system lets it run.
const CALLED: u8 = 2;

/// An eventfd(2) that is written to only if the thread sleeps.
pub(super) struct Bell {
    descriptor: OwnedFd,
    state: AtomicU8,
}

impl Bell {
    pub fn new() -> io::Result<Self> {
        let descriptor = apart(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)?;
        // Before it first looks for work it has none.
        Ok(Self { descriptor, state: AtomicU8::new(CALLED) })
    }

    /// Calls the thread, if it sleeps or is about to. What it is called for must
    /// have been stored before, with `SeqCst`.
    pub fn ring(&self) {
        let called = self.state.compare_exchange(ASLEEP, CALLED, Ordering::SeqCst, Ordering::SeqCst);
        if called.is_ok() {
            // It fails only if the counter is full, and then it rings.
            let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
        }
    }

    /// Whether the thread is at nothing: it sleeps, or has just been called.
    pub fn is_idle(&self) -> bool {
        self.state.load(Ordering::Relaxed) != AWAKE
    }

    /// The thread is about to sleep, unless there is work; how long it may.
    /// Work that comes from now on rings.
    pub fn sleep(
        &self,
        has_work: impl FnOnce() -> bool,
        timeout: impl FnOnce() -> Option<Timespec>,
    ) -> Option<Timespec> {
        self.state.store(ASLEEP, Ordering::SeqCst);
        if has_work() { Some(Timespec { tv_sec: 0, tv_nsec: 0 }) } else { timeout() }
    }

    /// The thread is awake, and looks for work before it sleeps again.
    pub fn awake(&self) {
        self.state.store(AWAKE, Ordering::SeqCst);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Wakes the future that a thread runs.
pub(super) struct Ringer {
    bell: Arc<Bell>,
    rung: AtomicBool,
}

impl Ringer {
    /// Rung, so that the future is polled a first time.
    pub fn new(bell: &Arc<Bell>) -> Self {
        Self { bell: Arc::clone(bell), rung: AtomicBool::new(true) }
    }

    pub fn is_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// Whether it was rung since it was last asked.
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
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    /// Whether it was heard, for once.
    fn heard(bell: &Bell) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let heard = poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&now)).unwrap() == 1;
        if heard {
            rustix::io::read(bell, &mut [0; 8]).unwrap();
        }
        heard
    }

    #[test]
    fn it_rings_for_those_who_sleep_or_are_about_to() {
        let bell = Bell::new().unwrap();
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
        // Work that comes while it looks for some.
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
        let bell = Bell::new().unwrap();
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
        let bell = Bell::new().unwrap();
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
}
