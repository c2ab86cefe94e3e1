//! Broadcasts: one message for many WebSocket connections.

use std::ffi::c_void;
use std::ptr;

use transom::Broadcast;

use crate::bytes::{input, place, store};
use crate::slots::{Handle, Table};
use crate::slow_reader::slow_reader;
use crate::status::transom_status;
use crate::websocket::{find, message, transom_websocket};

/// Sends messages to many WebSocket connections: each is encoded once for all of them, and compressed
/// once for all whose compression has the same parameters. A connection that compresses with what came
/// before (TRANSOM_WEBSOCKET_CONTEXT_TAKEOVER) gets the message without compression. Connections that
/// close are removed by themselves. All members get the messages in the same order. Any thread may use
/// it. Like a responder, the pointer is a number that is looked up: one that was freed is no danger,
/// TRANSOM_ALREADY_ANSWERED.
pub struct transom_broadcast {
    _nothing: [u8; 0],
}

/// Every broadcast that the host has not freed.
static BROADCASTS: Table<Broadcast> = Table::new();

/// Returns a broadcast that is not freed.
fn broadcast(pointer: *const transom_broadcast) -> Result<Broadcast, transom_status> {
    let handle = Handle::from_pointer(pointer).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    BROADCASTS.look(handle, Broadcast::clone)
}

/// Makes a broadcast without members and stores it in `*out`. `slow` is a transom_slow_reader: what
/// happens to a member for which as many bytes wait as may (TRANSOM_WEBSOCKET_QUEUE_LIMIT). With
/// TRANSOM_SLOW_READER_CLOSE it is closed with 1008.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if `slow` is no transom_slow_reader; TRANSOM_IO if there are too many
/// broadcasts. `*out` is then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_broadcast_new(
    slow: i32,
    out: *mut *mut transom_broadcast,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let out = unsafe { place(out) }?;
        *out = ptr::null_mut();
        let made = Broadcast::new().slow(slow_reader(slow)?);
        BROADCASTS.check()?;
        *out = BROADCASTS.insert(made).map_err(|_| transom_status::TRANSOM_IO)?.to_pointer();
    })
}

/// Adds a connection. One that is a member already is not added again. It still belongs to you: keep it
/// as long as it shall be open.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the broadcast or the connection was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_broadcast_add(
    broadcast: *mut transom_broadcast,
    websocket: *mut transom_websocket,
) -> transom_status {
    checked!({ self::broadcast(broadcast)?.add(find(websocket)?.sender()) })
}

/// Removes a connection, if it is a member. It still gets what waits for it.
///
/// Errors: as transom_broadcast_add.
#[unsafe(no_mangle)]
pub extern "C" fn transom_broadcast_remove(
    broadcast: *mut transom_broadcast,
    websocket: *mut transom_websocket,
) -> transom_status {
    checked!({
        self::broadcast(broadcast)?.remove(find(websocket)?.sender());
    })
}

/// Sends a message to all members, as transom_websocket_send does to one, without waiting for any. Stores
/// in `*reached` how many take it; `reached` may be NULL. With TRANSOM_SLOW_READER_COALESCE, those count
/// too that get it once there is room.
///
/// Errors: TRANSOM_NOT_UTF8; TRANSOM_NO_MEMORY; TRANSOM_INVALID_ARGUMENT for another kind;
/// TRANSOM_ALREADY_ANSWERED if the broadcast was freed. `*reached` is then 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_broadcast_send(
    broadcast: *mut transom_broadcast,
    kind: i32,
    data: *const c_void,
    len: usize,
    reached: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        unsafe { store(reached, 0) };
        let broadcast = self::broadcast(broadcast)?;
        // SAFETY: NULL or valid, by the contract.
        let message = message(kind, unsafe { input(data, len) }?)?;
        // SAFETY: as above.
        unsafe { store(reached, broadcast.send(message)) };
    })
}

/// Returns the number of members whose connections are open; 0 for NULL and for a broadcast that was
/// freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_broadcast_count(broadcast: *const transom_broadcast) -> usize {
    guard!(0, { self::broadcast(broadcast).map_or(0, |broadcast| broadcast.len()) })
}

/// Frees a broadcast. Its members stay as they are. Does nothing with NULL, nor when it was freed before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_broadcast_free(broadcast: *mut transom_broadcast) {
    guard!((), {
        if let Some(handle) = Handle::from_pointer(broadcast) {
            // A stale handle has nothing to free.
            drop(BROADCASTS.take(handle));
        }
    });
}
