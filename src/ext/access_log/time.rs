//! The time of a request, as log lines have it.

use std::time::{Duration, Instant, SystemTime};

use super::text::push_digits;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const COMMON: usize = "10/Oct/2000:13:55:36 +0000".len();
const RFC3339: usize = "2000-10-10T13:55:36".len();

/// The longest time for which the two clocks are not compared again.
const COMPARED: Duration = Duration::from_secs(1);

/// The texts of one second, which are used for all lines of that second.
pub(super) struct TimeText {
    /// The same moment on the clock for durations and on that of the system.
    now: Option<(Instant, SystemTime)>,
    /// Since the beginning of 1970.
    second: u64,
    /// As in the common format: `10/Oct/2000:13:55:36 +0000`.
    common: [u8; COMMON],
    /// As in RFC 3339, up to the second: `2000-10-10T13:55:36`.
    rfc3339: [u8; RFC3339],
}

impl TimeText {
    /// Returns the texts of no second.
    pub const fn new() -> Self {
        Self { now: None, second: u64::MAX, common: [0; COMMON], rfc3339: [0; RFC3339] }
    }

    /// Returns the time of a moment. The clocks are read at most once a second, as long as the moments
    /// are near.
    pub fn of(&mut self, moment: Instant) -> SystemTime {
        let is_near = |now: &(Instant, SystemTime)| {
            moment.saturating_duration_since(now.0).max(now.0.saturating_duration_since(moment)) < COMPARED
        };
        let (instant, time) = match self.now.filter(is_near) {
            Some(now) => now,
            None => *self.now.insert((Instant::now(), SystemTime::now())),
        };
        let earlier = time.checked_sub(instant.saturating_duration_since(moment));
        earlier.and_then(|time| time.checked_add(moment.saturating_duration_since(instant))).unwrap_or(time)
    }

    /// Adds a time as the common format has it, in UTC.
    pub fn push_common(&mut self, line: &mut Vec<u8>, time: SystemTime) {
        self.set(since_1970(time).as_secs());
        line.extend_from_slice(&self.common);
    }

    /// Adds a time of RFC 3339, in UTC, with microseconds.
    pub fn push_rfc3339(&mut self, line: &mut Vec<u8>, time: SystemTime) {
        let time = since_1970(time);
        self.set(time.as_secs());
        line.extend_from_slice(&self.rfc3339);
        line.push(b'.');
        push_digits::<6>(line, time.subsec_micros().into());
        line.push(b'Z');
    }

    /// Makes the texts of that second.
    fn set(&mut self, second: u64) {
        if self.second == second {
            return;
        }
        self.second = second;
        let (year, month, day) = date(second / 86_400);
        let (hour, minute, second) = (second / 3600 % 24, second / 60 % 60, second % 60);
        let name = MONTHS[month];
        let month = month + 1;
        let clock = format!("{hour:02}:{minute:02}:{second:02}");
        // A year of more than four digits has no place.
        let year = year.min(9999);
        self.common.copy_from_slice(format!("{day:02}/{name}/{year:04}:{clock} +0000").as_bytes());
        self.rfc3339.copy_from_slice(format!("{year:04}-{month:02}-{day:02}T{clock}").as_bytes());
    }
}

/// A time before 1970 counts as its beginning.
fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Returns the year, the month counted from 0, and the day of the month, of a day counted from the
/// first of 1970.
fn date(days: u64) -> (u64, usize, u64) {
    // In eras of 400 years, which have the same number of days. A year begins in March, so that the
    // leap day is its last. 1970 began 719,468 days after the first of March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // The months from March on have 153 days in each five.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year + u64::from(month >= 10);
    (year, usize::try_from((month + 2) % 12).unwrap_or_default(), day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(second: u64, micros: u32) -> (String, String) {
        let time = SystemTime::UNIX_EPOCH + Duration::new(second, micros * 1000);
        let (mut text, mut common, mut rfc3339) = (TimeText::new(), Vec::new(), Vec::new());
        text.push_common(&mut common, time);
        text.push_rfc3339(&mut rfc3339, time);
        (String::from_utf8(common).unwrap(), String::from_utf8(rfc3339).unwrap())
    }

    #[test]
    fn a_time_is_written_in_utc() {
        let (common, rfc3339) = texts(971_186_136, 42);
        assert_eq!(common, "10/Oct/2000:13:55:36 +0000");
        assert_eq!(rfc3339, "2000-10-10T13:55:36.000042Z");
    }

    #[test]
    fn a_moment_has_the_time_of_the_system() {
        let mut text = TimeText::new();
        let (start, now) = (SystemTime::now(), Instant::now());
        for ago in [0, 10, 500, 0, 5000, 500, 0] {
            let Some(moment) = now.checked_sub(Duration::from_millis(ago)) else { continue };
            let time = text.of(moment) + Duration::from_millis(ago);
            let apart = time.duration_since(start).unwrap_or_else(|error| error.duration());
            assert!(apart < Duration::from_secs(20), "{ago} ms ago is {apart:?} off");
        }
        let (first, second) = (text.of(now), text.of(now + Duration::from_millis(7)));
        assert_eq!(second.duration_since(first).unwrap(), Duration::from_millis(7));
    }

    #[test]
    fn each_day_follows_the_one_before() {
        let divides = |length: u64, year: u64| year.is_multiple_of(length);
        let leap = |year| divides(4, year) && (!divides(100, year) || divides(400, year));
        let mut expected = (1970, 0, 1);
        for days in 0..200_000 {
            assert_eq!(date(days), expected);
            let (year, month, day) = expected;
            let length = match month {
                1 if leap(year) => 29,
                1 => 28,
                3 | 5 | 8 | 10 => 30,
                _ => 31,
            };
            expected = if day < length {
                (year, month, day + 1)
            } else if month < 11 {
                (year, month + 1, 1)
            } else {
                (year + 1, 0, 1)
            };
        }
    }
}
