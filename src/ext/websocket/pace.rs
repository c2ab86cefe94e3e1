//! The pace at which a message must come.

use std::time::{Duration, Instant};

/// A message that is not whole. Its peer has one `timeout` for each quota of bytes: a byte now and then does
/// not start the time again.
pub(super) struct MessagePace {
    since: Instant,
    /// Bytes that had come by then.
    come: u64,
}

impl MessagePace {
    /// Begins to time a message of which so many bytes have come.
    pub fn new(now: Instant, come: u64) -> Self {
        Self { since: now, come }
    }

    /// Returns how long the message may take to bring the next quota: `rate` bytes for each second of
    /// `timeout`, or any byte if that is none. Zero if the message has taken too long.
    pub fn left(&mut self, now: Instant, come: u64, timeout: Duration, rate: u32) -> Duration {
        let quota = timeout.as_millis() * u128::from(rate) / 1000;
        if u128::from(come - self.come) >= quota.max(1) {
            *self = Self::new(now, come);
        }
        timeout.saturating_sub(now.saturating_duration_since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn a_message_has_one_timeout_for_each_quota() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut pace = MessagePace::new(begun, 7);
        // A byte a second does not start the time again.
        for second in 0..10 {
            let left = pace.left(after(second), 7 + second, TIMEOUT, 500);
            assert_eq!(left, Duration::from_secs(10 - second));
        }
        assert_eq!(pace.left(after(10), 5006, TIMEOUT, 500), Duration::ZERO);
        assert_eq!(pace.left(after(11), 5007, TIMEOUT, 500), TIMEOUT);
        assert_eq!(pace.left(after(20), 10_006, TIMEOUT, 500), Duration::from_secs(1));
        assert_eq!(pace.left(after(21), 10_006, TIMEOUT, 500), Duration::ZERO);
    }

    #[test]
    fn without_a_rate_any_byte_is_enough() {
        let begun = Instant::now();
        let mut pace = MessagePace::new(begun, 0);
        assert_eq!(pace.left(begun + TIMEOUT, 0, TIMEOUT, 0), Duration::ZERO);
        assert_eq!(pace.left(begun + TIMEOUT, 1, TIMEOUT, 0), TIMEOUT);
        assert_eq!(pace.left(begun + TIMEOUT, 2, Duration::MAX, u32::MAX), Duration::MAX);
    }
}
