//! A request as the host reads it: borrowed views of its parts.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use transom::{Request, Version};

use crate::bytes::{borrow, transom_bytes};
use crate::status::transom_status;

/// A request: read it with the functions below. It belongs to the library and
/// is valid until both have happened: the handler has returned, and the request
/// has been answered (transom_responder_send, _send_text, _send_owned,
/// _send_file, _start or _free). What the functions give is valid as long, and may be
/// read by several threads at once.
pub struct transom_request {
    request: Request,
    /// Its text, written when it is first asked for.
    peer: OnceLock<String>,
}

impl transom_request {
    pub(crate) fn new(request: Request) -> Self {
        Self { request, peer: OnceLock::new() }
    }

    fn peer(&self) -> &str {
        self.peer.get_or_init(|| self.request.peer().to_string())
    }
}

/// The part that `get` picks, or absent.
///
/// # Safety
/// `request` is NULL or valid.
unsafe fn part(
    request: *const transom_request,
    get: impl FnOnce(&'static transom_request) -> Option<&'static [u8]>,
) -> transom_bytes {
    // SAFETY: the lifetime is made up, and gone again when only a pointer is left.
    let request = unsafe { borrow::<'static>(request) };
    guard!(transom_bytes::ABSENT, { request.ok().and_then(get).into() })
}

/// The method, for example "GET". Case counts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_method(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request.method().as_str().as_bytes())) }
}

/// The path without the query, still percent-encoded. The path, the query and the
/// target are ASCII: characters beyond it, which must come as UTF-8, are
/// percent-encoded here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_path(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request.path().as_bytes())) }
}

/// The query: what follows the first '?' of the target, still percent-encoded;
/// absent without a '?'.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_query(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| it.request.query().map(str::as_bytes)) }
}

/// The whole request target, still percent-encoded: path and query, or the
/// absolute form that clients of proxies send.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_target(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request.target().as_str().as_bytes())) }
}

/// The whole body, decoded; empty without one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_body(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request.bytes())) }
}

/// All header fields as "name: value" lines, each ended by CR LF, in the order
/// they came.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_raw_headers(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.request.headers().as_wire())) }
}

/// Who sent it, as text: "127.0.0.1:1234", "[::1]:1234", or "unix". This is the
/// other end of the connection, never something a header claims.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_peer(request: *const transom_request) -> transom_bytes {
    // SAFETY: NULL or valid, by the contract.
    unsafe { part(request, |it| Some(it.peer().as_bytes())) }
}

/// 10 for HTTP/1.0, 11 for HTTP/1.1; 0 for NULL.
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

pub(crate) fn version(request: &Request) -> u16 {
    if request.version() == Version::HTTP_10 { 10 } else { 11 }
}

/// The value of the first header field of that name; absent if there is none.
/// Names compare without regard to case.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_header(
    request: *const transom_request,
    name: *const c_char,
) -> transom_bytes {
    // SAFETY: both NULL or valid, by the contract.
    unsafe { part(request, |it| it.request.headers().get_bytes(name_of(name)?)) }
}

/// How many header fields there are, repeated names counted each time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_header_count(request: *const transom_request) -> usize {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        unsafe { borrow(request) }.map_or(0, |it| it.request.headers().len())
    })
}

/// The header field at that place, counted from 0, in the order they came: its
/// name as it was written, and its value.
///
/// TRANSOM_OUT_OF_RANGE beyond the last; name and value are then absent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_header_at(
    request: *const transom_request,
    index: usize,
    name: *mut transom_bytes,
    value: *mut transom_bytes,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let request = unsafe { borrow(request) }?;
        let field = request.request.headers().nth(index);
        // SAFETY: as above.
        unsafe { put_pair(field, name, value) }?;
        field.ok_or(transom_status::TRANSOM_OUT_OF_RANGE)?;
    })
}

/// What the {name} of the route's pattern stands for in this request,
/// percent-decoded byte for byte: it may hold a NUL or what is not UTF-8. Absent
/// if the pattern has no such name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_param(
    request: *const transom_request,
    name: *const c_char,
) -> transom_bytes {
    // SAFETY: both NULL or valid, by the contract.
    unsafe { part(request, |it| it.request.params().get_bytes(name_of(name)?)) }
}

/// How many parameters the route's pattern has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_param_count(request: *const transom_request) -> usize {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        unsafe { borrow(request) }.map_or(0, |it| it.request.params().iter().count())
    })
}

/// The parameter at that place, counted from 0, in the pattern's order: name
/// and value, as transom_request_param gives it.
///
/// TRANSOM_OUT_OF_RANGE beyond the last; name and value are then absent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_param_at(
    request: *const transom_request,
    index: usize,
    name: *mut transom_bytes,
    value: *mut transom_bytes,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let request = unsafe { borrow(request) }?;
        let param = request.request.params().iter_bytes().nth(index);
        // SAFETY: as above.
        unsafe { put_pair(param, name, value) }?;
        param.ok_or(transom_status::TRANSOM_OUT_OF_RANGE)?;
    })
}

/// Writes a name and a value, or that both are absent. The places may be one,
/// where the host wants only the value.
///
/// # Safety
/// `name` and `value` are NULL or valid for writes.
unsafe fn put_pair(
    found: Option<(&str, &[u8])>,
    name: *mut transom_bytes,
    value: *mut transom_bytes,
) -> Result<(), transom_status> {
    if name.is_null() || value.is_null() {
        return Err(transom_status::TRANSOM_NULL_ARGUMENT);
    }
    let (found_name, found_value) = found.unzip();
    // SAFETY: not NULL, and valid as the caller says.
    unsafe {
        name.write(found_name.map(str::as_bytes).into());
        value.write(found_value.into());
    }
    Ok(())
}

/// A name to look for; one that is NULL or not UTF-8 is the name of nothing.
///
/// # Safety
/// `name` is NULL or NUL-terminated.
unsafe fn name_of<'a>(name: *const c_char) -> Option<&'a str> {
    // SAFETY: passed on, NULL excluded.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_str().ok()).flatten()
}
