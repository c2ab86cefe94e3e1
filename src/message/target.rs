//! The request target (RFC 9112 3.2): what the request is aimed at.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::{CONTROLS, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode};

/// A request target, with its parts.
///
/// A target is ASCII. Characters beyond it, which RFC 3986 does not let into a URI and
/// which some clients send all the same, are kept as their percent-encoding, so that
/// everybody who looks at the target sees one form of it.
///
/// ```
/// let target = transom::Target::parse("/a%20b?x=1").unwrap();
/// assert_eq!(target.path(), "/a%20b");
/// assert_eq!(target.query(), Some("x=1"));
/// assert_eq!(transom::Target::parse("/caf\u{e9}").unwrap().path(), "/caf%C3%A9");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    text: String,
    parts: Parts,
}

/// What lies where in a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parts {
    authority: Range<u32>,
    path: Range<u32>,
    /// There is a percent sign somewhere.
    escaped: bool,
    /// There is a byte beyond ASCII somewhere.
    foreign: bool,
}

impl Target {
    /// Reads a target in origin-form (`/path?query`), absolute-form
    /// (`http://host/path`) or asterisk-form (`*`). Authority-form belongs to
    /// CONNECT, which an origin server refuses.
    ///
    /// ```
    /// use transom::Target;
    /// assert_eq!(Target::parse("http://example.org").unwrap().path(), "/");
    /// assert_eq!(Target::parse("*").unwrap().path(), "*");
    /// assert!(Target::parse("example.org").is_none());
    /// assert!(Target::parse("/a b").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let mut target = Self::default();
        target.assign(text).then_some(target)
    }

    /// Reads a target, in place of what there is. If it is none, nothing of what
    /// this one says counts.
    pub(crate) fn assign(&mut self, text: &str) -> bool {
        if !self.parts.read(text.as_bytes()) {
            return false;
        }
        self.text.clear();
        if self.parts.foreign {
            return self.assign_encoded(text);
        }
        self.text.push_str(text);
        true
    }

    /// Reads a target with characters beyond ASCII. They may stand in path and query
    /// only: the authority names a host, which has an encoding of its own.
    #[cold]
    fn assign_encoded(&mut self, text: &str) -> bool {
        let authority = &self.parts.authority;
        if !text[authority.start as usize..authority.end as usize].is_ascii() {
            return false;
        }
        self.text.extend(utf8_percent_encode(text, CONTROLS));
        self.parts.read(self.text.as_bytes())
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.parts = Parts::default();
    }

    /// The whole target, as sent but for what is not ASCII, which is percent-encoded.
    ///
    /// ```
    /// assert_eq!(transom::Target::parse("/a?b").unwrap().as_str(), "/a?b");
    /// ```
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path, percent-encoding and all; `/` for an absolute-form without one.
    ///
    /// ```
    /// assert_eq!(transom::Target::parse("http://h/a%2Fb?c").unwrap().path(), "/a%2Fb");
    /// ```
    pub fn path(&self) -> &str {
        match &self.text[self.parts.path.start as usize..self.parts.path.end as usize] {
            "" => "/",
            path => path,
        }
    }

    /// The query: what follows the first `?`, percent-encoding and all.
    ///
    /// ```
    /// assert_eq!(transom::Target::parse("/a?").unwrap().query(), Some(""));
    /// assert_eq!(transom::Target::parse("/a").unwrap().query(), None);
    /// ```
    pub fn query(&self) -> Option<&str> {
        self.text[self.parts.path.end as usize..].strip_prefix('?')
    }

    /// Host and port of an absolute-form target.
    ///
    /// ```
    /// assert_eq!(transom::Target::parse("http://h:8080/").unwrap().authority(), Some("h:8080"));
    /// assert_eq!(transom::Target::parse("/").unwrap().authority(), None);
    /// ```
    pub fn authority(&self) -> Option<&str> {
        let range = self.parts.authority.start as usize..self.parts.authority.end as usize;
        (!range.is_empty()).then(|| &self.text[range])
    }

    /// The path in the form routes are matched in: escapes decoded, but `%2F`
    /// and `%25` left, so that a slash inside a segment does not split it and
    /// decoding the rest later is unambiguous. Escapes that are not UTF-8 are
    /// left too.
    #[inline]
    pub(crate) fn routing_path(&self) -> Cow<'_, str> {
        let path = self.path();
        if self.parts.escaped { decoded(path).into() } else { path.into() }
    }
}

/// A path with its escapes decoded, but `%2F` and `%25`.
fn decoded(path: &str) -> String {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = find_reserved(rest) {
        decoded.extend(percent_decode_str(&rest[..at]));
        decoded.extend_from_slice(rest[at..at + 3].to_ascii_uppercase().as_bytes());
        rest = &rest[at + 3..];
    }
    decoded.extend(percent_decode_str(rest));
    String::from_utf8(decoded).unwrap_or_else(|error| escape_again(error.as_bytes()))
}

/// Text out of decoded bytes; those that are not UTF-8 are escaped again.
#[cold]
fn escape_again(decoded: &[u8]) -> String {
    let mut text = String::with_capacity(decoded.len());
    for chunk in decoded.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(percent_encode(chunk.invalid(), NON_ALPHANUMERIC));
    }
    text
}

