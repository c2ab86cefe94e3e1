//! Listening with TLS, and the redirect to it.

use std::ffi::c_char;

use crate::bytes::text;
use crate::error::{report, transom_error};
use crate::server::transom_server;
use crate::setup::{Setup, bind};
use crate::status::transom_status;
use crate::tls::{made, transom_tls};

/// Listens on an address, as transom_server_bind, and speaks TLS 1.3 and 1.2 there. The server
/// keeps its own reference to `tls`: see transom_tls. All else holds over TLS too. A request
/// without TLS gets a 400 in plain text. The limit "handshakes" and the timeout "handshake" are
/// for what comes before HTTP.
///
/// Errors: those of transom_server_bind; TRANSOM_BAD_TLS, with a message that names the file, if a
/// certificate, a key or a setting cannot be used.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_bind_tls(
    server: *mut transom_server,
    address: *const c_char,
    tls: *const transom_tls,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, address) = unsafe { (transom_server::get(server)?, text(address)?) };
        let tls = made(tls)?;
        let options = server.set_up(|setup| setup.bind_options())?;
        let listener = bind(address, options)?;
        server.set_up(|setup| {
            let listener = setup.with_steps(listener).tls(&tls);
            setup.https_port = setup.https_port.or(listener.local_addr().port());
            setup.listeners.push(listener);
        })?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Listens on an address, as transom_server_bind, and answers each request there with a 308 to
/// the same address by https. Requests below /.well-known/acme-challenge/ are served, so that an
/// authority can check who has the name (RFC 8555 8.3). `https_port` is the port of the new
/// address; 0 is that of the first socket of this server that speaks TLS.
///
/// Errors: those of transom_server_bind; TRANSOM_INVALID_ARGUMENT if `https_port` is 0 and no TCP
/// socket speaks TLS yet.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_bind_redirect(
    server: *mut transom_server,
    address: *const c_char,
    https_port: u16,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, address) = unsafe { (transom_server::get(server)?, text(address)?) };
        let (options, port) = server.set_up(|setup| (setup.bind_options(), port(setup, https_port)))?;
        let (listener, port) = (bind(address, options), port?);
        let listener = listener?;
        server.set_up(|setup| {
            let listener = setup.with_steps(listener).redirect_to_https(port);
            setup.listeners.push(listener);
        })?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Gives TLS to a socket that was added before: by transom_server_listen_fd,
/// transom_server_listen_inherited or transom_server_bind. `index` counts from 0 in the order in
/// which the sockets were added. Otherwise as transom_server_bind_tls.
///
/// Errors: TRANSOM_OUT_OF_RANGE if there is no such socket; TRANSOM_BAD_TLS;
/// TRANSOM_ALREADY_STARTED.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_listener_tls(
    server: *mut transom_server,
    index: usize,
    tls: *const transom_tls,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let tls = made(tls)?;
        server.set_up(|setup| {
            let port = setup.change_listener(index, |listener| listener.tls(&tls))?.local_addr().port();
            setup.https_port = setup.https_port.or(port);
            Ok(())
        })?
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Redirects the requests of a socket that was added before to https, as
/// transom_server_bind_redirect. `index` is as in transom_server_set_listener_tls.
///
/// Errors: TRANSOM_OUT_OF_RANGE if there is no such socket; TRANSOM_INVALID_ARGUMENT if
/// `https_port` is 0 and no TCP socket speaks TLS yet; TRANSOM_ALREADY_STARTED.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_listener_redirect(
    server: *mut transom_server,
    index: usize,
    https_port: u16,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        server.set_up(|setup| {
            let port = port(setup, https_port)?;
            setup.change_listener(index, |listener| listener.redirect_to_https(port)).map(drop)
        })?
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Returns the port that requests are redirected to.
fn port(setup: &Setup, asked: u16) -> Result<u16, transom_error> {
    let port = if asked == 0 { setup.https_port } else { Some(asked) };
    port.ok_or_else(|| {
        transom_error::bad_setting("a redirect without a port needs a TCP socket with TLS before it")
    })
}
