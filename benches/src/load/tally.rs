//! What a load has seen: counts, times and errors. Handed back in TOML.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The result of a load. Counts are of the measured window, errors of the whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    pub seconds: f64,
    pub answers: u64,
    /// Bytes of bodies, down and up, of answers that may not be whole yet.
    pub body_bytes: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    /// Requests that were due in an open loop, answered or not.
    pub due: u64,
    pub connected: u64,
    /// Connections that got no answer in the whole run.
    pub starved: u64,
    /// Connections that were opened again because the server closed them.
    pub reopened: u64,
    pub slow_opened: u64,
    pub slow_answered: u64,
    pub slow_closed: u64,
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
    /// The errors in words, as `3 timed out, 1 reset`.
    pub fn error_text(&self) -> String {
        let parts: Vec<_> = self.errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        parts.join(", ")
    }
}

/// Latencies, from 0.1 microseconds to a minute, to three digits.
pub struct Latency(Histogram<u32>);

impl Latency {
    /// Nanoseconds of one unit of the histogram.
    const UNIT: u64 = 100;

    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are valid"))
    }

    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos / Self::UNIT);
    }

    fn micros(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 * Self::UNIT as f64 / 1e3
    }

    pub fn write_to(&self, tally: &mut Tally) {
        tally.p50_us = self.micros(0.5);
        tally.p99_us = self.micros(0.99);
        tally.p999_us = self.micros(0.999);
        tally.max_us = self.micros(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let mut latency = Latency::new();
        for micros in 1..=1000 {
            latency.record(micros * 1000);
        }
        let mut tally = Tally::default();
        latency.write_to(&mut tally);
        assert!((tally.p50_us - 500.0).abs() < 1.0, "{tally:?}");
        assert!((tally.p99_us - 990.0).abs() < 1.0, "{tally:?}");
        assert!((tally.max_us - 1000.0).abs() < 1.0, "{tally:?}");
    }

    #[test]
    fn errors_in_words() {
        let mut tally = Tally::default();
        assert_eq!(tally.error_text(), "");
        tally.errors.insert("reset".into(), 1);
        tally.errors.insert("timed out".into(), 3);
        assert_eq!(tally.error_text(), "1 reset, 3 timed out");
    }
}
