//! Large bodies through the whole loop, over a transport in memory: their bytes, their chunks, and
//! how often the task is woken.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use bytes::Bytes;
use http::Method;

use crate::base::pool::Pool;
use crate::config::Config;
use crate::conn::{App, Session, Transport, serve};
use crate::duplex::{DuplexStream, Link, Wire};
use crate::handler::{Route, Router};
use crate::message::{Request, Response};

/// A client that has sent all its bytes, and takes all that it gets. The clock stands still.
struct Upload {
    wire: Wire,
    /// Bytes that one read takes.
    piece: usize,
    now: Instant,
}

impl Link for Upload {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn read_size(&mut self, ready: usize) -> usize {
        ready.min(self.piece)
    }
}

impl Transport for DuplexStream<Upload> {
    fn now(&self) -> Instant {
        self.link().now
    }

    fn poll_deadline(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The outcome of a client's upload.
struct Outcome {
    answers: Vec<u8>,
    /// How often the connection's task ran.
    polls: usize,
}

/// Serves a client that sends `input` at once. One read takes `piece` bytes.
fn served(router: Router, input: Vec<u8>, piece: usize) -> Outcome {
    let wire = Wire { inbox: input.into(), has_ended: true, ..Wire::default() };
    let client = Arc::new(Mutex::new(Upload { wire, piece, now: Instant::now() }));
    let app = App::new(router.build().unwrap().0, Config::default(), Pool::in_place());
    let session = Session::unknown();
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(Arc::clone(&flag));
    let mut connection = pin!(serve(DuplexStream::new(&client), &app, &session));
    let mut polls = 0;
    while flag.0.swap(false, Ordering::SeqCst) {
        polls += 1;
        if connection.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            let answers = std::mem::take(&mut client.lock().unwrap().wire.outbox).into();
            return Outcome { answers, polls };
        }
    }
    panic!("it hangs");
}

/// Returns a router whose handler reads its body in chunks, and the chunks.
fn reader() -> (Router, Arc<Mutex<Vec<Bytes>>>) {
    let stretches = Arc::<Mutex<Vec<Bytes>>>::default();
    let read = Arc::clone(&stretches);
    let handler = move |mut request: Request| {
        let read = Arc::clone(&read);
        async move {
            while let Some(chunk) = request.body_mut().chunk().await {
                read.lock().unwrap().push(chunk.unwrap());
            }
            Response::text("read")
        }
    };
    let route = Route::new(Method::POST, "/", handler).streaming().body_limit(1 << 30);
    (Router::new().route(route).get("/", async |_: Request| Response::text("next")), stretches)
}

fn data(length: usize) -> Vec<u8> {
    (0..length).map(|number| u8::try_from(number % 251).unwrap_or(0)).collect()
}

const MIB: usize = 1 << 20;

#[test]
fn a_large_body_comes_in_few_reads_and_turns() {
    let (router, stretches) = reader();
    let sent = data(4 * MIB);
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len());
    let outcome = served(router, [head.as_bytes(), &sent].concat(), usize::MAX);
    let stretches = stretches.lock().unwrap();
    assert!(stretches.concat() == sent);
    assert!(stretches.len() < 4 * 16 + 8, "{} stretches", stretches.len());
    // Other connections have their turn now and then, but not after each chunk.
    assert!((4..8).contains(&outcome.polls), "{} turns", outcome.polls);
}

#[test]
fn a_chunked_body_is_the_same_whatever_its_chunks_and_pieces() {
    let sent = data(300_000);
    for size in [1, 100, 8191, 8192, 20_000, 65_536, 300_000] {
        let mut input = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in sent.chunks(size) {
            input.extend(format!("{:x}\r\n", chunk.len()).bytes());
            input.extend_from_slice(chunk);
            input.extend_from_slice(b"\r\n");
        }
        input.extend_from_slice(b"0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        for piece in [1, 1000, 10_000, usize::MAX] {
            let (router, stretches) = reader();
            let outcome = served(router, input.clone(), piece);
            let stretches = stretches.lock().unwrap();
            assert!(stretches.concat() == sent, "chunks of {size}, pieces of {piece}");
            let answers = String::from_utf8(outcome.answers).unwrap();
            assert!(answers.ends_with("next"), "chunks of {size}, pieces of {piece}: {answers}");
            if piece == usize::MAX {
                assert!(stretches.len() < 50, "chunks of {size}: {} stretches", stretches.len());
            }
        }
    }
}
