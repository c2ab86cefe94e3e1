//! Conditional requests: which preconditions a request has, and whether they hold (RFC 9110 13).

use std::time::SystemTime;

use super::validators::Validators;
use crate::Headers;

/// The outcome of the preconditions of a GET or HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Proceed,
    /// 304
    NotModified,
    /// 412
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD in the order of RFC 9110 13.2.2.
pub(super) fn evaluate(headers: &Headers, validators: &Validators) -> Outcome {
    if headers.contains("if-match") {
        if !any_matches(headers, "if-match", &validators.tag, false) {
            return Outcome::Failed;
        }
    } else if date(headers, "if-unmodified-since").is_some_and(|since| validators.modified > since) {
        return Outcome::Failed;
    }
    if headers.contains("if-none-match") {
        if any_matches(headers, "if-none-match", &validators.tag, true) {
            return Outcome::NotModified;
        }
    } else if date(headers, "if-modified-since").is_some_and(|since| validators.modified <= since) {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Returns `true` if `If-Range` allows a part: it is not there, or names this representation (RFC 9110
/// 13.1.5).
pub(super) fn allows_part(headers: &Headers, validators: &Validators) -> bool {
    let mut fields = headers.get_all("if-range");
    let Some(condition) = fields.next() else { return true };
    if fields.next().is_some() {
        return false;
    }
    // A weak tag identifies no bytes, and neither does the date of a file that may change again within the
    // second (RFC 9110 8.8.2.2), which is why its tag is weak.
    if validators.tag.starts_with("W/") {
        return false;
    }
    if condition.ends_with(b"\"") {
        return condition == validators.tag.as_bytes();
    }
    seconds(condition) == Some(validators.modified)
}

/// Returns the date of a field that has one. A field that is there twice, or is no date, does not count.
fn date(headers: &Headers, name: &str) -> Option<u64> {
    let mut fields = headers.get_all(name);
    match (fields.next(), fields.next()) {
        (Some(value), None) => seconds(value),
        _ => None,
    }
}

fn seconds(value: &[u8]) -> Option<u64> {
    let time = httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()?;
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

/// Returns `true` if the list of tags in the fields of a name is `*` or has this tag, by the weak or the strong
/// comparison (RFC 9110 8.8.3.2).
fn any_matches(headers: &Headers, name: &str, tag: &str, weakly: bool) -> bool {
    headers.get_all(name).any(|field| field == b"*" || Tags(field).any(|other| is_same(other, tag, weakly)))
}

fn is_same(one: &[u8], other: &str, weakly: bool) -> bool {
    let other = other.as_bytes();
    if weakly {
        let opaque = |tag| -> &[u8] { <[u8]>::strip_prefix(tag, b"W/").unwrap_or(tag) };
        opaque(one) == opaque(other)
    } else {
        !one.starts_with(b"W/") && one == other
    }
}

/// The entity tags of a list. It ends at the first byte that belongs to no tag.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !b", \t".contains(byte))?;
        let text = &self.0[start..];
        let open = if text.starts_with(b"W/") { 2 } else { 0 };
        let is_open = text.get(open) == Some(&b'"');
        let close = is_open.then(|| memchr::memchr(b'"', &text[open + 1..])).flatten();
        let Some(close) = close else {
            self.0 = b"";
            return None;
        };
        let (tag, rest) = text.split_at(open + 1 + close + 1);
        self.0 = rest;
        Some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sunday, 06-Nov-94 08:49:38 GMT";

    fn validators(tag: &str) -> Validators {
        Validators { tag: tag.into(), modified: 784_111_777 }
    }

    fn outcome(fields: &[(&str, &str)], tag: &str) -> Outcome {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.append(name, value).unwrap();
        }
        evaluate(&headers, &validators(tag))
    }

    #[test]
    fn rfc9110_13_2_2_the_precedence_of_preconditions() {
        use Outcome::{Failed, NotModified, Proceed};
        let table: &[(&[(&str, &str)], Outcome)] = &[
            (&[], Proceed),
            (&[("if-match", "\"a\"")], Proceed),
            (&[("if-match", "\"b\", \"a\"")], Proceed),
            (&[("if-match", "*")], Proceed),
            (&[("if-match", "\"b\"")], Failed),
            (&[("if-match", "W/\"a\"")], Failed),
            (&[("if-match", "a")], Failed),
            (&[("if-match", "\"b\""), ("if-match", "\"a\"")], Proceed),
            (&[("if-match", "\"a\""), ("if-unmodified-since", EARLIER)], Proceed),
            (&[("if-match", "\"b\""), ("if-none-match", "\"a\"")], Failed),
            (&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], NotModified),
            (&[("if-unmodified-since", EARLIER)], Failed),
            (&[("if-unmodified-since", TIME)], Proceed),
            (&[("if-unmodified-since", LATER)], Proceed),
            (&[("if-unmodified-since", "yesterday")], Proceed),
            (&[("if-unmodified-since", EARLIER), ("if-none-match", "\"a\"")], Failed),
            (&[("if-none-match", "\"a\"")], NotModified),
            (&[("if-none-match", "W/\"a\"")], NotModified),
            (&[("if-none-match", "\"b\" , \"a\"")], NotModified),
            (&[("if-none-match", "\"b,\\\" ,\"a\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"b\"")], Proceed),
            (&[("if-none-match", "\"b\""), ("if-modified-since", LATER)], Proceed),
            (&[("if-none-match", "\"a\""), ("if-modified-since", EARLIER)], NotModified),
            (&[("if-modified-since", TIME)], NotModified),
            (&[("if-modified-since", LATER)], NotModified),
            (&[("if-modified-since", EARLIER)], Proceed),
            (&[("if-modified-since", "0")], Proceed),
            (&[("if-modified-since", TIME), ("if-modified-since", TIME)], Proceed),
        ];
        for (fields, expected) in table {
            assert_eq!(outcome(fields, "\"a\""), *expected, "{fields:?}");
        }
        // A weak tag never fulfils the strong comparison.
        assert_eq!(outcome(&[("if-match", "W/\"a\"")], "W/\"a\""), Failed);
        assert_eq!(outcome(&[("if-none-match", "\"a\"")], "W/\"a\""), NotModified);
    }

    #[test]
    fn rfc9110_13_1_5_if_range_names_the_very_bytes() {
        let allows = |value: &str, tag: &str| {
            let mut headers = Headers::new();
            headers.append("if-range", value).unwrap();
            allows_part(&headers, &validators(tag))
        };
        assert!(allows_part(&Headers::new(), &validators("\"a\"")));
        assert!(allows("\"a\"", "\"a\"") && allows(TIME, "\"a\""));
        for value in ["\"b\"", "W/\"a\"", EARLIER, LATER, "a", "\"a\", \"b\"", "*"] {
            assert!(!allows(value, "\"a\""), "{value}");
        }
        for value in ["W/\"a\"", "\"a\"", TIME] {
            assert!(!allows(value, "W/\"a\""), "{value}");
        }
    }
}
