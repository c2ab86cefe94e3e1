//! The pace that a peer must keep while the server waits for it.

use std::time::{Duration, Instant};

/// The least pace: a peer must move `rate` bytes for each second of a `timeout`. Kept in
/// milliseconds, because that makes every connection 16 bytes smaller.
#[derive(Clone, Copy)]
pub(super) struct Least {
    /// Milliseconds, or `FOREVER`.
    timeout: u32,
    /// Bytes a second; 0 counts any byte as enough.
    rate: u32,
}

/// No timeout: the peer may take any time.
const FOREVER: u32 = u32::MAX;

impl Least {
    /// Without a timeout, or with one of more than 49 days, the peer may take any time.
    pub fn new(timeout: Option<Duration>, rate: u32) -> Self {
        let timeout = timeout.map_or(FOREVER, |timeout| {
            u32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(FOREVER)
        });
        Self { timeout, rate }
    }

    fn timeout(self) -> Option<Duration> {
        (self.timeout != FOREVER).then(|| Duration::from_millis(self.timeout.into()))
    }

    /// Returns the same pace with a longer timeout.
    pub fn with(self, more: Duration) -> Self {
        let more = u32::try_from(more.as_millis()).unwrap_or(FOREVER);
        Self { timeout: self.timeout.saturating_add(more), ..self }
    }

    /// Returns the bytes that earn the peer another `timeout`.
    fn quota(self) -> u64 {
        u64::from(self.timeout) * u64::from(self.rate) / 1000
    }

    /// Returns the time that the peer may take for `bytes`.
    pub fn time_for(self, bytes: usize) -> Duration {
        match self.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs(bytes as u64) / rate,
        }
    }
}

/// The time that the server has waited for a peer, and the bytes that the peer moved meanwhile.
///
/// The peer has one `timeout` for each quota of bytes: a byte now and then does not start the
/// time again. The time in which the server waits for something else does not count.
#[derive(Default)]
pub(super) struct Pace {
    waited: Duration,
    /// The time at which the current wait began.
    since: Option<Instant>,
    moved: u64,
}

impl Pace {
    /// Notes that the server waits, and returns when it gives up.
    pub fn wait(&mut self, now: Instant, least: Least) -> Option<Instant> {
        let since = *self.since.get_or_insert(now);
        since.checked_add(least.timeout()?.saturating_sub(self.waited))
    }

    /// Notes that the server waits for something else.
    pub fn pause(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_duration_since(since);
        }
    }

    /// Adds `time` to the time waited.
    pub fn add(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Takes `time` off the time waited.
    pub fn allow(&mut self, time: Duration) {
        self.waited = self.waited.saturating_sub(time);
    }

    /// Notes that the peer has moved some bytes.
    pub fn advance(&mut self, now: Instant, bytes: u64, least: Least) {
        if bytes > 0 {
            self.pause(now);
            self.moved += bytes;
            if self.moved >= least.quota() {
                *self = Self::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Least = Least { timeout: 30_000, rate: 500 };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_byte_now_and_then_does_not_start_the_time_again() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        let deadline = pace.wait(start, LEAST);
        assert_eq!(deadline, Some(start + seconds(30)));
        for second in (5..30).step_by(5) {
            pace.advance(start + seconds(second), 1, LEAST);
            assert_eq!(pace.wait(start + seconds(second), LEAST), deadline);
        }
    }

    #[test]
    fn who_keeps_the_rate_is_never_late() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        for second in 0..10_000 {
            let now = start + seconds(second);
            assert!(pace.wait(now, LEAST) > Some(now + seconds(1)), "after {second} s");
            pace.advance(now + seconds(1), 520, LEAST);
        }
    }

    #[test]
    fn what_the_server_does_meanwhile_does_not_count() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        pace.wait(start, LEAST);
        pace.pause(start + seconds(10));
        assert_eq!(pace.wait(start + seconds(500), LEAST), Some(start + seconds(520)));
    }

    #[test]
    fn without_a_rate_any_byte_is_enough_and_without_a_timeout_there_is_no_end() {
        let (start, mut pace) = (Instant::now(), Pace::default());
        let any = Least { rate: 0, ..LEAST };
        pace.wait(start, any);
        pace.advance(start + seconds(29), 1, any);
        assert_eq!(pace.wait(start + seconds(29), any), Some(start + seconds(59)));
        let forever = Least::new(None, 500);
        assert_eq!(Pace::default().wait(start, forever), None);
        assert_eq!(forever.timeout, Least::new(Some(Duration::MAX), 500).timeout);
    }

    #[test]
    fn a_rate_says_how_long_bytes_may_take() {
        assert_eq!(LEAST.time_for(5000), seconds(10));
        assert_eq!(Least { rate: 0, ..LEAST }.time_for(5000), Duration::ZERO);
    }
}
