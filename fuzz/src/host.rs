//! The grammar of a host with a port (RFC 9110 7.2, RFC 3986 3.2.2).

use std::net::Ipv6Addr;

/// Returns `true` for `uri-host [":" port]` or an empty text.
pub fn is_valid(host: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(host) else { return false };
    if text.is_empty() {
        return true;
    }
    let (name, port) = match text.rfind(']') {
        Some(end) => (&text[..=end], &text[end + 1..]),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port_is_valid = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()));
    let name_is_valid = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok() || is_future(literal),
        None => !name.is_empty() && is_name(name),
    };
    port_is_valid && name_is_valid
}

/// Returns `true` for `IPvFuture`.
fn is_future(literal: &str) -> bool {
    let Some((version, address)) = literal.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.'))
    else {
        return false;
    };
    let is_hex = !version.is_empty() && version.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex && !address.is_empty() && address.bytes().all(|b| is_plain(b) || b == b':')
}

/// Returns `true` for `reg-name`, whose escapes must be complete.
fn is_name(name: &str) -> bool {
    let mut parts = name.split('%');
    let first = parts.next().unwrap_or_default();
    first.bytes().all(is_plain)
        && parts.all(|part| {
            part.len() >= 2
                && part.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit)
                && part.bytes().all(is_plain)
        })
}

/// Returns `true` for `unreserved` and `sub-delims`.
fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&b)
}
