//! The process around the library: signals and forks.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, OnceLock};
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

/// Makes this the process that servers run in. The event loop under them is one
/// for the process and its locks do not survive a fork, so that a server which
/// is started in a fork of such a process would hang.
pub(crate) fn claim_event_loop() -> Result<(), transom_status> {
    static OWNER: OnceLock<Process> = OnceLock::new();
    OWNER.get_or_init(Process::current).check()
}

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
