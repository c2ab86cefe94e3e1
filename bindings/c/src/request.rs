//! Requests as the host reads them: borrowed views of their parts.

use std::ffi::{CStr, c_char, c_void};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use transom::{Headers, Request, Version};

use crate::bytes::{borrow, place, room, store_fields, transom_bytes, transom_field};
use crate::decoded::Decoded;
use crate::incoming::{Incoming, read_into};
use crate::status::transom_status;

/// A request, to be read with the functions below. It belongs to the library. It is valid
/// until the handler has returned and the request has been answered (by
/// transom_responder_send, _send_text, _send_owned, _send_file, _start or _free), whichever
/// is later. The bytes that the functions return are valid as long. Several threads may read
/// a request at the same time.
pub struct transom_request {
    request: Request,
    /// The body, if the route streams.
    incoming: Option<Arc<Incoming>>,
    /// The trailer fields of a body in memory.
    trailers: Headers,
    /// How much of a body in memory was read.
    position: AtomicUsize,
    /// The address of the peer as text, made when the host first asks for it.
    peer: OnceLock<String>,
    /// The other end of the connection, made in the same way.
    connection_peer: OnceLock<String>,
    /// The address at which the connection came in, made in the same way.
    local: OnceLock<Option<String>>,
    /// The query and the form, decoded when the host first asks for a value.
    query: Decoded,
    form: Decoded,
}

impl transom_request {
    /// `streams` says that the route streams.
    pub(crate) fn new(mut request: Request, streams: bool) -> Self {
        let incoming = streams.then(|| Incoming::new(mem::take(request.body_mut())));
        let trailers = request.body_mut().take_trailers();
        Self { incoming, trailers, ..Self::view(request) }
    }

    /// Returns the body, if the route streams.
    pub(crate) fn incoming(&self) -> Option<&Arc<Incoming>> {
        self.incoming.as_ref()
    }

    /// Returns the trailer fields; none before the body was read to its end.
    fn trailers(&self) -> &Headers {
        self.incoming.as_ref().and_then(|incoming| incoming.trailers()).unwrap_or(&self.trailers)
    }

    /// Reads a part of a body in memory. 0 bytes are the end.
    pub(crate) fn read_whole(&self, buf: &mut [u8]) -> usize {
        let take = |at: usize| Some(self.request.bytes().len().min(at.saturating_add(buf.len())));
        // Relaxed: each byte is given once, whatever the order. The body itself does not change.
        let before = self.position.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        let rest = &self.request.bytes()[before..];
        let length = rest.len().min(buf.len());
        buf[..length].copy_from_slice(&rest[..length]);
        length
    }

    pub(crate) fn query_decoded(&self) -> &Decoded {
        &self.query
    }

    pub(crate) fn form_decoded(&self) -> &Decoded {
        &self.form
    }

    /// Returns a request to be looked at, and then to be taken back: its body stays as it is.
    pub(crate) fn view(request: Request) -> Self {
        Self {
            request,
            incoming: None,
            trailers: Headers::new(),
            position: AtomicUsize::new(0),
            peer: OnceLock::new(),
            connection_peer: OnceLock::new(),
            local: OnceLock::new(),
            query: Decoded::default(),
            form: Decoded::default(),
        }
    }

    /// Takes the request back from a view.
    pub(crate) fn into_request(self) -> Request {
        self.request
    }

    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    pub(crate) fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }

    /// Returns the address at which the connection came in, as text.
    pub(crate) fn local_address(&self) -> Option<&str> {
        self.local.get_or_init(|| self.request.local_addr().map(|it| it.to_string())).as_deref()
    }

    /// Returns the other end of the connection, as text.
    pub(crate) fn connection_peer(&self) -> &str {
        self.connection_peer.get_or_init(|| self.request.connection_peer().to_string())
    }

    fn peer(&self) -> &str {
        self.peer.get_or_init(|| self.request.peer().to_string())
    }
}

/// Returns the part of a request that `get` picks.
///
/// # Safety
/// `request` is NULL or valid during `'a`.
pub(crate) unsafe fn part<'a>(
    request: *const transom_request,
    get: impl FnOnce(&'a transom_request) -> Option<&'a [u8]>,
) -> transom_bytes {
    // SAFETY: the caller promises it.
    let request = unsafe { borrow::<'a>(request) };
    guard!(transom_bytes::ABSENT, { request.ok().and_then(get).into() })
}

/// Returns the method, such as "GET". Methods are case-sensitive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_method(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request.method().as_str().as_bytes())) }
}

