//! Congestion of one queue: whether what waits in it may still begin. It knows no clock and no
//! queue.

use std::time::{Duration, Instant};

use super::overload::Overload;
use super::priority::Priority;

/// How many starts the mean time between two starts covers. Fewer tell nothing about a queue, so an
/// interval has as many.
const STARTS: u32 = 32;
/// The starts for which work may wait at least. A queue that can do a quarter more than comes seldom
/// has longer waits. With much fewer, an overloaded queue would run empty now and then.
const LEAST_STARTS: u32 = 8;

/// Decides what a queue may begin, in the spirit of controlled delay (`CoDel`, RFC 8289): by the time that work waits
/// instead of by how much waits.
///
/// A queue that is empty now and then absorbs bursts, and its work may wait for
/// [`Overload::interval`]. A queue in which something has waited for a whole interval is no burst:
/// more comes than can be done. From then on its work may wait for [`Overload::target`] only, until
/// nothing had to be refused for an interval. What would wait longer is refused at once, so that
/// the time of the server goes into answers that somebody still waits for.
///
/// A server with [`Server::overload`](crate::Server::overload) uses this type for its own queues. It is
/// for programs that have a queue of their own.
///
/// ```
/// use std::time::{Duration, Instant};
/// use transom::{Congestion, Overload, Priority};
///
/// let start = Instant::now();
/// let mut congestion = Congestion::new(Overload::default(), start);
/// let ms = Duration::from_millis;
/// // A burst may wait.
/// assert!(congestion.is_in_time(start + ms(50), ms(50), Priority::Normal));
/// // The queue was never empty for more than 100 ms.
/// assert!(!congestion.is_in_time(start + ms(150), ms(50), Priority::Normal));
/// assert!(congestion.is_in_time(start + ms(150), ms(4), Priority::Normal));
/// ```
#[derive(Clone, Debug)]
pub struct Congestion {
    overload: Overload,
    /// When the queue was last seen empty.
    idle: Instant,
    /// When work was last refused, or counted as too late.
    refused: Option<Instant>,
    is_overloaded: bool,
    /// When work was last begun.
    begun: Option<Instant>,
    /// The mean time between two starts while work waits.
    spacing: Duration,
}

impl Congestion {
    /// Returns the congestion of a queue that is empty.
    pub fn new(overload: Overload, now: Instant) -> Self {
        Self {
            overload,
            idle: now,
            refused: None,
            is_overloaded: false,
            begun: None,
            spacing: Duration::ZERO,
        }
    }

    /// Notes that nothing waits: work that came now would begin now.
    pub fn note_idle(&mut self, now: Instant) {
        self.idle = now;
    }

    /// Notes that `count` pieces of work were begun, of which the first has waited since `since`. If
    /// it has waited since the last start or longer, the queue moves on as fast as it can.
    pub fn note_start(&mut self, now: Instant, since: Instant, count: u32) {
        if let Some(begun) = self.begun.replace(now)
            && since <= begun
            && count > 0
        {
            let sample = now.saturating_duration_since(begun) / count;
            // A server that stood still for once says little about the next start.
            let (sample, weight) = (sample.min(self.overload.interval), count.min(STARTS));
            self.spacing = (self.spacing * (STARTS - weight) + sample * weight) / STARTS;
        }
    }

    /// Returns the interval, which is longer for a queue that moves on slowly.
    fn interval(&self) -> Duration {
        self.overload.interval.max(self.spacing * STARTS)
    }

    /// Returns `true` if more comes than can be done.
    pub fn is_overloaded(&mut self, now: Instant) -> bool {
        let interval = self.interval();
        if now.saturating_duration_since(self.idle) > interval {
            self.is_overloaded = true;
        } else if self.refused.is_none_or(|refused| now.saturating_duration_since(refused) > interval) {
            self.is_overloaded = false;
        }
        self.is_overloaded
    }

    /// Returns how long work of a priority may wait now; `None` is any time.
    pub fn patience(&mut self, now: Instant, priority: Priority) -> Option<Duration> {
        let usual = if self.is_overloaded(now) {
            self.overload.target.max(self.spacing * LEAST_STARTS)
        } else {
            self.interval()
        };
        priority.patience(usual)
    }

    /// Returns `true` if work may begin that has waited for `waited`. Otherwise it is to be refused.
    pub fn is_in_time(&mut self, now: Instant, waited: Duration, priority: Priority) -> bool {
        let is_in_time = self.patience(now, priority).is_none_or(|patience| waited <= patience);
        if !is_in_time {
            self.refused = Some(now);
        }
        is_in_time
    }

