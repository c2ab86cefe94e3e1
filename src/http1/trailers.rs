//! Trailer fields: which may be, and their end of a chunked body (RFC 9110 6.5).

use crate::fields::{Headers, is_reserved};

/// Returns `true` if a field may follow the body: not if it is needed for framing,
/// routing, authentication or to understand the content (RFC 9110 6.5.1).
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

/// The fields of a received trailer section; those that may not be there are
/// left out. The section was checked line by line as it was decoded.
pub(crate) fn received(section: &[u8]) -> Headers {
    Headers::parse(section).map_or_else(|_| Headers::new(), |fields| permitted(&fields))
}

/// Without the fields that may not be trailers.
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
