//! The process around the library: its signals and its forks.

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use crate::status::transom_status;
use crate::system::{SignalMask, on_fork};

/// The number of forks between the process that loaded the library and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Runs in the child of each fork.
extern "C" fn count_fork() {
    // Relaxed: a child of fork(2) has one thread at that moment.
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The process that an object belongs to. The check costs one load; getpid(2) would cost a
/// system call in every function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// Returns this process.
    pub fn current() -> Self {
        static WATCH: Once = Once::new();
        WATCH.call_once(|| {
            // SAFETY: the handler is one atomic addition, which is allowed in the child of a
            // fork, and the library is never unloaded (`-z nodelete`).
            unsafe { on_fork(count_fork) };
        });
        // Relaxed: threads that the child starts are ordered after the fork.
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Returns `TRANSOM_FORKED` unless this is the current process.
    pub fn check(self) -> Result<(), transom_status> {
        if self == Self::current() { Ok(()) } else { Err(transom_status::TRANSOM_FORKED) }
    }
}

/// The process that uses an object now, and how many uses there are.
pub(crate) struct Owner(AtomicU64);

impl Owner {
    /// No process uses the object.
    pub const fn nobody() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds a use, unless another process uses the object.
    pub fn claim(&self) -> Result<(), transom_status> {
        let Process(own) = Process::current();
        let claimed = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            let (uses, owner) = Self::parts(state);
            (uses == 0 || owner == own).then_some(u64::from(uses + 1) << 32 | u64::from(own))
        });
        claimed.map(drop).map_err(|_| transom_status::TRANSOM_FORKED)
    }

    /// Removes a use.
    pub fn give_up(&self) {
        self.0.fetch_sub(1 << 32, Ordering::AcqRel);
    }

    /// Returns `TRANSOM_FORKED` if another process uses the object.
    pub fn check(&self) -> Result<(), transom_status> {
        match Self::parts(self.0.load(Ordering::Acquire)) {
            (0, _) => Ok(()),
            (_, owner) => Process(owner).check(),
        }
    }

    /// Returns the number of uses, and the process.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
    fn parts(state: u64) -> (u32, u32) {
        ((state >> 32) as u32, state as u32)
    }
}

/// The process in which servers run. All servers share the tables of requests and writers. A
/// fork may happen while a thread holds one of their locks, and in the child nobody releases
/// it: a server that is started there could hang.
pub(crate) static HOST: Owner = Owner::nobody();

/// Runs a function that may start threads, which inherit a mask that blocks signals. This
/// thread then gets its own mask back.
pub(crate) fn with_signals_blocked<R>(run: impl FnOnce() -> R) -> R {
    struct Restore(SignalMask);
    impl Drop for Restore {
        fn drop(&mut self) {
            self.0.restore();
        }
    }
    let _restore = Restore(SignalMask::block_all());
    run()
}

/// Starts a thread of the library.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    with_signals_blocked(|| Builder::new().name(name.into()).spawn(run))
}
