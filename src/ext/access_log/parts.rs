//! The parts of an exchange, as the formats of a log share them.

use std::net::SocketAddr;

use super::text::{push_escaped, push_ip, push_ipv4};
use crate::Ended;
use crate::Exchange;
use crate::Method;
use crate::Peer;
use crate::Reject;
use crate::Target;
use crate::Version;

/// Adds the address of the client.
#[inline]
pub(super) fn push_client(line: &mut Vec<u8>, exchange: &Exchange<'_>) {
    match exchange.peer() {
        // Most clients are of this kind.
        Peer::Tcp(SocketAddr::V4(address)) => push_ipv4(line, *address.ip()),
        Peer::Unix => line.extend_from_slice(b"unix"),
        peer => match peer.ip() {
            Some(ip) => push_ip(line, ip),
            None => line.push(b'-'),
        },
    }
}

/// Adds the request line, or `-` if there was none.
#[inline]
pub(super) fn push_request_line(line: &mut Vec<u8>, exchange: &Exchange<'_>) {
    let (Some(method), Some(version)) = (exchange.method(), exchange.version()) else {
        return line.push(b'-');
    };
    // A token has nothing to escape (RFC 9110 9.1).
    line.extend_from_slice(method.as_str().as_bytes());
    line.push(b' ');
    push_escaped(line, target_of(exchange).as_bytes());
    line.extend_from_slice(if version == Version::HTTP_10 { b" HTTP/1.0" } else { b" HTTP/1.1" });
}

/// Calls `take` with the path and the query of a request target.
pub(super) fn with_parts(target: &str, take: impl FnOnce(&str, Option<&str>)) {
    match target.split_once('?') {
        // The absolute-form has a scheme and a host before the path (RFC 9112 3.2.2).
        _ if !target.starts_with('/') => {
            let parsed = Target::parse(target).unwrap_or_default();
            take(parsed.path(), parsed.query());
        }
        Some((path, query)) => take(path, Some(query)),
        None => take(target, None),
    }
}

/// Returns the method, or `-`.
pub(super) fn method_of<'a>(exchange: &'a Exchange<'_>) -> &'a str {
    exchange.method().map_or("-", Method::as_str)
}

/// Returns the request target, or `-`.
pub(super) fn target_of<'a>(exchange: &'a Exchange<'_>) -> &'a str {
    exchange.target().unwrap_or("-")
}

/// Returns the kind of failure of an exchange.
pub(super) fn error_of(exchange: &Exchange<'_>) -> Option<&'static str> {
    exchange.reject().map(Reject::reason).or(match exchange.ended() {
        Ended::Answered | Ended::Upgraded => None,
        Ended::Left => Some("left"),
        Ended::TimedOut => Some("timed-out"),
        Ended::Failed => Some("failed"),
        Ended::Cut => Some("cut"),
    })
}

/// Returns the number of a version.
pub(super) fn number_of(version: Version) -> &'static [u8] {
    if version == Version::HTTP_10 { b"1.0" } else { b"1.1" }
}
