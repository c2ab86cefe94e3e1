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
pub(crate) struct Waiters(Mutex<Wakers>);

/// Mostly there is one, which then needs no memory of its own: an idle WebSocket is 80 bytes smaller, and a
/// message needs two calls of the allocator less (bench: websocket, 2026-11).
#[derive(Default)]
struct Wakers {
    one: Option<Waker>,
    #[expect(clippy::box_collection, reason = "keeps an idle connection 16 bytes smaller")]
    others: Option<Box<Vec<Waker>>>,
}

impl Wakers {
    fn iter(&self) -> impl Iterator<Item = &Waker> {
        self.one.iter().chain(self.others.iter().flat_map(|others| others.iter()))
    }

    fn add(&mut self, waker: &Waker) {
        if self.iter().any(|other| other.will_wake(waker)) {
            return;
        }
        match self.one {
            None => self.one = Some(waker.clone()),
            Some(_) => self.others.get_or_insert_default().push(waker.clone()),
        }
    }

    fn remove(&mut self, waker: &Waker) -> Option<Waker> {
        let one = self.one.take_if(|one| one.will_wake(waker));
        one.or_else(|| {
            let others = self.others.as_mut()?;
            let found = others.iter().position(|other| other.will_wake(waker))?;
            Some(others.swap_remove(found))
        })
    }

    fn wake(self) {
        self.one.into_iter().chain(self.others.into_iter().flat_map(|others| *others)).for_each(Waker::wake);
    }
}

impl Waiters {
    pub fn add(&self, waker: &Waker) {
        self.lock().add(waker);
    }

    pub fn remove(&self, waker: &Waker) {
        let removed = self.lock().remove(waker);
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

    fn lock(&self) -> MutexGuard<'_, Wakers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        let wakers = mem::take(&mut *self.lock());
        wakers.wake();
    }
}
