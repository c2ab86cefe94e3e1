//! Large pieces of a body, which the thread that has them writes to the socket itself: they come whole and
//! in order among the others, in each framing.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use transom::{
    Body, BodyWriter, Handle, Method, Request, Responder, Response, Route, Router, StatusCode, WriteError,
};

use crate::common::{Client, PATIENCE, Place, Work, start};

/// Small ones, the least and the most that go straight to the socket, and one that is too large for it.
const SIZES: [usize; 8] = [65536, 65536, 5, 16 * 1024, 16 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 100_000];
const ROUNDS: usize = 40;

/// Bytes of which no piece is like another.
fn all() -> Vec<u8> {
    (0..SIZES.iter().sum::<usize>() * ROUNDS)
        .map(|at| u8::try_from((at + at / 65_521) % 251).unwrap())
        .collect()
}

fn start_writing(work: impl Fn(Request, Responder) + Clone + Send + Sync + 'static) -> Handle {
    start(Router::new().route(Route::new(Method::GET, "/", Work(Place::Elsewhere, work))))
}

/// Waits until a piece goes straight to the socket. None does over async-io.
fn send_straight(writer: &BodyWriter, piece: &[u8]) {
    let begun = Instant::now();
    while !writer.send_now(piece) {
        if cfg!(transom_portable) || !cfg!(target_os = "linux") {
            return writer.write_blocking(piece.to_vec(), None).unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "the connection never waits for a piece");
        thread::yield_now();
    }
}

#[test]
fn pieces_come_whole_and_in_order_whichever_way_they_go() {
    for is_sized in [true, false] {
        let server = start_writing(move |_, responder| {
            let all = all();
            let (writer, body) =
                if is_sized { Body::sized_channel(all.len() as u64) } else { Body::channel() };
            responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
            let (mut left, mut straight) = (&all[..], 0);
            for size in SIZES.into_iter().cycle().take(SIZES.len() * ROUNDS) {
                let (piece, rest) = left.split_at(size);
                left = rest;
                if writer.send_now(piece) {
                    straight += 1;
                } else if straight == 0 && size == 100_000 {
                    send_straight(&writer, piece);
                    straight = 1;
                } else {
                    writer.write_blocking(piece.to_vec(), None).unwrap();
                }
            }
            assert!(!is_sized || !writer.send_now(&vec![0; 65536]), "beyond the length");
            writer.finish().unwrap();
        });
        for version in ["1.1", "1.0"] {
            let mut client = Client::connect(&server);
            client.send(format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n"));
            assert!(client.answer().body == all(), "HTTP/{version}");
        }
    }
}

#[test]
fn the_connection_goes_on_after_the_last_byte() {
    let (release, released) = sync_channel(3);
    let released = Arc::new(Mutex::new(released));
    let server = start_writing(move |_, responder| {
        let (writer, body) = Body::sized_channel(2 * 65536);
        responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
        writer.write_blocking(vec![b'x'; 65536], None).unwrap();
        send_straight(&writer, &vec![b'x'; 65536]);
        // No writer ends or goes before the client has all answers, so that nothing else wakes the connection.
        released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
    });
    let mut client = Client::connect(&server);
    for count in 1..=3 {
        let answer = client.get("/");
        assert!(answer.status == 200 && answer.body == vec![b'x'; 2 * 65536]);
        let begun = Instant::now();
        while server.stats().exchanges < count {
            assert!(begun.elapsed() < PATIENCE, "the connection does not know that the body is whole");
            thread::yield_now();
        }
    }
    (0..3).for_each(|_| release.send(()).unwrap());
}

#[test]
fn a_client_that_leaves_or_stops_reading_is_noticed() {
    let (told, outcome) = sync_channel(3);
    let server = start_writing(move |_, responder| {
        let (writer, body) = Body::channel();
        responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
        writer.write_blocking(vec![b'x'; 65536], None).unwrap();
        send_straight(&writer, &vec![b'x'; 65536]);
        let piece = vec![b'x'; 65536];
        while writer.try_write(piece.clone()) != Err(WriteError::WouldBlock) {}
        told.send(Err(WriteError::WouldBlock)).unwrap();
        told.send(writer.write_blocking(piece.clone(), Some(PATIENCE))).unwrap();
        while writer.write_blocking(piece.clone(), Some(PATIENCE)).is_ok() {}
        told.send(writer.try_write(piece)).unwrap();
    });
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.head();
    for _ in 0..2 {
        client.try_chunk().unwrap().unwrap();
    }
    assert_eq!(outcome.recv_timeout(PATIENCE).unwrap(), Err(WriteError::WouldBlock));
    let mut written = outcome.try_recv();
    while written.is_err() {
        client.try_chunk().unwrap().unwrap();
        written = outcome.try_recv();
    }
    assert_eq!(written, Ok(Ok(())));
    client.reset();
    assert_eq!(outcome.recv_timeout(PATIENCE).unwrap(), Err(WriteError::Gone));
}
