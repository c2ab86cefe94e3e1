//! A list of header fields, kept in wire form with an index.
//!
//! Received fields and fields that a program sets have one representation: `name: value\r\n` lines
//! in one buffer. Readers borrow from it, and a response head is written with one copy. The list
//! does not know what any field means.

use std::fmt;
use std::ops::Range;

use super::field::{InvalidHeader, check, check_value, trim};
use crate::base::spare::{LARGEST_SPARE, Returned, Spares};

/// The sections of responses that were made on threads that send none.
static RETURNED: Returned<Box<Section>> = Returned::new();

thread_local! {
    static SECTIONS: Spares<Box<Section>> = const { Spares::shared(&RETURNED) };
}

/// A list of header fields, in order. A name may occur more than once (RFC 9110 5).
///
/// Names are compared without regard to case. Values are bytes without CR, LF or NUL. Most values
/// are text, and [`get`](Self::get) returns them as text.
///
/// ```
/// use transom::Headers;
///
/// let mut headers = Headers::new();
/// headers.append("Accept", "text/html")?;
/// headers.append("accept", "text/plain")?;
/// assert_eq!(headers.get("ACCEPT"), Some("text/html"));
/// assert_eq!(headers.get_all("accept").collect::<Vec<_>>(), [&b"text/html"[..], b"text/plain"]);
///
/// headers.insert("accept", "*/*")?;
/// assert_eq!(headers.as_wire(), b"accept: */*\r\n");
/// assert!(headers.append("x-a", "one\r\nx-b: two").is_err());
/// # Ok::<(), transom::InvalidHeader>(())
/// ```
#[derive(Default)]
pub struct Headers(Option<Box<Section>>);

/// On the heap because messages are moved often. A dropped section is used again, which saves 530
/// of 3,957 instructions of a small request (benches/replay, 2026-11).
#[derive(Default)]
struct Section {
    text: Vec<u8>,
    fields: Vec<Field>,
}

/// The position of one field line in the text.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub name: Range<u32>,
    pub value: Range<u32>,
}

impl Headers {
    /// Returns an empty list. Allocates nothing.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Replaces the list with field lines that were checked already, and the positions of their
    /// parts.
    pub(crate) fn assign(&mut self, text: &[u8], fields: impl Iterator<Item = Field>) {
        let section = self.section();
        section.text.clear();
        section.fields.clear();
        section.text.extend_from_slice(text);
        section.fields.extend(fields);
    }

    /// Removes every field.
    pub(crate) fn clear(&mut self) {
        if let Some(section) = &mut self.0 {
            section.text.clear();
            section.fields.clear();
        }
    }

    /// Returns the section to write to. A new section is empty, but its buffers may have been used
    /// before.
    fn section(&mut self) -> &mut Section {
        self.0.get_or_insert_with(|| SECTIONS.with(Spares::take).unwrap_or_default())
    }

