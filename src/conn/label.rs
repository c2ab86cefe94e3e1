//! Which request a line of the log is about.

use std::fmt;

use crate::message::HeadParts;
use crate::router::Endpoint;

/// Bytes of a method and a path that the log shows; what is longer is cut off.
const LONGEST: usize = 96;

/// A request's method and path, and the pattern of its route. Made for each request before
/// its handler is called, which takes the request; so it is no more than a copy of a few bytes.
pub(super) struct Label<'a> {
    text: [u8; LONGEST],
    length: usize,
    /// `None` if the router answers by itself.
    pattern: Option<&'a str>,
}

impl<'a> Label<'a> {
    pub fn new(head: &HeadParts, endpoint: Option<&'a Endpoint>) -> Self {
        let mut label = Self { text: [0; LONGEST], length: 0, pattern: None };
        label.push(head.method.as_str().as_bytes());
        label.push(b" ");
        label.push(head.target.path().as_bytes());
        label.pattern = endpoint.map(|endpoint| &*endpoint.pattern);
        label
    }

    fn push(&mut self, text: &[u8]) {
        let room = &mut self.text[self.length..];
        let length = text.len().min(room.len());
        room[..length].copy_from_slice(&text[..length]);
        self.length += length;
    }
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}", self.text[..self.length].escape_ascii())?;
        if self.length == LONGEST {
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
    use crate::message::RequestHead;

    #[test]
    fn a_long_path_is_cut_off() {
        let mut head = RequestHead::new();
        assert!(head.target.assign("/a?b"));
        assert_eq!(Label::new(&head, None).to_string(), "(GET /a, no route)");
        assert!(head.target.assign(&format!("/{}", "a".repeat(200))));
        assert_eq!(Label::new(&head, None).to_string(), format!("(GET /{}..., no route)", "a".repeat(91)));
    }
}
