//! The rules for compressing a response, and its fields (RFC 9110 8.4, 8.8.3.3, 12.5.5).

use super::super::accept_encoding::Coding;
use super::types::Types;
use crate::Headers;
use crate::Response;
use crate::StatusCode;

/// Fields of a response that must be sent as it is: it has a coding or is a part, or a field is a checksum
/// of its bytes (RFC 9530; RFC 3230; RFC 2616 14.15).
const FIXED: [&str; 6] =
    ["content-encoding", "content-range", "content-digest", "repr-digest", "digest", "content-md5"];

/// Returns `true` if a response may be compressed: whether it is depends on the client.
pub(super) fn is_compressible(response: &Response, types: &Types, min_size: u64) -> bool {
    let (status, headers) = (response.status_code(), response.headers());
    let has_content = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        );
    has_content
        && response.body_ref().len().is_none_or(|length| length >= min_size)
        && headers.get_bytes("content-type").is_some_and(|of| types.have(of))
        && !FIXED.iter().any(|name| headers.contains(name))
        && !is_fixed_for_caches(headers)
}

/// Returns `true` for `Cache-Control: no-transform` (RFC 9111 5.2.2.6). A handler sets it for a response with
/// a secret beside what a client has sent.
fn is_fixed_for_caches(headers: &Headers) -> bool {
    let elements = headers.get_all("cache-control").flat_map(|value| value.split(|byte| *byte == b','));
    elements.map(<[u8]>::trim_ascii).any(|element| element.eq_ignore_ascii_case(b"no-transform"))
}

/// Tells caches that the response depends on Accept-Encoding.
pub(super) fn vary(response: &mut Response) {
    let names = response.headers().get_all("vary").flat_map(|value| value.split(|byte| *byte == b','));
    let is_named = |name: &[u8]| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding");
    if !names.map(<[u8]>::trim_ascii).any(is_named) {
        // The name and the value are valid.
        let _ = response.headers_mut().append("vary", "accept-encoding");
    }
}

/// Sets the fields of a compressed response.
pub(super) fn mark(response: &mut Response, coding: Coding) {
    weaken(response);
    let headers = response.headers_mut();
    let _ = headers.insert("content-encoding", coding.name());
    // Parts of what is compressed anew for each response cannot be asked for.
    headers.remove("accept-ranges");
    headers.remove("content-length");
}

/// Makes the entity tag weak: the bytes are others, and the content is the same (RFC 9110 8.8.3.3).
pub(super) fn weaken(response: &mut Response) {
    let Some(tag) = response.headers().get_bytes("etag") else { return };
    if !tag.starts_with(b"W/") {
        let weak = [b"W/", tag].concat();
        let _ = response.headers_mut().insert("etag", weak);
    }
}

/// Returns `true` if a 304 is for a client that has the compressed content: its weak tag is that of the
/// response.
pub(super) fn has_compressed(request: &[u8], response: &Response) -> bool {
    let Some(tag) = response.headers().get_bytes("etag").filter(|tag| !tag.starts_with(b"W/")) else {
        return false;
    };
    request.split(|byte| *byte == b',').any(|asked| asked.trim_ascii().strip_prefix(b"W/") == Some(tag))
}
