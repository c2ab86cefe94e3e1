//! The header section of a part of a multipart form (RFC 7578 4).

use std::collections::BTreeMap;

use super::error::FormError;
use super::limits::FormLimits;
use super::parameters::{Parameters, blank_trimmed, decode_extended};

/// The encodings of a part that leave its bytes as they are.
const IDENTITY: [&str; 3] = ["7bit", "8bit", "binary"];

/// The contents of the header section of a part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PartHead {
    /// Bytes that are not UTF-8 are U+FFFD.
    pub name: String,
    /// The bytes of the name as the client sent them.
    pub name_length: usize,
    /// The name of the file as the client sent it. `None` for a field.
    pub filename: Option<String>,
    pub content_type: Option<String>,
}

impl PartHead {
    /// Reads lines that CR LF separates.
    pub fn parse(head: &[u8], limits: &FormLimits) -> Result<Self, FormError> {
        let fields = fields(head)?;
        let get = |name: &str| fields.get(name).copied();
        let mut parsed = Self::names(get("content-disposition"), limits)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(encoding) = get("content-transfer-encoding")
            && !IDENTITY.iter().any(|known| encoding.eq_ignore_ascii_case(known.as_bytes()))
        {
            return Err(FormError::malformed("a part of the form has a Content-Transfer-Encoding"));
        }
        parsed.content_type = get("content-type").map(text);
        Ok(parsed)
    }

    fn names(disposition: Option<&[u8]>, limits: &FormLimits) -> Result<Self, FormError> {
        let disposition =
            disposition.ok_or(FormError::malformed("a part of the form has no Content-Disposition"))?;
        let malformed = || FormError::malformed("the Content-Disposition of a part is malformed");
        let parameters = Parameters::parse(disposition).ok_or_else(malformed)?;
        let [given, plain, extended] = ["name", "filename", "filename*"].map(|name| parameters.get(name));
        let decoded = extended.map(|value| decode_extended(value).ok_or_else(malformed)).transpose()?;
        let given = given.filter(|_| parameters.word == "form-data");
        let given = given.ok_or(FormError::malformed("a part of the form has no name"))?;
        let longest = [Some(given), plain, extended].into_iter().flatten().map(<[u8]>::len).max();
        if longest > Some(limits.name) {
            let sentence = format!("a name in the form is longer than {} bytes", limits.name);
            return Err(FormError::TooLarge(sentence));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let filename = decoded.or_else(|| plain.map(text));
        Ok(Self { name: text(given), name_length: given.len(), filename, content_type: None })
    }
}

/// Returns the header fields, by their names in lower case.
fn fields(head: &[u8]) -> Result<BTreeMap<String, &[u8]>, FormError> {
    let mut found = BTreeMap::new();
    let mut rest = (!head.is_empty()).then_some(head);
    while let Some(lines) = rest {
        let (line, after) = match memchr::memmem::find(lines, b"\r\n") {
            Some(end) => (&lines[..end], Some(&lines[end + 2..])),
            None => (lines, None),
        };
        rest = after;
        let malformed = || FormError::malformed("a header field of a part is malformed");
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
        let name = &line[..colon];
        let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'\x0b';
        let is_bare = !name.first().is_none_or(is_space) && !name.last().is_none_or(is_space);
        if !is_bare || line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(malformed());
        }
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if found.insert(name, blank_trimmed(&line[colon + 1..])).is_some() {
            return Err(FormError::malformed("a part has a header field twice"));
        }
    }
    Ok(found)
}

/// Returns the name of a file without its folders and control characters. It may be empty.
pub(super) fn safe_name(filename: &str) -> String {
    let last = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_ascii_control()).collect();
    if name == "." || name == ".." { String::new() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safe_name_is_in_no_folder() {
        for (given, safe) in [
            ("a.txt", "a.txt"),
            ("C:\\dir\\a.txt", "a.txt"),
            ("../../etc/passwd", "passwd"),
            ("..", ""),
            ("/", ""),
            ("a\0\r\n\x7fb", "ab"),
            (".\0.", ""),
            ("\u{20ac}.txt", "\u{20ac}.txt"),
        ] {
            assert_eq!(safe_name(given), safe, "{given:?}");
        }
    }
}
