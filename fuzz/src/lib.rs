//! The judges of the fuzz targets: a strict reader of requests and one of responses, written from
//! the RFC and sharing no code with the crate.

pub mod choices;
pub mod frames;
pub mod host;
pub mod request;
pub mod response;
pub mod site;

use transom::Limits;

/// Returns limits that an input of a few hundred bytes reaches.
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

/// Returns bytes in readable form.
pub fn shown(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// Returns `true` if every byte is a `tchar` of RFC 9110 5.6.2.
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// Returns `true` if no byte is a control except HTAB (RFC 9110 5.5).
pub fn is_text(text: &[u8]) -> bool {
    text.iter().all(|&b| b == b'\t' || !b.is_ascii_control())
}

/// Strips the spaces and tabs around a text.
pub fn trim(text: &[u8]) -> &[u8] {
    let is_space = |b: &u8| matches!(b, b' ' | b'\t');
    let start = text.iter().position(|b| !is_space(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|b| !is_space(b)).map_or(start, |at| at + 1);
    &text[start..end]
}

/// Returns the first position of the text.
pub fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}
