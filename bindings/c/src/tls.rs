//! TLS of a listener: certificates, keys and other settings, as an object of the host.

use std::ffi::{c_char, c_void};
use std::mem;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use transom::{Error, Tls, TlsBuilder};

use crate::bytes::{array, file_name, given, input, text, transom_bytes};
use crate::error::{report, transom_error};
use crate::slots::{Handle, Table};
use crate::status::transom_status;
use crate::timeout::duration;

/// TLS for the connections of a socket: certificates, keys, and what else a handshake needs.
/// First it takes settings; its files are read when a socket gets it (transom_server_bind_tls) or
/// by transom_tls_reload, whichever is first, and from then on the settings are fixed.
///
/// Each socket that gets it keeps its own reference: you may free the object at any time, before
/// or after the server, and the sockets keep TLS. Keep it as long as you want to call
/// transom_tls_reload. Several sockets and several servers may share one. Any thread may call its
/// functions. A call with an object that was freed returns TRANSOM_ALREADY_ANSWERED and does no
/// harm.
pub struct transom_tls {
    _nothing: [u8; 0],
}

/// The objects of the host.
static OBJECTS: Table<Arc<Mutex<State>>> = Table::new();

enum State {
    Settings(TlsBuilder),
    Made(Tls),
}

impl State {
    /// Reads the files, unless that was done.
    fn made(&mut self) -> Result<&Tls, Error> {
        if let Self::Settings(builder) = self {
            *self = Self::Made(builder.clone().build()?);
        }
        match self {
            Self::Made(tls) => Ok(tls),
            Self::Settings(_) => Err(Error::Tls { subject: "settings".into(), reason: "not read".into() }),
        }
    }
}

/// Calls `body` with the state of an object, under its lock.
fn with<R, E: From<transom_status>>(
    tls: *const transom_tls,
    body: impl FnOnce(&mut State) -> Result<R, E>,
) -> Result<R, E> {
    let handle = Handle::from_pointer(tls).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    let state = OBJECTS.look(handle, Arc::clone)?;
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    body(&mut state)
}

/// Changes the settings of an object.
fn set(tls: *mut transom_tls, change: impl FnOnce(TlsBuilder) -> TlsBuilder) -> Result<(), transom_status> {
    with(tls, |state| match state {
        State::Settings(builder) => {
            let before = mem::replace(builder, Tls::builder());
            *builder = change(before);
            Ok(())
        }
        State::Made(_) => Err(transom_status::TRANSOM_ALREADY_STARTED),
    })
}

/// Returns TLS for a listener. Reads the files if that was not done before.
pub(crate) fn made(tls: *const transom_tls) -> Result<Tls, transom_error> {
    with(tls, |state| Ok(state.made()?.clone()))
}

/// Creates TLS without a certificate. Free it with transom_tls_free. Returns NULL if there is no
/// room for another object, and in a fork of a process that has used TLS.
#[unsafe(no_mangle)]
pub extern "C" fn transom_tls_new() -> *mut transom_tls {
    guard!(ptr::null_mut(), {
        let state = Arc::new(Mutex::new(State::Settings(Tls::builder())));
        match OBJECTS
            .check()
            .and_then(|()| OBJECTS.insert(state).map_err(|_full| transom_status::TRANSOM_NO_MEMORY))
        {
            Ok(handle) => handle.to_pointer(),
            Err(_) => ptr::null_mut(),
        }
    })
}

/// Frees TLS. The sockets that have it keep it. Does nothing with NULL, nor when it was freed
/// before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_tls_free(tls: *mut transom_tls) {
    guard!((), {
        if let Some(handle) = Handle::from_pointer(tls) {
            // A stale handle has nothing to free.
            drop(OBJECTS.take(handle));
        }
    });
}

/// Adds a certificate and its key, in two files in PEM. The certificate comes first in its file,
/// and those that lead to a known authority follow. The key may be in PKCS#8, PKCS#1 or SEC1,
/// without a passphrase. At least one certificate is needed. A client gets the certificate that
/// has the name that it asks for (SNI). A client that asks for another name, or for none, gets the
/// first.
///
/// The files are not read by this call: see transom_tls.
///
/// Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_tls_add_files(
    tls: *mut transom_tls,
    certificate: *const c_char,
    key: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or NUL-terminated, by the contract.
        let (certificate, key) = unsafe { (file_name(certificate)?, file_name(key)?) };
        set(tls, |builder| builder.files(certificate, key))?;
    })
}

/// Adds a certificate and its key in PEM, as transom_tls_add_files. The lengths may be
/// TRANSOM_NUL_TERMINATED. The bytes are copied.
///
/// Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_tls_add_pem(
    tls: *mut transom_tls,
    certificate: *const c_void,
    certificate_len: usize,
    key: *const c_void,
    key_len: usize,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or readable, by the contract.
        let (certificate, key) = unsafe { (input(certificate, certificate_len)?, input(key, key_len)?) };
        set(tls, |builder| builder.pem(certificate, key))?;
    })
}

