//! The header fields of a request that its record keeps, for programs that ask for some.

use std::ops::Range;
use std::sync::Arc;

use crate::fields::Headers;

/// The names of the fields that a server records.
pub(crate) type FieldNames = Arc<[Box<str>]>;

/// The most bytes of a value that are kept; a longer value is cut off.
const LONGEST: usize = 1024;
/// The most bytes that a record which is used again may hold.
const MAX_KEPT: usize = 1024;

/// The values of the recorded fields of one request.
#[derive(Default)]
pub(super) struct RecordedFields {
    text: Vec<u8>,
    /// The position of each value in the text, in the order of the names. `None` if the request has
    /// no such field.
    spans: Vec<Option<Range<usize>>>,
}

impl RecordedFields {
    /// Forgets the values, and large memory with them.
    pub fn clear(&mut self) {
        self.spans.clear();
        self.text.clear();
        if self.text.capacity() > MAX_KEPT {
            self.text = Vec::new();
        }
    }

    /// Keeps the first value of each name. A value for which there is no memory is left out.
    pub fn assign(&mut self, names: &FieldNames, headers: &Headers) {
        let Self { text, spans } = self;
        text.clear();
        spans.clear();
        spans.extend(names.iter().map(|name| {
            let value = headers.get_bytes(name)?;
            let value = value.get(..LONGEST).unwrap_or(value);
            let start = text.len();
            text.try_reserve(value.len()).ok()?;
            text.extend_from_slice(value);
            Some(start..text.len())
        }));
    }

    /// Returns the number of bytes that are kept.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Returns the value of a field.
    pub fn get(&self, names: &FieldNames, name: &str) -> Option<&[u8]> {
        let index = names.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        self.text.get(self.spans.get(index)?.clone()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_each_name_is_kept_up_to_a_bound() {
        let names: FieldNames = ["Referer", "x-long", "x-none"].map(Into::into).into();
        let mut headers = Headers::parse(b"referer: one\r\nReferer: two\r\n").unwrap();
        headers.append("X-Long", "a".repeat(3 * LONGEST)).unwrap();
        let mut fields = RecordedFields::default();
        for _ in 0..2 {
            fields.assign(&names, &headers);
            assert_eq!(fields.get(&names, "REFERER"), Some(&b"one"[..]));
            assert_eq!(fields.get(&names, "x-long"), Some(&[b'a'; LONGEST][..]));
            assert_eq!((fields.get(&names, "x-none"), fields.get(&names, "host")), (None, None));
            assert_eq!(fields.len(), 3 + LONGEST);
            fields.clear();
            assert!(fields.text.capacity() <= MAX_KEPT);
            assert_eq!(fields.get(&names, "referer"), None);
        }
    }
}
