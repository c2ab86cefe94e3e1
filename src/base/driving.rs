//! Tracks whether this thread drives connections, so that code which would wait for one of them
//! fails instead of blocking for ever.

use std::cell::Cell;

/// The work of a thread, as far as connections are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Elsewhere,
    /// The thread drives connections. No other thread drives them meanwhile.
    Driving,
    /// The thread runs a job that may block, called by a connection that the thread drives. The
    /// connection makes no progress until the job is done.
    Held,
}

thread_local! {
    static WORK: Cell<Work> = const { Cell::new(Work::Elsewhere) };
}

/// Sets the thread's work until dropped, then restores what it was before.
struct WorkGuard(Work);

impl WorkGuard {
    fn new(work: Work) -> Self {
        Self(WORK.replace(work))
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        WORK.set(self.0);
    }
}

/// Runs `drive`, which drives a connection on this thread.
pub(crate) fn driving<R>(drive: impl FnOnce() -> R) -> R {
    let _guard = WorkGuard::new(Work::Driving);
    drive()
}

/// Runs a job that may block, or that hands work to another thread.
pub(crate) fn blocking<R>(job: impl FnOnce() -> R) -> R {
    let held = WORK.get() != Work::Elsewhere;
    let _guard = held.then(|| WorkGuard::new(Work::Held));
    job()
}

/// Returns `true` if the connections that this thread drives make no progress until the caller
/// returns.
pub(crate) fn is_driving() -> bool {
    WORK.get() != Work::Elsewhere
}

/// Returns `true` inside a job that may block and that one of this thread's own connections called.
/// Such a job must not wait for data from those connections: only this thread could deliver it.
pub(crate) fn is_held() -> bool {
    WORK.get() == Work::Held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_holds_the_connections_of_its_own_thread_and_no_others() {
        assert!(!blocking(is_held), "none are driven");
        driving(|| {
            assert!(is_driving() && !is_held());
            blocking(|| {
                assert!(is_driving() && is_held());
                // The handler drives a server of its own while it waits for that server.
                driving(|| assert!(!is_held()));
                assert!(is_held());
                std::thread::scope(|scope| {
                    scope.spawn(|| assert!(!is_driving() && !is_held()));
                });
            });
            assert!(!is_held());
        });
        assert!(!is_driving());
    }
}