/// Returns the path of the request target without the query, percent-encoded. The path, the
/// query and the target are ASCII: other characters, which a client must send as UTF-8, are
/// percent-encoded in them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_path(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request.path().as_bytes())) }
}

/// Returns the query: the part of the request target after the first '?', percent-encoded.
/// Absent if there is no '?'.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_query(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| it.request.query().map(str::as_bytes)) }
}

/// Returns the whole request target, percent-encoded: the path and the query, or the absolute
/// form that clients send to a proxy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_target(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request.target().as_str().as_bytes())) }
}

/// Returns the whole body, without the framing of chunks. Empty if the request has no body, and
/// if the route streams (transom_route_set_streaming): read the body with transom_request_read
/// then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_body(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request.bytes())) }
}

/// Reads the body piece by piece: stores up to `cap` bytes in `buf`, and their number in `*len`.
/// 0 bytes are the end of the body. Waits until there is something, at most `timeout_ms`
/// milliseconds (0: does not wait, TRANSOM_FOREVER: no limit; the client must still keep up
/// the limit "body_rate"). The body of a route that streams (transom_route_set_streaming) comes
/// while it is read, in bounded memory: the client is asked for more only after a part was read,
/// and a client that waits for "100 Continue" gets it with the first read. Any other body is in
/// memory already.
///
/// Several threads may read; each byte goes to one of them. The response may be sent at any
/// time. Once it is sent whole, the request is not valid any more; if it is written piece by
/// piece, the body can be read until the writer has ended. The timeout "handler" starts again
/// with each part of the body that comes.
///
/// Errors after which you may read again: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and
/// TRANSOM_TIMEOUT. Errors that end the body; a response can still be sent: TRANSOM_GONE if the
/// client has left; TRANSOM_TOO_SLOW; TRANSOM_BODY_TOO_LARGE if the body exceeds the limit "body",
/// or that of the route; TRANSOM_BAD_BODY; TRANSOM_NO_MEMORY. Other errors: TRANSOM_WOULD_DEADLOCK
/// if this would have to wait on a thread that serves the connection;
/// TRANSOM_INVALID_ARGUMENT if `cap` is 0 or the time is negative. `*len` is then 0.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_read(
    request: *const transom_request,
    buf: *mut c_void,
    cap: usize,
    timeout_ms: i64,
    len: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let request = unsafe { borrow(request) }?;
        let read = |buf: &mut [u8], timeout| match &request.incoming {
            Some(incoming) => incoming.read(buf, timeout),
            None => Ok(request.read_whole(buf)),
        };
        // SAFETY: NULL or valid, by the contract.
        unsafe { read_into(buf, cap, timeout_ms, len, read) }?;
    })
}

/// Returns all header fields in the order received, as "name: value" lines that each end in
/// CR LF.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_raw_headers(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request.headers().as_wire())) }
}

/// Returns the address of the client as text: "127.0.0.1:1234", "[::1]:1234" or "unix". This is
/// the other end of the connection, or the client that a trusted proxy named: see
/// transom_server_set_proxy_protocol and transom_server_trust_forwarded. Then the port may be
/// unknown, and the text is an address alone: "192.0.2.7", "2001:db8::7". Otherwise no byte of the client's has an influence on it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_peer(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.peer().as_bytes())) }
}

/// Returns the version of HTTP: 10 for HTTP/1.0, 11 for HTTP/1.1. Returns 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_version(request: *const transom_request) -> i32 {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        match unsafe { borrow(request) } {
            Ok(it) => version(&it.request).into(),
            Err(_) => 0,
        }
    })
}

/// Returns the version of HTTP as two digits.
pub(crate) fn version(request: &Request) -> u16 {
    if request.version() == Version::HTTP_10 { 10 } else { 11 }
}

/// Returns the value of the first header field with this name, whose case does not matter.
/// Absent if there is no such field.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_header(
    request: *const transom_request,
    name: *const c_char,
) -> transom_bytes {
    // SAFETY: each NULL or valid, by the contract.
    unsafe { part(request, |it| it.request.headers().get_bytes(name_of(name)?)) }
}

/// Returns the number of header fields. A name that is repeated counts each time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_header_count(request: *const transom_request) -> usize {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        unsafe { borrow(request) }.map_or(0, |it| it.request.headers().len())
    })
}

