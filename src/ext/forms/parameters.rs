//! The values of header fields that have parameters, such as `form-data; name="a"` (RFC 9110 5.6.6).

use percent_encoding::percent_decode;

/// The first word of a value in lower case, and its parameters with their names in lower case.
pub(super) struct Parameters {
    pub word: String,
    parameters: Vec<(String, Vec<u8>)>,
}

impl Parameters {
    /// Returns `None` if the value is malformed, or has a parameter twice.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
        let word = String::from_utf8_lossy(blank_trimmed(&value[..end])).to_ascii_lowercase();
        let mut parsed = Self { word, parameters: Vec::new() };
        let mut rest = &value[end..];
        while let Some(after) = skip_blanks(rest).strip_prefix(b";") {
            rest = after;
            let Some((name, after)) = name(after) else {
                // A semicolon that no parameter follows.
                continue;
            };
            let (content, after) = content(after);
            if parsed.get(&name).is_some() {
                return None;
            }
            parsed.parameters.push((name, content));
            rest = after;
        }
        skip_blanks(rest).is_empty().then_some(parsed)
    }

    /// Returns the value of a parameter. The name is in lower case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.parameters.iter().find(|(other, _)| other == name).map(|(_, value)| &value[..])
    }
}

/// Decodes the value of a parameter whose name ends in `*` (RFC 8187). Returns `None` if it is malformed.
pub(super) fn decode_extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (charset, encoded) = (parts.next()?, parts.nth(1)?);
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(byte);
    let mut pieces = encoded.split(|byte| *byte == b'%');
    let is_encoded = |piece: &[u8]| {
        let (digits, rest) = piece.split_at_checked(2)?;
        Some(digits.iter().all(u8::is_ascii_hexdigit) && rest.iter().all(is_plain))
    };
    let starts_plain = pieces.next().is_none_or(|piece| piece.iter().all(is_plain));
    if !starts_plain || !pieces.all(|piece| is_encoded(piece).unwrap_or_default()) {
        return None;
    }
    let bytes = percent_decode(encoded);
    if charset.eq_ignore_ascii_case(b"utf-8") {
        bytes.decode_utf8().ok().map(Into::into)
    } else {
        charset.eq_ignore_ascii_case(b"iso-8859-1").then(|| bytes.map(char::from).collect())
    }
}

/// Splits the name of a parameter and its `=` off.
fn name(bytes: &[u8]) -> Option<(String, &[u8])> {
    let bytes = skip_blanks(bytes);
    let length = bytes.iter().take_while(|byte| is_token(**byte)).count();
    let after = skip_blanks(&bytes[length..]).strip_prefix(b"=")?;
    (length > 0).then(|| (String::from_utf8_lossy(&bytes[..length]).to_ascii_lowercase(), skip_blanks(after)))
}

/// Splits the content of a parameter off: a quoted string with escapes that ends where the parameter
/// ends, or a quoted string as browsers write it, in which a backslash is a character like any other, or
/// text up to the next semicolon.
fn content(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = bytes.strip_prefix(b"\"") else {
        return plain(bytes);
    };
    if let Some((content, after)) = escaped(quoted)
        && matches!(skip_blanks(after), [] | [b';', ..])
    {
        return (content, after);
    }
    match quoted.iter().position(|byte| *byte == b'"') {
        Some(end) => (quoted[..end].to_vec(), &quoted[end + 1..]),
        None => plain(bytes),
    }
}

/// Reads a quoted string with escapes up to its end. A backslash before another character than `\` and
/// `"` stays.
fn escaped(quoted: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut content = Vec::new();
    let mut rest = quoted;
    loop {
        match rest {
            [b'"', after @ ..] => return Some((content, after)),
            [b'\\', next @ (b'"' | b'\\'), after @ ..] => {
                content.push(*next);
                rest = after;
            }
            [b'\\', next, after @ ..] => {
                content.extend([b'\\', *next]);
                rest = after;
            }
            [] | [b'\\'] => return None,
            [byte, after @ ..] => {
                content.push(*byte);
                rest = after;
            }
        }
    }
}

fn plain(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let end = bytes.iter().position(|byte| matches!(byte, b';' | b'"')).unwrap_or(bytes.len());
    (blank_trimmed(&bytes[..end]).to_vec(), &bytes[end..])
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().take_while(|byte| is_blank(**byte)).count()..]
}

/// Returns the bytes without the blanks at both ends.
pub(super) fn blank_trimmed(bytes: &[u8]) -> &[u8] {
    let bytes = skip_blanks(bytes);
    &bytes[..bytes.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<Vec<(String, String)>> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let all = Parameters::parse(value.as_bytes())?;
        let word = (String::new(), all.word.clone());
        Some([word].into_iter().chain(all.parameters.iter().map(|(n, v)| (n.clone(), text(v)))).collect())
    }

    #[test]
    fn parameters_are_read_as_browsers_and_as_the_rfc_write_them() {
        for (value, expected) in [
            ("Form-Data", &[("", "form-data")][..]),
            ("a; b=c ; D = e", &[("", "a"), ("b", "c"), ("d", "e")]),
            (r#"a; b="c;d"; e="f\"g\\h""#, &[("", "a"), ("b", "c;d"), ("e", r#"f"g\h"#)]),
            (r#"a; b="C:\dir\f.txt""#, &[("", "a"), ("b", r"C:\dir\f.txt")]),
            (r#"a; b="C:\dir\"; c=d"#, &[("", "a"), ("b", r"C:\dir\"), ("c", "d")]),
            ("a;; b=; c=\"\";", &[("", "a"), ("b", ""), ("c", "")]),
        ] {
            let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(parsed(value), Some(expected), "{value}");
        }
        for value in ["a; b", "a; b=\"c", "a; b=\"c\"d", "a; b=c; B=d", "a; =c", "a; b=c\"d"] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    #[test]
    fn extended_values_are_decoded() {
        for (value, expected) in [
            ("UTF-8''%e2%82%ac.txt", Some("\u{20ac}.txt")),
            ("iso-8859-1'en'%e9", Some("\u{e9}")),
            ("utf-8''", Some("")),
            ("utf-8''%e9", None),
            ("utf-8''a b", None),
            ("utf-8''a'b", None),
            ("utf-8''%e", None),
            ("utf-16''a", None),
            ("utf-8", None),
        ] {
            assert_eq!(decode_extended(value.as_bytes()).as_deref(), expected, "{value}");
        }
    }
}
