//! Streams of clients that mean harm: what they can make the server keep, and how long it works for
//! them in one turn.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_lite::{AsyncRead, AsyncWrite};
use rustls::version::{TLS12, TLS13};

use super::client::{Client, client_config, server_config};
use super::network::{Cut, Network, Socket, Woken, drive};
use super::raw::{ALERT, DATA, HANDSHAKE, RawClient, opened};
use super::{VERSIONS, app};
use crate::conn::{Session, serve};
use crate::tls::handshake::{Refused, accept};
use crate::tls::stream::TlsStream;

/// The most bytes that a client may make the server keep for it.
const MOST_KEPT: usize = 200 * 1024;
/// The most bytes that one poll may read.
const MOST_PER_TURN: usize = 600 * 1024;

/// `KeyUpdate` with a request for one of the server's (RFC 8446 4.6.3).
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 1];
const CLOSE_NOTIFY: [u8; 2] = [1, 0];
const NO_RENEGOTIATION: [u8; 2] = [1, 100];

fn read(stream: &mut TlsStream<Socket>) -> Poll<io::Result<Vec<u8>>> {
    read_with(stream, Waker::noop())
}

fn read_with(stream: &mut TlsStream<Socket>, waker: &Waker) -> Poll<io::Result<Vec<u8>>> {
    let mut buffer = vec![0; 4096];
    let read = Pin::new(stream).poll_read(&mut Context::from_waker(waker), &mut buffer);
    read.map_ok(|length| buffer[..length].to_vec())
}

#[track_caller]
fn write(stream: &mut TlsStream<Socket>, bytes: &[u8]) {
    let written = Pin::new(stream).poll_write(&mut Context::from_waker(Waker::noop()), bytes);
    assert!(matches!(written, Poll::Ready(Ok(length)) if length == bytes.len()), "{written:?}");
}