/// Asks each client for a certificate that one of the authorities in this file, in PEM, has
/// issued. A client without one gets no connection, unless certificates are optional
/// (transom_tls_set_client_certificates_optional). transom_request_tls_peer_certificate returns
/// them. Further calls add authorities.
///
/// Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_tls_add_client_authorities_file(
    tls: *mut transom_tls,
    authorities: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: NULL or NUL-terminated, by the contract.
        let authorities = unsafe { file_name(authorities) }?;
        set(tls, |builder| builder.client_authorities_file(authorities))?;
    })
}

/// The same with the certificates of the authorities in PEM. The length may be
/// TRANSOM_NUL_TERMINATED. The bytes are copied.
///
/// Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_tls_add_client_authorities(
    tls: *mut transom_tls,
    pem: *const c_void,
    len: usize,
) -> transom_status {
    checked!({
        // SAFETY: NULL or readable, by the contract.
        let pem = unsafe { input(pem, len) }?;
        set(tls, |builder| builder.client_authorities(pem))?;
    })
}

/// Adds a file with a list, in PEM, of certificates of clients that are revoked (RFC 5280 5).
///
/// Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_tls_add_client_revocations_file(
    tls: *mut transom_tls,
    revocations: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: NULL or NUL-terminated, by the contract.
        let revocations = unsafe { file_name(revocations) }?;
        set(tls, |builder| builder.client_revocations_file(revocations))?;
    })
}

/// Lets clients in that have no certificate. A certificate that a client does send must be valid.
///
/// Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_tls_set_client_certificates_optional(tls: *mut transom_tls) -> transom_status {
    checked!({
        set(tls, TlsBuilder::client_certificates_optional)?;
    })
}

/// Sets the protocols that the server offers (ALPN), the preferred one first; without a call that
/// is "http/1.1". A client that offers only others gets no connection (RFC 7301 3.2). With a
/// `count` of 0, whatever the client offers is ignored. The lengths may be TRANSOM_NUL_TERMINATED
/// (see TRANSOM_TEXT).
///
/// There are at most 16 protocols, each of 1 to 255 bytes; others are refused when the files are
/// read.
///
/// Errors: TRANSOM_ALREADY_STARTED if the settings are fixed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_tls_set_protocols(
    tls: *mut transom_tls,
    protocols: *const transom_bytes,
    count: usize,
) -> transom_status {
    checked!({
        // SAFETY: NULL or readable, by the contract.
        let protocols = unsafe { array(protocols, count) }?;
        // SAFETY: as above.
        let protocols = protocols.iter().map(|protocol| unsafe { given(*protocol) });
        let protocols: Vec<_> = protocols.collect::<Result<_, _>>()?;
        set(tls, |builder| builder.protocols(protocols))?;
    })
}

/// Sets the least version of TLS, "1.2" or "1.3"; without a call it is 1.2.
///
/// Errors: TRANSOM_BAD_TLS for another text; TRANSOM_ALREADY_STARTED if the settings are fixed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_tls_set_least_version(
    tls: *mut transom_tls,
    version: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or NUL-terminated, by the contract.
        let version = unsafe { text(version) }?.parse()?;
        Ok(set(tls, |builder| builder.least_version(version))?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Reads the files again when they have changed. A handshake looks for that, at most once in
/// `interval_ms` milliseconds, on a thread that serves connections: the files are best on a local
/// disk. If the new files are not valid, the log says why, and the old ones stay in use. Without a
/// call, only transom_tls_reload reads them again.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the interval is negative; TRANSOM_ALREADY_STARTED if the
/// settings are fixed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_tls_set_watch(tls: *mut transom_tls, interval_ms: i64) -> transom_status {
    checked!({
        let interval = duration(interval_ms)?.ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        set(tls, |builder| builder.watch(interval))?;
    })
}

/// Reads the files again: certificates, keys, authorities and revocations. Handshakes that begin
/// from now on use what was read. Connections that are open stay as they are. If no socket has
/// this TLS yet, the files are read for the first time, which checks the settings.
///
/// Errors: TRANSOM_BAD_TLS; the message names the file and says what is wrong: it cannot be read,
/// it holds no certificate or no key, or the key is not that of the certificate. What was in use
/// stays in use.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_tls_reload(
    tls: *mut transom_tls,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        with(tls, |state| match state {
            State::Made(tls) => Ok(tls.reload()?),
            State::Settings(_) => Ok(state.made().map(drop)?),
        })
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Puts a certificate and a key in PEM in place of all that there were, as a client of ACME does
/// that keeps them in memory. The lengths may be TRANSOM_NUL_TERMINATED. The bytes are copied.
///
/// Errors: as transom_tls_reload.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_tls_replace(
    tls: *mut transom_tls,
    certificate: *const c_void,
    certificate_len: usize,
    key: *const c_void,
    key_len: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: each NULL or readable, by the contract.
        let (certificate, key) = unsafe { (input(certificate, certificate_len)?, input(key, key_len)?) };
        with(tls, |state| Ok(state.made()?.replace(certificate, key)?))
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}