    /// Parses a block of `name: value` lines, each ended by CRLF or LF.
    ///
    /// ```
    /// let headers = transom::Headers::parse(b"x-a: 1\r\nx-b: 2\r\n")?;
    /// assert_eq!(headers.get("x-b"), Some("2"));
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    ///
    /// # Errors
    /// Returns the error for the first line that is not a valid field.
    pub fn parse(block: &[u8]) -> Result<Self, InvalidHeader> {
        let mut headers = Self::new();
        headers.section().text.reserve(block.len());
        for (number, line) in block.split(|&b| b == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let parts = memchr::memchr(b':', line)
                .and_then(|colon| Some((std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..])));
            let Some((name, value)) = parts else {
                return Err(InvalidHeader::line(number + 1, line));
            };
            headers.append(name, value)?;
        }
        Ok(headers)
    }

    /// Adds a field at the end of the list.
    ///
    /// # Errors
    /// If the name is not a token, or the value holds CR, LF, NUL or another control byte except
    /// HTAB.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidHeader> {
        let value = trim(value.as_ref());
        check(name, value)?;
        self.push(name, value);
        Ok(())
    }

    /// Sets a field: removes every field of that name, then adds this one.
    ///
    /// # Errors
    /// As [`append`](Self::append). On an error the list is unchanged.
    pub fn insert(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidHeader> {
        let value = trim(value.as_ref());
        check(name, value)?;
        if !self.is_empty() {
            self.remove(name);
        }
        self.push(name, value);
        Ok(())
    }

    /// Adds a field whose name is known to be valid.
    pub(crate) fn push_named(&mut self, name: &'static str, value: &[u8]) -> Result<(), InvalidHeader> {
        let value = trim(value);
        check_value(name, value)?;
        self.push(name, value);
        Ok(())
    }

    /// Adds a field that is known to be valid.
    #[inline]
    pub(crate) fn push(&mut self, name: &str, value: &[u8]) {
        let Section { text, fields } = self.section();
        let start = offset(text.len());
        let value_start = start + offset(name.len()) + 2;
        text.reserve(name.len() + value.len() + 4);
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
        fields.push(Field {
            name: start..value_start - 2,
            value: value_start..value_start + offset(value.len()),
        });
    }

    /// Removes every field of that name. Returns `true` if there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        if !self.contains(name) {
            return false;
        }
        let mut kept = Self::new();
        for (other, value) in self.iter().filter(|(other, _)| !other.eq_ignore_ascii_case(name)) {
            kept.push(other, value);
        }
        *self = kept;
        true
    }

    /// Returns the first value of that name, or `None` if there is none or it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get_bytes(name)?).ok()
    }

    /// Returns the first value of that name, as bytes.
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.lines().find(|(other, _)| is_name(other, name)).map(|(_, value)| value)
    }

    /// Returns every value of that name, in order.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines().filter(move |(other, _)| is_name(other, name)).map(|(_, value)| value)
    }

    /// Returns `true` if there is a field of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.get_bytes(name).is_some()
    }

    /// Returns the name and the value of the field at `index`, counted from 0.
    pub fn nth(&self, index: usize) -> Option<(&str, &[u8])> {
        self.lines().nth(index).map(Self::parts)
    }

    /// Returns the name, as it was written, and the value of each field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines().map(Self::parts)
    }

    /// Returns the number of fields. A repeated name counts each time.
    pub fn len(&self) -> usize {
        self.fields().len()
    }

    /// Returns `true` if there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields().is_empty()
    }

    /// Returns the section as it is sent: field lines, each ended by CRLF, without the empty line
    /// that ends a head.
    pub fn as_wire(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |section| &section.text)
    }

    fn fields(&self) -> &[Field] {
        self.0.as_ref().map_or(&[], |section| &section.fields)
    }

    /// Returns the fields in order, with their names as bytes. To compare names, bytes suffice.
    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
        let text = self.as_wire();
        self.fields().iter().map(move |field| {
            let name = &text[field.name.start as usize..field.name.end as usize];
            (name, &text[field.value.start as usize..field.value.end as usize])
        })
    }

    /// Returns every value of that name, the last one first.
    pub(crate) fn lines_from_end<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines().rev().filter(move |(other, _)| is_name(other, name)).map(|(_, value)| value)
    }

    /// Returns the fields in a map of the `http` crate, without those whose name or value that crate
    /// does not accept. Returns `None` if there are more fields than a map can hold (24,576).
    pub(crate) fn to_map(&self) -> Option<http::HeaderMap> {
        let mut map = http::HeaderMap::try_with_capacity(self.len()).ok()?;
        for (name, value) in self.iter() {
            if let (Ok(name), Ok(value)) =
                (http::HeaderName::from_bytes(name.as_bytes()), http::HeaderValue::from_bytes(value))
            {
                map.try_append(name, value).ok()?;
            }
        }
        Some(map)
    }

    fn parts<'a>((name, value): (&'a [u8], &'a [u8])) -> (&'a str, &'a [u8]) {
        (std::str::from_utf8(name).unwrap_or_default(), value)
    }
}

impl Clone for Headers {
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        if let Some(section) = &self.0 {
            let own = copy.section();
            own.text.clone_from(&section.text);
            own.fields.clone_from(&section.fields);
        }
        copy
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if let Some(mut section) = self.0.take()
            && section.text.capacity() <= LARGEST_SPARE
        {
            section.text.clear();
            section.fields.clear();
            // When a thread ends, its spares may be dropped before its last message.
            let _ = SECTIONS.try_with(|spares| spares.give(section));
        }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, value.escape_ascii().to_string())))
            .finish()
    }
}

impl From<&Headers> for http::HeaderMap {
    /// Leaves out the fields whose name or value the `http` crate does not accept, and all fields
    /// if there are more than a map can hold.
    fn from(headers: &Headers) -> Self {
        headers.to_map().unwrap_or_default()
    }
}

impl From<&http::HeaderMap> for Headers {
    fn from(map: &http::HeaderMap) -> Self {
        let mut headers = Self::new();
        for (name, value) in map {
            // The `http` crate has checked the value: no control byte except HTAB.
            headers.push(name.as_str(), trim(value.as_bytes()));
        }
        headers
    }
}

/// Converts a position in the text. A field section is bounded by the head limit, far below 4 GiB.
fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Returns `true` if two names are equal. Compares the lengths first, because most differ.
fn is_name(one: &[u8], other: &str) -> bool {
    one.len() == other.len() && one.eq_ignore_ascii_case(other.as_bytes())
}
