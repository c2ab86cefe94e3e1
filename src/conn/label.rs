//! The label of a request in the log.

use std::fmt;

use crate::handler::Endpoint;

/// Bytes of a request line that are kept; a longer method and path is cut off.
const LONGEST: usize = 96;

/// A request's method and path, and the pattern of its route. Most requests need no label: it is
/// made from the head's bytes when something has gone wrong, or before the exchange waits, because
/// the bytes may be overwritten then.
pub(super) struct Label<'a> {
    /// The start of the head, read when it is shown.
    head: [u8; LONGEST],
    length: usize,
    /// `None` if the router answers by itself.
    pattern: Option<&'a str>,
}

impl<'a> Label<'a> {
    /// Keeps the start of a well-formed head, which has `length` bytes and lies at the front of
    /// `buffer`. A copy of a fixed size costs least.
    pub fn new(buffer: &[u8], length: usize, endpoint: Option<&'a Endpoint>) -> Self {
        let head = buffer.first_chunk().copied().unwrap_or_else(|| {
            let mut head = [0; LONGEST];
            head[..buffer.len()].copy_from_slice(buffer);
            head
        });
        Self {
            head,
            length: length.min(LONGEST),
            pattern: endpoint.and_then(|endpoint| endpoint.pattern.as_deref()),
        }
    }
}

impl Label<'_> {
    /// Returns the words of the request line, as far as they are kept.
    fn words(&self) -> impl Iterator<Item = &[u8]> {
        let head = &self.head[..self.length];
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        head.split(|byte| *byte == b' ')
    }

    /// Returns the method.
    pub fn method(&self) -> Option<&str> {
        std::str::from_utf8(self.words().next()?).ok()
    }

    /// Returns the request target, if all of it is kept.
    pub fn target(&self) -> Option<&str> {
        let mut words = self.words().skip(1);
        let (target, _version) = (words.next()?, words.next()?);
        std::str::from_utf8(target).ok()
    }
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.head[..self.length];
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        let mut words = self.words();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        write!(f, "({} {}", method.escape_ascii(), path.escape_ascii())?;
        if method.len() + 1 + path.len() == head.len() {
            f.write_str("...")?;
        }
        match self.pattern {
            None => f.write_str(", no route)"),
            Some("") => f.write_str(", the fallback)"),
            Some(pattern) => write!(f, ", route {})", pattern.escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_method_and_the_path_and_a_long_one_is_cut_off() {
        let label = |target: &str| {
            let head = format!("\r\nGET {target} HTTP/1.1\r\nhost: h\r\n\r\n");
            Label::new(head.as_bytes(), head.len(), None).to_string()
        };
        assert_eq!(label("/a?b"), "(GET /a, no route)");
        let long = format!("/{}", "a".repeat(200));
        assert_eq!(label(&long), format!("(GET /{}..., no route)", "a".repeat(89)));
    }
}
