//! WebSocket connections over sockets: what a client sees, what a handler sees, and what neither can do
//! to the other.

#[path = "websocket/abuse.rs"]
mod abuse;
#[path = "websocket/broadcast.rs"]
mod broadcast;
mod common;
#[cfg(feature = "metrics")]
#[path = "websocket/metrics.rs"]
mod metrics;
#[path = "websocket/open.rs"]
mod open;
#[path = "websocket/peer.rs"]
mod peer;
#[path = "websocket/pieces.rs"]
mod pieces;
mod support;
#[path = "websocket/wire.rs"]
mod wire;

const MODEL: Model = Model::EventDriven;

use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use transom::{
    Handle, Model, Request, Responder, Router, WebSocket, WebSocketClose, WebSocketMessage,
    WebSocketSendError, WebSocketSender, WebSocketUpgrade, wait,
};

use common::{Client, PATIENCE, SHORT, Signal, configured, eventually};
use peer::{BINARY, CLOSE, CONTINUATION, PING, PONG, Peer, TEXT, close_code, frame};

const MODELS: [Model; 3] = [Model::EventDriven, Model::ThreadPerConnection, Model::Sequential];

fn start(app: Router) -> Handle {
    start_model(app, Model::EventDriven)
}

fn start_model(app: Router, model: Model) -> Handle {
    configured(app, |_, _| ()).model(model).workers(1).bind("127.0.0.1:0").unwrap().start().unwrap()
}

/// A route that sends each message back.
fn echoing(settings: WebSocketUpgrade) -> Router {
    Router::new().get("/", async move |req: Request| {
        settings.accept(&req, async |mut socket: WebSocket| {
            while let Some(message) = socket.recv().await {
                socket.send(message).await?;
            }
            Ok(())
        })
    })
}

/// A route that hands its connections over, and waits until they close.
fn handing_over(settings: WebSocketUpgrade) -> (Router, mpsc::Receiver<WebSocket>) {
    let (sender, receiver) = mpsc::channel();
    let app = Router::new().get("/", move |req: Request| {
        let response = settings.accept(&req, {
            let sender = sender.clone();
            async move |socket: WebSocket| drop(sender.send(socket))
        });
        async { response }
    });
    (app, receiver)
}

fn recv(socket: &mut WebSocket) -> Option<WebSocketMessage> {
    wait(socket.recv(), Some(PATIENCE)).expect("something comes in time")
}

fn close_of(socket: &WebSocket) -> Option<u16> {
    socket.close_reason().map(|close: WebSocketClose| close.code)
}

#[test]
fn messages_come_back_in_every_model() {
    for model in MODELS {
        let server = start_model(echoing(WebSocketUpgrade::new()), model);
        let mut peer = Peer::connect(&server, "");
        for (opcode, payload) in
            [(TEXT, &b"hello"[..]), (BINARY, b"\x00\xff"), (TEXT, b""), (BINARY, &vec![7; 100_000])]
        {
            peer.send(&frame(opcode, payload));
            assert_eq!(peer.next(), Some((opcode, payload.to_vec())), "{model}");
        }
        // In pieces, with a Ping between them, in one go.
        let pieces = [frame(TEXT - 0x80, b"a"), frame(PING, b"p"), frame(CONTINUATION, b"b")];
        peer.send(&pieces.concat());
        assert_eq!(peer.next(), Some((PONG, b"p".to_vec())), "{model}");
        assert_eq!(peer.next(), Some((TEXT, b"ab".to_vec())), "{model}");
        peer.send(&frame(CLOSE, b"\x03\xe8bye"));
        assert_eq!(peer.next(), Some((CLOSE, b"\x03\xe8".to_vec())), "{model}");
        assert_eq!(peer.next(), None, "{model}");
    }
}