#[track_caller]
fn assert_data(stream: &mut TlsStream<Socket>, data: &[u8]) {
    match read(stream) {
        Poll::Ready(Ok(found)) => assert_eq!(found, data),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_failed(stream: &mut TlsStream<Socket>, told: &str) {
    for _ in 0..2 {
        match read(stream) {
            Poll::Ready(Err(error)) => assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}"),
            other => panic!("{told}: {other:?}"),
        }
    }
    let written = Pin::new(&mut *stream).poll_write(&mut Context::from_waker(Waker::noop()), b"x");
    assert!(matches!(written, Poll::Ready(Err(_))), "{told}: {written:?}");
    assert!(close(stream).is_ready(), "{told}");
}

fn close(stream: &mut TlsStream<Socket>) -> Poll<io::Result<()>> {
    Pin::new(stream).poll_close(&mut Context::from_waker(Waker::noop()))
}

/// Returns how many bytes a stream keeps.
fn kept(stream: &TlsStream<Socket>) -> usize {
    let records = &stream.records;
    records.incoming.len() + records.plain.len() + records.outgoing.len()
}

#[test]
fn a_key_update_may_be_cut_in_two_records_and_the_server_write_between_them() {
    for at in 1..KEY_UPDATE.len() {
        let (mut stream, mut client) = opened(&TLS13);
        let (first, second) = KEY_UPDATE.split_at(at);
        let first = client.record(HANDSHAKE, first);
        client.send(&first);
        assert!(read(&mut stream).is_pending(), "{at}");
        write(&mut stream, b"between");
        assert_eq!(client.receive(), Some((DATA, b"between".to_vec())), "{at}");
        let second = client.record(HANDSHAKE, second);
        client.update_keys();
        let data = client.record(DATA, b"after");
        client.send(&[second, data].concat());
        assert_data(&mut stream, b"after");
        // The server changes its keys before it writes again.
        write(&mut stream, b"answer");
        assert_eq!(client.receive(), Some((HANDSHAKE, vec![24, 0, 0, 1, 0])), "{at}");
        client.follow_keys();
        assert_eq!(client.receive(), Some((DATA, b"answer".to_vec())), "{at}");
        assert!(matches!(close(&mut stream), Poll::Ready(Ok(()))), "{at}");
        assert_eq!(client.receive(), Some((ALERT, CLOSE_NOTIFY.to_vec())), "{at}");
    }
}

#[test]
fn a_handshake_message_that_never_ends_is_refused() {
    for version in VERSIONS {
        let (mut stream, mut client) = opened(version);
        let begin = client.record(HANDSHAKE, &[24, 0, 0xff, 0xff]);
        client.send(&begin);
        let mut most = 0;
        for _ in 0..10_000 {
            let next = if version == &TLS13 {
                client.padded_record(HANDSHAKE, &[0], 16_000)
            } else {
                client.record(HANDSHAKE, &[0])
            };
            client.send(&next);
            let polled = read(&mut stream);
            most = most.max(kept(&stream));
            if polled.is_ready() {
                break;
            }
        }
        assert!(most < MOST_KEPT, "{version:?}: {most} bytes are kept");
        assert_failed(&mut stream, "a message that never ends");
    }
}

#[test]
fn a_hello_that_never_ends_is_refused() {
    let network = Network::new(Cut::Never, 0);
    let mut accepting = pin!(accept(Socket::new(&network), server_config()));
    let mut sent = 0;
    network.lock().unwrap().give(&[22, 3, 1, 0, 4, 1, 0, 0xff, 0xff]);
    let context = &mut Context::from_waker(Waker::noop());
    loop {
        match accepting.as_mut().poll(context) {
            Poll::Pending if !network.lock().unwrap().wire.is_closed => {}
            Poll::Pending => break,
            Poll::Ready(_) => panic!("it does not wait for the client"),
        }
        network.lock().unwrap().give(&[22, 3, 1, 0, 1, 0]);
        sent += 6;
        assert!(sent < MOST_KEPT, "{sent} bytes are kept");
    }
    network.lock().unwrap().end();
    assert!(matches!(accepting.as_mut().poll(context), Poll::Ready(Err(Refused::Failed(_)))));
}

/// Makes the next bytes that a client sends.
type More = fn(&mut RawClient) -> Vec<u8>;

/// Lets a client send for ever. Returns what the first reads return that do not wait.
fn flood(
    stream: &mut TlsStream<Socket>,
    client: RawClient,
    mut more: impl FnMut(&mut RawClient) -> Vec<u8> + Send + 'static,
) -> Poll<io::Result<Vec<u8>>> {
    let network = Arc::clone(&client.network);
    let client = Mutex::new(client);
    let first = more(&mut client.lock().unwrap());
    network.lock().unwrap().source = Some(Box::new(move || more(&mut client.lock().unwrap())));
    network.lock().unwrap().give(&first);
    // The client reads nothing.
    network.lock().unwrap().cut = Cut::Each(0);
    let (woken, waker) = Woken::new();
    let mut read_before = 0;
    for _ in 0..50 {
        assert!(woken.take(), "a turn ends, and nothing begins the next one");
        let polled = read_with(stream, &waker);
        let read = network.lock().unwrap().read;
        assert!(read - read_before < MOST_PER_TURN, "{} bytes are read in one turn", read - read_before);
        assert!(kept(stream) < MOST_KEPT, "{} bytes are kept", kept(stream));
        if polled.is_ready() {
            return polled;
        }
        read_before = read;
    }
    Poll::Pending
}

#[test]
fn records_without_data_for_ever_leave_other_connections_their_turn() {
    // Empty records and new keys: rustls limits each of them only if they come in a row.
    let (mut stream, client) = opened(&TLS13);
    let flooded = flood(&mut stream, client, |client| {
        let mut records = client.record(DATA, b"");
        records.extend(client.record(HANDSHAKE, &KEY_UPDATE));
        client.update_keys();
        records
    });
    assert!(flooded.is_pending(), "{flooded:?}");
}

#[test]
fn floods_that_are_no_use_to_anybody_end_the_connection() {
    let floods: [(_, More); 6] = [
        (&TLS13, |client| {
            let record = client.record(HANDSHAKE, &KEY_UPDATE);
            client.update_keys();
            record
        }),
        (&TLS13, |client| client.record(DATA, b"")),
        (&TLS13, |client| client.padded_record(DATA, b"", 16_000)),
        (&TLS12, |client| client.record(DATA, b"")),
        // A warning: user_canceled.
        (&TLS12, |client| client.record(ALERT, &[1, 90])),
        // An offer of a ClientHello, to negotiate anew.
        (&TLS12, |client| client.record(HANDSHAKE, &[1, 0, 0, 0])),
    ];
    for (number, (version, more)) in floods.into_iter().enumerate() {
        let (mut stream, client) = opened(version);
        let flooded = flood(&mut stream, client, more);
        assert!(matches!(flooded, Poll::Ready(Err(_))), "{number}: {flooded:?}");
        let read = stream.transport.link().read;
        assert!(read < 2_000_000, "{number}: {read} bytes are read");
    }
}

#[test]
fn a_new_negotiation_is_declined() {
    let (mut stream, mut client) = opened(&TLS12);
    // A hello that is well-formed: version, random, no session, a suite, no compression.
    let hello = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xcc, 0xa9, 1, 0]].concat();
    let message = [&[1, 0, 0, u8::try_from(hello.len()).unwrap()][..], &hello].concat();
    let (again, data) = (client.record(HANDSHAKE, &message), client.record(DATA, b"data"));
    client.send(&[again, data].concat());
    assert_data(&mut stream, b"data");
    assert_eq!(client.receive(), Some((ALERT, NO_RENEGOTIATION.to_vec())));
    write(&mut stream, b"answer");
    assert_eq!(client.receive(), Some((DATA, b"answer".to_vec())));
    let again = client.record(HANDSHAKE, &message);
    client.send(&again);
    assert_failed(&mut stream, "a second one");
}

