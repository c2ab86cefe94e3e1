//! The answer that sends a client to the same address by `https`.

use http::StatusCode;

use crate::message::{HeadParts, Response};

/// Below this, an authority looks for its challenge, by `http` (RFC 8555 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";
/// The port that a URL by `https` need not name (RFC 9110 4.2.2).
const HTTPS_PORT: u16 = 443;

/// Returns the redirection of a request to `https` at a port. `None` if the request is to be served: it is
/// that of an authority, or there is no host to redirect to.
#[cold]
pub(super) fn to_https(head: &HeadParts, port: u16) -> Option<Response> {
    let target = &head.target;
    if target.path().starts_with(CHALLENGES) {
        return None;
    }
    let host = target.authority().or_else(|| head.headers.get("host"))?;
    let host = without_port(host);
    let mut location = match port {
        HTTPS_PORT => format!("https://{host}"),
        _ => format!("https://{host}:{port}"),
    };
    if target.path().starts_with('/') {
        location.push_str(target.path());
    }
    if let Some(query) = target.query() {
        location.push('?');
        location.push_str(query);
    }
    Some(Response::plain(StatusCode::PERMANENT_REDIRECT).header("location", &location))
}

/// Returns a host without its port. An IPv6 address is in brackets (RFC 3986 3.2.2).
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_off() {
        for (host, name) in
            [("a", "a"), ("a:80", "a"), ("a:", "a"), ("[::1]:8080", "[::1]"), ("[::1]", "[::1]")]
        {
            assert_eq!(without_port(host), name);
        }
    }
}
