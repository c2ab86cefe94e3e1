//! Peers that want to hold a server: limits and deadlines hold in every model, and nothing is left.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use transom::{Handle, Model, Request, Router, WebSocket, WebSocketUpgrade, wait};

use crate::common::{PATIENCE, SHORT, configured, eventually};
use crate::peer::{BINARY, CLOSE, CONTINUATION, HANDSHAKE, PING, Peer, TEXT, close_code, frame};
use crate::{MODELS, close_of, echoing, handing_over, recv, start_model};

/// The bit of the last frame of a message.
const FINAL: u8 = 0x80;

/// Waits until no connection is left.
fn until_free(server: &Handle, model: Model) {
    eventually("no connection is left", || server.connections().is_empty());
    assert_eq!(server.stats().pending, 0, "{model}");
}

#[test]
fn endless_fragments_end_at_a_limit() {
    let empty = frame(CONTINUATION & !FINAL, b"");
    for model in MODELS {
        for (settings, piece, code) in [
            (WebSocketUpgrade::new(), frame(CONTINUATION & !FINAL, &[b'x'; 1000]), 1009),
            (WebSocketUpgrade::new().in_pieces(), frame(CONTINUATION & !FINAL, &[b'x'; 1000]), 1009),
            (WebSocketUpgrade::new(), empty.repeat(100), 1008),
            (WebSocketUpgrade::new().in_pieces(), [&empty[..], &frame(PING, b"")].concat().repeat(100), 1008),
        ] {
            let server = start_model(echoing(settings.message_limit(100_000)), model);
            let mut peer = Peer::connect(&server, "");
            peer.send(&frame(TEXT & !FINAL, b""));
            // Less than a megabyte passes in each of these cases.
            for _ in 0..1000 {
                if !peer.can_send(&piece) {
                    break;
                }
            }
            let last = std::iter::from_fn(|| peer.next()).find(|(first, _)| *first == CLOSE);
            assert_eq!(close_code(last.as_ref()), Some(code), "{model}");
            drop(peer);
            until_free(&server, model);
        }
    }
}

#[test]
fn a_peer_that_reads_nothing_is_cut() {
    for model in MODELS {
        let (app, sockets) = handing_over(WebSocketUpgrade::new().queue_limit(1000).compression(false));
        let server = configured(app, |_, timeouts| timeouts.write = Some(SHORT));
        let server = server.model(model).workers(1).bind("127.0.0.1:0").unwrap().start().unwrap();
        let _peer = Peer::connect(&server, "");
        let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
        let sender = socket.sender();
        let sending = thread::spawn(move || {
            while wait(sender.send(vec![7; 64 << 10]), Some(PATIENCE)).unwrap().is_ok() {}
            sender.queued()
        });
        assert_eq!(recv(&mut socket), None);
        assert_eq!(close_of(&socket), Some(1006), "{model}");
        // The sender that waited for room is told, and the queue is empty.
        assert_eq!(sending.join().unwrap(), 0, "{model}");
        until_free(&server, model);
    }
}

#[test]
fn a_peer_that_is_half_open_is_given_up() {
    for model in MODELS {
        let settings = WebSocketUpgrade::new().ping_interval(Some(SHORT)).ping_timeout(SHORT);
        let (app, sockets) = handing_over(settings);
        let server = start_model(app, model);
        let mut peer = Peer::connect(&server, "");
        // In the middle of a frame, and of a message.
        peer.send(&[frame(TEXT & !FINAL, b"be"), vec![CONTINUATION, 0x85, 1, 2]].concat());
        let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
        assert_eq!(recv(&mut socket), None);
        assert_eq!(close_of(&socket), Some(1006), "{model}");
        assert_eq!(peer.next(), Some((PING, Vec::new())), "{model}");
        until_free(&server, model);
    }
}

#[test]
fn a_message_that_comes_too_slowly_ends_the_connection() {
    let settings = WebSocketUpgrade::new().message_timeout(Some(SHORT)).message_rate(u32::MAX);
    let head = frame(TEXT & !FINAL, b"be");
    let piece = frame(CONTINUATION & !FINAL, b"x");
    // Pings between the pieces of a message do not prolong it.
    let ping = [frame(PING, b""), piece.clone()].concat();
    let cases = [
        (head.clone(), piece),
        (head.clone(), ping),
        (head, Vec::new()),
        (frame(TEXT, &vec![b'x'; 60_000])[..1000].to_vec(), b"y".to_vec()),
        (vec![PING, 0xfd, 1, 2, 3], b"p".to_vec()),
        (vec![TEXT], Vec::new()),
    ];
    for model in MODELS {
        thread::scope(|scope| {
            for settings in
                [settings.clone(), settings.clone().in_pieces(), settings.clone().ping_interval(None)]
            {
                for (begin, more) in &cases {
                    let server = start_model(echoing(settings.clone()), model);
                    scope.spawn(move || send_too_slowly(&server, model, begin, more));
                }
            }
        });
    }
}

