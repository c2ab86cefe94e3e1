//! The proxies before a server, and what it believes of them.

use std::ffi::c_char;

use transom::{Forwarded, Network};

use crate::bytes::text;
use crate::error::{report, transom_error};
use crate::names::unknown;
use crate::server::transom_server;
use crate::status::transom_status;

/// Expects a PROXY header, version 1 or 2, at the beginning of each connection, as HAProxy
/// ("send-proxy"), nginx ("proxy_protocol on") and cloud load balancers send it. This holds for
/// the sockets that are added or bound after this call, by transom_server_bind,
/// transom_server_listen_fd and transom_server_start. With `networks` NULL, the sockets after this
/// call expect none again.
///
/// `networks` has the addresses of the proxies, separated by commas: networks ("10.0.0.0/8",
/// "2001:db8::/32"), single addresses ("127.0.0.1"), and "unix" for all clients of Unix sockets. A
/// connection from another address is closed, and so is one whose header is missing or malformed:
/// TRANSOM_REJECT_UNTRUSTED_PROXY and TRANSOM_REJECT_BAD_PROXY_HEADER count them.
///
/// The client that the header names is that of transom_request_peer, of the limit
/// "connections_per_address" and of the log. Its destination is the one of
/// transom_request_local_address, and the proxy is that of transom_request_connection_peer. The
/// header has the timeout "handshake". A health check of the proxy keeps the proxy's address.
///
/// Errors: TRANSOM_BAD_ADDRESS if a network is malformed, TRANSOM_INVALID_ARGUMENT if there is
/// none, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_proxy_protocol(
    server: *mut transom_server,
    networks: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let networks = if networks.is_null() {
            None
        } else {
            // SAFETY: not NULL, and NUL-terminated by the contract.
            Some(parse(unsafe { text(networks) }?)?)
        };
        Ok(server.set_up(|setup| setup.proxies = networks)?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Believes trusted proxies where a request came from: transom_request_peer,
/// transom_request_scheme, the exchange hook and the log then tell of the real client.
/// transom_request_connection_peer still tells of the proxy, and the header fields stay as they are.
///
/// `fields` says which fields the proxies write: "x-forwarded" (X-Forwarded-For and
/// X-Forwarded-Proto, and X-Forwarded-Host if `with_host` is true) or "forwarded" (RFC 7239; its
/// "host=" if `with_host` is true). The others, which a proxy passes on as the client sent them, are
/// not believed. The proxy must set each of the fields, or remove it. With `with_host`,
/// transom_request_host and transom_server_allow_host use the host that the proxy tells.
///
/// `networks` has the addresses of the proxies, as in transom_server_set_proxy_protocol. Requests
/// on connections from other addresses are not believed. The fields are read from their end, past
/// the addresses of trusted proxies, up to the first address that is not trusted. An address that
/// is malformed or hidden ("unknown", "_name") ends the search, and the hop before it counts.
///
/// The connections of trusted proxies do not count for the limit "connections_per_address".
/// Instead, so many requests of one client may be in progress at once, and further ones get a 503.
///
/// A second call replaces the first. With `networks` NULL, no proxy is believed.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if `fields` has another name or there is no network,
/// TRANSOM_BAD_ADDRESS if a network is malformed, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_trust_forwarded(
    server: *mut transom_server,
    fields: *const c_char,
    networks: *const c_char,
    with_host: bool,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, fields) = unsafe { (transom_server::get(server)?, text(fields)?) };
        let family = match fields {
            "x-forwarded" => Forwarded::x_forwarded(),
            "forwarded" => Forwarded::rfc7239(),
            _ => {
                let known = ["x-forwarded", "forwarded"].into_iter();
                return Err(transom_error::bad_setting(&unknown("family of fields", fields, known)));
            }
        };
        let family = if with_host { family.with_host() } else { family };
        let trust = if networks.is_null() {
            None
        } else {
            // SAFETY: not NULL, and NUL-terminated by the contract.
            Some((family, parse(unsafe { text(networks) }?)?))
        };
        Ok(server.set_up(|setup| setup.trust = trust)?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Parses a list of networks that has at least one.
fn parse(text: &str) -> Result<Vec<Network>, transom_error> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    let networks: Vec<_> = members.map(str::parse).collect::<Result<_, _>>()?;
    if networks.is_empty() {
        return Err(transom_error::bad_setting("a list of networks, such as '10.0.0.0/8, ::1', is empty"));
    }
    Ok(networks)
}
