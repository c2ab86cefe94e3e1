//! The deadlines of the futures and tasks that a thread runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::Reactor;

/// All alarms of a reactor. Each connection has one alarm and sets it about once for each of its
/// deadlines that comes near. That is rare enough for an ordered map.
pub(super) struct Alarms {
    start: Instant,
    /// The time up to which due alarms have rung, in nanoseconds from the start.
    rung: AtomicU64,
    state: Mutex<AlarmQueue>,
}

#[derive(Default)]
struct AlarmQueue {
    due: BTreeMap<(u64, u64), Entry>,
    next_id: u64,
}

struct Entry {
    waker: Waker,
    exact: bool,
}

/// When the thread must wake for its next alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextAlarm {
    /// After that time, or up to a millisecond later.
    Within(Duration),
    /// At that many nanoseconds from the start, which is that long from now.
    Exactly(u64, Duration),
}

impl Alarms {
    /// Returns a reactor's alarms, whose times count from `start`.
    pub fn new(start: Instant) -> Self {
        Self { start, rung: AtomicU64::new(0), state: Mutex::default() }
    }

    /// Returns when the next alarm is due; `None` if none is set.
    pub fn next(&self, now: Instant) -> Option<NextAlarm> {
        let state = self.lock();
        let (&(due, _), entry) = state.due.first_key_value()?;
        let left = Duration::from_nanos(due.saturating_sub(self.nanos(now)));
        Some(if entry.exact { NextAlarm::Exactly(due, left) } else { NextAlarm::Within(left) })
    }

    /// Wakes the tasks whose alarms are due.
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

    /// Returns the time of the last [`ring`](Self::ring).
    pub fn last(&self) -> Instant {
        self.start + Duration::from_nanos(self.rung.load(Ordering::Acquire))
    }

    /// Returns the time from `start` to the last [`ring`](Self::ring). It is at hand if the alarms count
    /// from that start too.
    #[inline]
    pub fn last_since(&self, start: Instant) -> Duration {
        if start == self.start {
            return Duration::from_nanos(self.rung.load(Ordering::Acquire));
        }
        self.last().saturating_duration_since(start)
    }

    /// Returns `true` if the last [`ring`](Self::ring) was less than `time` before `now`.
    pub fn has_rung_since(&self, now: Instant, time: Duration) -> bool {
        let since = self.nanos(now).saturating_sub(self.rung.load(Ordering::Acquire));
        Duration::from_nanos(since) < time
    }

    /// Returns a time in nanoseconds from the start.
    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        since.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(since.subsec_nanos()))
    }

    fn lock(&self) -> MutexGuard<'_, AlarmQueue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One alarm for all deadlines of a task. The alarm is only ever set earlier. Most requests move a
/// deadline away: that costs a comparison, until the alarm rings and is set again. It saves 348 of
/// 5,388 instructions of a small request over loopback, those of its client included (callgrind,
/// 2026-11).
pub(crate) struct Alarm {
    reactor: Reactor,
    exact: bool,
    set: Option<Set>,
}

/// The alarm as it stands in the reactor's map.
struct Set {
    due: u64,
    id: u64,
    waker: Waker,
}

impl Alarm {
    /// Returns an alarm that rings up to a millisecond late, which is exact enough for deadlines.
    pub fn new(reactor: &Reactor) -> Self {
        Self { reactor: reactor.clone(), exact: false, set: None }
    }

    /// Returns an alarm that rings as early as the system can. Each setting costs one more system
    /// call.
    pub fn exact(reactor: &Reactor) -> Self {
        Self { reactor: reactor.clone(), exact: true, set: None }
    }

    /// Returns `true` if this thread runs the alarm's reactor.
    pub fn is_here(&self) -> bool {
        self.reactor.is_current()
    }

