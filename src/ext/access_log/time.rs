//! The time, as log lines have it.

use std::time::{Duration, Instant, SystemTime};

use super::text::{digits, push_digits};

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

const COMMON: usize = "10/Oct/2000:13:55:36 +0000".len();
const RFC3339: usize = "2000-10-10T13:55:36".len();

/// The texts of the seconds in which the last lines began. Most lines are of the same second and copy
/// its text, which saves 360 instructions of a line (replay, 2026-11). Of two seconds, because one of
/// many connections may have waited for its answer.
#[derive(Default)]
pub(super) struct TimeText {
    newest: Option<Second>,
    other: Option<Second>,
}

/// The texts of one second.
#[derive(Clone, Copy)]
struct Second {
    /// The second on the clock for durations.
    start: Instant,
    end: Instant,
    /// As in the common format: `10/Oct/2000:13:55:36 +0000`.
    common: [u8; COMMON],
    /// As in RFC 3339, up to the second: `2000-10-10T13:55:36`.
    rfc3339: [u8; RFC3339],
}

impl TimeText {
    /// Adds the time of a moment as the common format has it, in UTC.
    #[inline]
    pub fn push_common(&mut self, line: &mut Vec<u8>, moment: Instant) {
        line.extend_from_slice(&self.second(moment).common);
    }

    /// Adds the time of a moment as RFC 3339 has it, in UTC, with microseconds.
    pub fn push_rfc3339(&mut self, line: &mut Vec<u8>, moment: Instant) {
        let second = self.second(moment);
        let micros = moment.saturating_duration_since(second.start).subsec_micros();
        line.extend_from_slice(&second.rfc3339);
        line.push(b'.');
        push_digits::<6>(line, micros.into());
        line.push(b'Z');
    }

    /// Returns the second in which a moment lies.
    #[inline]
    fn second(&mut self, moment: Instant) -> &Second {
        if !self.newest.as_ref().is_some_and(|second| second.has(moment)) {
            self.find(moment);
        }
        self.newest.get_or_insert_with(|| Second::of(moment))
    }

    /// Makes the second of a moment the newest.
    #[cold]
    fn find(&mut self, moment: Instant) {
        std::mem::swap(&mut self.newest, &mut self.other);
        if !self.newest.as_ref().is_some_and(|second| second.has(moment)) {
            self.newest = Some(Second::of(moment));
        }
    }
}

impl Second {
    /// Returns the second in which a moment lies, by the clocks as they are now.
    fn of(moment: Instant) -> Self {
        let (instant, time) = (Instant::now(), SystemTime::now());
        let earlier = time.checked_sub(instant.saturating_duration_since(moment)).unwrap_or(time);
        let later = moment.saturating_duration_since(instant);
        let time = since_1970(earlier.checked_add(later).unwrap_or(earlier));
        let start = moment.checked_sub(Duration::from_nanos(time.subsec_nanos().into())).unwrap_or(moment);
        let end = start.checked_add(Duration::from_secs(1)).unwrap_or(start);
        let (common, rfc3339) = texts(time.as_secs());
        Self { start, end, common, rfc3339 }
    }

    #[inline]
    fn has(&self, moment: Instant) -> bool {
        self.start <= moment && moment < self.end
    }
}

/// Returns the texts of a second.
fn texts(second: u64) -> ([u8; COMMON], [u8; RFC3339]) {
    let (year, month, day) = date(second / 86_400);
    // A year of more than four digits has no place.
    let year = digits::<4>(year.min(9999));
    let (name, month, day) = (MONTHS[month], digits::<2>(month as u64 + 1), digits::<2>(day));
    let [hour, minute, second] = [second / 3600 % 24, second / 60 % 60, second % 60].map(digits::<2>);
    let mut common = *b"00/Mon/0000:00:00:00 +0000";
    let mut rfc3339 = *b"0000-00-00T00:00:00";
    common[..2].copy_from_slice(&day);
    common[3..6].copy_from_slice(name);
    common[7..11].copy_from_slice(&year);
    rfc3339[..4].copy_from_slice(&year);
    rfc3339[5..7].copy_from_slice(&month);
    rfc3339[8..10].copy_from_slice(&day);
    for (index, part) in [hour, minute, second].iter().enumerate() {
        common[12 + 3 * index..14 + 3 * index].copy_from_slice(part);
        rfc3339[11 + 3 * index..13 + 3 * index].copy_from_slice(part);
    }
    (common, rfc3339)
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

    #[test]
    fn a_second_is_written_in_utc() {
        let (common, rfc3339) = texts(971_186_136);
        assert_eq!(common, *b"10/Oct/2000:13:55:36 +0000");
        assert_eq!(rfc3339, *b"2000-10-10T13:55:36");
        assert_eq!(texts(u64::MAX / 2).1[..4], *b"9999");
    }

    #[test]
    fn a_moment_has_the_time_of_the_system() {
        let mut text = TimeText::default();
        let now = Instant::now();
        for ago in [0, 10, 500, 0, 5000, 500, 0] {
            let Some(moment) = now.checked_sub(Duration::from_millis(ago)) else { continue };
            let common = text.second(moment).common;
            let ago = moment.elapsed();
            let second = since_1970(SystemTime::now() - ago).as_secs();
            // The clocks are not read at the same time.
            let is_near = (second - 20..second + 20).any(|second| texts(second).0 == common);
            assert!(is_near, "{} {ago:?} ago", String::from_utf8_lossy(&common));
        }
        let of = |text: &mut TimeText, moment| {
            let mut line = Vec::new();
            text.push_rfc3339(&mut line, moment);
            String::from_utf8(line).unwrap()
        };
        // Two moments of the same second.
        let first = text.second(now).start;
        let (first, second) = (
            of(&mut text, first + Duration::from_millis(3)),
            of(&mut text, first + Duration::from_millis(10)),
        );
        assert_eq!(first.replace(".003000Z", ".010000Z"), second);
        assert_eq!(first.len(), "2000-10-10T13:55:36.003000Z".len());
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
