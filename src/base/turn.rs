//! The turn of a worker: how late the work is that the worker does now.
//!
//! ```text
//!  asks the kernel     works on what came, one after another       asks again
//!        |--------------------------- a turn ---------------------------|--- the next turn ---
//! ```
//!
//! A request that a worker serves in a turn has come during the turn before. The worker does not know
//! when. On average the request has waited for half of that turn, and since this one began.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use super::congestion::Congestion;
use super::overload::Overload;
use super::priority::Priority;

thread_local! {
    /// The turn of this thread, if its server limits how long requests wait.
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// A worker's turn. Only workers of servers with [`Overload`] have one.
pub(crate) struct Turn {
    congestion: Congestion,
    /// When the turn began: when the kernel had answered.
    began: Instant,
    /// How long the turn before was; nothing if the worker then waited.
    before: Duration,
    /// True until a request has begun in this turn.
    is_new: bool,
}

/// Measures the turns of this thread from now on.
pub(crate) fn begin_first(overload: Overload, now: Instant) {
    TURN.with_borrow_mut(|turn| *turn = Some(Turn::new(overload, now)));
}

/// Notes that the thread asks the kernel, so that its turn is over.
pub(crate) fn end(now: Instant) {
    TURN.with_borrow_mut(|turn| {
        if let Some(turn) = turn {
            turn.end(now);
        }
    });
}

/// Notes that the kernel has answered, so that a turn begins. `was_idle` is true if the thread had
/// nothing to do when it asked.
pub(crate) fn begin(now: Instant, was_idle: bool) {
    TURN.with_borrow_mut(|turn| {
        if let Some(turn) = turn {
            turn.begin(now, was_idle);
        }
    });
}

/// Returns `true` if this thread is not too late to begin with a request. A thread whose turns are
/// not measured never is.
pub(crate) fn is_in_time(priority: Priority) -> bool {
    TURN.with_borrow_mut(|turn| turn.as_mut().is_none_or(|turn| turn.is_in_time(Instant::now(), priority)))
}

impl Turn {
    fn new(overload: Overload, now: Instant) -> Self {
        let congestion = Congestion::new(overload, now);
        Self { congestion, began: now, before: Duration::ZERO, is_new: true }
    }

    fn end(&mut self, now: Instant) {
        self.before = now.saturating_duration_since(self.began);
    }

    fn begin(&mut self, now: Instant, was_idle: bool) {
        if was_idle {
            self.congestion.note_idle(now);
            self.before = Duration::ZERO;
        }
        (self.began, self.is_new) = (now, true);
    }

    fn is_in_time(&mut self, now: Instant, priority: Priority) -> bool {
        let waited = now.saturating_duration_since(self.began) + self.before / 2;
        let is_in_time = self.congestion.is_in_time(now, waited, priority);
        match priority {
            Priority::Vital | Priority::Low => is_in_time,
            // One request of each turn begins however late it is: a worker whose handlers take longer
            // than a request may wait would otherwise do nothing.
            Priority::Normal | Priority::High => std::mem::replace(&mut self.is_new, false) || is_in_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn us(microseconds: u64) -> Duration {
        Duration::from_micros(microseconds)
    }

    /// A worker in a simulation: requests come at equal distances, all as soon as the kernel is asked.
    struct Worker {
        turn: Turn,
        now: Instant,
        /// When the next request comes.
        next: Instant,
        longest: Duration,
    }

    impl Worker {
        fn new() -> Self {
            let now = Instant::now();
            let turn = Turn::new(Overload::default(), now);
            Self { turn, now, next: now, longest: Duration::ZERO }
        }

        /// Works until `until`, and returns how many requests were answered and refused.
        fn run(&mut self, time: Duration, service: Duration, distance: Duration) -> (u32, u32) {
            let (mut answered, mut refused, until) = (0, 0, self.now + time);
            self.longest = Duration::ZERO;
            while self.now < until {
                self.turn.end(self.now);
                let was_idle = self.next > self.now;
                self.now = (self.now + us(5)).max(self.next);
                self.turn.begin(self.now, was_idle);
                let mut come = Vec::new();
                while self.next <= self.now {
                    come.push(self.next);
                    self.next += distance;
                }
                for came in come {
                    if self.turn.is_in_time(self.now, Priority::Normal) {
                        self.longest = self.longest.max(self.now - came);
                        self.now += service;
                        answered += 1;
                    } else {
                        self.now += us(15);
                        refused += 1;
                    }
                }
            }
            (answered, refused)
        }
    }

    #[test]
    fn a_worker_that_keeps_up_refuses_nothing() {
        let mut worker = Worker::new();
        let (answered, refused) = worker.run(us(2_000_000), us(1000), us(1250));
        assert!(answered > 1590 && refused == 0, "{answered}, {refused}");
    }

    #[test]
    fn an_overloaded_worker_works_nearly_all_the_time_on_what_came_a_moment_ago() {
        for service in [200, 1000, 20_000] {
            for load in [2, 5] {
                let (mut worker, distance) = (Worker::new(), us(service / load));
                worker.run(us(1_000_000), us(service), distance);
                let (answered, refused) = worker.run(us(5_000_000), us(service), distance);
                // A refusal costs a little too.
                let most = u32::try_from(us(5_000_000).saturating_sub(us(15) * refused).as_micros()).unwrap()
                    / u32::try_from(service).unwrap();
                let case = format!("{service} us at {load}: {answered} of {most}, {:?}", worker.longest);
                assert!(answered * 100 > most * 93 && refused > 0, "{case}");
                assert!(worker.longest < us(10_000).max(us(service * 2)), "{case}");
            }
        }
    }

    #[test]
    fn a_worker_recovers_as_soon_as_it_keeps_up_again() {
        let mut worker = Worker::new();
        worker.run(us(1_000_000), us(1000), us(200));
        worker.run(us(500_000), us(1000), us(1250));
        let (_, refused) = worker.run(us(1_000_000), us(1000), us(1250));
        assert_eq!(refused, 0);
    }

    #[test]
    fn a_thread_without_turns_is_never_late() {
        assert!(is_in_time(Priority::Low));
    }
}
