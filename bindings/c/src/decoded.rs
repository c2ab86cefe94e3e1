//! The decoded names and values of a query or a form.

use std::ops::Range;
use std::sync::OnceLock;

use crate::percent::decode_form;
use crate::status::transom_status;

/// The decoded names and values of a query or form, made when the host first asks for one.
///
/// Each is at the place where its encoded form is, and is no longer than that. So the memory is
/// that of the encoded text, however many names it has.
#[derive(Default)]
pub(crate) struct Decoded(OnceLock<Vec<u8>>);

impl Decoded {
    /// Returns the names and values of `encoded`, which must be the same text in each call.
    pub fn pairs<'a>(
        &'a self,
        encoded: &'a [u8],
    ) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])>, transom_status> {
        let is_plain = !encoded.iter().any(|byte| matches!(byte, b'%' | b'+'));
        let decoded = if is_plain { encoded } else { self.copy(encoded)? };
        let text = move |part: Range<usize>| {
            let length = decode_form(&encoded[part.clone()], |_, _| {});
            &decoded[part.start..part.start + length]
        };
        Ok(parts(encoded).map(move |(name, value)| (text(name), text(value))))
    }

    fn copy(&self, encoded: &[u8]) -> Result<&[u8], transom_status> {
        if let Some(decoded) = self.0.get() {
            return Ok(decoded);
        }
        let mut decoded = Vec::new();
        decoded.try_reserve_exact(encoded.len()).map_err(|_| transom_status::TRANSOM_NO_MEMORY)?;
        decoded.extend_from_slice(encoded);
        for part in parts(encoded).flat_map(|(name, value)| [name, value]) {
            let start = part.start;
            decode_form(&encoded[part], |at, byte| decoded[start + at] = byte);
        }
        Ok(self.0.get_or_init(|| decoded))
    }
}

/// Returns where the encoded names and values are. A name without "=" has an empty value.
fn parts(encoded: &[u8]) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let mut next = 0;
    let pairs = encoded.split(|byte| *byte == b'&').map(move |pair| {
        let start = next;
        let end = start + pair.len();
        next = end + 1;
        match pair.iter().position(|byte| *byte == b'=') {
            Some(equals) => (start..start + equals, start + equals + 1..end),
            None => (start..end, end..end),
        }
    });
    pairs.filter(|(name, value)| name.start < value.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoded: &str) -> Vec<(String, String)> {
        let decoded = Decoded::default();
        for _ in 0..2 {
            assert!(decoded.pairs(encoded.as_bytes()).is_ok());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        decoded.pairs(encoded.as_bytes()).unwrap().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn names_and_values_are_decoded_each_on_its_own() {
        for (encoded, expected) in [
            ("", &[][..]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=b", &[("", "b")]),
            ("=", &[("", "")]),
            ("&&a=1&&", &[("a", "1")]),
            ("a=1&b=2&a=3", &[("a", "1"), ("b", "2"), ("a", "3")]),
            ("a=b=c%3dd&%61+%62=+", &[("a", "b=c=d"), ("a b", " ")]),
            ("a%26b=%26%3D&c", &[("a&b", "&="), ("c", "")]),
            ("a=%&b=%4&c=%zz&%", &[("a", "%"), ("b", "%4"), ("c", "%zz"), ("%", "")]),
            ("%C3%A9=%00", &[("\u{e9}", "\0")]),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(decode(encoded), expected, "{encoded}");
        }
    }
}
