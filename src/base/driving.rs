//! What a thread does for connections: whoever must not wait for one asks here.

use std::cell::Cell;

/// What this thread is at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Elsewhere,
    /// It drives connections: meanwhile nobody else does.
    Driving,
    /// It does a job that may block, called by a connection that it drives: until
    /// that is done, the connection stands still.
    Held,
}

thread_local! {
    static WORK: Cell<Work> = const { Cell::new(Work::Elsewhere) };
}

/// This thread is at that, until dropped.
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

/// Drives a connection on this thread.
pub(crate) fn driving<R>(drive: impl FnOnce() -> R) -> R {
    let _guard = WorkGuard::new(Work::Driving);
    drive()
}

/// Does a job that may block, or hands it over.
pub(crate) fn blocking<R>(job: impl FnOnce() -> R) -> R {
    let held = WORK.get() != Work::Elsewhere;
    let _guard = held.then(|| WorkGuard::new(Work::Held));
    job()
}

/// Whether no connection of this thread moves until it is given back.
pub(crate) fn is_driving() -> bool {
    WORK.get() != Work::Elsewhere
}

/// Whether what is waited for here, by a job that may block, must not be of this
/// thread's own connections.
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
                // A server within the handler, driven while it waits for it.
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
