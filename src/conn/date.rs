//! The Date line, IMF-fixdate (RFC 9110 5.6.7), formatted once a second.

use std::io::Write;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

/// A formatted Date line, and the second in which it is right. The caller reads both clocks: the
/// steady one, which it needs anyway, and the wall clock, only when a second is over.
#[derive(Clone)]
pub(crate) struct DateLine {
    holds: Option<Range<Instant>>,
    text: [u8; 37],
}

impl DateLine {
    pub const fn new() -> Self {
        Self { holds: None, text: *b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" }
    }

    /// Returns the line for `now`. `wall` reads the wall clock.
    pub fn at(&mut self, now: Instant, wall: impl FnOnce() -> SystemTime) -> &[u8] {
        if !self.holds.as_ref().is_some_and(|holds| holds.contains(&now)) {
            let since = wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let date =
                httpdate::HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()));
            let mut text = &mut self.text[6..35];
            // The date has a fixed length, which is that of `text`.
            if write!(text, "{date}").is_ok() && text.is_empty() {
                let left = Duration::from_nanos(1_000_000_000 - u64::from(since.subsec_nanos()));
                self.holds = now.checked_add(left).map(|end| now..end);
            }
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_5_6_7_example_date() {
        let mut line = DateLine::new();
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_250));
        let never = || panic!("the second is not over");
        assert_eq!(line.at(now, || wall), b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(
            line.at(now + Duration::from_millis(749), never),
            b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        );
        let later = Duration::from_millis(750);
        assert_eq!(line.at(now + later, || wall + later), b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
        // A clock that goes back.
        assert_eq!(line.at(now, || wall), b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    }
}