#[test]
fn data_before_a_record_that_is_not_valid_is_read() {
    for version in VERSIONS {
        let cases: [(&str, More); 5] = [
            ("garbage", |_| b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()),
            ("one bit of the content", |client| {
                let mut record = client.record(DATA, b"altered");
                record[6] ^= 1;
                record
            }),
            ("too long", |_| [&[23, 3, 3, 0x48, 0x01][..], &vec![0; 20_000]].concat()),
            ("unknown type", |client| client.record(99, b"x")),
            ("a record that is not encrypted", |_| vec![23, 3, 3, 0, 1, b'x']),
        ];
        for (name, bad) in cases {
            let (mut stream, mut client) = opened(version);
            let good = client.record(DATA, b"good");
            let bad = bad(&mut client);
            client.send(&[good, bad].concat());
            assert_data(&mut stream, b"good");
            assert_failed(&mut stream, name);
            // The last record is a fatal alert.
            let mut last = None;
            while let Some(record) = client.receive() {
                last = Some(record);
            }
            let last = last.unwrap_or_else(|| panic!("{version:?}: {name}: no alert"));
            assert!(last.0 == ALERT && last.1[0] == 2, "{version:?}: {name}: {last:?}");
        }
    }
}

#[test]
fn a_bad_record_that_is_found_while_closing_does_not_keep_the_connection_open() {
    let (mut stream, client) = opened(&TLS13);
    write(&mut stream, b"answer");
    stream.records.incoming.room_for(5).unwrap()[..5].copy_from_slice(&[99; 5]);
    stream.records.incoming.filled(5);
    assert!(matches!(close(&mut stream), Poll::Ready(Ok(()))));
    assert!(client.network.lock().unwrap().wire.is_closed);
}

