//! A service over streams that are no sockets: ones that hold back what is
//! written until they are flushed, and say good-bye when they are closed, as TLS
//! does.

mod common;

const MODEL: Model = Model::EventDriven;

use std::io;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use common::{PATIENCE, Signal, configured};
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, future, stream};
use smol::{Async, Timer};
use transom::{Body, Method, Model, Peer, Request, Response, Route, Router, Service, Timeouts};

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

/// A client that sends a body of `left` bytes before it reads. Each piece arrives just after a read that
/// found none. As in `async-net`, a read that succeeds gives up the wait of the read before.
struct Eager {
    head: &'static [u8],
    left: usize,
    /// A read found nothing since the last piece.
    asked: bool,
    reading: Option<Waker>,
    writing: Option<Waker>,
    written: Vec<u8>,
}

impl Eager {
    /// Wakes the server if it waits for the client.
    fn turn(&mut self) -> bool {
        let waker = if self.left == 0 { self.writing.take() } else { self.reading.take() };
        waker.map(Waker::wake).is_some()
    }
}

/// The two ends share the client.
#[derive(Clone)]
struct EagerStream(Arc<Mutex<Eager>>);

impl AsyncRead for EagerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut client = self.0.lock().unwrap();
        if !client.head.is_empty() {
            let length = client.head.len();
            buffer[..length].copy_from_slice(std::mem::take(&mut client.head));
            return Poll::Ready(Ok(length));
        }
        client.asked = !client.asked;
        if client.asked || client.left == 0 {
            client.reading = Some(cx.waker().clone());
            return Poll::Pending;
        }
        client.reading = None;
        let length = client.left.min(buffer.len());
        client.left -= length;
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for EagerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut client = self.0.lock().unwrap();
        if client.left > 0 {
            client.writing = Some(cx.waker().clone());
            return Poll::Pending;
        }
        client.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_body_that_arrives_while_the_answer_waits_is_always_waited_for() {
    let large = Route::new(Method::POST, "/", async |_: Request| vec![b'x'; 1 << 20]).streaming();
    let app = Router::new().route(large.body_limit(u64::MAX));
    let service = configured(app, |_, _| ()).service().unwrap();
    let client = Arc::new(Mutex::new(Eager {
        head: b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n",
        left: 20_000_000,
        asked: false,
        reading: None,
        writing: None,
        written: Vec::new(),
    }));
    let mut serving = pin!(service.serve_connection(EagerStream(Arc::clone(&client)), Peer::Unknown));
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(Arc::clone(&woken));
    loop {
        let ended = serving.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut client = client.lock().unwrap();
        if ended || client.written.len() > 1 << 20 {
            break;
        }
        assert!(
            client.turn() || woken.0.swap(false, Ordering::SeqCst),
            "nothing wakes the server, and {} bytes are on their way",
            client.left
        );
    }
    assert!(client.lock().unwrap().written.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

/// A client that has sent a part of a body and waits for its echo. It takes bytes only just after a write
/// that found no room, and a write that succeeds gives up the wait of the write before.
struct Waiting {
    sent: Vec<u8>,
    asked: bool,
    writing: Option<Waker>,
    written: usize,
}

#[derive(Clone)]
struct WaitingStream(Arc<Mutex<Waiting>>);

impl AsyncRead for WaitingStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let sent = &mut self.0.lock().unwrap().sent;
        // In small pieces, so that several chunks wait to be echoed.
        let length = sent.len().min(700);
        if length == 0 {
            return Poll::Pending;
        }
        buffer[..length].copy_from_slice(&sent[..length]);
        sent.drain(..length);
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for WaitingStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut client = self.0.lock().unwrap();
        client.asked = !client.asked;
        if client.asked {
            client.writing = Some(cx.waker().clone());
            return Poll::Pending;
        }
        client.writing = None;
        client.written += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Serves such a client until it has `size` bytes or more of the answer.
fn serve_waiting(service: &Service, sent: Vec<u8>, size: usize) {
    let client = Arc::new(Mutex::new(Waiting { sent, asked: false, writing: None, written: 0 }));
    let mut serving = pin!(service.serve_connection(WaitingStream(Arc::clone(&client)), Peer::Unknown));
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(Arc::clone(&woken));
    while client.lock().unwrap().written < size {
        assert!(serving.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let writing = client.lock().unwrap().writing.take();
        let has_room = writing.map(Waker::wake).is_some();
        let written = client.lock().unwrap().written;
        assert!(
            has_room || woken.0.swap(false, Ordering::SeqCst) || written >= size,
            "nothing wakes the server, which has written {written} of {size} bytes"
        );
    }
}

#[test]
fn an_answer_goes_on_though_reading_the_body_has_written_what_was_there() {
    let echo = Route::new(Method::POST, "/", async |request: Request| {
        Response::stream("application/octet-stream", request.into_body())
    });
    let app = Router::new().route(echo.streaming().body_limit(u64::MAX));
    let service = configured(app, |limits, _| limits.output = 1000).service().unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n";
    // With some of these sizes, all that came is read while the answer waits.
    for size in (1000..50_000).step_by(1000) {
        serve_waiting(&service, [head.as_bytes(), &vec![b'x'; size]].concat(), size);
    }
}

#[test]
fn a_file_goes_on_though_reading_the_body_has_written_the_head() {
    const SIZE: usize = 1_000_000;
    let path = std::env::temp_dir().join(format!("transom-transports-{}", std::process::id()));
    std::fs::write(&path, vec![b'x'; SIZE]).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let file = Arc::new(file);
    let download = Route::new(Method::POST, "/", async move |_: Request| {
        Ok(Response::bytes("application/octet-stream", Body::file(file.try_clone()?)?))
    });
    let service = configured(Router::new().route(download.streaming()), |_, _| ()).service().unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
    serve_waiting(&service, head.into(), SIZE);
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_running_server_serves_connections_that_the_program_brings() {
    for model in [Model::EventDriven, Model::ThreadPerConnection, Model::Sequential] {
        let server = configured(app(), |_, _| ()).model(model).unbound().start().unwrap();
        assert!(server.local_addrs().is_empty() && server.local_addr().port().is_none());
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut ours, theirs) = (Async::new(ours).unwrap(), Async::new(theirs).unwrap());
        server.serve_connection(theirs, Peer::Unknown).unwrap();
        let mut answer = Vec::new();
        smol::block_on(async {
            ours.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
            while !answer.ends_with(b"\r\n\r\nhello") {
                let mut byte = [0];
                assert_eq!(ours.read(&mut byte).await.unwrap(), 1, "{answer:?}");
                answer.extend(byte);
            }
        });
        assert_eq!(server.stats().connections, 1);
        // The idle connection does not hold the stop up, and ends by it.
        let begun = Instant::now();
        server.stop(Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(50), "{model:?}");
        assert_eq!(smol::block_on(ours.read(&mut [0])).unwrap(), 0);
    }
}

#[test]
fn only_a_server_that_is_told_so_starts_without_a_listener() {
    assert!(matches!(configured(app(), |_, _| ()).start(), Err(transom::Error::NoListener)));
}
