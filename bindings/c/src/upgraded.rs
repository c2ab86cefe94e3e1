//! Connections that have left HTTP: raw bytes both ways.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use transom::{Body, Response};

use crate::bytes::{input, place, text, transom_field};
use crate::carry::carry;
use crate::error::{report, transom_error};
use crate::events::transom_event_kind::{
    TRANSOM_EVENT_UPGRADED_READABLE, TRANSOM_EVENT_UPGRADED_STOPPING, TRANSOM_EVENT_UPGRADED_WRITABLE,
};
use crate::events::transom_events;
use crate::exchange;
use crate::fields::headers;
use crate::incoming::{Incoming, read_into};
use crate::responder::{checked, handle, transom_responder};
use crate::slots::{Handle, Table};
use crate::status::transom_status;
use crate::timeout::duration;
use crate::user_data::{UserData, transom_callback_fn, transom_free_fn};
use crate::watch;
use crate::writer::OpenBody;

/// A connection that transom_responder_upgrade has taken out of HTTP: bytes both ways. It belongs
/// to you: end it with transom_upgraded_free. Any thread may use it, one to read and another to
/// write. Like a responder, the pointer is a number that is looked up: one that was freed is no
/// danger, TRANSOM_ALREADY_ANSWERED.
pub struct transom_upgraded {
    _nothing: [u8; 0],
}

/// Every connection that the host has not freed, of all servers.
static UPGRADED: Table<Arc<OpenConnection>> = Table::new();

/// A connection that the host has not freed. The bytes go through two bodies, which a future of the
/// server's carries from and to the client.
struct OpenConnection {
    received: Arc<Incoming>,
    sent: Arc<OpenBody>,
}

/// Returns a connection that is not freed.
fn find(upgraded: *const transom_upgraded) -> Result<Arc<OpenConnection>, transom_status> {
    let handle = Handle::from_pointer(upgraded).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    UPGRADED.look(handle, Arc::clone)
}

/// Answers with "101 Switching Protocols" and these fields, and takes the connection out of HTTP
/// (RFC 9110 7.8). From then on it carries the bytes of `protocol`, such as "websocket". Stores the
/// connection in `*out`. What is written before the 101 is out is sent after it. The request is not
/// valid any more.
///
/// The request must name the protocol in its field Upgrade, and must be read to its end. Otherwise
/// the client gets a 500, the log says why, and the connection is gone: TRANSOM_GONE. So look at
/// transom_request_header(request, "upgrade") first.
///
/// Errors: as transom_responder_send; TRANSOM_NOT_UTF8, after which the responder can still be used.
/// `*out` is then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_upgrade(
    responder: *mut transom_responder,
    protocol: *const c_char,
    fields: *const transom_field,
    field_count: usize,
    out: *mut *mut transom_upgraded,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let out = unsafe { place(out) }?;
        *out = ptr::null_mut();
        let handle = handle(responder)?;
        // SAFETY: each NULL or valid, by the contract.
        let (protocol, headers) = unsafe { (text(protocol)?, headers(fields, field_count)?) };
        let (feed, received) = Body::channel();
        let (writer, sent) = Body::channel();
        let mut response = Response::upgrade(protocol, move |stream| carry(stream, feed, sent));
        *response.headers_mut() = headers;
        let response = checked(response)?;
        let exchange = exchange::take(handle)?;
        let stopping = exchange.stopping().ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
        exchange.send(response)?;
        let sent = OpenBody::new(writer, None, stopping);
        // What was written goes out when the host frees the connection.
        sent.finish_in_the_end();
        let open = Arc::new(OpenConnection { received: Incoming::new(received), sent: Arc::new(sent) });
        let added = UPGRADED.insert(open).map_err(|_| transom_status::TRANSOM_IO)?;
        *out = added.to_pointer();
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Reads what the client has sent: stores up to `cap` bytes in `buf`, and their number in `*len`. 0
/// bytes are the end: the client has closed its sending side, and may still read. Waits until there
/// is something, at most `timeout_ms` milliseconds (0: does not wait, TRANSOM_FOREVER: no limit). At
/// most 80 KiB wait to be read; then the client has to wait.
///
/// Errors: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and TRANSOM_TIMEOUT, after which you may read
/// again; TRANSOM_GONE if the connection is broken, was cut at the deadline of a stop, or was not
/// upgraded; TRANSOM_WOULD_DEADLOCK if this would have to wait on a thread that serves the
/// connection; TRANSOM_INVALID_ARGUMENT if `cap` is 0 or the time is negative;
/// TRANSOM_ALREADY_ANSWERED if the connection was freed. `*len` is then 0.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_upgraded_read(
    upgraded: *mut transom_upgraded,
    buf: *mut c_void,
    cap: usize,
    timeout_ms: i64,
    len: *mut usize,
) -> transom_status {
    checked!({
        let read = |buf: &mut [u8], timeout| find(upgraded)?.received.read(buf, timeout);
        // SAFETY: NULL or valid, by the contract.
        unsafe { read_into(buf, cap, timeout_ms, len, read) }?;
    })
}

