//! The connection of a request: its two ends, as the system knows them.

use crate::bytes::{borrow, store, transom_bytes};
use crate::request::{part, transom_request};

/// Returns the address at which the connection came in, as text: the server's end of a TCP
/// connection ("127.0.0.1:8080") or the Unix socket ("unix:/run/app.sock"). A server that
/// listens on several addresses can tell by it where a client connected. The first call asks
/// the system. Absent once the connection has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_local_address(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    let request = unsafe { borrow(request) };
    guard!(transom_bytes::ABSENT, {
        request.ok().and_then(transom_request::local_address).map(str::as_bytes).into()
    })
}

/// Returns the scheme of the request: "https" or "http". It is the one that a trusted proxy told
/// (see transom_server_trust_forwarded), or else that of the connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_scheme(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request().scheme().as_bytes())) }
}

/// Returns the host, with a port if the client sent one. It is the one that a trusted proxy told, if
/// the server asks for it (see transom_server_trust_forwarded), the one in the request target, or
/// that of the header field Host. Absent if an HTTP/1.0 client named none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_host(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| it.request().host().map(str::as_bytes)) }
}

/// Returns the other end of the connection as text, as in transom_request_peer: the proxy, if the
/// server is behind one that it trusts, and otherwise the client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_connection_peer(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    let request = unsafe { borrow(request) };
    guard!(transom_bytes::ABSENT, { request.ok().map(|request| request.connection_peer().as_bytes()).into() })
}

/// Stores the process at the other end of a Unix socket, as the kernel saw it when the client
/// connected: its number in `*pid`, and its effective user and group in `*uid` and `*gid`.
/// Any of the pointers may be NULL. Returns true if they are known. Each call asks the system.
///
/// Otherwise returns false and stores 0, UINT32_MAX and UINT32_MAX, which no process has: the
/// client came by TCP, the connection has ended, or the system is not Linux. `*pid` is also 0
/// for a process that has no number here, as a client in another container may not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_peer_credentials(
    request: *const transom_request,
    pid: *mut u32,
    uid: *mut u32,
    gid: *mut u32,
) -> bool {
    // SAFETY: NULL or valid, by the contract.
    let request = unsafe { borrow(request) };
    let found = guard!(None, { request.ok().and_then(|it| it.request().peer_credentials()) });
    let (process, user, group) =
        found.map_or((0, u32::MAX, u32::MAX), |it| (it.pid.unwrap_or(0), it.uid, it.gid));
    // SAFETY: each NULL or valid for writes, by the contract.
    unsafe {
        store(pid, process);
        store(uid, user);
        store(gid, group);
    }
    found.is_some()
}
