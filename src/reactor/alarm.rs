//! Deadlines of what a thread runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::Reactor;

/// All alarms of a reactor. A connection has one, which it sets about once for
/// each of its deadlines that comes near: so few that a map does.
pub(super) struct Alarms {
    start: Instant,
    /// Nanoseconds from the start that have passed: what was due by then has rung.
    rung: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    due: BTreeMap<(u64, u64), Entry>,
    next_id: u64,
}

struct Entry {
    waker: Waker,
    exact: bool,
}

/// When a thread has to be awake next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Within that time, up to a millisecond later.
    Within(Duration),
    /// At that many nanoseconds from the start, and so long from now.
    Exactly(u64, Duration),
}

impl Alarms {
    pub fn new() -> Self {
        Self { start: Instant::now(), rung: AtomicU64::new(0), state: Mutex::default() }
    }

    /// When the next is due; `None` if there is none.
    pub fn next(&self, now: Instant) -> Option<Next> {
        let state = self.lock();
        let (&(due, _), entry) = state.due.first_key_value()?;
        let left = Duration::from_nanos(due.saturating_sub(self.nanos(now)));
        Some(if entry.exact { Next::Exactly(due, left) } else { Next::Within(left) })
    }

    /// Wakes whoever has an alarm that is due.
    pub fn ring(&self, now: Instant) {
        let now = self.nanos(now);
        self.rung.store(now, Ordering::Release);
        let mut state = self.lock();
        while state.due.first_key_value().is_some_and(|((due, _), _)| *due <= now) {
            let waker = state.due.pop_first().map(|(_, entry)| entry.waker);
            drop(state);
            waker.into_iter().for_each(Waker::wake);
            state = self.lock();
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One alarm for many deadlines. It is only ever set earlier: a deadline that
/// moves away, as most do with each request, costs a comparison, until the alarm
/// rings and is set anew.
pub(crate) struct Alarm {
    reactor: Reactor,
    exact: bool,
    set: Option<Set>,
}

struct Set {
    at: Instant,
    /// The same, as the map has it.
    due: u64,
    id: u64,
    waker: Waker,
}

impl Alarm {
    /// One that rings up to a millisecond late: deadlines are no more exact.
    pub fn new(reactor: &Reactor) -> Self {
        Self { reactor: reactor.clone(), exact: false, set: None }
    }

    /// One that rings as soon as the system can, for a system call more.
    pub fn exact(reactor: &Reactor) -> Self {
        Self { reactor: reactor.clone(), exact: true, set: None }
    }

    /// Ready once `at` has passed; before, the task is woken by then.
    pub fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let alarms = &self.reactor.0.alarms;
        let rung = alarms.rung.load(Ordering::Acquire);
        let serves = |set: &Set| set.at <= at && set.due > rung && set.waker.will_wake(cx.waker());
        if self.set.as_ref().is_some_and(serves) {
            return Poll::Pending;
        }
        let due = alarms.nanos(at);
        if due <= rung {
            return Poll::Ready(());
        }
        self.cancel();
        let waker = cx.waker();
        let mut state = self.reactor.0.alarms.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.due.insert((due, id), Entry { waker: waker.clone(), exact: self.exact });
        let is_next = state.due.first_key_value().is_some_and(|(key, _)| *key == (due, id));
        drop(state);
        self.set = Some(Set { at, due, id, waker: waker.clone() });
        if is_next {
            // Asked from another thread, it may sleep for too long.
            self.reactor.0.bell.ring();
        }
        Poll::Pending
    }

    fn cancel(&mut self) {
        if let Some(set) = self.set.take() {
            self.reactor.0.alarms.lock().due.remove(&(set.due, set.id));
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.cancel();
    }
}
