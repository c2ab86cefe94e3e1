//! The result of a TLS handshake: version, cipher suite, names, certificates of the client.

use std::mem::offset_of;

use crate::bytes::{Growing, borrow, store_growing, transom_bytes};
use crate::request::{part, transom_request};

/// The result of the TLS handshake of a connection. The bytes are valid as long as the request.
/// Later versions of the library may add members at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_tls_info {
    /// sizeof(transom_tls_info), which you store here before the call.
    pub size: usize,
    /// The version of the protocol: "TLSv1.3" or "TLSv1.2".
    pub version: transom_bytes,
    /// The cipher suite by its name in the registry of IANA, such as "TLS_AES_128_GCM_SHA256".
    pub cipher: transom_bytes,
    /// The host name that the client asked for (SNI, RFC 6066 3). Absent if it named none, as when
    /// the URL has an IP address.
    pub server_name: transom_bytes,
    /// The protocol that client and server agreed on (ALPN, RFC 7301). Absent if the client
    /// offered none.
    pub alpn: transom_bytes,
    /// The number of certificates that the client sent: see transom_request_tls_peer_certificate.
    pub peer_certificates: usize,
    /// 1 if the client resumed an earlier session and saved a full handshake, or else 0.
    pub resumed: i32,
    /// 0.
    pub reserved: i32,
}

impl Growing for transom_tls_info {
    const LEAST: usize = offset_of!(transom_tls_info, reserved) + size_of::<i32>();
}

/// Stores in `*out` what the TLS handshake of the request's connection settled, and returns true.
/// Returns false and stores nothing if the connection has no TLS, and if `out->size` is not a size
/// of the structure. TLS between a client and a proxy is not seen here: see
/// transom_request_scheme.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_tls(
    request: *const transom_request,
    out: *mut transom_tls_info,
) -> bool {
    // SAFETY: NULL or valid, by the contract.
    let request = unsafe { borrow(request) };
    let info = guard!(None, {
        request.ok().and_then(|it| it.request().tls()).map(|tls| transom_tls_info {
            size: size_of::<transom_tls_info>(),
            version: transom_bytes::of(tls.version().as_bytes()),
            cipher: transom_bytes::of(tls.cipher().as_bytes()),
            server_name: tls.server_name().map(str::as_bytes).into(),
            alpn: tls.alpn().into(),
            peer_certificates: tls.peer_certificates().len(),
            resumed: tls.is_resumed().into(),
            reserved: 0,
        })
    });
    // SAFETY: NULL, or a structure with its size, by the contract.
    info.is_some_and(|info| unsafe { store_growing(out, info) }.is_ok())
}

/// Returns a certificate of the client, in DER: its own is number 0, and those that it sent with
/// it follow, in its order. They were verified (see transom_tls_add_client_authorities_file).
/// Absent if there is no such certificate. Valid as long as the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_tls_peer_certificate(
    request: *const transom_request,
    index: usize,
) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| it.request().tls()?.peer_certificates().get(index).map(Vec::as_slice)) }
}
