//! The Date field's value, IMF-fixdate (RFC 9110 5.6.7), formatted once a second.

use std::time::{Duration, SystemTime};

/// A formatted date and the second it stands for. The caller brings the time.
#[derive(Clone)]
pub(crate) struct HttpDate {
    second: u64,
    text: [u8; 29],
}

impl HttpDate {
    pub const fn new() -> Self {
        Self { second: u64::MAX, text: [b' '; 29] }
    }

    /// The text for `now`; formats only when the second has changed.
    pub fn at(&mut self, now: SystemTime) -> &[u8] {
        let second = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if second != self.second {
            let date = httpdate::HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
            let text = date.to_string();
            if text.len() == self.text.len() {
                self.text.copy_from_slice(text.as_bytes());
                self.second = second;
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
        let mut date = HttpDate::new();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(date.at(at), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(at + Duration::from_millis(1_500)), b"Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
