//! One message for many connections.

use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use transom::{Broadcast, Handle, SlowReader, WebSocket, WebSocketUpgrade, wait};

use crate::common::{PATIENCE, eventually};
use crate::peer::{BINARY, CLOSE, Peer, TEXT, close_code, frame};
use crate::{close_of, handing_over, recv, start};

const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
/// The first byte of a text that is compressed.
const COMPRESSED_TEXT: u8 = TEXT | 0x40;

fn join(server: &Handle, sockets: &Receiver<WebSocket>, fields: &str) -> (Peer, WebSocket) {
    let peer = Peer::connect(server, fields);
    (peer, sockets.recv_timeout(PATIENCE).unwrap())
}

#[test]
fn a_message_reaches_each_member_as_its_connection_is_compressed() {
    let room = Broadcast::new();
    let (app, sockets) = handing_over(WebSocketUpgrade::new());
    let server = start(app);
    let (app, keeping) = handing_over(WebSocketUpgrade::new().context_takeover());
    let keeping_server = start(app);
    let text = "the same again and again, ".repeat(20);
    let small = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n";
    let mut members = vec![
        (TEXT, join(&server, &sockets, "")),
        (COMPRESSED_TEXT, join(&server, &sockets, DEFLATE)),
        (COMPRESSED_TEXT, join(&server, &sockets, DEFLATE)),
        (COMPRESSED_TEXT, join(&server, &sockets, small)),
        // Its window is its own: the message is not compressed with it.
        (TEXT, join(&keeping_server, &keeping, DEFLATE)),
    ];
    for (_, (_, socket)) in &members {
        room.add(&socket.sender());
        room.add(&socket.sender());
    }
    assert_eq!(room.clone().len(), 5);
    assert_eq!((room.send(text.as_str()), room.send("short")), (5, 5));
    let mut frames = Vec::new();
    for (first, (peer, _)) in &mut members {
        let (got, payload) = peer.next().unwrap();
        assert_eq!(got, *first);
        if got == TEXT {
            assert_eq!(payload, text.as_bytes());
        } else {
            assert_eq!(inflate(&payload), text.as_bytes());
            frames.push(payload);
        }
        assert_eq!(peer.next(), Some((TEXT, b"short".to_vec())));
    }
    assert_eq!(frames[0], frames[1]);
}

fn inflate(payload: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(10_000);
    let whole = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut stream = flate2::Decompress::new(false);
    stream.decompress_vec(&whole, &mut text, flate2::FlushDecompress::Sync).unwrap();
    text
}

#[test]
fn members_that_leave_or_close_get_no_more() {
    let room = Broadcast::new();
    let (app, sockets) = handing_over(WebSocketUpgrade::new());
    let server = start(app);
    let (mut stays, first) = join(&server, &sockets, "");
    let (mut leaves, second) = join(&server, &sockets, "");
    let (mut closes, mut third) = join(&server, &sockets, "");
    for socket in [&first, &second, &third] {
        room.add(&socket.sender());
    }
    assert!(room.remove(&second.sender()));
    assert!(!room.remove(&second.sender()));
    closes.send(&frame(CLOSE, b"\x03\xe8"));
    assert_eq!(recv(&mut third), None);
    assert_eq!(room.len(), 1);
    assert_eq!(room.send(&b"bytes"[..]), 1);
    assert_eq!(stays.next(), Some((BINARY, b"bytes".to_vec())));
    drop(second);
    assert_eq!(close_code(leaves.next().as_ref()), Some(1000));
    first.close(1000, "");
    assert_eq!(room.send("late"), 0);
    assert!(room.is_empty());
}

#[test]
fn members_that_closed_are_let_go_though_nothing_is_sent() {
    let room = Broadcast::new();
    let (app, sockets) = handing_over(WebSocketUpgrade::new());
    let server = start(app);
    for _ in 0..200 {
        let (_peer, socket) = join(&server, &sockets, "");
        room.add(&socket.sender());
        socket.close(1000, "");
    }
    let told = format!("{room:?}");
    let members: usize = told.split_once("members: ").unwrap().1.split(',').next().unwrap().parse().unwrap();
    assert!(members < 65, "{told}");
}

/// Starts a member whose peer does not read, and sends to it until its queue is full. Returns the number
/// of messages that were taken.
fn stall(room: &Broadcast, member: &WebSocket, message: &[u8]) -> usize {
    let sender = member.sender();
    room.add(&sender);
    let mut taken = 0;
    eventually("the queue is full", || {
        if sender.queued() < 1000 {
            taken += room.send(message);
            return false;
        }
        // It may be on its way to the kernel.
        thread::sleep(Duration::from_millis(20));
        sender.queued() >= 1000
    });
    taken
}

