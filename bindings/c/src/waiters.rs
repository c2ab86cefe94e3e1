//! Wakers of everything that waits for one thing, which itself keeps one waker only.

use std::cell::Cell;
use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use transom::{WaitError, wait};

use crate::status::transom_status;

/// The wakers. The thing is polled with the waker that these are together, after the waker of the
/// caller was added: what happens in between then wakes the caller too.
#[derive(Default)]
pub(crate) struct Waiters(Mutex<Vec<Waker>>);

impl Waiters {
    pub fn add(&self, waker: &Waker) {
        let mut wakers = self.lock();
        if !wakers.iter().any(|other| other.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    pub fn remove(&self, waker: &Waker) {
        let mut wakers = self.lock();
        let found = wakers.iter().position(|other| other.will_wake(waker));
        let removed = found.map(|at| wakers.swap_remove(at));
        drop(wakers);
        drop(removed);
    }

    /// Waits until `poll` is ready, `None` without a limit. `poll` adds the waker that it gets, if it is
    /// not ready.
    pub fn wait<R>(
        &self,
        timeout: Option<Duration>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<R>,
    ) -> Result<R, transom_status> {
        let waker = Cell::new(None);
        let waited = wait(
            poll_fn(|cx| {
                waker.set(Some(cx.waker().clone()));
                poll(cx)
            }),
            timeout,
        );
        if waited.is_err() {
            // Nobody waits with this waker any more.
            waker.take().inspect(|waker| self.remove(waker));
        }
        waited.map_err(|error| match error {
            WaitError::WouldDeadlock => transom_status::TRANSOM_WOULD_DEADLOCK,
            _ if timeout == Some(Duration::ZERO) => transom_status::TRANSOM_WOULD_BLOCK,
            _ => transom_status::TRANSOM_TIMEOUT,
        })
    }

    /// Drops all wakers.
    pub fn clear(&self) {
        let wakers = mem::take(&mut *self.lock());
        drop(wakers);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        let wakers = mem::take(&mut *self.lock());
        wakers.into_iter().for_each(Waker::wake);
    }
}
