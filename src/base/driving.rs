//! The work of a thread for connections: it drives them, or runs a job that one of them called.
//!
//! Code that would wait for a connection of its own thread asks here: it goes on to drive the
//! connections while it waits, or it fails instead of blocking for ever.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::{self, ManuallyDrop};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

/// The work of a thread, as far as connections are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Elsewhere,
    /// The thread drives connections. No other thread drives them meanwhile.
    Driving,
    /// The thread runs a job that may block, called by a connection that the thread drives. The
    /// connection makes no progress until the job is done, or waits by [`wait`].
    Held,
}

/// Drives the connections of a thread while a job that one of them called waits.
pub(crate) trait Driver {
    /// Drives until `done` returns `true`, or until the deadline has passed and nothing is left to
    /// do at once. `done` keeps the waker, as a future does.
    fn drive_until(&self, deadline: Option<Instant>, done: &mut dyn FnMut(&mut Context<'_>) -> bool);
}

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    static WORK: Cell<Work> = const { Cell::new(Work::Elsewhere) };
    /// True while the thread polls for a driver that runs the jobs which this leaves.
    static TAKES_JOBS: Cell<bool> = const { Cell::new(false) };
    /// Without a destructor, which a thread would have to register: that aborts the process if there is
    /// no memory. The driver takes the jobs away when it ends.
    static JOBS: RefCell<ManuallyDrop<VecDeque<Job>>> = const { RefCell::new(ManuallyDrop::new(VecDeque::new())) };
    /// The driver of the thread, while the thread runs a job; otherwise `None`. Without a destructor too.
    static DRIVER: RefCell<ManuallyDrop<Option<Rc<dyn Driver>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
    /// True while the driver polls for a job that waits.
    static POLLS_FOR_JOB: Cell<bool> = const { Cell::new(false) };
    /// True if an exchange waits for the end of the job.
    static POSTPONED: Cell<bool> = const { Cell::new(false) };
}

/// Sets the thread's work until dropped, then restores what it was before.
struct WorkGuard {
    work: Work,
    takes_jobs: bool,
}

impl WorkGuard {
    fn new(work: Work, takes_jobs: bool) -> Self {
        Self { work: WORK.replace(work), takes_jobs: TAKES_JOBS.replace(takes_jobs) }
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        WORK.set(self.work);
        TAKES_JOBS.set(self.takes_jobs);
    }
}

/// Runs `drive`, which drives a connection on this thread.
pub(crate) fn driving<R>(drive: impl FnOnce() -> R) -> R {
    let _guard = WorkGuard::new(Work::Driving, TAKES_JOBS.get());
    drive()
}

/// Runs `poll` for a driver, which runs the jobs that this leaves.
pub(crate) fn taking_jobs<R>(poll: impl FnOnce() -> R) -> R {
    let _guard = WorkGuard::new(WORK.get(), true);
    poll()
}

/// Leaves a job to the driver that polls on this thread. The driver runs it on this thread, after
/// the poll. Returns the job if no driver takes it.
pub(crate) fn leave<F: FnOnce() + Send + 'static>(job: F) -> Result<(), F> {
    if !TAKES_JOBS.get() {
        return Err(job);
    }
    JOBS.with_borrow_mut(|jobs| jobs.push_back(Box::new(job)));
    Ok(())
}

/// Takes the next job that was left on this thread.
pub(crate) fn next_job() -> Option<Job> {
    JOBS.with_borrow_mut(|jobs| jobs.pop_front())
}

/// Takes all jobs that were left on this thread, at the end of its driver.
pub(crate) fn take_jobs() -> VecDeque<Job> {
    JOBS.with_borrow_mut(|jobs| mem::take(&mut **jobs))
}

/// Runs a job that was left, with a driver for its waits. The job must not panic.
/// Returns `true` if a connection waits for the end of the job, by [`postpone`]; the driver then polls
/// its future again.
pub(crate) fn hold(driver: Rc<dyn Driver>, job: Job) -> bool {
    let before = DRIVER.with_borrow_mut(|current| current.replace(driver));
    let guard = WorkGuard::new(Work::Held, false);
    job();
    drop(guard);
    let driver = DRIVER.with_borrow_mut(|current| mem::replace(&mut **current, before));
    drop(driver);
    POSTPONED.replace(false)
}

/// Runs `poll`, in which a driver polls its connections while a job waits.
pub(crate) fn polling_for_job<R>(poll: impl FnOnce() -> R) -> R {
    struct Guard(bool);

    impl Drop for Guard {
        fn drop(&mut self) {
            POLLS_FOR_JOB.set(self.0);
        }
    }

    let _guard = Guard(POLLS_FOR_JOB.replace(true));
    poll()
}

/// Returns `true` if no exchange may begin now, because a job of the same thread waits: another
/// handler would run in the middle of the job, and wait for ever for a lock that the job holds.
#[inline]
pub(crate) fn must_postpone() -> bool {
    POLLS_FOR_JOB.get()
}

/// Has the driver poll its future when the job is done that [`must_postpone`] speaks of.
pub(crate) fn postpone() {
    POSTPONED.set(true);
}

/// How a [`wait`] ended.
pub(crate) enum Waited<R> {
    Ready(R),
    /// The deadline has passed.
    TimedOut,
    /// The thread runs no job that a connection of its own called, so nothing was waited for.
    NotHere,
}

/// Waits in a job until `poll` is ready or the deadline has passed, and drives the connections of this
/// thread meanwhile.
pub(crate) fn wait<R>(
    deadline: Option<Instant>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
) -> Waited<R> {
    let driver = if is_held() { DRIVER.with_borrow(|driver| Option::clone(driver)) } else { None };
    let Some(driver) = driver else { return Waited::NotHere };
    let _guard = WorkGuard::new(Work::Driving, false);
    let mut ready = None;
    driver.drive_until(deadline, &mut |cx| {
        if let Poll::Ready(result) = poll(cx) {
            ready = Some(result);
        }
        ready.is_some()
    });
    ready.map_or(Waited::TimedOut, Waited::Ready)
}

/// Lets the connections of this thread do what they can do now, if the thread runs a job.
pub(crate) fn make_progress() {
    if is_held() {
        wait(Some(Instant::now()), |_| Poll::<()>::Pending);
    }
}

/// Runs a job that may block, or that hands work to another thread.
pub(crate) fn blocking<R>(job: impl FnOnce() -> R) -> R {
    let held = WORK.get() != Work::Elsewhere;
    let _guard = held.then(|| WorkGuard::new(Work::Held, TAKES_JOBS.get()));
    job()
}

/// Returns `true` if the connections that this thread drives make no progress until the caller
/// returns.
pub(crate) fn is_driving() -> bool {
    WORK.get() != Work::Elsewhere
}

/// Returns `true` inside a job that may block and that one of this thread's own connections called.
/// Such a job must not wait for data from those connections, except by [`wait`]: only this thread
/// could deliver it.
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
