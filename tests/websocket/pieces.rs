//! Messages that are sent in pieces.

use std::thread;
use std::time::Duration;

use transom::{Broadcast, WebSocketMessage, WebSocketSendError, WebSocketUpgrade, wait};

use crate::common::{PATIENCE, eventually};
use crate::peer::{BINARY, CONTINUATION, PING, PONG, Peer, TEXT, close_code, frame};
use crate::{handing_over, start};

/// The bit of the last frame of a message.
const FINAL: u8 = 0x80;

#[test]
fn rfc6455_5_4_the_pieces_of_a_message_are_not_mixed_with_others() {
    let (app, sockets) = handing_over(WebSocketUpgrade::new());
    let server = start(app);
    let mut peer = Peer::connect(&server, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    let socket = sockets.recv_timeout(PATIENCE).unwrap();
    let sender = socket.sender();
    let room = Broadcast::new();
    room.add(&sender);
    sender.try_send_piece("first ", false).unwrap();
    assert_eq!(peer.next(), Some((TEXT & !FINAL, b"first ".to_vec())));
    sender.try_send("whole").unwrap();
    sender.try_send("compressed ".repeat(20)).unwrap();
    assert_eq!(room.send("to all"), 1);
    let held = sender.queued();
    assert!(held > "whole".len() + "to all".len(), "{held} bytes");
    // Control frames do not wait.
    peer.send(&frame(PING, b"?"));
    assert_eq!(peer.next(), Some((PONG, b"?".to_vec())));
    sender.ping(b"!");
    assert_eq!(peer.next(), Some((PING, b"!".to_vec())));
    assert_eq!(sender.try_send_piece(vec![0], true), Err(WebSocketSendError::OtherKind));
    wait(socket.send_piece("second ", false), Some(PATIENCE)).unwrap().unwrap();
    wait(sender.send_piece("last", true), Some(PATIENCE)).unwrap().unwrap();
    assert_eq!(peer.next(), Some((CONTINUATION & !FINAL, b"second ".to_vec())));
    assert_eq!(peer.next(), Some((CONTINUATION, b"last".to_vec())));
    assert_eq!(peer.next(), Some((TEXT, b"whole".to_vec())));
    assert_eq!(peer.next().unwrap().0, TEXT | 0x40);
    assert_eq!(peer.next(), Some((TEXT, b"to all".to_vec())));
    // A message of one piece, and of an empty one.
    sender.try_send_piece(vec![1, 2], true).unwrap();
    assert_eq!(peer.next(), Some((BINARY, vec![1, 2])));
    sender.try_send_piece("", true).unwrap();
    assert_eq!(peer.next(), Some((TEXT, Vec::new())));
}

#[test]
fn pieces_wait_for_the_peer_and_not_for_messages_that_wait_for_them() {
    const PIECE: usize = 64 << 10;
    let settings = WebSocketUpgrade::new().queue_limit(1000).compression(false);
    let (app, sockets) = handing_over(settings);
    let server = start(app);
    let mut peer = Peer::connect(&server, "");
    let socket = sockets.recv_timeout(PATIENCE).unwrap();
    let sender = socket.sender();
    let piece = WebSocketMessage::from(vec![7; PIECE]);
    let mut sent = 0;
    eventually("the queue is full", || match sender.try_send_piece(piece.clone(), false) {
        Ok(()) => {
            sent += 1;
            false
        }
        Err(WebSocketSendError::Full(back)) => {
            assert_eq!(back, piece);
            // It may be on its way to the kernel.
            thread::sleep(Duration::from_millis(20));
            sender.queued() >= 1000
        }
        Err(error) => panic!("{error}"),
    });
    // Others may put a queue of messages behind it.
    let mut held = 0;
    while sender.try_send(vec![8; 100]).is_ok() {
        held += 1;
    }
    assert_eq!(held, 10);
    let last = thread::spawn(move || wait(sender.send_piece(vec![9], true), Some(PATIENCE)).unwrap());
    for number in 0..sent {
        let opcode = if number == 0 { BINARY } else { CONTINUATION };
        let (first, payload) = peer.next().unwrap();
        assert_eq!((first, payload.len()), (opcode & !FINAL, PIECE), "{number}");
    }
    last.join().unwrap().unwrap();
    assert_eq!(peer.next(), Some((CONTINUATION, vec![9])));
    for _ in 0..held {
        assert_eq!(peer.next(), Some((BINARY, vec![8; 100])));
    }
    wait(socket.send("free"), Some(PATIENCE)).unwrap().unwrap();
    assert_eq!(peer.next(), Some((TEXT, b"free".to_vec())));
}

#[test]
fn a_close_cuts_off_a_message_in_pieces() {
    let (app, sockets) = handing_over(WebSocketUpgrade::new());
    let server = start(app);
    let mut peer = Peer::connect(&server, "");
    let socket = sockets.recv_timeout(PATIENCE).unwrap();
    let sender = socket.sender();
    sender.try_send_piece("half", false).unwrap();
    sender.try_send("never sent").unwrap();
    drop(socket);
    assert_eq!(peer.next(), Some((TEXT & !FINAL, b"half".to_vec())));
    assert_eq!(close_code(peer.next().as_ref()), Some(1000));
    assert_eq!(sender.try_send_piece("late", true), Err(WebSocketSendError::Closed));
    let late = wait(sender.send_piece("late", true), Some(PATIENCE)).unwrap();
    assert_eq!(late, Err(WebSocketSendError::Closed));
}
