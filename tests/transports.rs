//! A service over streams that are no sockets: ones that hold back what is
//! written until they are flushed, and say good-bye when they are closed, as TLS
//! does.

mod common;

const MODEL: transom::Model = transom::Model::EventDriven;

use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use common::{PATIENCE, Signal, configured};
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, future, stream};
use smol::{Async, Timer};
use transom::{Body, Peer, Request, Response, Router, Timeouts};

/// Passes on what was written when it is flushed, and `bye` when it is closed.
#[derive(Debug)]
struct Holding {
    stream: Async<UnixStream>,
    held: Vec<u8>,
    closing: bool,
    closed: Signal,
}

impl AsyncRead for Holding {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Holding {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.held.len() >= 1000 {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        let length = bytes.len().min(1000);
        self.held.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.held.is_empty() {
            let length = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.held))?;
            this.held.drain(..length);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closing, true) {
            self.held.extend_from_slice(b"bye");
        }
        ready!(self.as_mut().poll_flush(cx))?;
        self.closed.set();
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// Sends `request` over such a stream and returns all that comes until the end,
/// and how often the server closed its side.
fn talk(app: Router, request: &str, set: impl FnOnce(&mut Timeouts)) -> (String, u64) {
    let service = configured(app, |_, timeouts| set(timeouts)).service().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (mut ours, theirs) = (Async::new(ours).unwrap(), Async::new(theirs).unwrap());
    let closed = Signal::new();
    let stream = Holding { stream: theirs, held: Vec::new(), closing: false, closed: closed.clone() };
    let client = async {
        ours.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let whole = async { ours.read_to_string(&mut answer).await.map(|_| true) };
        let late = async {
            Timer::after(PATIENCE).await;
            Ok(false)
        };
        assert!(whole.or(late).await.unwrap(), "it does not end");
        answer
    };
    let (answer, ()) = smol::block_on(future::zip(client, service.serve_connection(stream, Peer::Unknown)));
    (answer, closed.count())
}

fn app() -> Router {
    Router::new()
        .get("/", async |_: Request| "hello")
        .get("/long", async |_: Request| "x".repeat(300_000))
        .get("/broken", async |_: Request| {
            let chunks = [Ok("begun".into()), Err(io::Error::other("on purpose"))];
            Response::bytes("text/plain", Body::stream(stream::iter(chunks)))
        })
}

#[test]
fn what_a_transport_holds_back_goes_out_before_the_next_request_is_waited_for() {
    // The idle deadline ends it: by then the client must have the answer.
    let idle = |timeouts: &mut Timeouts| timeouts.idle = Some(Duration::from_millis(300));
    let (answer, closed) = talk(app(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n", idle);
    assert!(answer.ends_with("\r\n\r\nhellobye"), "{answer:?}");
    assert_eq!(closed, 1);
    let (answer, _) = talk(app(), "GET /long HTTP/1.1\r\nHost: h\r\n\r\n", idle);
    assert_eq!(answer.len() - answer.find("\r\n\r\n").unwrap(), 4 + 300_000 + 3);
}

#[test]
fn rfc9112_9_8_a_transport_is_closed_in_order_after_the_last_answer() {
    let (answer, closed) = talk(app(), "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", |_| ());
    assert!(answer.ends_with("\r\n\r\nhellobye"), "{answer:?}");
    assert_eq!(closed, 1);
    let (answer, closed) = talk(app(), "nonsense\r\n\r\n", |_| ());
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("bye"), "{answer:?}");
    assert_eq!(closed, 1);
}

#[test]
fn a_transport_is_not_closed_in_order_behind_half_an_answer() {
    for version in ["1.0", "1.1"] {
        let (answer, closed) = talk(app(), &format!("GET /broken HTTP/{version}\r\nHost: h\r\n\r\n"), |_| ());
        assert!(answer.contains("begun") && !answer.contains("bye"), "{answer:?}");
        assert_eq!(closed, 0, "HTTP/{version}");
    }
}
