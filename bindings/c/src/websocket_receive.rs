//! Receiving from a WebSocket connection.

use std::ffi::c_void;
use std::ptr;

use transom::WebSocketPiece;

use crate::bytes::{place, room, store};
use crate::events::transom_event_kind::TRANSOM_EVENT_WEBSOCKET_MESSAGE;
use crate::events::transom_events;
use crate::status::transom_status;
use crate::timeout::duration;
use crate::websocket::{find, transom_websocket};
use crate::websocket_message::{give, kinds, transom_websocket_message};

/// Receives the next message, and stores it in `*message`. Waits until there is one, at most
/// `timeout_ms` milliseconds (0: does not wait, TRANSOM_FOREVER: no limit). With
/// TRANSOM_WEBSOCKET_IN_PIECES, messages come in pieces as they arrive; the pieces of a text have whole
/// characters. If several threads receive, each message goes to one of them.
///
/// 64 KiB of messages may wait to be received; then the client has to wait.
///
/// Errors: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and TRANSOM_TIMEOUT, after which you may receive
/// again; TRANSOM_GONE if nothing more comes (transom_websocket_close_code says why; free the
/// connection); TRANSOM_WOULD_DEADLOCK if this would have to wait on a thread that serves connections;
/// TRANSOM_INVALID_ARGUMENT if the time is negative; TRANSOM_ALREADY_ANSWERED if the connection was
/// freed. `*message` is then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_receive(
    websocket: *mut transom_websocket,
    timeout_ms: i64,
    message: *mut *mut transom_websocket_message,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let message = unsafe { place(message) }?;
        *message = ptr::null_mut();
        let timeout = duration(timeout_ms)?;
        let taken =
            find(websocket)?.receive(timeout, |next| next.take().ok_or(transom_status::TRANSOM_GONE))?;
        *message = give(taken);
    })
}

/// Receives the next message as transom_websocket_receive does, but copies its bytes to `buf`, which has
/// room for `cap` of them. Stores their number in `*len`, the transom_websocket_kind in `*kind`, and in
/// `*is_last`, which may be NULL, if this is the last piece.
///
/// Errors: as transom_websocket_receive; TRANSOM_BUFFER_TOO_SMALL if the message does not fit: `*len` is
/// then its length, and the message is the next one still. Otherwise `*len` is 0 after an error.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_receive_into(
    websocket: *mut transom_websocket,
    buf: *mut c_void,
    cap: usize,
    timeout_ms: i64,
    kind: *mut i32,
    is_last: *mut bool,
    len: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract; bytes may have any value.
        let (buf, kind, len) = unsafe { (room(buf.cast::<u8>(), cap)?, place(kind)?, place(len)?) };
        (*kind, *len) = (0, 0);
        let timeout = duration(timeout_ms)?;
        let last = find(websocket)?.receive(timeout, |next| copy(next, buf, kind, len))?;
        // SAFETY: NULL or valid, by the contract.
        unsafe { store(is_last, last) };
    })
}

/// Copies the bytes of a message to the place of the host, unless it has too little room. Returns `true` for
/// the last piece.
fn copy(
    next: &mut Option<WebSocketPiece>,
    buf: &mut [u8],
    kind: &mut i32,
    len: &mut usize,
) -> Result<bool, transom_status> {
    let piece = next.take().ok_or(transom_status::TRANSOM_GONE)?;
    let bytes = piece.payload.as_bytes();
    *len = bytes.len();
    let Some(room) = buf.get_mut(..bytes.len()) else {
        *next = Some(piece);
        return Err(transom_status::TRANSOM_BUFFER_TOO_SMALL);
    };
    room.copy_from_slice(bytes);
    *kind = kinds::of(&piece.payload);
    Ok(piece.is_last)
}

/// Receives the next message as transom_websocket_receive_into does with a timeout of 0. If there is none,
/// this returns TRANSOM_WOULD_BLOCK, and TRANSOM_EVENT_WEBSOCKET_MESSAGE is reported to `events` once, as
/// after transom_events_await_websocket_message.
///
/// Errors: as transom_websocket_receive_into.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_receive_websocket_message(
    events: *mut transom_events,
    websocket: *mut transom_websocket,
    buf: *mut c_void,
    cap: usize,
    kind: *mut i32,
    is_last: *mut bool,
    len: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract; bytes may have any value.
        let (buf, kind, len) = unsafe { (room(buf.cast::<u8>(), cap)?, place(kind)?, place(len)?) };
        (*kind, *len) = (0, 0);
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        let open = find(websocket)?;
        let notice = open.notices.get(queue, TRANSOM_EVENT_WEBSOCKET_MESSAGE, websocket.addr() as u64);
        let last = open.receive_or_await(&notice.waker(), |next| copy(next, buf, kind, len))?;
        // SAFETY: NULL or valid, by the contract.
        unsafe { store(is_last, last) };
    })
}
