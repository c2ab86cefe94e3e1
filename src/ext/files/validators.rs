//! The validators of a file: its ETag and its Last-Modified (RFC 9110 8.8).

use std::time::{Duration, SystemTime};

use super::super::accept_encoding::Coding;
use super::opened::Opened;

/// While a file is younger than this, another change may leave its time as it is.
const RESOLUTION: Duration = Duration::from_secs(1);

/// The validators of one representation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Validators {
    /// With its quotes; weak for a file that has only just been changed.
    pub tag: String,
    /// In seconds of the Unix clock, never in the future.
    pub modified: u64,
}

impl Validators {
    /// The tag changes with the time of the file, in nanoseconds, and its size, and differs for each coding.
    pub fn of(opened: &Opened, coding: Option<Coding>, now: SystemTime) -> Self {
        let time = u64::try_from(opened.since_epoch().as_nanos()).unwrap_or(u64::MAX);
        let is_settled = now.duration_since(opened.modified).is_ok_and(|age| age >= RESOLUTION);
        let mut tag = String::with_capacity(48);
        tag.push_str(if is_settled { "\"" } else { "W/\"" });
        push_hex(&mut tag, time);
        tag.push('-');
        push_hex(&mut tag, opened.size);
        if let Some(coding) = coding {
            tag.push('-');
            tag.push_str(coding.name());
        }
        tag.push('"');
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { tag, modified: opened.modified_seconds().min(now) }
    }

    /// Returns the value of Last-Modified.
    pub fn last_modified(&self) -> String {
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(self.modified))
    }
}

/// Adds a number in hexadecimal digits, without zeros before it.
fn push_hex(text: &mut String, number: u64) {
    let digits = (64 - (number | 1).leading_zeros()).div_ceil(4);
    for at in (0..digits).rev() {
        let digit = usize::try_from(number >> (4 * at) & 15).unwrap_or_default();
        text.push(char::from(b"0123456789abcdef"[digit]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_those_of_the_standard_library() {
        for number in [0, 1, 9, 15, 16, 255, 256, 0x0123_4567_89ab_cdef, u64::MAX] {
            let mut text = String::new();
            push_hex(&mut text, number);
            assert_eq!(text, format!("{number:x}"));
        }
    }
}
