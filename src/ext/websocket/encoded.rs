//! Messages that are encoded before they are queued.

use super::message::WebSocketMessage;
use crate::websocket::{Deflation, Opcode, encode, put_header, with_deflater};

/// Returns the frame of a message that is compressed by itself.
pub(super) fn compress(message: &WebSocketMessage, deflation: Deflation) -> Vec<u8> {
    let mut payload = Vec::new();
    with_deflater(deflation, |deflater| deflater.deflate(message.as_bytes(), &mut payload));
    let mut frame = Vec::with_capacity(payload.len() + 10);
    put_header(&mut frame, opcode(message), true, true, payload.len());
    frame.extend_from_slice(&payload);
    frame
}

/// Returns the frame of a message that is not compressed.
pub(super) fn plain(message: &WebSocketMessage) -> Vec<u8> {
    let mut frame = Vec::with_capacity(message.len() + 10);
    encode(&mut frame, opcode(message), message.as_bytes());
    frame
}

/// Returns the opcode of a message.
pub(super) fn opcode(message: &WebSocketMessage) -> Opcode {
    match message {
        WebSocketMessage::Text(_) => Opcode::Text,
        WebSocketMessage::Binary(_) => Opcode::Binary,
    }
}
