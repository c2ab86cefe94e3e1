//! Header fields: a field section kept in wire form, with an index over it.
//!
//! Received and built fields share one representation, `name: value\r\n` lines
//! in one buffer. Reading borrows from it, and writing a response head copies
//! it once. It knows nothing of what any field means.

use std::fmt;
use std::ops::Range;

use super::field::{InvalidHeader, check, check_value, trim};
use crate::base::spare::{LARGEST_SPARE, Spares};

thread_local! {
    static SECTIONS: Spares<Box<Section>> = const { Spares::new() };
}

/// A list of header fields, in order, with repeated names kept (RFC 9110 5).
///
/// Names compare without regard to case. Values are bytes without CR, LF or
/// NUL; most are text, and [`get`](Self::get) hands them out as such.
///
/// ```
/// let mut headers = transom::Headers::new();
/// headers.append("Accept", "text/html")?;
/// headers.append("accept", "text/plain")?;
/// assert_eq!(headers.get("ACCEPT"), Some("text/html"));
/// assert_eq!(headers.get_all("accept").count(), 2);
/// assert!(headers.append("x-a", "one\r\nx-b: two").is_err());
/// # Ok::<(), transom::InvalidHeader>(())
/// ```
#[derive(Clone, Default)]
pub struct Headers(Option<Box<Section>>);

/// On the heap, and used again: messages are moved often.
#[derive(Clone, Default)]
struct Section {
    text: Vec<u8>,
    fields: Vec<Field>,
}

/// Where one field line lies in the text.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub name: Range<u32>,
    pub value: Range<u32>,
}

impl Headers {
    /// An empty list; allocates nothing.
    ///
    /// ```
    /// assert!(transom::Headers::new().is_empty());
    /// ```
    pub const fn new() -> Self {
        Self(None)
    }

    /// Takes over field lines that were already checked, with where their parts
    /// lie, in place of what there is.
    pub(crate) fn assign(&mut self, text: &[u8], fields: impl Iterator<Item = Field>) {
        let section = self.section();
        section.text.clear();
        section.fields.clear();
        section.text.extend_from_slice(text);
        section.fields.extend(fields);
    }

    /// Takes out every field.
    pub(crate) fn clear(&mut self) {
        if let Some(section) = &mut self.0 {
            section.text.clear();
            section.fields.clear();
        }
    }

    /// The section to write to: a new one is empty, but may have been used before.
    fn section(&mut self) -> &mut Section {
        self.0.get_or_insert_with(|| SECTIONS.with(Spares::take).unwrap_or_default())
    }

    /// Reads a block of `name: value` lines, each ended by CRLF or LF.
    ///
    /// This is how a caller in another language hands over a whole field
    /// section at once.
    ///
    /// ```
    /// let headers = transom::Headers::parse(b"x-a: 1\r\nx-b: 2\r\n")?;
    /// assert_eq!(headers.get("x-b"), Some("2"));
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    ///
    /// # Errors
    /// The first line that is no valid field.
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

