//! Server-sent events for many clients, each encoded once.

use std::ptr;
use std::str;

use transom::EventBroadcast;

use crate::bytes::{given, place, transom_bytes, transom_field};
use crate::error::{report, transom_error};
use crate::responder::transom_responder;
use crate::slots::{Handle, Table};
use crate::slow_reader::slow_reader;
use crate::sse::answer;
use crate::sse_event::{event, invalid, transom_sse_event, transom_sse_settings};
use crate::status::transom_status;

/// Sends the same events to many clients, and encodes each once. It belongs to you: end it with
/// transom_sse_broadcast_free. Any thread may use it. Like a responder, the pointer is a number that is
/// looked up: one that was freed is no danger, TRANSOM_ALREADY_ANSWERED.
pub struct transom_sse_broadcast {
    _nothing: [u8; 0],
}

/// Every broadcast that the host has not freed.
static BROADCASTS: Table<EventBroadcast> = Table::new();

/// Returns a broadcast that is not freed.
fn find(broadcast: *const transom_sse_broadcast) -> Result<EventBroadcast, transom_status> {
    let handle = Handle::from_pointer(broadcast).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    BROADCASTS.look(handle, EventBroadcast::clone)
}

/// Makes a broadcast and stores it in `*out`. `slow` is a transom_slow_reader: what happens to a client
/// for which as many bytes wait as may. The last `history` events are kept for clients that connect again
/// and say which they got last; 0 keeps none.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if `slow` is no transom_slow_reader; TRANSOM_IO if there are too many
/// broadcasts. `*out` is then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_sse_broadcast_new(
    slow: i32,
    history: usize,
    out: *mut *mut transom_sse_broadcast,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let out = unsafe { place(out) }?;
        *out = ptr::null_mut();
        BROADCASTS.check()?;
        let broadcast = EventBroadcast::new().slow(slow_reader(slow)?).history(history);
        *out = BROADCASTS.insert(broadcast).map_err(|_| transom_status::TRANSOM_IO)?.to_pointer();
    })
}

/// Answers a request with the events of the broadcast, from now on, as transom_responder_start_sse does.
/// The response ends when its client leaves, the server begins to stop, or the broadcast is closed or
/// freed.
///
/// `last_event_id` is what transom_request_header(request, "last-event-id") returns. If the broadcast
/// keeps events, the client first gets those after that one, or all that are kept if that one is not.
/// With {NULL, 0} it gets only new ones.
///
/// Errors: as transom_responder_start_sse; TRANSOM_ALREADY_ANSWERED also if the broadcast was freed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_sse_broadcast_subscribe(
    broadcast: *mut transom_sse_broadcast,
    responder: *mut transom_responder,
    last_event_id: transom_bytes,
    fields: *const transom_field,
    field_count: usize,
    settings: *const transom_sse_settings,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        let broadcast = find(broadcast)?;
        // SAFETY: NULL or valid, by the contract.
        let id = unsafe { given(last_event_id) }?;
        // A field that is no UTF-8 is the id of no event.
        let id = str::from_utf8(id).ok().filter(|_| !last_event_id.data.is_null());
        // SAFETY: each NULL or valid, by the contract.
        unsafe {
            answer(responder, fields, field_count, settings, |events| {
                let events = match id {
                    Some(id) => events.last_event_id(id),
                    None => events,
                };
                ((), events.subscribe(&broadcast))
            })
        }
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sends an event to all clients, and stores in `*reached` how many get it; `reached` may be NULL. Waits
/// for none.
///
/// Errors: TRANSOM_INVALID_ARGUMENT and TRANSOM_NOT_UTF8 as transom_sse_send;
/// TRANSOM_ALREADY_ANSWERED if the broadcast was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_sse_broadcast_send(
    broadcast: *mut transom_sse_broadcast,
    event: *const transom_sse_event,
    reached: *mut usize,
) -> transom_status {
    checked!({
        let broadcast = find(broadcast)?;
        // SAFETY: NULL or valid, by the contract.
        let event = unsafe { self::event(event) }?;
        let count = broadcast.send(event).map_err(invalid)?;
        // SAFETY: NULL or valid, by the contract.
        if let Some(reached) = unsafe { reached.as_mut() } {
            *reached = count;
        }
    })
}

/// Returns the number of clients that get events; 0 for NULL and for a broadcast that was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_sse_broadcast_count(broadcast: *const transom_sse_broadcast) -> usize {
    guard!(0, { find(broadcast).map_or(0, |broadcast| broadcast.len()) })
}

/// Ends the responses to all clients in order, after the events that wait. Later requests may subscribe.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the broadcast was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_sse_broadcast_close(broadcast: *mut transom_sse_broadcast) -> transom_status {
    checked!({ find(broadcast)?.close() })
}

/// Frees a broadcast, after ending its responses in order. Does nothing with NULL, nor when it was freed
/// before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_sse_broadcast_free(broadcast: *mut transom_sse_broadcast) {
    guard!((), {
        if let Some(broadcast) =
            Handle::from_pointer(broadcast).and_then(|handle| BROADCASTS.take(handle).ok())
        {
            drop(broadcast);
        }
    });
}