impl Parts {
    /// Reads a target; `false` if it is none.
    fn read(&mut self, text: &[u8]) -> bool {
        let kinds = text.iter().fold(0, |kinds, &byte| kinds | BYTE_KINDS[byte as usize]);
        if kinds & FORBIDDEN != 0 {
            return false;
        }
        let has_query = kinds & QUESTION != 0;
        let query = if has_query { memchr::memchr(b'?', text) } else { None }.unwrap_or(text.len());
        let authority = match text {
            [b'/', ..] | b"*" => 0..0,
            _ => match authority(text) {
                Some(authority) => authority,
                None => return false,
            },
        };
        let Ok(end) = u32::try_from(query) else { return false };
        let narrow = |at: usize| u32::try_from(at).unwrap_or(end);
        self.authority = narrow(authority.start)..narrow(authority.end);
        self.path = self.authority.end..end;
        (self.escaped, self.foreign) = (kinds & PERCENT != 0, kinds & FOREIGN != 0);
        true
    }
}

/// Where the authority of an absolute-form lies.
#[cold]
fn authority(text: &[u8]) -> Option<Range<usize>> {
    let start = scheme_end(text)?;
    let rest = &text[start..];
    let length = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    (length > 0 && !rest[..length].contains(&b'@')).then_some(start..start + length)
}

/// The first `%2F` or `%25`.
fn find_reserved(text: &str) -> Option<usize> {
    memchr::memchr_iter(b'%', text.as_bytes())
        .find(|&at| matches!(text.as_bytes().get(at + 1..at + 3), Some(b"2F" | b"2f" | b"25")))
}

/// Where the authority starts, if the text starts with `http://` or `https://`.
fn scheme_end(text: &[u8]) -> Option<usize> {
    let schemes = [&b"http://"[..], b"https://"];
    let starts =
        |scheme: &&&[u8]| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    schemes.iter().find(starts).map(|scheme| scheme.len())
}

// The bytes of a target that are not plain, a bit for each kind: what kinds there are is
// known after one look at each byte.
const PERCENT: u8 = 1;
const FOREIGN: u8 = 2;
const QUESTION: u8 = 4;
const FORBIDDEN: u8 = 8;

/// Visible ASCII but `#`, which never is part of a target. Bytes above 0x7f are those of
/// UTF-8, as a target is read from a `str`.
static BYTE_KINDS: [u8; 256] = {
    let mut table = [FORBIDDEN; 256];
    let mut b = 0x21;
    while b < 0x7f {
        table[b] = 0;
        b += 1;
    }
    b = 0x80;
    while b < table.len() {
        table[b] = FOREIGN;
        b += 1;
    }
    table[b'#' as usize] = FORBIDDEN;
    table[b'%' as usize] = PERCENT;
    table[b'?' as usize] = QUESTION;
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_path_keeps_escaped_slash_and_percent() {
        let decoded =
            |text: &str| Target::parse(text).map(|t| t.routing_path().into_owned()).unwrap_or_default();
        assert_eq!(decoded("/plain"), "/plain");
        assert_eq!(decoded("/caf%C3%A9"), "/café");
        assert_eq!(decoded("/a%2fb%20c"), "/a%2Fb c");
        assert_eq!(decoded("/a%252Fb"), "/a%252Fb");
        assert_eq!(decoded("/%ff%C3%A9%c3"), "/%FFé%C3");
        assert_eq!(decoded("/100%"), "/100%");
    }

    #[test]
    fn rfc3986_2_5_what_is_not_ascii_is_taken_as_its_percent_encoding() {
        let read = |text: &str| Target::parse(text).unwrap();
        for text in ["/caf\u{e9}?q=\u{20ac}", "http://h/caf\u{e9}?q=\u{20ac}"] {
            let target = read(text);
            assert_eq!((target.path(), target.query()), ("/caf%C3%A9", Some("q=%E2%82%AC")));
            assert_eq!(target.routing_path(), "/café");
        }
        assert_eq!(read("/caf\u{e9}"), read("/caf%C3%A9"));
        assert_eq!(read("/%c3\u{a9}%2f\u{1f600}").as_str(), "/%c3%C2%A9%2f%F0%9F%98%80");
        assert_eq!(read("http://h?\u{e9}").query(), Some("%C3%A9"));
        for bad in
            ["\u{e9}", "*\u{e9}", "\u{e9}/", "http://h\u{e9}", "http://\u{e9}@h/", "/\u{e9}#", "/\u{e9} "]
        {
            assert_eq!(Target::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn rfc9112_3_2_forms() {
        for bad in [
            "",
            "a",
            "http://",
            "http:///x",
            "ftp://h/",
            "/a#b",
            "http://\u{e9}/",
            "http://u@h/",
            "**",
            "/a\tb",
        ] {
            assert_eq!(Target::parse(bad), None, "{bad:?}");
        }
        let target = Target::parse("HTTP://h?q").unwrap();
        assert_eq!((target.path(), target.query(), target.authority()), ("/", Some("q"), Some("h")));
    }
}
