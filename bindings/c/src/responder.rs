//! Responders: sending the response to a request once, now or later, from any thread.

use std::ffi::{c_char, c_void};
use std::mem;
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use transom::{Body, BodyWriter, Bytes, IntoResponse as _, Response, StatusCode};

use crate::bytes::{copied, input, place, print, text, transom_field};
use crate::error::{report, transom_error};
use crate::exchange::{self, Started};
use crate::fields::{bad_header, headers};
use crate::reject;
use crate::slots::Handle;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_callback_fn, transom_free_fn};
use crate::writer::{self, transom_writer};

/// The right to send the response to one request, once. It belongs to you: send a response
/// with it, or free it. Any thread may use it, long after the handler has returned and even
/// after the server was freed. The pointer is a number that the library looks up and never
/// follows, so a responder that is used up is no danger: TRANSOM_ALREADY_ANSWERED.
pub struct transom_responder {
    _nothing: [u8; 0],
}

/// Writes the address at which the connection of a request came in to `buf`, such as "127.0.0.1:8080"
/// or "unix:/run/app.sock". Each call asks the system.
///
/// Works as snprintf: at most `cap` bytes are written, the last of which is a NUL, and the length of
/// the whole text without the NUL is returned. Returns 0 if there is no address, for a
/// transom_client, and once the response was sent or the connection has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_local_address(
    responder: *const transom_responder,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    guard!(0, {
        let handle = Handle::from_pointer(responder);
        let address =
            handle.and_then(|handle| exchange::look(handle, |_, it| it.local_addr()).ok().flatten());
        let text = address.map(|address| address.to_string()).unwrap_or_default();
        // SAFETY: NULL or valid, by the contract; bytes may have any value.
        unsafe { print(&text, buf, cap) }
    })
}

/// Returns the status code, if it is one of a final response.
pub(crate) fn status_code(status_code: u16) -> Result<StatusCode, transom_status> {
    let code = (200..600).contains(&status_code).then(|| StatusCode::from_u16(status_code).ok()).flatten();
    code.ok_or(transom_status::TRANSOM_BAD_STATUS_CODE)
}

/// Returns a response with this status code and these header fields, after checking them.
///
/// # Safety
/// `fields` is NULL or points to `count` elements, whose bytes are valid.
pub(crate) unsafe fn head(
    status_code: u16,
    fields: *const transom_field,
    count: usize,
) -> Result<Response, transom_error> {
    // SAFETY: the caller promises it.
    unsafe { unchecked_head(status_code, fields, count) }.and_then(checked)
}

/// Returns a response with this status code and these header fields, each of which is well formed.
///
/// # Safety
/// As for `head`.
unsafe fn unchecked_head(
    status_code: u16,
    fields: *const transom_field,
    count: usize,
) -> Result<Response, transom_error> {
    let code = self::status_code(status_code).map_err(|_| transom_error::bad_status_code(status_code))?;
    let mut response = Response::new(code);
    // SAFETY: the caller promises it.
    *response.headers_mut() = unsafe { headers(fields, count) }?;
    Ok(response)
}

/// Returns the response if all its header fields will be sent.
pub(crate) fn checked(response: Response) -> Result<Response, transom_error> {
    response.check_headers().map_err(|error| bad_header(&error))?;
    Ok(response)
}

/// Returns the handle that the pointer is; it must not be NULL.
pub(crate) fn handle(responder: *const transom_responder) -> Result<Handle, transom_status> {
    Handle::from_pointer(responder).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)
}

/// Sends `text`, which is NUL-terminated UTF-8, as the response. Its content type is
/// "text/plain; charset=utf-8".
///
/// Errors: as transom_responder_send; TRANSOM_NOT_UTF8, after which the responder can still
/// be used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_send_text(
    responder: *mut transom_responder,
    status_code: u16,
    text: *const c_char,
) -> transom_status {
    checked!({
        let handle = handle(responder)?;
        // SAFETY: NULL or valid, by the contract.
        let text = unsafe { self::text(text) }?;
        let response = Response::text(text).status(self::status_code(status_code)?);
        exchange::take(handle)?.send(response)?;
    })
}