#[test]
fn the_end_of_a_client_is_the_end_of_what_is_read() {
    for version in VERSIONS {
        // With a close_notify, after which nothing counts.
        let (mut stream, mut client) = opened(version);
        let (data, close) = (client.record(DATA, b"data"), client.record(ALERT, &CLOSE_NOTIFY));
        client.send(&[&data[..], &close, &vec![99; 40_000]].concat());
        assert_data(&mut stream, b"data");
        for _ in 0..3 {
            assert_data(&mut stream, b"");
        }
        write(&mut stream, b"answer");
        assert_eq!(client.receive(), Some((DATA, b"answer".to_vec())));
        // Without one, between records and in the middle of one.
        for sent in [data.len(), data.len() - 1] {
            let (mut stream, mut client) = opened(version);
            let data = client.record(DATA, b"data");
            client.send(&data[..sent]);
            client.network.lock().unwrap().end();
            if sent == data.len() {
                assert_data(&mut stream, b"data");
            }
            assert_data(&mut stream, b"");
            write(&mut stream, b"answer");
            assert_eq!(client.receive(), Some((DATA, b"answer".to_vec())));
        }
    }
}

#[test]
fn only_the_first_bytes_of_a_connection_are_taken_for_plain_http() {
    let network = Network::new(Cut::Never, 0);
    let mut client = Client::new(&Arc::new(client_config(&TLS13)), Cut::Never);
    let mut steps = 0;
    let accepted = drive(pin!(accept(Socket::new(&network), server_config())), &network, |network| {
        steps += 1;
        match steps {
            1 => client.step(network),
            2 => {
                network.give(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
                true
            }
            _ => {
                let is_moving = !network.wire.has_ended;
                network.end();
                is_moving
            }
        }
    });
    assert!(matches!(accepted, Some(Err(Refused::Failed(_)))), "it is answered without TLS");
    network.lock().unwrap().give(b"");
    for length in 1..4 {
        let network = Network::new(Cut::Never, 0);
        network.lock().unwrap().give(&b"GET / HTTP/1.1\r\n"[..length]);
        network.lock().unwrap().end();
        let accepted = drive(pin!(accept(Socket::new(&network), server_config())), &network, |_| false);
        assert!(matches!(accepted, Some(Err(Refused::PlainHttp(_)))), "{length} bytes");
    }
}

#[test]
fn a_client_that_goes_on_sending_after_a_failed_handshake_leaves_other_connections_their_turn() {
    static READ: AtomicU64 = AtomicU64::new(0);
    let network = Network::new(Cut::Never, 0);
    network.lock().unwrap().source = Some(Box::new(|| {
        READ.fetch_add(4096, Ordering::Relaxed);
        vec![200; 4096]
    }));
    network.lock().unwrap().give(&[200; 100]);
    let (woken, waker) = Woken::new();
    let mut accepting = pin!(accept(Socket::new(&network), server_config()));
    for _ in 0..20 {
        assert!(woken.take(), "a turn ends, and nothing begins the next one");
        READ.store(0, Ordering::Relaxed);
        assert!(accepting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(READ.load(Ordering::Relaxed) < MOST_PER_TURN as u64);
    }
}

#[test]
fn bytes_at_random_end_the_connection_and_nothing_panics() {
    let app = app();
    let mut state = 1_u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 40).unwrap()
    };
    for round in 0..400 {
        let session = Session::unknown();
        let network = Network::new(Cut::Seed(round), 0);
        let mut client = Client::new(&Arc::new(client_config(VERSIONS[random() % 2])), Cut::Seed(round));
        client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let at = random() % 900;
        let socket = Socket::new(&network);
        let task = async {
            if let Ok((stream, _)) = accept(socket, server_config()).await {
                serve(stream, &app, &session).await;
            }
        };
        let mut has_altered = false;
        let ended = drive(pin!(task), &network, |network| {
            let before = network.wire.inbox.len();
            let has_moved = client.step(network);
            if !has_altered && client.sent >= at && network.wire.inbox.len() > before {
                has_altered = true;
                match random() % 4 {
                    0 => network.wire.inbox[before] ^= 1 << (random() % 8),
                    1 => drop(network.wire.inbox.remove(before)),
                    2 => network.wire.inbox.insert(before, 22),
                    _ => network.wire.inbox.extend((0..random() % 70).map(|at| at.to_le_bytes()[0])),
                }
            }
            if !has_moved && !network.wire.has_ended {
                network.end();
                return true;
            }
            has_moved
        });
        assert!(ended.is_some(), "round {round} hangs");
    }
}
