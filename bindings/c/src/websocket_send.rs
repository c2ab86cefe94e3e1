//! Sending to WebSocket connections without a copy, and to many of them at once.

use std::ffi::c_void;

use transom::{Responder, WebSocketSendError};

use crate::bytes::{array, input, place};
use crate::status::transom_status;
use crate::timeout::duration;
use crate::websocket::{Part, find, message, transom_websocket};
use crate::websocket_message::{spend, transom_websocket_message};

/// Sends a message that was received, from this or another connection, without a copy. Waits for room as
/// transom_websocket_send does. A piece is sent as a message of its own.
///
/// With TRANSOM_OK, the message belongs to the library, and `*message` is NULL. With TRANSOM_GONE, it is
/// freed, and `*message` is NULL too. After each other error it still belongs to you, for another try.
///
/// Errors: as transom_websocket_send; TRANSOM_NULL_ARGUMENT also if `*message` is NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_send_message(
    websocket: *mut transom_websocket,
    message: *mut *mut transom_websocket_message,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let message = unsafe { place(message) }?;
        let open = find(websocket)?;
        let timeout = duration(timeout_ms)?;
        // SAFETY: NULL or a message of the host, by the contract.
        unsafe { spend(message, |payload| open.send(payload, Part::Whole, timeout)) }?;
    })
}

/// Queues a message as transom_websocket_send does with a timeout of 0, and leaves it to
/// transom_websocket_flush to have it written. Use this for many connections at once, or for several
/// messages of one: the threads of the server are then woken once. Until the flush, the message may leave
/// at any time, such as with a Pong or a message that is sent.
///
/// Errors: as transom_websocket_send with a timeout of 0.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_feed(
    websocket: *mut transom_websocket,
    kind: i32,
    data: *const c_void,
    len: usize,
) -> transom_status {
    checked!({
        let open = find(websocket)?;
        // SAFETY: NULL or valid, by the contract.
        let data = unsafe { input(data, len) }?;
        open.sender().try_feed(message(kind, data)?).map_err(|error| match error {
            WebSocketSendError::Full(_) => {
                open.note_refused();
                transom_status::TRANSOM_WOULD_BLOCK
            }
            _ => transom_status::TRANSOM_GONE,
        })?;
    })
}

/// Has the messages written that transom_websocket_feed has queued for `count` connections, and wakes each
/// thread of the server at most once. It does not wait. A connection that was freed, and NULL, have
/// nothing to write.
///
/// Errors: TRANSOM_NULL_ARGUMENT if `websockets` is NULL and `count` is not 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_flush(
    websockets: *const *mut transom_websocket,
    count: usize,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let websockets = unsafe { array(websockets, count) }?;
        let open = websockets.iter().filter_map(|websocket| find(*websocket).ok());
        Responder::batch(|| open.for_each(|open| open.sender().flush()));
    })
}