/// Sends the response: a status code from 200 to 599, header fields, and a body of `len`
/// bytes. Everything is copied. `len` may be TRANSOM_NUL_TERMINATED. Each header field is
/// sent as a line of its own, so "set-cookie" may be given twice.
///
/// The server adds Date, unless you give it, and the fields that frame the body. You may set
/// some of these yourself:
///
///     Content-Length     the length of the body; the connection is closed if
///                        the body is shorter, and a longer body is cut off,
///                        with a message in the log; in the response to HEAD,
///                        the length that the response to GET would have
///     Connection: close
///     Upgrade            with status 426
///
/// With status 304, Content-Encoding, Content-Language and Content-Range are left out.
///
/// After these errors, the responder can still be used: TRANSOM_BAD_HEADER if a field is
/// malformed or only the server may set it (Transfer-Encoding, Keep-Alive, TE, Trailer,
/// Proxy-Connection, other options of Connection, a Content-Length that is not a number or
/// comes with status 204), and the message says which; TRANSOM_BAD_STATUS_CODE;
/// TRANSOM_NULL_ARGUMENT; TRANSOM_NO_MEMORY.
///
/// After any other result, the responder is used up: TRANSOM_GONE if nobody waits for the
/// response any more (the timeout "handler" has passed, the server was stopped, or the server
/// has found the connection broken); TRANSOM_ALREADY_ANSWERED if it was used up before;
/// TRANSOM_OK if the server has taken the response and will send it. TRANSOM_OK does not mean
/// that the response arrives: the client may leave, or have left without any sign.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_send(
    responder: *mut transom_responder,
    status_code: u16,
    fields: *const transom_field,
    field_count: usize,
    body: *const c_void,
    len: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        let handle = handle(responder)?;
        // SAFETY: each NULL or valid, by the contract.
        let (head, body) = unsafe { (head(status_code, fields, field_count)?, input(body, len)?) };
        let body = copied(body)?;
        exchange::take(handle)?.send(head.body(body))?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sends a body of `len` bytes with this content type, such as "image/png", as the response. The
/// body is copied. `len` may be TRANSOM_NUL_TERMINATED.
///
/// Errors: as transom_responder_send; TRANSOM_NOT_UTF8 if the content type is not, after which the
/// responder can still be used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_send_bytes(
    responder: *mut transom_responder,
    status_code: u16,
    content_type: *const c_char,
    body: *const c_void,
    len: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        let handle = handle(responder)?;
        let code = self::status_code(status_code).map_err(|_| transom_error::bad_status_code(status_code))?;
        // SAFETY: each NULL or valid, by the contract.
        let (content_type, body) = unsafe { (text(content_type)?, input(body, len)?) };
        let response = Response::bytes(content_type, copied(body)?).status(code);
        if let Some(fault) = response.fault() {
            return Err(bad_header(fault));
        }
        exchange::take(handle)?.send(response)?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// A body in memory of the host.
struct Owned {
    data: *const u8,
    len: usize,
    /// Frees the bytes when it is dropped.
    _user_data: UserData,
}

// SAFETY: by the contract nobody changes the bytes, and any thread may read and free them.
unsafe impl Send for Owned {}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `input` has checked pointer and length, and the bytes stay until `_user_data`
        // is dropped.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }
}

