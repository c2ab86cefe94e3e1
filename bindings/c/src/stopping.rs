//! Requests and writers that are told when their server begins to stop.

use std::ffi::c_void;

use crate::bytes::borrow;
use crate::events::transom_event_kind::{TRANSOM_EVENT_STOPPING, TRANSOM_EVENT_WRITER_STOPPING};
use crate::events::transom_events;
use crate::exchange;
use crate::request::transom_request;
use crate::responder::{handle, transom_responder};
use crate::slots::Handle;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_callback_fn, transom_free_fn};
use crate::writer::{find, transom_writer};

/// Returns true once the server of the request was told to stop. A handler that works long, or
/// sends much, asks this to end before the deadline of the stop. Costs no lock. Returns false for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_is_stopping(request: *const transom_request) -> bool {
    guard!(false, {
        // SAFETY: NULL or valid, by the contract.
        unsafe { borrow(request) }.is_ok_and(|it| it.request().stopping().has_begun())
    })
}

/// Calls `function` once, when the server begins to stop. If the stop has begun already, the call
/// happens before this function returns. The request can then be answered before the deadline of
/// the stop, at which it would be cut off.
///
/// `function` runs on the thread that stops the server, such as the one that calls
/// transom_server_stop, and must not block. It is not called once the responder is used up.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the responder is used up; `function` is not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_on_stopping(
    responder: *mut transom_responder,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        let stops = exchange::stops(handle(responder)?)?;
        stops.call(function, user_data)?;
    })
}

/// Returns true once the server that sends the body was told to stop: finish the body before the
/// deadline of the stop. Also returns true for NULL and for a writer that has ended.
#[unsafe(no_mangle)]
pub extern "C" fn transom_writer_is_stopping(writer: *const transom_writer) -> bool {
    guard!(true, { find(writer).map_or(true, |open| open.stops().has_begun()) })
}

/// Calls `function` once, when the server begins to stop; otherwise as
/// transom_responder_on_stopping. A stream that would not end by itself sends its last event then,
/// and finishes the body: a client sees that it is complete. Without this the stream is cut off at
/// the deadline of the stop.
///
/// `function` is not called if the writer ends first. It may finish or free the writer.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the writer has ended; `function` is not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_on_stopping(
    writer: *mut transom_writer,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({ find(writer)?.stops().call(function, user_data)? })
}

/// Reports TRANSOM_EVENT_STOPPING to `events` once, when the server of a request begins to stop, or
/// at once if that is so already. `token` is the token of a pulled request, or a responder as a
/// number. No event comes once the request is answered.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the request is answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_watch_stopping(
    events: *mut transom_events,
    token: u64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        let handle = Handle::from_token(token).ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
        exchange::stops(handle)?.tell(queue, TRANSOM_EVENT_STOPPING, token);
    })
}

/// Reports TRANSOM_EVENT_WRITER_STOPPING to `events` once, when the server that sends the body of
/// the writer begins to stop, or at once if that is so already.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the writer has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_watch_writer_stopping(
    events: *mut transom_events,
    writer: *mut transom_writer,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        find(writer)?.stops().tell(queue, TRANSOM_EVENT_WRITER_STOPPING, writer.addr() as u64);
    })
}
