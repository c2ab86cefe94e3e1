//! Answering a request: now or later, from any thread, once.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use transom::{Body, Bytes, InvalidHeader, Response, StatusCode};

use crate::bytes::{array, copied, input, place, text};
use crate::exchange::EXCHANGES;
use crate::slots::Handle;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_callback, transom_free_fn};
use crate::writer::{self, transom_writer};

/// The right to answer one request, once. It is yours: answer with it, or free
/// it. It may be used from any thread, also long after the handler returned,
/// and outlives its server harmlessly. It is a number in the shape of a
/// pointer, so one that was used up is found out: TRANSOM_ALREADY_ANSWERED.
pub struct transom_responder {
    _nothing: [u8; 0],
}

/// One header field of a response; both texts NUL-terminated.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_header {
    /// For example "content-type".
    pub name: *const c_char,
    /// Its value, for example "text/html".
    pub value: *const c_char,
}

pub(crate) fn status_code(status: u16) -> Result<StatusCode, transom_status> {
    let code = (200..600).contains(&status).then(|| StatusCode::from_u16(status).ok()).flatten();
    code.ok_or(transom_status::TRANSOM_BAD_STATUS_CODE)
}

/// A response's head, checked.
///
/// # Safety
/// `headers` is NULL or points to `count` elements, whose texts are NULL or
/// NUL-terminated.
pub(crate) unsafe fn head(
    status: u16,
    headers: *const transom_header,
    count: usize,
) -> Result<Response, transom_status> {
    let mut response = Response::new(status_code(status)?);
    // SAFETY: passed on.
    for header in unsafe { array(headers, count) }? {
        if header.name.is_null() || header.value.is_null() {
            return Err(transom_status::TRANSOM_NULL_ARGUMENT);
        }
        // SAFETY: not NULL, and NUL-terminated as the caller says.
        let (name, value) = unsafe { (CStr::from_ptr(header.name), CStr::from_ptr(header.value)) };
        let name = name.to_str().map_err(|_| transom_status::TRANSOM_BAD_HEADER)?;
        response.headers_mut().append(name, value.to_bytes()).map_err(|error| bad_header(&error))?;
    }
    response.check_headers().map_err(|error| bad_header(&error))?;
    Ok(response)
}

/// The status for a field that cannot be sent; the log says why.
pub(crate) fn bad_header(error: &InvalidHeader) -> transom_status {
    log::error!(target: "transom", "an answer was refused: {error}");
    transom_status::TRANSOM_BAD_HEADER
}

pub(crate) fn handle(responder: *const transom_responder) -> Result<Handle, transom_status> {
    Handle::from_pointer(responder).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)
}

/// Answers with a text, as "text/plain; charset=utf-8".
///
/// Errors: as transom_responder_send, and TRANSOM_NOT_UTF8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_send_text(
    responder: *mut transom_responder,
    status: u16,
    text: *const c_char,
) -> transom_status {
    checked!({
        let handle = handle(responder)?;
        // SAFETY: NULL or valid, by the contract.
        let text = unsafe { self::text(text) }?;
        let response = Response::text(text).status(status_code(status)?);
        EXCHANGES.take(handle)?.send(response)?;
    })
}

/// Answers: status (200 to 599), header fields, body. Everything is copied.
/// `len` may be TRANSOM_NUL_TERMINATED. Each field is a line of its own: two
/// "set-cookie" are both sent.
///
/// The server adds Date, unless it is among the fields, and the fields that
/// frame the response. Of those a host may set Content-Length, to the length
/// that the body has (a longer body is cut off there, a shorter one ends the
/// connection, and the log says so; to HEAD it is the length GET would have);
/// "Connection: close"; and Upgrade in a 426. With 304,
/// Content-Encoding, Content-Language and Content-Range are left out.
///
/// Errors, after which the request may still be answered: TRANSOM_BAD_HEADER
/// (the log says why) if a field is malformed or not the host's to set
/// (Transfer-Encoding, Keep-Alive, TE, Trailer, Proxy-Connection, other
/// options of Connection, a Content-Length that is no number or in a 204);
/// TRANSOM_BAD_STATUS_CODE, TRANSOM_NULL_ARGUMENT, TRANSOM_NO_MEMORY.
/// Otherwise the responder is used up: TRANSOM_GONE if nobody waits for the
/// answer any more (the timeout "handler" has passed, the server was stopped, or
/// it has seen that the connection is broken), TRANSOM_ALREADY_ANSWERED if it was
/// used up before.
///
/// TRANSOM_OK says that the answer was taken and will be sent, not that it arrives:
/// a client may leave meanwhile, or have left without the server having seen it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_send(
    responder: *mut transom_responder,
    status: u16,
    headers: *const transom_header,
    header_count: usize,
    body: *const u8,
    len: usize,
) -> transom_status {
    checked!({
        let handle = handle(responder)?;
        // SAFETY: each NULL or valid, by the contract.
        let (head, body) = unsafe { (head(status, headers, header_count)?, input(body, len)?) };
        let body = copied(body)?;
        EXCHANGES.take(handle)?.send(head.body(body))?;
    })
}

