//! The valid values of each limit and timeout, by name.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::{Limits, Timeouts};
use crate::error::{Error, Result};

/// A limit: its name, its valid values, and a function that reads it; `None` means off.
type Limit = (&'static str, RangeInclusive<u64>, fn(&Limits) -> Option<u64>);
/// A timeout: its name, its least value, and a function that reads it.
type Timeout = (&'static str, Duration, fn(&Timeouts) -> Option<Duration>);

/// The smallest stack on which a thread can serve a request, in bytes.
const LEAST_STACK: u64 = 64 * 1024;
/// A timeout of zero would end every exchange at once.
const MORE_THAN_NOTHING: Duration = Duration::from_nanos(1);
/// A shorter time would report threads that merely wait for a processor.
const LEAST_WATCHDOG: Duration = Duration::from_millis(10);

const LIMITS: &[Limit] = &[
    ("target", at_least(1), |limits| wide(limits.target)),
    ("head", at_least(1), |limits| wide(limits.head)),
    ("headers", at_least(1), |limits| wide(limits.headers)),
    ("body", 0..=u64::MAX, |limits| Some(limits.body)),
    ("chunk_extensions", at_least(0), |limits| wide(limits.chunk_extensions)),
    ("trailers", at_least(0), |limits| wide(limits.trailers)),
    ("connections", at_least(1), |limits| wide(limits.connections)),
    ("connections_per_address", at_least(1), |limits| limits.connections_per_address.and_then(wide)),
    ("handshakes", at_least(1), |limits| wide(limits.handshakes)),
    ("head_rate", 0..=u32::MAX as u64, |limits| Some(limits.head_rate.into())),
    ("body_rate", 0..=u32::MAX as u64, |limits| Some(limits.body_rate.into())),
    ("write_rate", 0..=u32::MAX as u64, |limits| Some(limits.write_rate.into())),
    ("bodies", 0..=u64::MAX, |limits| Some(limits.bodies)),
    ("output", at_least(1), |limits| wide(limits.output)),
    ("drain", 0..=u64::MAX, |limits| Some(limits.drain)),
    ("pool_threads", at_least(1), |limits| wide(limits.pool_threads)),
    ("pool_queue", at_least(0), |limits| wide(limits.pool_queue)),
    ("connection_threads", at_least(1), |limits| wide(limits.connection_threads)),
    ("thread_stack", at_least(LEAST_STACK), |limits| wide(limits.thread_stack)),
    ("backlog", 0..=u32::MAX as u64, |limits| limits.backlog.map(u64::from)),
];

const TIMEOUTS: &[Timeout] = &[
    ("head", MORE_THAN_NOTHING, |timeouts| timeouts.head),
    ("idle", MORE_THAN_NOTHING, |timeouts| timeouts.idle),
    ("handshake", MORE_THAN_NOTHING, |timeouts| timeouts.handshake),
    ("body", MORE_THAN_NOTHING, |timeouts| timeouts.body),
    ("write", MORE_THAN_NOTHING, |timeouts| timeouts.write),
    ("handler", MORE_THAN_NOTHING, |timeouts| timeouts.handler),
    ("drain", Duration::ZERO, |timeouts| timeouts.drain),
    ("linger", Duration::ZERO, |timeouts| timeouts.linger),
    ("linger_idle", Duration::ZERO, |timeouts| timeouts.linger_idle),
    ("stop", Duration::ZERO, |timeouts| Some(timeouts.stop)),
    ("stop_delay", Duration::ZERO, |timeouts| Some(timeouts.stop_delay)),
    ("watchdog", LEAST_WATCHDOG, |timeouts| timeouts.watchdog),
];

/// Returns the range from `least` to the largest size on this machine.
const fn at_least(least: u64) -> RangeInclusive<u64> {
    least..=usize::MAX as u64
}

fn wide(value: usize) -> Option<u64> {
    u64::try_from(value).ok()
}

impl Limits {
    /// Returns the names of all limits, which are the names of the fields.
    pub fn names() -> impl Iterator<Item = &'static str> {
        LIMITS.iter().map(|(name, ..)| *name)
    }

    /// Returns the valid values of a limit, or `None` if there is no limit of that name.
    ///
    /// ```
    /// assert_eq!(transom::Limits::range("head_rate"), Some(0..=4_294_967_295));
    /// assert_eq!(transom::Limits::range("heads"), None);
    /// ```
    pub fn range(name: &str) -> Option<RangeInclusive<u64>> {
        LIMITS.iter().find(|(known, ..)| *known == name).map(|(_, range, _)| range.clone())
    }

    /// Checks that every limit has a valid value. A server does this when it starts.
    ///
    /// ```
    /// let mut limits = transom::Limits::default();
    /// limits.connections = 0;
    /// let error = limits.check().unwrap_err();
    /// assert_eq!(error.to_string(), "bad setting connections: it must be at least 1");
    /// ```
    ///
    /// # Errors
    /// [`Error::BadSetting`] for the first invalid limit, with its least value.
    pub fn check(&self) -> Result<()> {
        for (name, range, value) in LIMITS {
            if value(self).is_some_and(|value| value < *range.start()) {
                let reason = match *range.start() {
                    LEAST_STACK => "it must be at least 65536",
                    _ => "it must be at least 1",
                };
                return Err(Error::BadSetting { name, reason });
            }
        }
        Ok(())
    }
}

impl Timeouts {
    /// Returns the names of all timeouts, which are the names of the fields.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TIMEOUTS.iter().map(|(name, ..)| *name)
    }

    /// Returns the least value of a timeout, or `None` if there is no timeout of that name.
    ///
    /// ```
    /// use std::time::Duration;
    /// assert_eq!(transom::Timeouts::least("drain"), Some(Duration::ZERO));
    /// assert!(transom::Timeouts::least("idle") > Some(Duration::ZERO));
    /// ```
    pub fn least(name: &str) -> Option<Duration> {
        TIMEOUTS.iter().find(|(known, ..)| *known == name).map(|(_, least, _)| *least)
    }

    /// Checks that every timeout has a valid value. A server does this when it starts.
    ///
    /// ```
    /// use std::time::Duration;
    /// let mut timeouts = transom::Timeouts::default();
    /// timeouts.idle = Some(Duration::ZERO);
    /// let error = timeouts.check().unwrap_err();
    /// assert_eq!(error.to_string(), "bad setting idle: a timeout of 0 ends everything at once; None turns it off");
    /// ```
    ///
    /// # Errors
    /// [`Error::BadSetting`] for the first invalid timeout.
    pub fn check(&self) -> Result<()> {
        for (name, least, value) in TIMEOUTS {
            if value(self).is_some_and(|value| value < *least) {
                let reason = match *least {
                    LEAST_WATCHDOG => "it must be at least 10 ms; None turns it off",
                    _ => "a timeout of 0 ends everything at once; None turns it off",
                };
                return Err(Error::BadSetting { name, reason });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the names of the fields, as `Debug` shows them.
    fn fields(shown: &str) -> Vec<&str> {
        shown.split([' ', '{']).filter_map(|word| word.strip_suffix(':')).collect()
    }

    #[test]
    fn every_setting_has_its_bounds_and_the_defaults_are_within() {
        let (limits, timeouts) = (Limits::default(), Timeouts::default());
        assert_eq!(Limits::names().collect::<Vec<_>>(), fields(&format!("{limits:?}")));
        assert_eq!(Timeouts::names().collect::<Vec<_>>(), fields(&format!("{timeouts:?}")));
        limits.check().unwrap();
        timeouts.check().unwrap();
    }
}
