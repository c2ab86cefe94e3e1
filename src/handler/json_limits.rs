//! [`JsonLimits`]: the limits on JSON in a request.

use http::StatusCode;

use super::http_error::{HttpError, HttpResult};

/// The limits on JSON that [`Request::json_within`](crate::Request::json_within) reads, with their defaults
/// in [`Request::json`](crate::Request::json).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonLimits {
    /// The most arrays and objects that are inside each other; default 100. More than 127 are refused in any
    /// case. Beyond it, the client gets a 400.
    pub depth: usize,
    /// The most bytes of the JSON; default off (`None`), so that only the limit of the body holds
    /// ([`Limits::body`](crate::Limits::body)). Beyond it, the client gets a 413.
    pub size: Option<u64>,
}

impl Default for JsonLimits {
    fn default() -> Self {
        Self { depth: 100, size: None }
    }
}

impl JsonLimits {
    /// Refuses JSON that exceeds a limit.
    pub(super) fn check(self, text: &[u8]) -> HttpResult<()> {
        if let Some(size) = self.size.filter(|size| text.len() as u64 > *size) {
            let sentence = format!("the JSON is larger than {size} bytes");
            return Err(HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, sentence));
        }
        if is_deeper(text, self.depth) {
            let sentence = format!("the JSON is nested more than {} levels deep", self.depth);
            return Err(HttpError::new(StatusCode::BAD_REQUEST, sentence));
        }
        Ok(())
    }
}

/// Returns `true` if JSON is nested more deeply. The answer for other text does not matter: it is refused.
fn is_deeper(text: &[u8], most: usize) -> bool {
    // Most JSON has fewer arrays and objects in all.
    if memchr::memchr2_iter(b'[', b'{', text).nth(most).is_none() {
        return false;
    }
    let (mut depth, mut rest) = (0_usize, text.iter());
    while let Some(byte) = rest.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            // What is in a string does not count.
            b'"' => {
                while let Some(byte) = rest.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(rest.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_and_objects_that_are_inside_each_other_count() {
        for (text, depth) in [
            ("7", 0),
            ("[]", 1),
            ("[[],[],[],{}]", 2),
            (r#"{"a":{"b":[1,2]},"c":[]}"#, 3),
            (r#"["[[[[[", "\"[[[[[", {"]}":"\\"}]"#, 2),
        ] {
            assert!(!is_deeper(text.as_bytes(), depth), "{text}");
            assert!(depth == 0 || is_deeper(text.as_bytes(), depth - 1), "{text}");
        }
    }
}