/// The host's bytes as a body.
struct Owned {
    data: *const u8,
    len: usize,
    /// Frees the bytes when it is dropped.
    _user_data: UserData,
}

// SAFETY: the bytes are the host's gift: nobody changes them, and they may be
// read and freed on any thread.
unsafe impl Send for Owned {}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: checked when it was made, and there until `_user_data` goes.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }
}

/// As transom_responder_send, but the body is not copied: it must stay as it is
/// until `free_fn` runs, on any thread, exactly once: when it was sent, or
/// cannot be, and on every error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_send_owned(
    responder: *mut transom_responder,
    status: u16,
    headers: *const transom_header,
    header_count: usize,
    body: *const u8,
    len: usize,
    free_fn: transom_free_fn,
    user_data: *mut c_void,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        let handle = handle(responder)?;
        // SAFETY: each NULL or valid, by the contract.
        let (head, body) = unsafe { (head(status, headers, header_count)?, input(body, len)?) };
        let owned = Owned { data: body.as_ptr(), len: body.len(), _user_data: user_data };
        EXCHANGES.take(handle)?.send(head.body(Bytes::from_owner(owned)))?;
    })
}

/// Answers with a body in pieces: sends status and header fields, and gives the
/// writer for the body, which is yours. With a header field Content-Length the
/// body has that many bytes, and the writer is held to it; without, the length
/// need not be known beforehand.
///
/// To HEAD, and with the statuses 204, 205 and 304, no body is sent. The writer
/// takes what is written, for 30 seconds, and drops it; that is no error.
///
/// Errors: as transom_responder_send; `out` is then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_start(
    responder: *mut transom_responder,
    status: u16,
    headers: *const transom_header,
    header_count: usize,
    out: *mut *mut transom_writer,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let out = unsafe { place(out) }?;
        *out = ptr::null_mut();
        let handle = handle(responder)?;
        // SAFETY: as above.
        let head = unsafe { head(status, headers, header_count) }?;
        let exchange = EXCHANGES.take(handle)?;
        let (body_writer, body) = Body::channel();
        if let Err(status) = exchange.send(head.body(body)) {
            // Nobody reads it, so it is no body that breaks off.
            let _ = body_writer.finish();
            return Err(status);
        }
        *out = writer::register(body_writer)?.to_pointer();
    })
}

/// Gives a request up. If it was not answered, the client gets a 500 and the
/// log a line; if it was, nothing happens. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_free(responder: *mut transom_responder) {
    guard!((), {
        if let Some(exchange) = Handle::from_pointer(responder).and_then(|handle| EXCHANGES.take(handle).ok())
        {
            drop(exchange);
        }
    });
}

/// Whether the client has left, or closed its sending side, or nobody waits for
/// the answer any more for another reason. Also true of a used-up responder and
/// NULL. Ask during long work; there is no need to before answering: a client that
/// has only closed its sending side gets its answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_is_gone(responder: *const transom_responder) -> bool {
    guard!(true, {
        let gone =
            handle(responder).and_then(|it| EXCHANGES.look(it, |exchange| exchange.responder.is_gone()));
        gone.unwrap_or(true)
    })
}

/// Calls `function`, once, if the client leaves before it was given the whole answer;
/// at once, in this call, if it has left already. That is:
///
/// - before the answer: the client closes its sending side, or the connection breaks.
///   A client that closes both ways looks like one that only closes its sending side
///   and reads on, until something is sent; so answer all the same.
/// - after transom_responder_start, until the writer is finished or freed and all is
///   sent: the same. Whether such a client still reads, transom_writer_on_gone tells.
/// - when the server is stopped: if the request is cut off at the deadline of the stop,
///   not when the stop begins.
///
/// It is not called when the timeout "handler" passes; transom_responder_is_gone and
/// transom_events_watch_request tell of that. It runs on a thread that serves other
/// connections and must not block. The request must be answered or freed all the same.
///
/// Errors: TRANSOM_ALREADY_ANSWERED; `function` is then not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_on_gone(
    responder: *mut transom_responder,
    function: transom_callback,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        let handle = handle(responder)?;
        let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        let watch = Arc::new(Watch { function, user_data, state: AtomicU8::new(REGISTERING) });
        let watcher = Arc::clone(&watch);
        EXCHANGES.look(handle, |exchange| exchange.responder.on_gone(move || watcher.fire()))?;
        watch.arm();
    })
}

/// A watch for a client that leaves. While it is being registered a lock is
/// held, under which the host must not be called: one that fires then leaves
/// the call to who registers it.
struct Watch {
    function: unsafe extern "C" fn(*mut c_void),
    user_data: UserData,
    state: AtomicU8,
}

const REGISTERING: u8 = 0;
const ARMED: u8 = 1;
const FIRED: u8 = 2;

impl Watch {
    fn fire(&self) {
        if self.state.swap(FIRED, Ordering::AcqRel) == ARMED {
            self.call();
        }
    }

    fn arm(&self) {
        if self.state.compare_exchange(REGISTERING, ARMED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.call();
        }
    }

    fn call(&self) {
        // SAFETY: the host's function with its user data, by the contract callable on any thread.
        unsafe { (self.function)(self.user_data.pointer()) }
    }
}
