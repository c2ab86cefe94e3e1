//! The Host field: its grammar, and which hosts a server answers for.

use http::Version;

use crate::error::Reject;

/// Returns `true` if a server with these names answers for that host. A name with a port stands for
/// that port only, one without a port for any.
pub(crate) fn is_allowed(host: &[u8], names: &[String]) -> bool {
    let name = without_port(host);
    names.iter().any(|allowed| {
        let allowed = allowed.as_bytes();
        allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(name)
    })
}

fn without_port(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        // A colon inside brackets belongs to the address.
        Some(colon) if memchr::memchr(b']', &host[colon..]).is_none() => &host[..colon],
        _ => host,
    }
}

/// Returns `true` for `uri-host [":" port]` (RFC 9110 7.2, RFC 3986 3.2.2) or an empty value.
pub(crate) fn is_host(value: &[u8]) -> bool {
    if let [b'[', rest @ ..] = value {
        let Some(end) = memchr::memchr(b']', rest) else { return false };
        return is_ip_literal(&rest[..end])
            && match &rest[end + 1..] {
                [] => true,
                [b':', port @ ..] => is_port(port),
                _ => false,
            };
    }
    // Most hosts are names without escapes.
    let end = value.iter().position(|&b| !is_name_byte(b)).unwrap_or(value.len());
    match &value[end..] {
        [] => true,
        // A port without a host is not a host.
        [b':', port @ ..] => end > 0 && is_port(port),
        _ => {
            let colon = memchr::memchr(b':', value).unwrap_or(value.len());
            is_reg_name(&value[..colon]) && value.get(colon + 1..).is_none_or(is_port)
        }
    }
}

/// Returns the fault of Host in a field section that is not split into fields, because it has too
/// many of them.
pub(super) fn host_fault(section: &[u8], version: Version) -> Option<Reject> {
    let mut hosts = 0;
    for line in section.split(|&b| b == b'\n') {
        if let Some(colon) = memchr::memchr(b':', line)
            && line[..colon].eq_ignore_ascii_case(b"host")
        {
            hosts += 1;
            if hosts > 1 || !is_host(line[colon + 1..].trim_ascii()) {
                return Some(Reject::BadHost);
            }
        }
    }
    (hosts == 0 && version == Version::HTTP_11).then_some(Reject::MissingHost)
}

fn is_port(text: &[u8]) -> bool {
    text.len() <= 5 && text.iter().all(u8::is_ascii_digit)
}

fn is_ip_literal(text: &[u8]) -> bool {
    match text {
        // IPvFuture: no version is defined, so only the grammar is checked.
        [b'v' | b'V', rest @ ..] => {
            let Some(dot) = memchr::memchr(b'.', rest) else { return false };
            let (version, address) = (&rest[..dot], &rest[dot + 1..]);
            !version.is_empty()
                && version.iter().all(u8::is_ascii_hexdigit)
                && !address.is_empty()
                && address.iter().all(|&b| is_name_byte(b) || b == b':')
        }
        _ => std::str::from_utf8(text).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()),
    }
}

fn is_reg_name(mut text: &[u8]) -> bool {
    loop {
        text = match text {
            [] => return true,
            [b'%', a, b, rest @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => rest,
            [b, rest @ ..] if is_name_byte(*b) => rest,
            _ => return false,
        }
    }
}

fn is_name_byte(b: u8) -> bool {
    NAME_BYTES[b as usize]
}

/// `unreserved` and `sub-delims` of RFC 3986 2.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0_u8;
    while b < 128 {
        table[b as usize] = b.is_ascii_alphanumeric();
        b += 1;
    }
    let marks = b"-._~!$&'()*+,;=";
    let mut at = 0;
    while at < marks.len() {
        table[marks[at] as usize] = true;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9112_3_2_host() {
        for good in ["", "h", "h:80", "h:", "127.0.0.1:1", "[::1]", "[::1]:8080", "[v1.a:b]", "a_b", "%41"] {
            assert!(is_host(good.as_bytes()), "{good:?}");
        }
        for bad in
            ["a b", "h:x", "h:1:2", "[::1", "[::1]x", "[::g]", "u@h", "h/", "%4", ":80", "\u{e9}", "h:123456"]
        {
            assert!(!is_host(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn a_server_answers_for_its_names_on_any_port_or_the_one_named() {
        let names = ["localhost".to_owned(), "[::1]".to_owned(), "example.org:8080".to_owned()];
        for host in ["localhost", "LocalHost:1", "[::1]", "[::1]:80", "example.org:8080"] {
            assert!(is_allowed(host.as_bytes(), &names), "{host}");
        }
        for host in ["", "localhost.evil", "evil", "example.org", "example.org:80", "[::2]", "::1"] {
            assert!(!is_allowed(host.as_bytes(), &names), "{host}");
        }
    }
}