#[test]
fn rfc6455_4_4_what_is_no_handshake_is_refused() {
    let settings = WebSocketUpgrade::new().subprotocols(["chat"]).origins(["https://friend.example"]);
    let server = start(echoing(settings));
    let ask = |fields: &str| {
        let mut client = Client::connect(&server);
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        client.answer()
    };
    let plain = ask("");
    assert_eq!((plain.status, plain.header("upgrade")), (426, Some("websocket")));
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let old = ask(&format!("{upgrade}Sec-WebSocket-Version: 8\r\n"));
    assert_eq!((old.status, old.header("sec-websocket-version")), (426, Some("13")));
    assert_eq!(old.header("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
    let version = format!("{upgrade}Sec-WebSocket-Version: 13\r\n");
    assert_eq!(ask(&version).status, 400);
    let key = format!("{version}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    assert_eq!(ask(&format!("{key}Origin: https://evil.example\r\n")).status, 403);
    for origin in ["https://friend.example", "http://h"] {
        let mut client = Client::connect(&server);
        let fields = "Sec-WebSocket-Protocol: x, chat\r\n";
        client.send(format!("GET / HTTP/1.1\r\nHost: h\r\n{key}Origin: {origin}\r\n{fields}\r\n"));
        let head = client.head();
        assert_eq!(head.status, 101, "{origin}");
        assert_eq!(head.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(head.header("sec-websocket-protocol"), Some("chat"));
    }
}

#[test]
fn who_breaks_a_rule_gets_a_code_and_the_handler_is_told() {
    let settings = WebSocketUpgrade::new().message_limit(1000).frame_limit(2000);
    let (app, sockets) = handing_over(settings);
    let server = start(app);
    for (bytes, code) in [
        (b"\x81\x01a".to_vec(), 1002),
        (frame(TEXT | 0x20, b""), 1002),
        (frame(0x83, b""), 1002),
        (frame(CONTINUATION, b""), 1002),
        (frame(PING - 0x80, b""), 1002),
        (frame(PING, &[0; 126]), 1002),
        ([frame(TEXT - 0x80, b"a"), frame(TEXT, b"b")].concat(), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, b"\x03\xed"), 1002),
        (frame(CLOSE, b"\x03\xe8\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT - 0x80, b"\xf4\x90"), 1007),
        (frame(BINARY, &[0; 1001]), 1009),
        // Announced, and not sent.
        (b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00keys".to_vec(), 1009),
        ([frame(BINARY - 0x80, &[0; 600]), frame(CONTINUATION, &[0; 401])].concat(), 1009),
    ] {
        let mut peer = Peer::connect(&server, "");
        let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
        peer.send(&[bytes.clone(), frame(TEXT, b"more")].concat());
        let close = peer.next();
        assert_eq!(close_code(close.as_ref()), Some(code), "{bytes:x?}");
        assert_eq!(peer.next(), None, "{bytes:x?}");
        assert_eq!(recv(&mut socket), None);
        assert_eq!(close_of(&socket), Some(code));
        assert!(wait(socket.send("late"), Some(PATIENCE)).unwrap().is_err());
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let settings = WebSocketUpgrade::new().message_limit(100_000);
    let server = start(echoing(settings));
    let mut peer = Peer::connect(&server, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    // A megabyte of zeros: one block of a stored literal and runs, made by zlib.
    let mut bomb = Vec::new();
    let mut stream = flate2::Compress::new(flate2::Compression::best(), false);
    bomb.reserve(10_000);
    stream.compress_vec(&vec![0; 1 << 20], &mut bomb, flate2::FlushCompress::Sync).unwrap();
    peer.send(&frame(BINARY | 0x40, &bomb));
    assert_eq!(close_code(peer.next().as_ref()), Some(1009));
}

#[test]
fn a_stop_closes_with_1001_and_waits_for_the_peer() {
    for model in MODELS {
        let stopped = Signal::new();
        let told = stopped.clone();
        let app = Router::new().get("/", async move |req: Request| {
            WebSocket::upgrade(&req, async move |socket: WebSocket| {
                socket.closed().await;
                told.set();
            })
        });
        let server = start_model(app, model);
        let mut peer = Peer::connect(&server, "");
        peer.send(&frame(PING, b""));
        assert_eq!(peer.next(), Some((PONG, Vec::new())));
        let asks = server.stopper();
        let stopping = thread::spawn(move || {
            asks.stop(PATIENCE);
            server.wait_timeout(PATIENCE).unwrap().expect("it ends")
        });
        assert_eq!(close_code(peer.next().as_ref()), Some(1001), "{model}");
        peer.send(&frame(CLOSE, b"\x03\xe9"));
        assert_eq!(peer.next(), None, "{model}");
        peer.shutdown(Shutdown::Both);
        let report = stopping.join().unwrap();
        assert_eq!(report.cut, 0, "{model}: {report:?}");
        stopped.wait_for(1);
    }
}

#[test]
fn a_peer_that_does_not_answer_a_close_does_not_keep_the_connection() {
    let settings = WebSocketUpgrade::new().close_timeout(SHORT);
    let (app, sockets) = handing_over(settings);
    let server = start(app);
    let mut peer = Peer::connect(&server, "");
    let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
    socket.close(4000, "enough");
    socket.close(4001, "the first counts");
    assert_eq!(peer.next(), Some((CLOSE, b"\x0f\xa0enough".to_vec())));
    // Messages still come until the peer closes.
    peer.send(&frame(TEXT, b"last words"));
    assert_eq!(recv(&mut socket), Some("last words".into()));
    assert_eq!(recv(&mut socket), None);
    assert_eq!(close_of(&socket), Some(1006));
    assert_eq!(peer.next(), None);
}

#[test]
fn a_peer_that_sends_after_its_close_does_not_keep_the_connection() {
    let (app, sockets) = handing_over(WebSocketUpgrade::new());
    let server = start(app);
    for (last, code) in [(frame(CLOSE, b"\x03\xe8"), 1000), (b"\x83".to_vec(), 1002)] {
        let mut peer = Peer::connect(&server, "");
        let _socket = sockets.recv_timeout(PATIENCE).unwrap();
        peer.send(&last);
        assert_eq!(close_code(peer.next().as_ref()), Some(code));
        assert_eq!(peer.next(), None);
        // Bytes that come after the end are answered with a reset.
        eventually("the connection is closed", || {
            thread::sleep(Duration::from_millis(20));
            !peer.can_send(b"x")
        });
    }
}

#[test]
fn a_handler_that_returns_or_panics_closes() {
    let app = Router::new().get("/{how}", async |req: Request| {
        let how = req.param("how").to_owned();
        WebSocket::upgrade(&req, async move |socket: WebSocket| {
            socket.send("hello").await?;
            assert_ne!(how, "panic", "on purpose");
            Ok(())
        })
    });
    let server = start(app);
    for (path, code) in [("/return", 1000), ("/panic", 1011)] {
        let mut peer = Peer::connect_to(&server, path, "");
        assert_eq!(peer.next(), Some((TEXT, b"hello".to_vec())));
        assert_eq!(close_code(peer.next().as_ref()), Some(code), "{path}");
        peer.send(&frame(CLOSE, &u16::to_be_bytes(code)));
        assert_eq!(peer.next(), None, "{path}");
    }
    common::Logs::expect("on purpose");
}

#[test]
fn a_peer_that_is_silent_is_pinged_and_then_given_up() {
    let settings = WebSocketUpgrade::new().ping_interval(Some(SHORT));
    let server = start(echoing(settings.clone().ping_timeout(PATIENCE)));
    let mut peer = Peer::connect(&server, "");
    for _ in 0..3 {
        assert_eq!(peer.next(), Some((PING, Vec::new())));
        peer.send(&frame(PONG, b""));
    }
    let (app, sockets) = handing_over(settings.ping_timeout(SHORT));
    let server = start(app);
    let mut peer = Peer::connect(&server, "");
    let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
    assert_eq!(recv(&mut socket), None);
    assert_eq!(close_of(&socket), Some(1006));
    assert_eq!(peer.next(), Some((PING, Vec::new())));
    assert_eq!(peer.next(), None);
}

#[test]
fn what_is_fed_leaves_with_the_flush_or_with_what_is_sent() {
    for model in MODELS {
        let (app, sockets) = handing_over(WebSocketUpgrade::new());
        let server = start_model(app, model);
        let mut peer = Peer::connect(&server, "");
        let socket = sockets.recv_timeout(PATIENCE).unwrap();
        let sender = socket.sender();
        sender.flush();
        sender.try_feed("first").unwrap();
        sender.try_feed("second").unwrap();
        Responder::batch(|| sender.flush());
        assert_eq!(peer.next(), Some((TEXT, b"first".to_vec())), "{model}");
        assert_eq!(peer.next(), Some((TEXT, b"second".to_vec())), "{model}");
        sender.try_feed("third").unwrap();
        sender.try_send("fourth").unwrap();
        assert_eq!(peer.next(), Some((TEXT, b"third".to_vec())), "{model}");
        assert_eq!(peer.next(), Some((TEXT, b"fourth".to_vec())), "{model}");
        sender.try_feed(vec![5; 1000]).unwrap();
        sender.close(4000, "");
        assert_eq!(sender.try_feed("late"), Err(WebSocketSendError::Closed), "{model}");
        assert_eq!(peer.next(), Some((BINARY, vec![5; 1000])), "{model}");
        assert_eq!(close_code(peer.next().as_ref()), Some(4000), "{model}");
    }
}

#[test]
fn a_sender_waits_while_the_queue_is_full() {
    let settings = WebSocketUpgrade::new().queue_limit(1000).compression(false);
    let (app, sockets) = handing_over(settings);
    let server = start(app);
    let mut peer = Peer::connect(&server, "");
    let socket = sockets.recv_timeout(PATIENCE).unwrap();
    let sender: WebSocketSender = socket.sender();
    // The kernel takes some of it; the peer takes nothing.
    let message = vec![b'x'; 64 << 10];
    let mut sent = 0;
    eventually("the queue is full", || match sender.try_send(message.clone()) {
        Ok(()) => {
            sent += 1;
            false
        }
        Err(WebSocketSendError::Full(back)) => {
            assert_eq!(back.len(), message.len());
            // It may be on its way to the kernel.
            thread::sleep(Duration::from_millis(20));
            sender.queued() >= 1000
        }
        Err(error) => panic!("{error}"),
    });
    assert!(sender.queued() < 1000 + message.len() + 20);
    let waiting = thread::spawn(move || wait(sender.send("last"), Some(PATIENCE)).unwrap());
    for _ in 0..sent {
        assert_eq!(peer.next(), Some((BINARY, message.clone())));
    }
    waiting.join().unwrap().unwrap();
    // More was sent if the queue had room in between.
    let mut next = peer.next();
    while next == Some((BINARY, message.clone())) {
        next = peer.next();
    }
    assert_eq!(next, Some((TEXT, b"last".to_vec())));
    assert!(!socket.sender().is_closed());
}

#[test]
fn messages_come_in_pieces_if_the_handler_wants_that() {
    let settings = WebSocketUpgrade::new().in_pieces();
    let (app, sockets) = handing_over(settings);
    let server = start(app);
    let mut peer = Peer::connect(&server, "");
    let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
    peer.send(&frame(TEXT - 0x80, "a\u{e4}".as_bytes().split_last().unwrap().1));
    let piece = wait(socket.recv_piece(), Some(PATIENCE)).unwrap().unwrap();
    assert_eq!((piece.payload, piece.is_last), ("a".into(), false));
    peer.send(&frame(CONTINUATION, b"\xa4b"));
    let piece = wait(socket.recv_piece(), Some(PATIENCE)).unwrap().unwrap();
    assert_eq!((piece.payload, piece.is_last), ("\u{e4}b".into(), true));
    peer.send(&[frame(BINARY - 0x80, b"1"), frame(0, b"2"), frame(CONTINUATION, b"")].concat());
    assert_eq!(recv(&mut socket), Some(b"12"[..].into()));
}

#[test]
fn a_close_at_any_byte_ends_the_connection() {
    let (app, sockets) = handing_over(WebSocketUpgrade::new());
    let server = start(app);
    let bytes = [frame(TEXT, b"whole"), frame(TEXT - 0x80, b"half"), frame(CLOSE, b"\x03\xe8")].concat();
    for length in 0..=bytes.len() {
        let mut peer = Peer::connect(&server, "");
        let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
        peer.send(&bytes[..length]);
        peer.shutdown(Shutdown::Write);
        let is_whole = length >= frame(TEXT, b"whole").len();
        assert_eq!(recv(&mut socket), is_whole.then(|| "whole".into()), "{length} bytes");
        if is_whole {
            assert_eq!(recv(&mut socket), None);
        }
        // The message is half when the Close comes, which may.
        let code = if length == bytes.len() { 1000 } else { 1006 };
        assert_eq!(close_of(&socket), Some(code), "{length} bytes");
        peer.until_end();
    }
}

#[test]
fn a_flood_of_pings_whose_pongs_nobody_reads_is_bounded() {
    let settings = WebSocketUpgrade::new().queue_limit(10_000);
    let (app, sockets) = handing_over(settings);
    let server = start(app);
    let mut peer = Peer::connect(&server, "");
    let socket = sockets.recv_timeout(PATIENCE).unwrap();
    let (flood, sender) = (frame(PING, &[b'p'; 125]).repeat(1000), socket.sender());
    for _ in 0..50 {
        peer.send(&flood);
        assert!(sender.queued() < 11_000);
    }
    // The last Ping is answered.
    peer.send(&frame(PING, b"last"));
    while let Some(frame) = peer.next() {
        if frame == (PONG, b"last".to_vec()) {
            return;
        }
    }
    panic!("the last Ping has no answer");
}

#[test]
fn the_settings_of_the_documentation_are_those_of_the_code() {
    let (page, readme) = (include_str!("../docs/websocket.md"), include_str!("../README.md"));
    let code = format!("{:?}", WebSocketUpgrade::new());
    for (setting, told, value) in [
        ("message_limit", "1 MiB", "message: 1048576"),
        ("frame_limit", "16 MiB", "frame: 16777216"),
        ("message_rate", "500", "message_rate: 500"),
        ("message_timeout", "30 s", "message_timeout: Some(30s)"),
        ("queue_limit", "256 KiB", "queue: 262144"),
        ("compress_from", "64 bytes", "compress_from: 64"),
        ("ping_interval", "30 s", "ping_interval: Some(30s)"),
        ("ping_timeout", "30 s", "ping_timeout: 30s"),
        ("close_timeout", "5 s", "close_timeout: 5s"),
    ] {
        assert!(page.contains(&format!("| `{setting}` | {told} |")), "{setting}");
        // What bounds a peer is in the table of all limits too.
        let row = format!("| `websocket.{setting}` | {told} |");
        assert!(setting == "compress_from" || readme.contains(&row), "{setting}");
        assert!(code.contains(value), "{setting}: {code}");
    }
}