    /// Ready once `at` has passed. Until then the task will be woken at `at`.
    pub fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let alarms = &self.reactor.0.alarms;
        let rung = alarms.rung.load(Ordering::Acquire);
        let due = alarms.nanos(at);
        let serves = |set: &Set| set.due <= due && set.due > rung && set.waker.will_wake(cx.waker());
        if self.set.as_ref().is_some_and(serves) {
            return Poll::Pending;
        }
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
        self.set = Some(Set { due, id, waker: waker.clone() });
        if is_next {
            // The reactor's thread may be asleep, if this is another thread.
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::thread;

    use super::super::tests::in_time;
    use super::*;

    fn after(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    /// Waits until `at` and returns how late the alarm rang.
    fn wait(reactor: &Reactor, alarm: &mut Alarm, at: Instant) -> Duration {
        reactor.block_on(poll_fn(|cx| alarm.poll(cx, at)));
        let now = Instant::now();
        assert!(now >= at, "{:?} too early", at - now);
        now - at
    }

    fn count(reactor: &Reactor) -> usize {
        reactor.0.alarms.lock().due.len()
    }

    #[test]
    fn an_alarm_rings_in_time_and_not_before() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            for mut alarm in [Alarm::new(&reactor), Alarm::exact(&reactor)] {
                for millis in [0, 1, 2, 20] {
                    wait(&reactor, &mut alarm, after(millis));
                }
                wait(&reactor, &mut alarm, Instant::now());
            }
            assert_eq!(count(&reactor), 0);
        });
    }

    #[test]
    fn an_exact_alarm_is_closer_than_a_millisecond_now_and_then() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let mut alarm = Alarm::exact(&reactor);
            let late = (0..100).map(|_| wait(&reactor, &mut alarm, after(0) + Duration::from_micros(300)));
            assert!(late.min().unwrap() < Duration::from_micros(500));
        });
    }

    #[test]
    fn a_deadline_may_move_away_and_closer() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let mut alarm = Alarm::new(&reactor);
            // Far enough for a machine with other work to do.
            let (near, far) = (after(200), after(300));
            let polls = Cell::new(0);
            // The alarm rings for the nearer deadline, which has moved meanwhile, and then once
            // more.
            let mut at = near;
            reactor.block_on(poll_fn(|cx| {
                polls.set(polls.get() + 1);
                let polled = alarm.poll(cx, at);
                assert!(polled.is_pending() || Instant::now() >= far);
                at = far;
                polled
            }));
            assert!(polls.get() <= 4, "{} polls", polls.get());
            // After the deadline has moved closer, the alarm must ring for the closer one.
            let (near, far) = (after(20), after(600_000));
            let mut at = far;
            reactor.block_on(poll_fn(|cx| {
                let _ = alarm.poll(cx, at);
                at = near;
                alarm.poll(cx, at)
            }));
            assert!(Instant::now() >= near);
        });
    }

    #[test]
    fn a_cancelled_alarm_wakes_nobody() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (mut alarm, mut dropped) = (Alarm::new(&reactor), Some(Alarm::new(&reactor)));
            // Far enough for a machine with other work to do.
            let (soon, later, polls) = (after(200), after(400), Cell::new(0));
            reactor.block_on(poll_fn(|cx| {
                polls.set(polls.get() + 1);
                if let Some(mut soon_to_go) = dropped.take() {
                    assert!(soon_to_go.poll(cx, soon).is_pending());
                }
                alarm.poll(cx, later)
            }));
            assert_eq!(polls.get(), 2);
        });
    }

    #[test]
    fn many_alarms_ring_in_order() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (sender, rung) = async_channel::unbounded();
            // Later than the first poll of the last task, on a machine with other work to do.
            let start = after(200);
            for number in 0..500_u64 {
                let place = number * 7919 % 500;
                let at = start + Duration::from_micros(place * 100);
                let (sender, mut alarm) = (sender.clone(), Alarm::new(&reactor));
                reactor.spawn(async move {
                    poll_fn(|cx| alarm.poll(cx, at)).await;
                    sender.send((place, Instant::now() >= at)).await.unwrap();
                });
            }
            reactor.block_on(async {
                let mut all = Vec::new();
                for _ in 0..500 {
                    let (place, is_time) = rung.recv().await.unwrap();
                    assert!(is_time, "{place} rang too early");
                    all.push(place);
                }
                assert!(all.is_sorted(), "{all:?}");
            });
            assert_eq!(count(&reactor), 0);
        });
    }

    #[test]
    fn an_alarm_that_another_thread_sets_cuts_a_sleep_short() {
        in_time(|| {
            let reactor = Reactor::new(Instant::now()).unwrap();
            let (woken, wakes) = async_channel::bounded::<()>(1);
            let (mut far, mut near) = (Alarm::new(&reactor), Alarm::new(&reactor));
            let setting = thread::spawn(move || {
                thread::sleep(Duration::from_millis(20));
                // The reactor's thread must wake for this alarm, not sleep until the far one is
                // due.
                let calling = Waker::from(std::sync::Arc::new(Calls(woken)));
                let at = after(100);
                let polled = near.poll(&mut Context::from_waker(&calling), at);
                assert!(polled.is_pending());
                (near, at)
            });
            let far_away = after(600_000);
            reactor.block_on(async {
                let too_late = async {
                    poll_fn(|cx| far.poll(cx, far_away)).await;
                    panic!("it slept on");
                };
                let woken = async { wakes.recv().await.unwrap() };
                futures_lite::future::or(woken, too_late).await;
            });
            let (_near, at) = setting.join().unwrap();
            assert!(Instant::now() >= at);
        });
    }

    struct Calls(async_channel::Sender<()>);

    impl std::task::Wake for Calls {
        fn wake(self: std::sync::Arc<Self>) {
            let _ = self.0.try_send(());
        }
    }
}
