//! What the fuzz targets judge by: a strict reader of requests and one of
//! responses, written from the RFC and sharing nothing with the crate.

pub mod choices;
pub mod host;
pub mod request;
pub mod response;
pub mod site;

use transom::Limits;

/// Limits that an input of a few hundred bytes can reach.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.target = 64;
    limits.head = 512;
    limits.headers = 8;
    limits.body = 256;
    limits.chunk_extensions = 16;
    limits.trailers = 64;
    limits.drain = 64;
    limits.output = 128;
    limits
}

/// Bytes for a person to read.
pub fn shown(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// `tchar` of RFC 9110 5.6.2.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// No control but HTAB (RFC 9110 5.5).
pub fn is_text(text: &[u8]) -> bool {
    text.iter().all(|&b| b == b'\t' || !b.is_ascii_control())
}

/// Without spaces and tabs around it.
pub fn trim(text: &[u8]) -> &[u8] {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t');
    let start = text.iter().position(|b| !is_space(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !is_space(b)).map_or(start, |at| at + 1);
    &text[start..end]
}

/// Where the text first stands.
pub fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}