/// Like transom_responder_send, but does not copy the body. The body must not change until
/// the library calls `free_fn` with `user_data`. That happens exactly once, on any thread:
/// when the body was sent or cannot be sent, and after every error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_send_owned(
    responder: *mut transom_responder,
    status_code: u16,
    fields: *const transom_field,
    field_count: usize,
    body: *const c_void,
    len: usize,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
    error: *mut *mut transom_error,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    let body = || {
        let handle = handle(responder)?;
        // SAFETY: each NULL or valid, by the contract.
        let (head, body) = unsafe { (head(status_code, fields, field_count)?, input(body, len)?) };
        let owned = Owned { data: body.as_ptr(), len: body.len(), _user_data: user_data };
        exchange::take(handle)?.send(head.body(Bytes::from_owner(owned)))?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Starts a response whose body you write piece by piece: sends the status and the header
/// fields, and stores a writer for the body in `*out`. The writer belongs to you. If one of
/// the fields is Content-Length, the body must have that length. Without it, the length need
/// not be known in advance.
///
/// If trailers will follow (transom_writer_finish_with), the field Trailer may announce them.
///
/// The response to HEAD, and one with status 204, 205 or 304, is sent without a body. The
/// writer then accepts data for 30 seconds and drops it, without an error.
///
/// Errors: as transom_responder_send; `*out` is then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_start(
    responder: *mut transom_responder,
    status_code: u16,
    fields: *const transom_field,
    field_count: usize,
    out: *mut *mut transom_writer,
    error: *mut *mut transom_error,
) -> transom_status {
    // SAFETY: each NULL or valid, by the contract.
    let body = || unsafe { start(responder, status_code, fields, field_count, || Ok(Body::channel()), out) };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Like transom_responder_start, with the first `len` bytes of the body, which are copied. They leave with the
/// status and the header fields in one write; after transom_responder_start, these may leave alone. `len` may be
/// TRANSOM_NUL_TERMINATED. If the bytes go beyond a Content-Length among the fields, the response is cut off, and
/// later calls with the writer may return TRANSOM_BODY_TOO_LONG.
///
/// Errors: as transom_responder_start; TRANSOM_NO_MEMORY, after which the responder can still be used.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_start_with(
    responder: *mut transom_responder,
    status_code: u16,
    fields: *const transom_field,
    field_count: usize,
    data: *const c_void,
    len: usize,
    out: *mut *mut transom_writer,
    error: *mut *mut transom_error,
) -> transom_status {
    let channel = || {
        // SAFETY: NULL or valid, by the contract.
        let data = unsafe { input(data, len) }?;
        let (body_writer, body) = Body::channel();
        // The first bytes have room, however many they are.
        writer::write(&body_writer, data, Some(Duration::ZERO))?;
        Ok((body_writer, body))
    };
    // SAFETY: each NULL or valid, by the contract.
    let body = || unsafe { start(responder, status_code, fields, field_count, channel, out) };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Like transom_responder_start, for a body of `length` bytes in all, which is sent as the
/// Content-Length. So the client knows when it has the whole, and can show how far it is.
///
/// Errors: as transom_responder_start; TRANSOM_BAD_HEADER also if one of the fields is
/// Content-Length.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_start_sized(
    responder: *mut transom_responder,
    status_code: u16,
    fields: *const transom_field,
    field_count: usize,
    length: u64,
    out: *mut *mut transom_writer,
    error: *mut *mut transom_error,
) -> transom_status {
    let channel = || Ok(Body::sized_channel(length));
    // SAFETY: each NULL or valid, by the contract.
    let body = || unsafe { start(responder, status_code, fields, field_count, channel, out) };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Starts a response with a body of `channel`.
///
/// # Safety
/// As for `head`; `out` is NULL or valid for writes.
unsafe fn start(
    responder: *mut transom_responder,
    status_code: u16,
    fields: *const transom_field,
    count: usize,
    channel: impl FnOnce() -> Result<(BodyWriter, Body), transom_status>,
    out: *mut *mut transom_writer,
) -> Result<(), transom_error> {
    // SAFETY: the caller promises it.
    let out = unsafe { place(out) }?;
    *out = ptr::null_mut();
    let handle = handle(responder)?;
    // SAFETY: as above.
    let head = unsafe { unchecked_head(status_code, fields, count) }?;
    let (body_writer, body) = channel()?;
    if body.len().is_some() && head.headers().contains("content-length") {
        return Err(transom_error::second_length());
    }
    // With the body, because it decides whether the field Trailer may be sent.
    let response = checked(head.body(body))?;
    let (exchange, started) = Started::new(handle)?;
    let stopping = exchange.stopping().ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
    if let Err(status) = exchange.send(response) {
        // Nobody reads the body, so the log need not say that it broke off.
        let _ = body_writer.finish();
        return Err(status.into());
    }
    *out = writer::register(body_writer, started, stopping)?.to_pointer();
    Ok(())
}

/// Sends "103 Early Hints" with these fields before the response: links to what the client can
/// fetch meanwhile, such as {"link", "</style.css>; rel=preload; as=style"} (RFC 8297). May be
/// called several times. A client that speaks HTTP/1.0 gets none. The responder must still be used
/// or freed.
///
/// In the models "threads" and "sequential", hints that a handler sends go out when it waits in a
/// function of the library or returns.
///
/// Errors: TRANSOM_BAD_HEADER if a field is malformed or only the server may set it; TRANSOM_GONE
/// if nobody waits for the response any more; TRANSOM_ALREADY_ANSWERED if the responder is used up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_early_hints(
    responder: *mut transom_responder,
    fields: *const transom_field,
    field_count: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        let handle = handle(responder)?;
        let mut hints = Response::new(StatusCode::EARLY_HINTS);
        // SAFETY: NULL or valid, by the contract.
        *hints.headers_mut() = unsafe { headers(fields, field_count) }?;
        let hints = mem::take(checked(hints)?.headers_mut());
        let sent = exchange::look(handle, |_, responder| responder.early_hints(hints))?;
        sent.map_err(|_gone| transom_status::TRANSOM_GONE.into())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Refuses the request for a transom_reject, such as TRANSOM_REJECT_OVERLOADED: sends the response that
/// the server itself would send for it, with Retry-After for a 503. The refusal counts in
/// transom_server_refused and in metrics, and transom_server_set_own_body and
/// transom_server_own_answers word the response.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if `reject` is no reason, after which the responder can still be
/// used; otherwise as transom_responder_send.
#[unsafe(no_mangle)]
pub extern "C" fn transom_responder_refuse(responder: *mut transom_responder, reject: i32) -> transom_status {
    checked!({
        let handle = handle(responder)?;
        let reject = reject::reason(reject).ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        exchange::take(handle)?.send(reject.into_response())?;
    })
}

/// Frees a responder. If it was not used, the client gets a 500 and the log a message. Does
/// nothing if it is used up or NULL.
#[unsafe(no_mangle)]
pub extern "C" fn transom_responder_free(responder: *mut transom_responder) {
    guard!((), {
        if let Some(exchange) = Handle::from_pointer(responder).and_then(|handle| exchange::take(handle).ok())
        {
            drop(exchange);
        }
    });
}

/// Returns true if the client has left or has closed its sending side, or if nobody waits for
/// the response for another reason. Also returns true for NULL and for a responder that is
/// used up.
///
/// Call this to end long work early. Do not call it to decide whether to send the response: a
/// client that has only closed its sending side still gets it.
#[unsafe(no_mangle)]
pub extern "C" fn transom_responder_is_gone(responder: *const transom_responder) -> bool {
    guard!(true, {
        let gone = handle(responder).and_then(|it| exchange::look(it, |_, responder| responder.is_gone()));
        gone.unwrap_or(true)
    })
}

/// Calls `function` once if the client leaves before it has got the whole response. If the
/// client has left already, the call happens before this function returns. A client counts as
/// gone:
///
/// - Before the response is sent: when it closes its sending side, or the connection breaks.
///   A client that closes both sides looks like one that only closes its sending side and
///   goes on reading, until something is sent. So send the response all the same.
/// - After transom_responder_start, until the writer has ended and everything is sent: in the
///   same cases. transom_writer_on_gone tells whether such a client still reads.
/// - When the server is stopped: if the request is cut off at the deadline of the stop, and
///   not when the stop begins.
///
/// It is not called when the timeout "handler" passes: transom_responder_is_gone and
/// transom_events_watch_request tell that. `function` runs on a thread that serves other
/// connections and must not block. The responder must still be used or freed.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the responder is used up; `function` is not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_on_gone(
    responder: *mut transom_responder,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        let handle = handle(responder)?;
        let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        let watch = Arc::new(GoneCallback { function, user_data, state: AtomicU8::new(REGISTERING) });
        let watcher = Arc::clone(&watch);
        exchange::look(handle, |_, responder| responder.on_gone(move || watcher.fire()))?;
        watch.arm();
    })
}

/// A function of the host to call when the client leaves. A lock is held while it is
/// registered, and the host must not be called under a lock. So if the client leaves
/// meanwhile, the call is made after the registration.
struct GoneCallback {
    function: unsafe extern "C" fn(*mut c_void),
    user_data: UserData,
    state: AtomicU8,
}

const REGISTERING: u8 = 0;
const ARMED: u8 = 1;
const FIRED: u8 = 2;

impl GoneCallback {
    /// Calls the function now, or leaves that to `arm`.
    fn fire(&self) {
        if self.state.swap(FIRED, Ordering::AcqRel) == ARMED {
            self.call();
        }
    }

    /// Ends the registration. Calls the function if the client has left since it began.
    fn arm(&self) {
        if self.state.compare_exchange(REGISTERING, ARMED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.call();
        }
    }

    fn call(&self) {
        // SAFETY: the host's function with its user data; by the contract, any thread may call it.
        unsafe { (self.function)(self.user_data.pointer()) }
    }
}