    /// Adds a field behind those already there.
    ///
    /// ```
    /// let mut headers = transom::Headers::new();
    /// headers.append("set-cookie", "a=1")?;
    /// headers.append("set-cookie", "b=2")?;
    /// assert_eq!(headers.len(), 2);
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    ///
    /// # Errors
    /// The name is not a token, or the value holds CR, LF, NUL or another
    /// control byte than HTAB.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidHeader> {
        let value = trim(value.as_ref());
        check(name, value)?;
        self.push(name, value);
        Ok(())
    }

    /// Sets a field, in place of every field of that name.
    ///
    /// ```
    /// let mut headers = transom::Headers::new();
    /// headers.insert("etag", "\"1\"")?;
    /// headers.insert("ETag", "\"2\"")?;
    /// assert_eq!(headers.get("etag"), Some("\"2\""));
    /// assert_eq!(headers.len(), 1);
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    ///
    /// # Errors
    /// As [`append`](Self::append); the list is then unchanged.
    pub fn insert(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidHeader> {
        let value = trim(value.as_ref());
        check(name, value)?;
        if !self.is_empty() {
            self.remove(name);
        }
        self.push(name, value);
        Ok(())
    }

    /// Adds a field whose name the caller knows to be valid.
    pub(crate) fn push_named(&mut self, name: &'static str, value: &[u8]) -> Result<(), InvalidHeader> {
        let value = trim(value);
        check_value(name, value)?;
        self.push(name, value);
        Ok(())
    }

    /// Adds a field the caller knows to be valid.
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

    /// Takes out every field of that name; says whether there was one.
    ///
    /// ```
    /// let mut headers = transom::Headers::parse(b"a: 1\nb: 2\nA: 3\n")?;
    /// assert!(headers.remove("a"));
    /// assert_eq!(headers.as_wire(), b"b: 2\r\n");
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
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

    /// The first value of that name, if it is UTF-8.
    ///
    /// ```
    /// let headers = transom::Headers::parse(b"host: example.org\n")?;
    /// assert_eq!(headers.get("Host"), Some("example.org"));
    /// assert_eq!(headers.get("accept"), None);
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get_bytes(name)?).ok()
    }

    /// The first value of that name, as the bytes that came.
    ///
    /// ```
    /// let headers = transom::Headers::parse(b"x-latin: caf\xe9\n")?;
    /// assert_eq!(headers.get_bytes("x-latin"), Some(&b"caf\xe9"[..]));
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.lines().find(|(other, _)| is_name(other, name)).map(|(_, value)| value)
    }

    /// Every value of that name, in order.
    ///
    /// ```
    /// let headers = transom::Headers::parse(b"via: a\nvia: b\n")?;
    /// assert_eq!(headers.get_all("via").collect::<Vec<_>>(), [b"a", b"b"]);
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines().filter(move |(other, _)| is_name(other, name)).map(|(_, value)| value)
    }

    /// Whether there is a field of that name.
    ///
    /// ```
    /// let headers = transom::Headers::parse(b"te: trailers\n")?;
    /// assert!(headers.contains("TE"));
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    pub fn contains(&self, name: &str) -> bool {
        self.get_bytes(name).is_some()
    }

    /// The field at that place, counted from 0: name and value.
    ///
    /// ```
    /// let headers = transom::Headers::parse(b"a: 1\nb: 2\n")?;
    /// assert_eq!(headers.nth(1), Some(("b", &b"2"[..])));
    /// assert_eq!(headers.nth(2), None);
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    pub fn nth(&self, index: usize) -> Option<(&str, &[u8])> {
        self.lines().nth(index).map(Self::parts)
    }

    /// All fields in order: name as it was written, and value.
    ///
    /// ```
    /// let headers = transom::Headers::parse(b"a: 1\nb: 2\n")?;
    /// let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["a", "b"]);
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines().map(Self::parts)
    }

    /// How many fields there are, repeated names counted each time.
    ///
    /// ```
    /// assert_eq!(transom::Headers::parse(b"a: 1\na: 2\n")?.len(), 2);
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    pub fn len(&self) -> usize {
        self.fields().len()
    }

    /// Whether there is no field at all.
    ///
    /// ```
    /// assert!(transom::Headers::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.fields().is_empty()
    }

    /// The whole section as it stands on the wire: field lines, each ended by
    /// CRLF, without the empty line behind the last.
    ///
    /// ```
    /// let mut headers = transom::Headers::new();
    /// headers.append("a", "1")?;
    /// assert_eq!(headers.as_wire(), b"a: 1\r\n");
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    pub fn as_wire(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |section| &section.text)
    }

    fn fields(&self) -> &[Field] {
        self.0.as_ref().map_or(&[], |section| &section.fields)
    }

    /// All fields in order, names as bytes: to compare them, that is enough.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let text = self.as_wire();
        self.fields().iter().map(move |field| {
            let name = &text[field.name.start as usize..field.name.end as usize];
            (name, &text[field.value.start as usize..field.value.end as usize])
        })
    }

    fn parts<'a>((name, value): (&'a [u8], &'a [u8])) -> (&'a str, &'a [u8]) {
        (std::str::from_utf8(name).unwrap_or_default(), value)
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        if let Some(mut section) = self.0.take()
            && section.text.capacity() <= LARGEST_SPARE
        {
            section.text.clear();
            section.fields.clear();
            // When a thread ends, its spares may be gone before its last message.
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
    /// Fields whose name or value the `http` crate does not take are left out.
    fn from(headers: &Headers) -> Self {
        let mut map = Self::with_capacity(headers.len());
        for (name, value) in headers.iter() {
            if let (Ok(name), Ok(value)) =
                (http::HeaderName::from_bytes(name.as_bytes()), http::HeaderValue::from_bytes(value))
            {
                map.append(name, value);
            }
        }
        map
    }
}

impl From<&http::HeaderMap> for Headers {
    fn from(map: &http::HeaderMap) -> Self {
        let mut headers = Self::new();
        for (name, value) in map {
            // An `http` value is checked by that crate: no control byte but HTAB.
            headers.push(name.as_str(), trim(value.as_bytes()));
        }
        headers
    }
}

/// A field section is bounded by the head limit, far below 4 GiB.
fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Whether two names are the same. The length tells most apart.
fn is_name(one: &[u8], other: &str) -> bool {
    one.len() == other.len() && one.eq_ignore_ascii_case(other.as_bytes())
}