/// Sends a whole message, and then a slow one, of which `more` comes again and again.
fn send_too_slowly(server: &Handle, model: Model, begin: &[u8], more: &[u8]) {
    let mut peer = Peer::connect(server, "");
    peer.send(&frame(TEXT, b"whole"));
    let mut sending = peer.again();
    let last = thread::scope(|scope| {
        scope.spawn(move || {
            // Any silence may follow a message that is whole.
            thread::sleep(2 * SHORT);
            let mut is_open = sending.can_send(begin);
            // Ends at a limit of bytes if no time ends it.
            for _ in 0..if more.is_empty() { 0 } else { 100_000 } {
                if !is_open {
                    break;
                }
                thread::sleep(SHORT / 50);
                is_open = sending.can_send(more);
            }
        });
        let last = std::iter::from_fn(|| peer.next()).find(|(first, _)| *first == CLOSE);
        peer.shutdown(Shutdown::Both);
        last
    });
    let reason = [&1008_u16.to_be_bytes()[..], b"a message comes too slowly"].concat();
    assert_eq!(last, Some((CLOSE, reason)), "{model}, {begin:?}");
    until_free(server, model);
}

#[test]
fn a_message_of_many_reads_and_a_slow_handler_are_not_too_slow() {
    for model in MODELS {
        // Any byte of a message is enough.
        let settings = WebSocketUpgrade::new().message_timeout(Some(SHORT)).message_rate(0).in_pieces();
        let (app, sockets) = handing_over(settings.ping_interval(None).message_limit(usize::MAX));
        let server = start_model(app, model);
        let mut peer = Peer::connect(&server, "");
        let mut socket = sockets.recv_timeout(PATIENCE).unwrap();
        let large = vec![b'x'; 4 << 20];
        thread::scope(|scope| {
            scope.spawn(|| peer.send(&frame(BINARY, &large)));
            let mut come = 0;
            while come < large.len() {
                if come == 0 {
                    // The server does not wait for the peer now.
                    thread::sleep(3 * SHORT);
                }
                come += wait(socket.recv_piece(), Some(PATIENCE)).unwrap().unwrap().payload.len();
            }
        });
        thread::sleep(3 * SHORT);
        peer.send(&frame(TEXT, b"again"));
        let mut again = Vec::new();
        while again.is_empty() {
            again.extend_from_slice(recv(&mut socket).unwrap().as_bytes());
        }
        assert_eq!(again, b"again", "{model}");
    }
}

#[test]
fn a_peer_that_leaves_at_any_byte_leaves_nothing_behind() {
    let message = [frame(BINARY & !FINAL, b"ab"), frame(PING, b"p"), frame(CONTINUATION, b"c")].concat();
    let bytes = [HANDSHAKE.as_bytes(), &message, &frame(CLOSE, b"\x03\xe8")].concat();
    for model in MODELS {
        let server = start_model(echoing(WebSocketUpgrade::new()), model);
        for length in (0..HANDSHAKE.len()).step_by(7).chain(HANDSHAKE.len()..=bytes.len()) {
            for how in [Shutdown::Write, Shutdown::Both] {
                let mut stream = TcpStream::connect(server.local_addr().to_string()).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(&bytes[..length]).unwrap();
                stream.shutdown(how).ok();
                if how == Shutdown::Write {
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer).ok();
                    let is_upgraded = answer.starts_with(b"HTTP/1.1 101 ");
                    assert_eq!(is_upgraded, length >= HANDSHAKE.len(), "{model}, {length} bytes");
                }
            }
        }
        until_free(&server, model);
    }
}

#[test]
fn a_handshake_that_is_answered_otherwise_runs_no_handler() {
    for model in MODELS {
        let app = Router::new().get("/", async |req: Request| {
            // The upgrade is made, and dropped.
            drop(WebSocket::upgrade::<_, std::future::Ready<()>>(&req, |_| unreachable!("the handler runs")));
            "no"
        });
        let server = start_model(app, model);
        let mut stream = TcpStream::connect(server.local_addr().to_string()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(HANDSHAKE.as_bytes()).unwrap();
        let mut answer = [0; 15];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK", "{model}");
        drop(stream);
        until_free(&server, model);
    }
}
