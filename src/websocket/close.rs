//! The payload of a Close frame (RFC 6455 5.5.1, 7.4).

use std::fmt;
use std::str;

use super::Failure;

/// The longest reason, in bytes: a control frame has at most 125, and two are the code.
const MAX_REASON: usize = 123;

/// The end of a WebSocket connection: a code and a reason (RFC 6455 7.4).
///
/// Codes that say that there was no Close frame: 1005, the peer sent one without a code; 1006, the
/// connection was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketClose {
    /// The code.
    pub code: u16,
    /// The reason, often empty.
    pub reason: String,
}

impl WebSocketClose {
    pub(crate) const NO_CODE: u16 = 1005;
    pub(crate) const LOST: u16 = 1006;

    /// Returns `true` if a Close frame may have that code (RFC 6455 7.4).
    pub fn is_sendable(code: u16) -> bool {
        is_sendable(code)
    }

    /// Returns a close with that code. The reason is cut to 123 bytes.
    pub(crate) fn new(code: u16, reason: &str) -> Self {
        Self { code, reason: reason[..reason.floor_char_boundary_of(MAX_REASON)].to_owned() }
    }

    /// Reads the payload of a Close frame.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Failure> {
        let (code, reason) = match payload {
            [] => return Ok(Self::new(Self::NO_CODE, "")),
            [_] => return Err(Failure::ShortClose),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !is_sendable(code) {
            return Err(Failure::BadCloseCode);
        }
        Ok(Self::new(code, str::from_utf8(reason).map_err(|_| Failure::BadUtf8)?))
    }

    /// Returns the payload of a Close frame: empty for a code that is never sent.
    pub(crate) fn payload(&self) -> Vec<u8> {
        if !is_sendable(self.code) {
            return Vec::new();
        }
        [&self.code.to_be_bytes(), self.reason.as_bytes()].concat()
    }
}

impl fmt::Display for WebSocketClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason.escape_debug()) }
    }
}

/// Cuts a text where a character begins. `str::floor_char_boundary` is newer than Rust 1.88.
trait CharBoundary {
    fn floor_char_boundary_of(&self, most: usize) -> usize;
}

impl CharBoundary for str {
    fn floor_char_boundary_of(&self, most: usize) -> usize {
        let most = most.min(self.len());
        (0..=most).rev().find(|at| self.is_char_boundary(*at)).unwrap_or(0)
    }
}

/// Returns `true` for a code that a Close frame may have: those that RFC 6455 7.4 and the registry of
/// IANA define, and those of libraries and programs.
pub(crate) fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::WebSocketClose as Close;
    use super::*;

    #[test]
    fn a_close_is_read_back_from_its_payload() {
        for close in [Close::new(1000, ""), Close::new(4999, "so\u{e4}"), Close::new(1005, "")] {
            assert_eq!(Close::parse(&close.payload()), Ok(close));
        }
        assert_eq!(Close::new(4000, "x\"y").to_string(), "4000 (x\\\"y)");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let close = Close::new(1000, &"\u{20ac}".repeat(42));
        assert_eq!(close.reason, "\u{20ac}".repeat(41));
        assert!(close.payload().len() <= 125);
    }

    #[test]
    fn rfc6455_7_4_codes_that_are_never_sent_are_refused() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert_eq!(Close::parse(&u16::to_be_bytes(code)), Err(Failure::BadCloseCode), "{code}");
        }
        assert_eq!(Close::parse(b"\x03"), Err(Failure::ShortClose));
        assert_eq!(Close::parse(b"\x03\xe8\xff"), Err(Failure::BadUtf8));
    }
}
