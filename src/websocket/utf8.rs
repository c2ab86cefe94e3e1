//! UTF-8 that arrives in pieces (RFC 3629).

use std::str;

use super::Failure;

/// Checks a text as it comes, and fails at the first byte that cannot be part of one.
#[derive(Default)]
pub(super) struct Utf8 {
    /// The first bytes of a character whose other bytes have not come.
    pending: [u8; 4],
    length: u8,
}

impl Utf8 {
    /// Checks the bytes that have come.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while self.length > 0 {
            let Some((&first, rest)) = bytes.split_first() else { return Ok(()) };
            self.pending[usize::from(self.length)] = first;
            self.length += 1;
            bytes = rest;
            if is_whole(&self.pending[..usize::from(self.length)])? {
                self.length = 0;
            }
        }
        let whole = match str::from_utf8(bytes) {
            Ok(_) => return Ok(()),
            Err(error) if error.error_len().is_some() => return Err(Failure::BadUtf8),
            Err(error) => error.valid_up_to(),
        };
        let rest = &bytes[whole..];
        self.length = 0;
        for (place, byte) in self.pending.iter_mut().zip(rest) {
            *place = *byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Returns `true` if the bytes are a character, `false` if they may become one.
fn is_whole(bytes: &[u8]) -> Result<bool, Failure> {
    match str::from_utf8(bytes) {
        Ok(_) => Ok(true),
        Err(error) if error.error_len().is_none() => Ok(false),
        Err(_) => Err(Failure::BadUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_be_cut_anywhere() {
        let text = "a\u{e4}\u{20ac}\u{10ffff}z".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut utf8 = Utf8::default();
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    assert_eq!(utf8.push(piece), Ok(()), "cut at {first} and {second}");
                }
                assert_eq!(utf8.length, 0);
            }
        }
    }

    #[test]
    fn a_bad_byte_fails_as_soon_as_it_comes() {
        for bad in [&b"\xff"[..], b"\xc0", b"\xe0\x80", b"\xed\xa0", b"\xf4\x90", b"\xf0\x9f\x98a", b"\xc3("]
        {
            let mut utf8 = Utf8::default();
            let (last, before) = bad.split_last().unwrap();
            for byte in before {
                assert_eq!(utf8.push(&[*byte]), Ok(()), "{bad:x?}");
            }
            assert_eq!(utf8.push(&[*last]), Err(Failure::BadUtf8), "{bad:x?}");
            assert_eq!(Utf8::default().push(bad), Err(Failure::BadUtf8), "{bad:x?}");
        }
    }
}
