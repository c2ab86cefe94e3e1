//! Trailer fields: which are allowed after a chunked body (RFC 9110 6.5).

use crate::fields::{Headers, is_reserved};

/// Returns `true` if a field may be a trailer. Fields that are needed for framing, routing,
/// authentication or to understand the content may not (RFC 9110 6.5.1).
pub(crate) fn may_trail(name: &str) -> bool {
    const NEVER: &[&str] = &[
        "age",
        "authorization",
        "cache-control",
        "content-encoding",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "expect",
        "expires",
        "host",
        "location",
        "max-forwards",
        "pragma",
        "range",
        "retry-after",
        "set-cookie",
        "vary",
        "warning",
        "www-authenticate",
    ];
    let name = name.to_ascii_lowercase();
    !(is_reserved(name.as_bytes())
        || NEVER.contains(&name.as_str())
        || ["if-", "proxy-", "access-control-"].iter().any(|prefix| name.starts_with(prefix)))
}

/// Returns the fields of a received trailer section, without those that may not be trailers. The
/// decoder has checked the section line by line.
pub(crate) fn received(section: &[u8]) -> Headers {
    Headers::parse(section).map_or_else(|_| Headers::new(), |fields| permitted(&fields))
}

/// Returns the fields that may be trailers.
pub(crate) fn permitted(fields: &Headers) -> Headers {
    let mut kept = Headers::new();
    for (name, value) in fields.iter().filter(|(name, _)| may_trail(name)) {
        kept.push(name, value);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_6_5_1_what_may_not_be_a_trailer_is_left_out() {
        let section = b"Content-Length: 5\r\nX-Sum: 1\r\nHost: evil\r\nif-match: x\r\nTransfer-Encoding: chunked\r\netag: \"1\"\r\n";
        assert_eq!(received(section).as_wire(), b"X-Sum: 1\r\netag: \"1\"\r\n");
        assert!(received(b"").is_empty());
    }
}
