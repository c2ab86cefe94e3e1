//! The process around the library: signals and forks.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use crate::status::transom_status;

/// How many forks lie between the process that loaded the library and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The process something belongs to. Asking costs one load: a process id would
/// cost a system call at each entry point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// This one.
    pub fn current() -> Self {
        static WATCH: Once = Once::new();
        WATCH.call_once(|| {
            // SAFETY: the handler is one atomic addition, which may run in a
            // child of fork; the library is never unloaded (`-z nodelete`).
            // Without memory for it forks would go unnoticed, nothing worse.
            unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        });
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Whether this is the process.
    pub fn check(self) -> Result<(), transom_status> {
        if self == Self::current() { Ok(()) } else { Err(transom_status::TRANSOM_FORKED) }
    }
}

/// The process that something belongs to while it is used: how often it is, and by which.
pub(crate) struct Owner(AtomicU64);

impl Owner {
    pub const fn nobody() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Uses it, unless another process does.
    pub fn claim(&self) -> Result<(), transom_status> {
        let Process(own) = Process::current();
        let claimed = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            let (uses, owner) = Self::parts(state);
            (uses == 0 || owner == own).then_some(u64::from(uses + 1) << 32 | u64::from(own))
        });
        claimed.map(drop).map_err(|_| transom_status::TRANSOM_FORKED)
    }

    /// Uses it no more.
    pub fn give_up(&self) {
        self.0.fetch_sub(1 << 32, Ordering::AcqRel);
    }

    /// Whether no other process uses it.
    pub fn check(&self) -> Result<(), transom_status> {
        match Self::parts(self.0.load(Ordering::Acquire)) {
            (0, _) => Ok(()),
            (_, owner) => Process(owner).check(),
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
    fn parts(state: u64) -> (u32, u32) {
        ((state >> 32) as u32, state as u32)
    }
}

/// The process that servers run in. What all servers share (the tables of requests and
/// writers) has locks, which may be taken when the process is forked, and which nobody
/// gives back in the child: a server that is started there could hang.
pub(crate) static HOST: Owner = Owner::nobody();

/// What a thread raises by a fault of its own. Where these are blocked, the
/// system ends the process without running the host's handler for them, which
/// virtual machines and crash reporters live by.
const FAULTS: [i32; 6] =
    [libc::SIGILL, libc::SIGTRAP, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV, libc::SIGSYS];

/// Blocks every signal on this thread but its own faults; the mask from before.
pub(crate) fn block_signals() -> libc::sigset_t {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: `sigfillset` initializes `all`; the empty set that
    // `sigemptyset` makes of `before` stays if `pthread_sigmask` should fail.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for fault in FAULTS {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        libc::sigemptyset(before.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

/// Runs something that may start threads: they inherit a mask that blocks
/// signals, and this thread has its own back afterwards.
pub(crate) fn with_signals_blocked<R>(run: impl FnOnce() -> R) -> R {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the mask is the one this thread had.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
        }
    }
    let _restore = Restore(block_signals());
    run()
}

/// Starts a thread of the library's own.
pub(crate) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    with_signals_blocked(|| Builder::new().name(name.into()).spawn(run))
}
