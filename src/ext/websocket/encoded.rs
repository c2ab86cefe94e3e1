//! Messages that are encoded before they are queued.

use super::message::WebSocketMessage;
use crate::websocket::{Deflation, Opcode, put_header, with_deflater};

/// A shorter message gains nothing when it is compressed alone.
const LEAST: usize = 64;

/// Returns the frame of a message that is compressed by itself, if that makes it shorter.
pub(super) fn compress(message: &WebSocketMessage, deflation: Deflation) -> Option<Vec<u8>> {
    let plain = message.as_bytes();
    if plain.len() < LEAST {
        return None;
    }
    let mut payload = Vec::new();
    with_deflater(deflation, |deflater| deflater.deflate(plain, &mut payload));
    if payload.len() >= plain.len() {
        return None;
    }
    let mut frame = Vec::with_capacity(payload.len() + 10);
    put_header(&mut frame, opcode(message), true, true, payload.len());
    frame.extend_from_slice(&payload);
    Some(frame)
}

/// Returns the opcode of a message.
pub(super) fn opcode(message: &WebSocketMessage) -> Opcode {
    match message {
        WebSocketMessage::Text(_) => Opcode::Text,
        WebSocketMessage::Binary(_) => Opcode::Binary,
    }
}
