//! Histogram: how often durations fell between fixed bounds.

use std::array;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BUCKETS: usize = Histogram::BOUNDS.len() + 1;
/// The bounds in nanoseconds, which take fewer instructions to compare.
const BOUNDS_IN_NANOS: [u64; Histogram::BOUNDS.len()] = {
    let mut nanos = [0; Histogram::BOUNDS.len()];
    let mut index = 0;
    while index < nanos.len() {
        let bound = Histogram::BOUNDS[index];
        nanos[index] = bound.as_secs() * 1_000_000_000 + bound.subsec_nanos() as u64;
        index += 1;
    }
    nanos
};
/// The first bucket for the numbers of nanoseconds with so many binary digits. The bucket is this one or one
/// of the next three.
const FIRST_BUCKETS: [u8; u64::BITS as usize + 1] = {
    let (mut first, mut digits, mut bucket) = ([0; u64::BITS as usize + 1], 1, 0);
    while digits < first.len() {
        while (bucket as usize) < BOUNDS_IN_NANOS.len()
            && BOUNDS_IN_NANOS[bucket as usize] < 1 << (digits - 1)
        {
            bucket += 1;
        }
        first[digits] = bucket;
        digits += 1;
    }
    first
};

/// How often durations fell between fixed bounds, with their sum.
///
/// The bounds are those that OpenTelemetry advises for the duration of requests, and finer ones
/// below 5 ms.
///
/// ```
/// use std::time::Duration;
/// use transom::Histogram;
///
/// let histogram = Histogram::default();
/// assert_eq!(Histogram::BOUNDS[5], Duration::from_millis(5));
/// assert_eq!(histogram.counts().len(), Histogram::BOUNDS.len() + 1);
/// assert_eq!(histogram.quantile(0.99), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    nanos: u64,
}

impl Histogram {
    /// The bounds between the buckets, each of which belongs to the bucket below.
    pub const BOUNDS: [Duration; 19] = [
        Duration::from_micros(100),
        Duration::from_micros(250),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_micros(2500),
        // From here on the advice of OpenTelemetry.
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(75),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_millis(750),
        Duration::from_secs(1),
        Duration::from_millis(2500),
        Duration::from_secs(5),
        Duration::from_millis(7500),
        Duration::from_secs(10),
    ];

    /// Returns the number of durations in each bucket. The last bucket has no upper bound.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of the durations.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// Adds what another histogram has counted.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }

    /// Returns what was counted since `earlier`, an older state of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(earlier.counts) {
            *count = count.saturating_sub(before);
        }
        Self { counts, nanos: self.nanos.saturating_sub(earlier.nanos) }
    }

    /// Returns the duration that a share of the durations does not exceed: 0.5 for the median, 0.99
    /// for the 99th percentile. The result is interpolated within its bucket, and is at most
    /// 10 s, the last bound. `None` if there are no durations.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate between two bounds"
    )]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = ((share.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let (mut below, mut lower) = (0, Duration::ZERO);
        for (upper, count) in Self::BOUNDS.into_iter().zip(self.counts) {
            if below + count >= rank {
                let part = (rank - below) as f64 / count as f64;
                return Some(lower + upper.saturating_sub(lower).mul_f64(part));
            }
            (below, lower) = (below + count, upper);
        }
        Some(lower)
    }
}

/// A histogram that one thread at a time counts in, while others read it.
#[derive(Default)]
pub(super) struct Recorder {
    nanos: AtomicU64,
    counts: [AtomicU64; BUCKETS],
}

impl Recorder {
    /// Counts a duration.
    #[inline]
    pub fn record(&self, duration: Duration) {
        let mut nanos = u64::from(duration.subsec_nanos());
        let seconds = duration.as_secs();
        if seconds > 0 {
            nanos = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        }
        let digits = u64::BITS - nanos.leading_zeros();
        let mut bucket = usize::from(FIRST_BUCKETS[digits as usize]);
        while BOUNDS_IN_NANOS.get(bucket).is_some_and(|bound| *bound < nanos) {
            bucket += 1;
        }
        add(&self.nanos, nanos);
        add(&self.counts[bucket], 1);
    }

    /// Returns what has been counted.
    pub fn histogram(&self) -> Histogram {
        Histogram {
            // Relaxed: counts that are only shown. A duration that is being counted may be in one and not the other.
            counts: array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed)),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }
}

/// Adds to a count that no other thread changes: an addition that others may change as well costs 20
/// cycles more.
#[inline]
pub(super) fn add(count: &AtomicU64, more: u64) {
    // Relaxed: one thread at a time counts, and the lock with which it claims the counts (`PerThread`) orders
    // them after those of the thread before.
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], nanos: 0 }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count())
            .field("sum", &self.sum())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: &[u64]) -> Histogram {
        let recorder = Recorder::default();
        for millis in millis {
            recorder.record(Duration::from_millis(*millis));
        }
        recorder.histogram()
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_below() {
        for (index, bound) in Histogram::BOUNDS.into_iter().enumerate() {
            let recorder = Recorder::default();
            recorder.record(bound);
            assert_eq!(recorder.histogram().counts()[index], 1, "{bound:?}");
            recorder.record(bound + Duration::from_nanos(1));
            assert_eq!(recorder.histogram().counts()[index + 1], 1, "more than {bound:?}");
        }
        assert_eq!(of(&[11_000]).counts()[BUCKETS - 1], 1);
    }

    #[test]
    fn each_duration_is_counted_in_the_bucket_of_its_bounds() {
        for digits in 0..u64::BITS {
            for nanos in [0, 1, 2].map(|more| (1_u64 << digits).saturating_sub(1) + more) {
                let recorder = Recorder::default();
                recorder.record(Duration::from_nanos(nanos));
                let bucket = BOUNDS_IN_NANOS.iter().position(|bound| nanos <= *bound);
                assert_eq!(recorder.histogram().counts()[bucket.unwrap_or(BUCKETS - 1)], 1, "{nanos} ns");
            }
        }
        assert_eq!(BOUNDS_IN_NANOS.map(Duration::from_nanos), Histogram::BOUNDS);
        let recorder = Recorder::default();
        recorder.record(Duration::MAX);
        assert_eq!(recorder.histogram().counts()[BUCKETS - 1], 1);
    }

    #[test]
    fn sums_and_differences_are_those_of_what_was_counted() {
        let mut all = of(&[1, 20]);
        let before = all;
        all.add(&of(&[300, 20_000]));
        assert_eq!(all, of(&[1, 20, 300, 20_000]));
        assert_eq!((all.count(), all.sum()), (4, Duration::from_millis(20_321)));
        assert_eq!(all.since(&before), of(&[300, 20_000]));
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_of_its_rank() {
        let histogram = of(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 80]);
        assert_eq!(histogram.quantile(0.0), Some(Duration::from_nanos(555_556)));
        assert_eq!(histogram.quantile(0.9), Some(Duration::from_millis(1)));
        assert_eq!(histogram.quantile(0.99), Some(Duration::from_millis(100)));
        assert_eq!(of(&[60_000]).quantile(0.5), Some(Duration::from_secs(10)));
    }
}
