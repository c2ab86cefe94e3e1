//! The queue of one response: encoded events on their way to the connection.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Bytes;
use crate::SlowReader;

/// The bytes that an event counts for beside its lines: its place in the queue.
const EVENT: usize = 32;

/// A bounded queue. No lock is held while code of the host runs.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Bytes that wait before an event is not taken.
    limit: usize,
}

#[derive(Default)]
struct State {
    events: VecDeque<Bytes>,
    bytes: usize,
    /// The newest event that found no room, of a broadcast that coalesces.
    newest: Option<Bytes>,
    /// True once no more events are taken. Those that wait are still sent.
    has_ended: bool,
    /// True once the response is not sent any more.
    is_gone: bool,
    reader: Option<Waker>,
    /// The tasks that wait for room, or for the end.
    writers: Vec<Waker>,
}

/// The reasons for which an event is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Gone,
}

impl State {
    fn check(&self, limit: usize) -> Result<(), Refused> {
        if self.has_ended || self.is_gone {
            Err(Refused::Gone)
        } else if self.bytes >= limit {
            Err(Refused::Full)
        } else {
            Ok(())
        }
    }

    fn clear(&mut self) {
        self.events = VecDeque::new();
        self.bytes = 0;
        self.newest = None;
    }

    fn put(&mut self, event: Bytes) -> Option<Waker> {
        self.bytes += event.len() + EVENT;
        self.events.push_back(event);
        self.reader.take()
    }

    fn await_change(&mut self, cx: &Context<'_>) {
        if !self.writers.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.writers.push(cx.waker().clone());
        }
    }
}

impl Queue {
    pub fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), limit }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.lock().bytes
    }

    /// Returns `true` once no event would be sent.
    pub fn is_closed(&self) -> bool {
        self.check() == Err(Refused::Gone)
    }

    /// Returns `Ok` if an event would be taken now.
    pub fn check(&self) -> Result<(), Refused> {
        self.lock().check(self.limit)
    }

    /// Takes an event. It is taken whole while less than the limit waits.
    pub fn push(&self, event: Bytes) -> Result<(), Refused> {
        let mut state = self.lock();
        state.check(self.limit)?;
        let waker = state.put(event);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Takes an event of a broadcast; `slow` says what happens without room. Returns `true` if the event is
    /// taken, also as the newest of a broadcast that coalesces. The caller wakes the wakers that were added to `woken`.
    pub fn offer(&self, event: &Bytes, slow: SlowReader, woken: &mut Vec<Waker>) -> bool {
        let mut state = self.lock();
        match (state.check(self.limit), slow) {
            (Ok(()), _) => {}
            (Err(Refused::Full), SlowReader::Coalesce) => {
                state.newest = Some(event.clone());
                return true;
            }
            (Err(Refused::Full), SlowReader::Close) => {
                state.has_ended = true;
                return false;
            }
            (Err(_), _) => return false,
        }
        woken.extend(state.put(event.clone()));
        true
    }

    /// Ready once an event would be taken, or none ever will be.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let mut state = self.lock();
        match state.check(self.limit) {
            Err(Refused::Full) => {
                state.await_change(cx);
                Poll::Pending
            }
            checked => Poll::Ready(checked),
        }
    }

    /// Ready once no event would be sent.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.has_ended || state.is_gone {
            return Poll::Ready(());
        }
        state.await_change(cx);
        Poll::Pending
    }

    /// Takes the next event out. `None` once there are no more.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.lock();
        let Some(event) = state.events.pop_front() else {
            if state.has_ended {
                return Poll::Ready(None);
            }
            // An idle response holds no memory for events.
            state.clear();
            if !state.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.reader = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        let was_full = state.bytes >= self.limit;
        state.bytes -= event.len() + EVENT;
        let has_room = was_full && state.bytes < self.limit;
        if has_room && let Some(newest) = state.newest.take() {
            state.put(newest);
        }
        let writers = if has_room { std::mem::take(&mut state.writers) } else { Vec::new() };
        drop(state);
        writers.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(event))
    }

    /// Ends the queue: no more events are taken, and those that wait are still sent.
    pub fn end(&self) {
        self.change(|state| state.has_ended = true);
    }

    /// Notes that the response is not sent any more, and drops what waits.
    pub fn abandon(&self) {
        self.change(|state| {
            state.is_gone = true;
            state.clear();
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let (writers, reader) = (std::mem::take(&mut state.writers), state.reader.take());
        drop(state);
        writers.into_iter().chain(reader).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_fn, poll_once};

    fn next(queue: &Queue) -> Option<Bytes> {
        block_on(poll_once(poll_fn(|cx| queue.poll_next(cx)))).expect("the queue has something")
    }

    fn offer(queue: &Queue, event: &'static str, slow: SlowReader) -> bool {
        queue.offer(&event.into(), slow, &mut Vec::new())
    }

    #[test]
    fn a_full_queue_refuses_until_an_event_leaves() {
        let queue = Queue::new(40);
        assert_eq!(queue.push("first".into()), Ok(()));
        assert_eq!(queue.push("second".into()), Ok(()), "less than the limit waited");
        assert_eq!(queue.push("third".into()), Err(Refused::Full));
        assert_eq!(queue.queued(), 11 + 2 * EVENT);
        assert_eq!(next(&queue).unwrap(), "first");
        assert_eq!(queue.push("third".into()), Ok(()));
        queue.end();
        assert_eq!(queue.push("fourth".into()), Err(Refused::Gone));
        assert_eq!(
            [next(&queue), next(&queue), next(&queue)],
            [Some("second".into()), Some("third".into()), None]
        );
    }

    #[test]
    fn a_slow_reader_misses_events_or_gets_the_newest_or_is_closed() {
        for (slow, left) in
            [(SlowReader::Drop, &["a"][..]), (SlowReader::Coalesce, &["a", "c"]), (SlowReader::Close, &["a"])]
        {
            let queue = Queue::new(1);
            assert!(offer(&queue, "a", slow));
            assert_eq!(offer(&queue, "b", slow), slow == SlowReader::Coalesce);
            assert_eq!(offer(&queue, "c", slow), slow == SlowReader::Coalesce);
            assert_eq!(queue.is_closed(), slow == SlowReader::Close);
            queue.end();
            let events: Vec<_> = std::iter::from_fn(|| next(&queue)).collect();
            assert_eq!(events, left, "{slow:?}");
        }
    }
}
