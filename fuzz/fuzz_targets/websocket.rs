//! Fuzzes WebSocket: frames are read as a strict reader says, however they arrive, and handshakes are
//! answered with what was offered.
//!
//! An input is one byte that says which, and the frames or the fields of a handshake.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transom::fuzzing::{self, WebSocketEvent};
use transom_fuzz::choices::{Choices, cuts};
use transom_fuzz::{frames, shown};

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::new(input);
    let (manner, seed) = (choices.byte(), choices.byte());
    let bytes = choices.rest();
    match manner & 3 {
        0 => plain(bytes, seed),
        1 => compressed(bytes, seed, false),
        2 => compressed(bytes, seed, true),
        _ => handshake(bytes, seed & 1 == 0),
    }
});

/// All ways in which the bytes may arrive must mean the same.
fn ways(
    bytes: &[u8],
    seed: u8,
    deflate: Option<bool>,
    same: impl Fn(&(Vec<WebSocketEvent>, Option<u16>), &str),
) {
    for in_pieces in [false, true] {
        let whole = fuzzing::websocket(bytes, [], deflate, in_pieces);
        let way = format!("in pieces: {in_pieces}: {}", shown(bytes));
        same(&whole, &way);
        for seed in [1, seed] {
            same(&fuzzing::websocket(bytes, cuts(bytes.len(), seed), deflate, in_pieces), &way);
        }
    }
}

fn plain(bytes: &[u8], seed: u8) {
    let (events, code) = frames::read(bytes);
    ways(bytes, seed, None, |(read, failure), way| {
        assert_eq!(*read, events, "{way}");
        // A fault may be told before its frame is whole.
        assert!(code.is_none() || *failure == code, "{failure:?}, where {code:?} is due, {way}");
    });
}

fn compressed(bytes: &[u8], seed: u8, keeps: bool) {
    let (events, code) = fuzzing::websocket(bytes, [], Some(keeps), false);
    ways(bytes, seed, Some(keeps), |(read, failure), way| {
        assert_eq!(*read, events, "{way}");
        // A bad text in a bad stream that is too long fails for one of them.
        assert_eq!(failure.is_some(), code.is_some(), "{failure:?} and {code:?}, {way}");
    });
}

fn handshake(bytes: &[u8], keeps: bool) {
    let Some(Ok((subprotocol, compression))) = fuzzing::websocket_handshake(bytes, keeps) else { return };
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    for needed in ["upgrade", "websocket", "sec-websocket-key", "sec-websocket-version", "13"] {
        assert!(text.contains(needed), "{needed} is missing: {}", shown(bytes));
    }
    if let Some(subprotocol) = subprotocol {
        assert!(subprotocol == "chat" && text.contains("chat"), "{subprotocol}: {}", shown(bytes));
    }
    let Some(compression) = compression else { return };
    let mut parts = compression.split("; ");
    assert_eq!(parts.next(), Some("permessage-deflate"), "{compression}");
    for part in parts {
        match part.split_once('=') {
            Some(("server_max_window_bits", bits)) => {
                assert!(matches!(bits.parse(), Ok(9..=15)) && text.contains(bits), "{compression}");
            }
            None => assert!(part.ends_with("_no_context_takeover"), "{compression}"),
            Some(_) => panic!("{compression}: {}", shown(bytes)),
        }
    }
}