/// Writes `len` bytes to the client, which are copied, as transom_writer_write writes to a body: all
/// or none of them are taken. `len` may be TRANSOM_NUL_TERMINATED.
///
/// Errors: as transom_writer_write; TRANSOM_ALREADY_ANSWERED if the connection was freed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_upgraded_write(
    upgraded: *mut transom_upgraded,
    data: *const c_void,
    len: usize,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        let open = find(upgraded)?;
        // SAFETY: NULL or valid, by the contract.
        let data = unsafe { input(data, len) }?;
        open.sent.write(data, duration(timeout_ms)?)?;
    })
}

/// Calls `function` once, when there is something to read, or the end, or the connection is broken.
/// If that is so already, the call happens before this function returns.
///
/// `function` runs on a thread that serves connections and must not block; it may read and write
/// with a timeout of 0, and free the connection. It is not called if the connection is freed first.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed; `function` is not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_upgraded_on_readable(
    upgraded: *mut transom_upgraded,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({ watch::call_when_readable(&find(upgraded)?.received, function, user_data)? })
}

/// Calls `function` once, when there is room again after TRANSOM_WOULD_BLOCK, or the connection is
/// broken; otherwise as transom_upgraded_on_readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_upgraded_on_writable(
    upgraded: *mut transom_upgraded,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({ watch::call_when_writable(&find(upgraded)?.sent, function, user_data)? })
}

/// Returns true once the server was told to stop: end the protocol in order before the deadline of
/// the stop. Also returns true for NULL and for a connection that was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_upgraded_is_stopping(upgraded: *const transom_upgraded) -> bool {
    guard!(true, { find(upgraded).map_or(true, |open| open.sent.stops().has_begun()) })
}

/// Calls `function` once, when the server begins to stop; otherwise as
/// transom_responder_on_stopping. It is not called if the connection is freed first.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed; `function` is not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_upgraded_on_stopping(
    upgraded: *mut transom_upgraded,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({ find(upgraded)?.sent.stops().call(function, user_data)? })
}

/// Frees a connection and closes it, after what was written is sent. If another thread waits in
/// transom_upgraded_read or transom_upgraded_write, it goes on waiting, and the connection is closed
/// after that. Does nothing with NULL.
#[unsafe(no_mangle)]
pub extern "C" fn transom_upgraded_free(upgraded: *mut transom_upgraded) {
    guard!((), {
        if let Some(open) = Handle::from_pointer(upgraded).and_then(|handle| UPGRADED.take(handle).ok()) {
            drop(open);
        }
    });
}

/// Reports TRANSOM_EVENT_UPGRADED_READABLE to `events` once, when there is something to read, or the
/// end, or the connection is broken; at once if that is so already. Call this again after the event
/// to be told again.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_await_upgraded_readable(
    events: *mut transom_events,
    upgraded: *mut transom_upgraded,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        let open = find(upgraded)?;
        let token = upgraded.addr() as u64;
        watch::tell_when_readable(&open.received, queue, TRANSOM_EVENT_UPGRADED_READABLE, token);
    })
}

/// Reports TRANSOM_EVENT_UPGRADED_WRITABLE to `events` once, when there is room again after
/// TRANSOM_WOULD_BLOCK or the connection is broken, or at once if that is so already. Call this
/// again after the event to be told again.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_await_upgraded_writable(
    events: *mut transom_events,
    upgraded: *mut transom_upgraded,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        let open = find(upgraded)?;
        let token = upgraded.addr() as u64;
        watch::tell_when_writable(&open.sent, queue, TRANSOM_EVENT_UPGRADED_WRITABLE, token);
    })
}

/// Reports TRANSOM_EVENT_UPGRADED_STOPPING to `events` once, when the server of the connection
/// begins to stop, or at once if that is so already.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_watch_upgraded_stopping(
    events: *mut transom_events,
    upgraded: *mut transom_upgraded,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        let stops = find(upgraded)?;
        stops.sent.stops().tell(queue, TRANSOM_EVENT_UPGRADED_STOPPING, upgraded.addr() as u64);
    })
}
