//! The header fields of an exchange that its record keeps, for programs that ask for some.

use crate::fields::Headers;

/// The most bytes of a value that are kept; a longer value is cut off.
const LONGEST: usize = 1024;
/// The most bytes that a record which is used again may hold.
const MAX_KEPT: usize = 1024;

/// The bytes that are compared together.
const WORD: usize = size_of::<u64>();

/// The names of the fields that a server records.
#[derive(Debug)]
pub(crate) struct FieldNames {
    /// In lower case.
    names: Vec<Box<str>>,
    /// A bit for the length of each name: most fields of a request are passed over by their length. It
    /// saves half of the search for two names (replay, 2026-11).
    lengths: u64,
}

/// The names of the fields that a server records, of requests and of responses.
#[derive(Debug, Default)]
pub(crate) struct RecordedNames {
    pub request: Option<FieldNames>,
    pub response: Option<FieldNames>,
}

/// The values of the recorded fields of one request or response.
#[derive(Default)]
pub(super) struct RecordedFields {
    text: Vec<u8>,
    /// The position of each value in the text, in the order of the names. Empty if the message has none
    /// of the fields.
    spans: Vec<Option<Span>>,
}

/// The start of a value, and its length.
#[derive(Clone, Copy)]
struct Span(usize, usize);

impl FieldNames {
    /// Returns names that differ from each other. `None` if there are none.
    pub fn new(mut names: Vec<Box<str>>) -> Option<Self> {
        for name in &mut names {
            name.make_ascii_lowercase();
        }
        let lengths = names.iter().fold(0, |lengths, name| lengths | bit(name.len()));
        (!names.is_empty()).then_some(Self { names, lengths })
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.names.iter().position(|known| is_name(known.as_bytes(), name))
    }
}

/// Returns `true` if a name is that name, which is in lower case. Most names have eight bytes or more, and
/// are compared by their first and last eight.
fn is_name(known: &[u8], name: &[u8]) -> bool {
    let same = |known: &[u8; WORD], name: &[u8; WORD]| {
        u64::from_ne_bytes(*known) == lower_case(u64::from_ne_bytes(*name))
    };
    if known.len() != name.len() {
        return false;
    }
    match (known.first_chunk(), name.first_chunk(), known.last_chunk(), name.last_chunk()) {
        (Some(first_known), Some(first), Some(last_known), Some(last)) => {
            same(first_known, first)
                && same(last_known, last)
                && (known.len() <= 2 * WORD || known.eq_ignore_ascii_case(name))
        }
        _ => !known.is_empty() && known.eq_ignore_ascii_case(name),
    }
}

/// Returns a word of bytes with the letters in lower case.
fn lower_case(word: u64) -> u64 {
    let each = |byte: u8| u64::from_ne_bytes([byte; WORD]);
    let low = word & each(0x7f);
    // The upper bit of each byte tells whether it is a letter, as no sum of low bits reaches the next byte.
    let is_upper = (low + each(0x80 - b'A')) & !(low + each(0x7f - b'Z')) & !word & each(0x80);
    word | is_upper >> 2
}

/// Returns the bit for a length; all long names share one.
fn bit(length: usize) -> u64 {
    1 << length.min(63)
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
        self.text.clear();
        self.spans.clear();
        for (name, value) in headers.lines() {
            if names.lengths & bit(name.len()) != 0
                && let Some(index) = names.position(name)
            {
                self.keep(index, names.names.len(), value);
            }
        }
    }

    fn keep(&mut self, index: usize, count: usize, value: &[u8]) {
        let Self { text, spans } = self;
        if spans.is_empty() {
            spans.resize(count, None);
        }
        let value = value.get(..LONGEST).unwrap_or(value);
        if spans[index].is_none() && text.try_reserve(value.len()).is_ok() {
            spans[index] = Some(Span(text.len(), value.len()));
            text.extend_from_slice(value);
        }
    }

    /// Returns the number of bytes that are kept.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Returns the value of a field.
    pub fn get(&self, names: &FieldNames, name: &str) -> Option<&[u8]> {
        if self.spans.is_empty() {
            return None;
        }
        // Most often the name is in lower case.
        let exact = names.names.iter().position(|known| **known == *name);
        let index = exact.or_else(|| names.position(name.as_bytes()))?;
        let Span(start, length) = (*self.spans.get(index)?)?;
        self.text.get(start..start + length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_regard_to_case() {
        for (one, other, same) in [
            ("user-agent", "User-Agent", true),
            ("user-agent", "USER-AGENT", true),
            ("user-agent", "User_Agent", false),
            ("user-agent", "uses-agent", false),
            ("user-agent", "user-agens", false),
            ("sec-websocket-extensions", "Sec-WebSocket-Extensions", true),
            ("sec-websocket-extensions", "Sec-WebSocket!Extensions", false),
            ("sec-websocket-extensions", "Sec-WebSockes-Extensions", false),
            ("a^", "A~", false),
            ("a", "b", false),
            ("aa", "ba", false),
            ("a", "aa", false),
            ("", "", false),
        ] {
            assert_eq!(is_name(one.as_bytes(), other.as_bytes()), same, "{one} {other}");
        }
    }

    #[test]
    fn each_byte_has_the_lower_case_that_it_has_alone() {
        for byte in 0..=u8::MAX {
            for beside in [0, b'@', b'A', b'Z', b'[', 0x7f, 0xff] {
                for at in 0..WORD {
                    let mut bytes = [beside; WORD];
                    bytes[at] = byte;
                    let lower = lower_case(u64::from_ne_bytes(bytes)).to_ne_bytes();
                    assert_eq!(lower, bytes.map(|byte| byte.to_ascii_lowercase()), "{byte:#x} at {at}");
                }
            }
        }
    }

    #[test]
    fn the_first_value_of_each_name_is_kept_up_to_a_bound() {
        let names = FieldNames::new(["Referer", "x-long", "x-none"].map(Into::into).into()).unwrap();
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
