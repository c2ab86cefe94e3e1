//! A strict reader of the frames of a WebSocket client (RFC 6455), without compression.

use transom::fuzzing::{WEBSOCKET_LIMITS, WebSocketEvent};

/// The empty frames that a message may have.
const EMPTY_FRAMES: usize = 1000;

/// Reads frames up to the first Close, the first fault or the end of the bytes. Returns what they say, and
/// the code of the fault.
pub fn read(mut bytes: &[u8]) -> (Vec<WebSocketEvent>, Option<u16>) {
    let mut events = Vec::new();
    let mut message: Option<(bool, Vec<u8>, usize)> = None;
    loop {
        let frame = match Frame::read(bytes) {
            Found::Partial => return (events, None),
            Found::Bad(code) => return (events, Some(code)),
            Found::Whole(frame) => frame,
        };
        if frame.is_control() {
            let Some(payload) = frame.payload(bytes) else { return (events, None) };
            bytes = &bytes[frame.head + payload.len()..];
            match frame.opcode {
                9 => events.push(WebSocketEvent::Ping(payload)),
                10 => events.push(WebSocketEvent::Pong(payload)),
                _ => {
                    return match close(&payload) {
                        Ok(event) => (events.into_iter().chain([event]).collect(), None),
                        Err(code) => (events, Some(code)),
                    };
                }
            }
            continue;
        }
        let (is_text, come, empty) = match (frame.opcode, message.take()) {
            (0, Some(message)) => message,
            (1 | 2, None) => (frame.opcode == 1, Vec::new(), 0),
            _ => return (events, Some(1002)),
        };
        let empty = empty + usize::from(frame.length == 0 && !frame.is_final);
        if empty > EMPTY_FRAMES {
            return (events, Some(1008));
        }
        let (most_of_frame, most) = WEBSOCKET_LIMITS;
        if frame.length > most_of_frame || frame.length.saturating_add(come.len() as u64) > most as u64 {
            return (events, Some(1009));
        }
        let Some(payload) = frame.payload(bytes) else { return (events, None) };
        bytes = &bytes[frame.head + payload.len()..];
        let come = [come, payload].concat();
        if is_text && std::str::from_utf8(&come).is_err_and(|e| frame.is_final || e.error_len().is_some()) {
            return (events, Some(1007));
        }
        match (frame.is_final, is_text) {
            (false, _) => message = Some((is_text, come, empty)),
            (true, true) => events.push(WebSocketEvent::Text(String::from_utf8(come).unwrap())),
            (true, false) => events.push(WebSocketEvent::Binary(come)),
        }
    }
}

struct Frame {
    is_final: bool,
    opcode: u8,
    length: u64,
    key: [u8; 4],
    /// The length of its head.
    head: usize,
}

enum Found<T> {
    Whole(T),
    Partial,
    Bad(u16),
}

impl Frame {
    fn read(bytes: &[u8]) -> Found<Self> {
        let [first, second, rest @ ..] = bytes else { return Found::Partial };
        let (is_final, opcode) = (first & 0x80 != 0, first & 0x0f);
        let is_control = opcode >= 8;
        let is_known = matches!(opcode, 0 | 1 | 2 | 8 | 9 | 10);
        if first & 0x70 != 0 || !is_known || second & 0x80 == 0 || (is_control && !is_final) {
            return Found::Bad(1002);
        }
        let (length, wide) = match second & 0x7f {
            126 => match rest.first_chunk() {
                Some(length) => (u64::from(u16::from_be_bytes(*length)), 2),
                None if is_control => return Found::Bad(1002),
                None => return Found::Partial,
            },
            127 => match rest.first_chunk() {
                Some(length) => (u64::from_be_bytes(*length), 8),
                None if is_control => return Found::Bad(1002),
                None => return Found::Partial,
            },
            short => (u64::from(short), 0),
        };
        let is_shortest = match wide {
            2 => length > 125,
            8 => length > 0xffff && length >> 63 == 0,
            _ => true,
        };
        if !is_shortest || (is_control && length > 125) {
            return Found::Bad(1002);
        }
        let Some(key) = rest[wide..].first_chunk() else { return Found::Partial };
        Found::Whole(Self { is_final, opcode, length, key: *key, head: 6 + wide })
    }

    fn is_control(&self) -> bool {
        self.opcode >= 8
    }

    /// Returns the payload without its mask. `None` if not all of it is there.
    fn payload(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let length = usize::try_from(self.length).ok()?;
        let masked = bytes[self.head..].get(..length)?;
        Some(masked.iter().enumerate().map(|(at, byte)| byte ^ self.key[at % 4]).collect())
    }
}

fn close(payload: &[u8]) -> Result<WebSocketEvent, u16> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(WebSocketEvent::Close(1005, String::new())) } else { Err(1002) };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(1002);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| 1007_u16)?;
    Ok(WebSocketEvent::Close(code, reason.to_owned()))
}
