//! The hosts that a server answers for.

use std::ffi::c_char;

use transom::LOOPBACK_HOSTS;

use crate::bytes::text;
use crate::error::{report, transom_error};
use crate::server::transom_server;
use crate::status::transom_status;

/// Answers requests for this host, and for those of other calls, only. A request with another
/// Host gets a 421. Without a call, the server answers for every host.
///
/// `host` is a name or an address: "example.com", "127.0.0.1", "[::1]". With a port
/// ("example.com:8080"), it allows that port alone; without one, any. Case does not matter.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if no Host field could be equal to `host`,
/// TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_allow_host(
    server: *mut transom_server,
    host: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: each NULL or valid, by the contract.
        let (server, host) = unsafe { (transom_server::get(server)?, text(host)?) };
        if !could_be_a_host(host) {
            return Err(transom_error::bad_setting(&format!(
                "a host is a name or an address, such as 'example.com' or '[::1]:8080', got '{}'",
                host.escape_debug()
            )));
        }
        let host = host.to_owned();
        Ok(server.set_up(|setup| setup.hosts.push(host))?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Allows the hosts by which a machine reaches itself: "localhost", "127.0.0.1" and "[::1]".
/// Call this for a server on a loopback address: it then refuses web pages whose own name
/// resolves to this machine (DNS rebinding). Otherwise as transom_server_allow_host.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_allow_loopback_hosts(
    server: *mut transom_server,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let hosts = LOOPBACK_HOSTS.map(str::to_owned);
        Ok(server.set_up(|setup| setup.hosts.extend(hosts))?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Returns `false` for a text that no valid Host field is equal to, such as a URL.
fn could_be_a_host(host: &str) -> bool {
    let stray = |byte: u8| !byte.is_ascii_graphic() || b"/?#@\\\"<>^`{|}".contains(&byte);
    !host.is_empty() && !host.bytes().any(stray)
}