/// Returns a room, and a member with a full queue.
fn slow_member(slow: SlowReader) -> (Broadcast, Peer, WebSocket, Handle, usize) {
    let settings = WebSocketUpgrade::new().queue_limit(1000).close_timeout(PATIENCE);
    let (app, sockets) = handing_over(settings);
    let server = start(app);
    let (peer, socket) = join(&server, &sockets, "");
    let room = Broadcast::new().slow(slow);
    let taken = stall(&room, &socket, &LARGE);
    (room, peer, socket, server, taken)
}

static LARGE: [u8; 64 << 10] = [7; 64 << 10];

#[test]
fn a_slow_reader_misses_messages() {
    let (room, mut peer, socket, _server, taken) = slow_member(SlowReader::Drop);
    assert_eq!((room.send("missed"), room.send("missed too")), (0, 0));
    for _ in 0..taken {
        assert_eq!(peer.next(), Some((BINARY, LARGE.to_vec())));
    }
    wait(socket.send("not missed"), Some(PATIENCE)).unwrap().unwrap();
    assert_eq!(peer.next(), Some((TEXT, b"not missed".to_vec())));
    assert_eq!((room.send("again"), room.len()), (1, 1));
    assert_eq!(peer.next(), Some((TEXT, b"again".to_vec())));
}

#[test]
fn a_slow_reader_gets_the_newest_message_of_each_broadcast() {
    let (room, mut peer, socket, _server, taken) = slow_member(SlowReader::Coalesce);
    let other = Broadcast::new().slow(SlowReader::Coalesce);
    other.add(&socket.sender());
    let queued = socket.sender().queued();
    for number in 0..1000 {
        assert_eq!((room.send(format!("{number}")), other.send(format!("other {number}"))), (1, 1));
    }
    assert_eq!(socket.sender().queued(), queued);
    for _ in 0..taken {
        assert_eq!(peer.next(), Some((BINARY, LARGE.to_vec())));
    }
    assert_eq!(peer.next(), Some((TEXT, b"999".to_vec())));
    assert_eq!(peer.next(), Some((TEXT, b"other 999".to_vec())));
    assert_eq!(room.send("later"), 1);
    assert_eq!(peer.next(), Some((TEXT, b"later".to_vec())));
}

#[test]
fn a_slow_reader_that_is_closed_gets_the_newest_message_first() {
    let (room, mut peer, socket, _server, taken) = slow_member(SlowReader::Coalesce);
    assert_eq!(room.send("the last"), 1);
    socket.close(1001, "");
    for _ in 0..taken {
        assert_eq!(peer.next(), Some((BINARY, LARGE.to_vec())));
    }
    assert_eq!(peer.next(), Some((TEXT, b"the last".to_vec())));
    assert_eq!(close_code(peer.next().as_ref()), Some(1001));
}

#[test]
fn a_slow_reader_is_closed() {
    let (room, mut peer, mut socket, _server, taken) = slow_member(SlowReader::Close);
    assert_eq!((room.send("too much"), room.len(), room.send("nobody")), (0, 0, 0));
    for _ in 0..taken {
        assert_eq!(peer.next(), Some((BINARY, LARGE.to_vec())));
    }
    assert_eq!(close_code(peer.next().as_ref()), Some(1008));
    peer.send(&frame(CLOSE, b"\x03\xf0"));
    assert_eq!(recv(&mut socket), None);
    assert_eq!(close_of(&socket), Some(1008));
}

#[test]
fn all_members_get_messages_of_many_threads_in_one_order() {
    let room = Broadcast::new();
    let (app, sockets) = handing_over(WebSocketUpgrade::new());
    let server = start(app);
    let mut members: Vec<_> = (0..5).map(|_| join(&server, &sockets, "")).collect();
    for (_, socket) in &members {
        room.add(&socket.sender());
    }
    let threads: Vec<_> = (0..4_u32)
        .map(|thread| {
            let room = room.clone();
            thread::spawn(move || {
                for number in 0..100_u32 {
                    assert_eq!(room.send(format!("{thread} {number}")), 5);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut orders: Vec<Vec<_>> =
        members.iter_mut().map(|(peer, _)| (0..400).map(|_| peer.next().unwrap()).collect()).collect();
    let first = orders.remove(0);
    assert!(orders.iter().all(|order| *order == first));
}