/// Stores one header field in `*field`; its name is as it was written. `index` counts from 0
/// in the order received. The field can be sent back as it is: see transom_responder_send.
///
/// Errors: TRANSOM_OUT_OF_RANGE if there is no such field; name and value are then absent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_header_at(
    request: *const transom_request,
    index: usize,
    field: *mut transom_field,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (request, field) = unsafe { (borrow(request)?, place(field)?) };
        let found = request.request.headers().nth(index);
        *field = transom_field::of(found);
        found.ok_or(transom_status::TRANSOM_OUT_OF_RANGE)?;
    })
}

/// Stores the first `max` header fields in `out`, in the order received, and returns the number
/// of all. A name that is repeated counts each time. Call this with 0 to learn the number. The
/// fields can be sent back as they are: see transom_responder_send.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_headers(
    request: *const transom_request,
    out: *mut transom_field,
    max: usize,
) -> usize {
    // SAFETY: each NULL or valid, by the contract.
    unsafe { all(request, out, max, |it| it.request.headers()) }
}

/// Stores all fields that fit of those that `get` picks, and returns the number of all.
///
/// # Safety
/// `request` is NULL or valid. `out` is NULL or has room for `max` fields.
unsafe fn all(
    request: *const transom_request,
    out: *mut transom_field,
    max: usize,
    get: impl FnOnce(&transom_request) -> &Headers,
) -> usize {
    guard!(0, {
        // SAFETY: the caller promises it; pointers and numbers may have any value.
        match unsafe { (borrow(request), room(out, max)) } {
            (Ok(request), Ok(out)) => {
                store_fields(get(request).iter().map(|(name, value)| (name.as_bytes(), value)), out)
            }
            _ => 0,
        }
    })
}

/// Returns the value of the first trailer field with this name, whose case does not matter.
/// Absent if there is no such field, and before the body was read to its end. A trailer is what
/// the client sent after the body, and has no influence on how the request was handled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_trailer(
    request: *const transom_request,
    name: *const c_char,
) -> transom_bytes {
    // SAFETY: each NULL or valid, by the contract.
    unsafe { part(request, |it| it.trailers().get_bytes(name_of(name)?)) }
}

/// Stores one trailer field in `*field`, as transom_request_header_at does.
///
/// Errors: TRANSOM_OUT_OF_RANGE if there is no such field; name and value are then absent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_trailer_at(
    request: *const transom_request,
    index: usize,
    field: *mut transom_field,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (request, field) = unsafe { (borrow(request)?, place(field)?) };
        let found = request.trailers().nth(index);
        *field = transom_field::of(found);
        found.ok_or(transom_status::TRANSOM_OUT_OF_RANGE)?;
    })
}

/// Stores the first `max` trailer fields in `out`, and returns the number of all, as
/// transom_request_headers does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_trailers(
    request: *const transom_request,
    out: *mut transom_field,
    max: usize,
) -> usize {
    // SAFETY: each NULL or valid, by the contract.
    unsafe { all(request, out, max, transom_request::trailers) }
}

/// Returns the part of the path that {name} in the pattern of the route matched,
/// percent-decoded: it may contain a NUL, and may not be UTF-8. Absent if the pattern has no
/// such name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_param(
    request: *const transom_request,
    name: *const c_char,
) -> transom_bytes {
    // SAFETY: each NULL or valid, by the contract.
    unsafe { part(request, |it| it.request.params().get_bytes(name_of(name)?)) }
}

/// Returns the number of parameters in the pattern of the route.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_param_count(request: *const transom_request) -> usize {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        unsafe { borrow(request) }.map_or(0, |it| it.request.params().iter().count())
    })
}

/// Stores the name of one parameter and its value (see transom_request_param) in `*param`.
/// `index` counts from 0 in the order of the pattern.
///
/// Errors: TRANSOM_OUT_OF_RANGE if there is no such parameter; name and value are then absent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_param_at(
    request: *const transom_request,
    index: usize,
    param: *mut transom_field,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (request, param) = unsafe { (borrow(request)?, place(param)?) };
        let found = request.request.params().iter_bytes().nth(index);
        *param = transom_field::of(found);
        found.ok_or(transom_status::TRANSOM_OUT_OF_RANGE)?;
    })
}

/// Returns a name to look up. NULL, and a name that is not UTF-8, name nothing.
///
/// # Safety
/// `name` is NULL or NUL-terminated.
pub(crate) unsafe fn name_of<'a>(name: *const c_char) -> Option<&'a str> {
    // SAFETY: not NULL, and NUL-terminated as the caller promises.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_str().ok()).flatten()
}