    /// Returns `true` if work may join the queue, where `waiting` pieces of work wait, of which the
    /// oldest has waited for `oldest`. Otherwise it is to be refused, because it would wait too long.
    pub fn admits(&mut self, now: Instant, waiting: usize, oldest: Duration, priority: Priority) -> bool {
        let ahead = u32::try_from(waiting).unwrap_or(u32::MAX);
        // The oldest tells how long the wait is at least if the queue does not move on at all.
        let expected = self.spacing.saturating_mul(ahead).max(oldest);
        self.is_in_time(now, expected, priority)
    }

    /// Returns `true` if work that has joined the queue may begin, now that it has waited for
    /// `waited`. Otherwise it is to be refused. It may wait half as long again as was expected.
    pub fn may_start(&mut self, now: Instant, waited: Duration, priority: Priority) -> bool {
        self.is_in_time(now, waited * 2 / 3, priority)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// The counts of a simulation: work that was done and refused, and the waits.
    #[derive(Default)]
    struct Seen {
        done: u32,
        refused: u32,
        waits: Vec<Duration>,
    }

    impl Seen {
        /// The wait that one in a hundred exceeds.
        fn p99(&mut self) -> Duration {
            self.waits.sort_unstable();
            self.waits[self.waits.len() * 99 / 100]
        }
    }

    /// A queue with `servers` that each take `service` for a piece of work.
    struct Simulation {
        congestion: Congestion,
        now: Instant,
        queue: VecDeque<(Instant, Priority)>,
        /// When each server is free.
        free: Vec<Instant>,
        service: Duration,
        random: u64,
    }

    impl Simulation {
        fn new(servers: usize, service: Duration) -> Self {
            let now = Instant::now();
            Self {
                congestion: Congestion::new(Overload::default(), now),
                now,
                queue: VecDeque::new(),
                free: vec![now; servers],
                service,
                random: 7,
            }
        }

        /// Returns the time until the next piece of work comes, at random.
        fn pause(&mut self, mean: Duration) -> Duration {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let uniform = (f64::from(u32::try_from(self.random >> 40).unwrap()) + 0.5) / f64::from(1 << 24);
            mean.mul_f64(-uniform.ln())
        }

        /// Starts what can start until `until`.
        fn serve(&mut self, until: Instant, seen: &mut Seen) {
            while let Some(&(since, priority)) = self.queue.front() {
                let server = self.free.iter_mut().min().unwrap();
                let at = (*server).max(since);
                if at > until {
                    return;
                }
                self.queue.pop_front();
                let waited = at - since;
                if self.congestion.may_start(at, waited, priority) {
                    self.congestion.note_start(at, since, 1);
                    *server = at + self.service;
                    seen.done += 1;
                    seen.waits.push(waited);
                } else {
                    seen.refused += 1;
                }
            }
        }

        /// Offers work for a time at `load` times what can be done.
        fn run(&mut self, time: Duration, load: f64, priorities: &[Priority]) -> Seen {
            let (mut seen, end) = (Seen::default(), self.now + time);
            let mean = self.service.div_f64(load * f64::from(u32::try_from(self.free.len()).unwrap()));
            for priority in priorities.iter().cycle() {
                let pause = self.pause(mean);
                self.now += pause;
                if self.now > end {
                    return seen;
                }
                self.serve(self.now, &mut seen);
                let now = self.now;
                if self.queue.is_empty() && self.free.iter().any(|free| *free <= now) {
                    self.congestion.note_idle(now);
                }
                let oldest = self.queue.front().map_or(Duration::ZERO, |(since, _)| now - *since);
                if self.congestion.admits(now, self.queue.len(), oldest, *priority) {
                    self.queue.push_back((now, *priority));
                } else {
                    seen.refused += 1;
                }
            }
            seen
        }
    }

    #[test]
    fn a_burst_may_wait_and_a_standing_queue_may_not() {
        let start = Instant::now();
        let mut congestion = Congestion::new(Overload::default(), start);
        assert!(congestion.is_in_time(start + ms(100), ms(100), Priority::Normal));
        assert!(!congestion.is_in_time(start + ms(100), ms(101), Priority::Normal));
        assert!(congestion.is_in_time(start + ms(101), ms(5), Priority::Normal));
        assert!(!congestion.is_in_time(start + ms(101), ms(6), Priority::Normal));
        // It is empty for a moment, but work was refused a moment ago.
        congestion.note_idle(start + ms(150));
        assert!(!congestion.is_in_time(start + ms(160), ms(6), Priority::Normal));
        congestion.note_idle(start + ms(200));
        assert!(congestion.is_in_time(start + ms(261), ms(60), Priority::Normal));
    }

    #[test]
    fn low_priority_is_refused_first_high_later_and_vital_never() {
        let start = Instant::now();
        let mut congestion = Congestion::new(Overload::default(), start);
        let now = start + ms(200);
        let mut longest = |priority| (0..100).rev().find(|n| congestion.is_in_time(now, ms(*n), priority));
        assert_eq!(longest(Priority::Low), Some(2));
        assert_eq!(longest(Priority::Normal), Some(5));
        assert_eq!(longest(Priority::High), Some(10));
        assert_eq!(longest(Priority::Vital), Some(99));
    }

    #[test]
    fn what_could_not_begin_in_time_does_not_join() {
        let start = Instant::now();
        let mut congestion = Congestion::new(Overload::default(), start);
        for n in 1..200 {
            congestion.note_start(start + ms(n), start, 1);
        }
        let now = start + ms(200);
        assert!(congestion.admits(now, 8, Duration::ZERO, Priority::Normal));
        assert!(!congestion.admits(now, 10, Duration::ZERO, Priority::Normal));
        assert!(!congestion.admits(now, 1, ms(10), Priority::Normal), "the queue stands still");
        assert!(congestion.admits(now, 1000, ms(1000), Priority::Vital));
    }

    #[test]
    fn nothing_is_refused_at_four_fifths_of_what_can_be_done() {
        for (servers, service) in [(1, ms(1)), (8, ms(5)), (2, ms(50)), (1, ms(20))] {
            let seen = Simulation::new(servers, service).run(ms(60_000), 0.8, &[Priority::Normal]);
            let case = format!("{servers} x {service:?}: {} of {}", seen.refused, seen.refused + seen.done);
            assert!(seen.refused * 100 < seen.done * 2, "{case}");
        }
    }

    #[test]
    fn under_overload_all_that_can_be_done_is_done_and_nothing_waits_long() {
        for (servers, service) in [(1, ms(1)), (8, ms(5)), (2, ms(50)), (1, ms(20)), (8, ms(200))] {
            for load in [1.2, 2.0, 5.0, 20.0] {
                let mut simulation = Simulation::new(servers, service);
                // The first moments are a burst, as far as anybody can tell.
                simulation.run(ms(2000), load, &[Priority::Normal]);
                let mut seen = simulation.run(ms(20_000), load, &[Priority::Normal]);
                let count = u32::try_from(servers).unwrap();
                let most = 20_000 / u32::try_from(service.as_millis()).unwrap() * count;
                let spacing = service / count;
                let case = format!("{servers} x {service:?} at {load}: {} of {most}", seen.done);
                assert!(seen.done * 100 > most * 93, "{case}");
                assert!(seen.p99() <= ms(8).max(spacing * 12), "{case}, p99 {:?}", seen.p99());
            }
        }
    }

    #[test]
    fn overload_ends_soon_after_it_has_ended() {
        for (servers, service) in [(1, ms(1)), (8, ms(5))] {
            let mut simulation = Simulation::new(servers, service);
            simulation.run(ms(3000), 5.0, &[Priority::Normal]);
            simulation.run(ms(2000), 0.8, &[Priority::Normal]);
            let seen = simulation.run(ms(2000), 0.8, &[Priority::Normal]);
            assert!(seen.refused * 100 < seen.done, "{servers} x {service:?}: {} refused", seen.refused);
        }
    }

    #[test]
    fn the_lower_priority_makes_room_for_the_higher() {
        let mut simulation = Simulation::new(8, ms(5));
        simulation.run(ms(1000), 2.0, &[Priority::Low, Priority::High]);
        let mut refused = [0; 2];
        for _ in 0..10 {
            let (now, waiting) = (simulation.now, simulation.queue.len());
            for (index, priority) in [Priority::Low, Priority::High].into_iter().enumerate() {
                let admitted = simulation.congestion.admits(now, waiting, Duration::ZERO, priority);
                refused[index] += u32::from(!admitted);
            }
            simulation.run(ms(50), 2.0, &[Priority::Low, Priority::High]);
        }
        assert!(refused[0] > refused[1], "{refused:?}");
    }
}
