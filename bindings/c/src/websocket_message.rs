//! Messages that a WebSocket connection has received, as the host reads them.

use std::mem;
use std::ptr;

use transom::{Bytes, WebSocketMessage, WebSocketPiece};

use crate::bytes::transom_bytes;
use crate::status::transom_status;

/// The kinds of messages.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_websocket_kind {
    /// A text, in UTF-8.
    TRANSOM_WEBSOCKET_TEXT = 1,
    /// Bytes.
    TRANSOM_WEBSOCKET_BINARY = 2,
}

/// The kinds as numbers.
pub(crate) mod kinds {
    use super::{WebSocketMessage, transom_status, transom_websocket_kind as Kind};

    /// Returns `true` for the number of binary messages, `false` for that of texts.
    pub fn is_binary(number: i32) -> Result<bool, transom_status> {
        match number {
            number if number == Kind::TRANSOM_WEBSOCKET_TEXT as i32 => Ok(false),
            number if number == Kind::TRANSOM_WEBSOCKET_BINARY as i32 => Ok(true),
            _ => Err(transom_status::TRANSOM_INVALID_ARGUMENT),
        }
    }

    /// Returns the number of the kind of a message.
    pub fn of(message: &WebSocketMessage) -> i32 {
        match message {
            WebSocketMessage::Text(_) => Kind::TRANSOM_WEBSOCKET_TEXT as i32,
            WebSocketMessage::Binary(_) => Kind::TRANSOM_WEBSOCKET_BINARY as i32,
        }
    }
}

/// A message, or a piece of one, to be read. It belongs to you: free it with
/// transom_websocket_message_free. Later versions of the library may add members at the end.
#[repr(C)]
pub struct transom_websocket_message {
    /// The bytes, which are valid until the message is freed. Those of a text are UTF-8.
    pub data: transom_bytes,
    /// A transom_websocket_kind.
    pub kind: i32,
    /// True for the last piece of a message, and for a whole message. False can only be with
    /// TRANSOM_WEBSOCKET_IN_PIECES.
    pub is_last: bool,
}

/// A message that the host has. The structure that the host sees is its beginning.
#[repr(C)]
struct Kept {
    seen: transom_websocket_message,
    /// Holds the bytes.
    payload: WebSocketMessage,
}

/// Calls `send` with the payload of a message of the host. What it gives back is put into the message again;
/// otherwise the message is freed, and the host's pointer becomes NULL.
///
/// # Safety
/// `message` is NULL or a message that belongs to the host.
pub(crate) unsafe fn spend(
    message: &mut *mut transom_websocket_message,
    send: impl FnOnce(WebSocketMessage) -> Result<(), (transom_status, Option<WebSocketMessage>)>,
) -> Result<(), transom_status> {
    let pointer = mem::replace(message, ptr::null_mut());
    if pointer.is_null() {
        return Err(transom_status::TRANSOM_NULL_ARGUMENT);
    }
    // SAFETY: not NULL, and made by `give`, as the caller promises.
    let mut kept = unsafe { Box::from_raw(pointer.cast::<Kept>()) };
    let payload = mem::replace(&mut kept.payload, WebSocketMessage::Binary(Bytes::new()));
    send(payload).map_err(|(status, payload)| {
        if let Some(payload) = payload {
            // The bytes are where they were: only what holds them has moved.
            kept.payload = payload;
            *message = Box::into_raw(kept).cast();
        }
        status
    })
}

/// Gives a message to the host.
pub(crate) fn give(piece: WebSocketPiece) -> *mut transom_websocket_message {
    Box::into_raw(Box::new(Kept::new(piece))).cast()
}

impl Kept {
    fn new(piece: WebSocketPiece) -> Self {
        let (kind, is_last) = (kinds::of(&piece.payload), piece.is_last);
        let seen =
            transom_websocket_message { data: transom_bytes::of(piece.payload.as_bytes()), kind, is_last };
        // The bytes are on the heap: moving the payload does not move them.
        Self { seen, payload: piece.payload }
    }
}

/// Frees a message. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_message_free(message: *mut transom_websocket_message) {
    guard!((), {
        if !message.is_null() {
            // SAFETY: it comes from `transom_websocket_receive` and is freed once, by the contract.
            drop(unsafe { Box::from_raw(message.cast::<Kept>()) });
        }
    });
}
