//! Work on the blocking pool whose outcome somebody waits for.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::BlockingPool;
use crate::Reject;

/// Where the outcome of work will be, once.
pub(super) struct Done<T>(Arc<Mutex<State<T>>>);

enum State<T> {
    /// The work goes on. The waker is that of the task that waits.
    Open(Option<Waker>),
    Over(T),
    /// The job was dropped: the work panicked, or the server has ended.
    Lost,
}

/// The end of a job, which wakes who waits for it.
struct End<T>(Arc<Mutex<State<T>>>);

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs work on the pool and returns its outcome. Fails if the pool takes no more, or is gone.
pub(super) async fn in_job<T: Send + 'static>(
    pool: &BlockingPool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Reject> {
    let done = start(pool, work)?;
    poll_fn(|cx| done.poll(cx)).await.ok_or(Reject::NoThread)
}

/// Starts work on the pool, and returns where its outcome will be.
pub(super) fn start<T: Send + 'static>(
    pool: &BlockingPool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Done<T>, Reject> {
    let (done, job) = job(work);
    let started = pool.run_blocking(job);
    started.map_err(|full| if full.without_threads { Reject::NoThread } else { Reject::PoolFull })?;
    Ok(done)
}

/// Starts work on the pool, or does it here if the pool takes no more.
pub(super) fn start_or_do<T: Send + 'static>(
    pool: &BlockingPool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Done<T> {
    let (done, job) = job(work);
    if let Err(full) = pool.run_blocking(job) {
        (full.job)();
    }
    done
}

fn job<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> (Done<T>, impl FnOnce() + Send + 'static) {
    let state = Arc::new(Mutex::new(State::Open(None)));
    let end = End(Arc::clone(&state));
    (Done(state), move || end.set(State::Over(work())))
}

impl<T> Done<T> {
    /// Returns the outcome, or `None` if the job was lost. To be called until then.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        match &mut *state {
            State::Open(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            over => match std::mem::replace(over, State::Lost) {
                State::Over(outcome) => Poll::Ready(Some(outcome)),
                State::Open(_) | State::Lost => Poll::Ready(None),
            },
        }
    }
}

impl<T> End<T> {
    fn set(&self, state: State<T>) {
        let before = std::mem::replace(&mut *lock(&self.0), state);
        if let State::Open(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        if let State::Open(waker) = &mut *state {
            let waker = waker.take();
            *state = State::Lost;
            drop(state);
            waker.into_iter().for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<T>(done: &Done<T>) -> Poll<Option<T>> {
        done.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_job_is_done_or_lost() {
        let (done, work) = job(|| 7);
        assert_eq!(poll(&done), Poll::Pending);
        work();
        assert_eq!(poll(&done), Poll::Ready(Some(7)));
        let (done, work) = job(|| 7);
        drop(work);
        assert_eq!(poll(&done), Poll::Ready(None));
        let (done, work) = job(|| -> u8 { panic!("a fault") });
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        assert_eq!(poll(&done), Poll::Ready(None));
        let (done, work) = job(|| 7);
        drop(done);
        work();
    }
}
