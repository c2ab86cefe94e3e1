//! The entry points of the fuzz targets in `fuzz/`: bytes in, plain values out. Compiled only with
//! `--cfg fuzzing`, and not part of the API.

use std::collections::VecDeque;
#[cfg(any(feature = "tls", feature = "tls-ring"))]
use std::pin::Pin;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use http::Version;

use crate::base::pool::Pool;
use crate::base::threads::Threads;
use crate::config::{Config, Limits};
use crate::conn::{App, Session, Stage, Transport, serve};
use crate::duplex::{DuplexStream, Link, Wire};
use crate::error::Reject;
#[cfg(feature = "websocket")]
use crate::fields::Headers;
use crate::handler::Router;
use crate::http1::{Chunked, Framing, HeadReader};
use crate::message::RequestHead;
use crate::server::proxy_header::{self, Malformed, Progress};
#[cfg(any(feature = "tls", feature = "tls-ring"))]
use crate::tls::{Tls, accept};
#[cfg(feature = "websocket")]
use crate::websocket::{Asked, Data, Deflation, Event, Origins, Reader, Sizes, Wanted, check};

/// A request head and the facts that its fields state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "plain values")]
pub struct Head {
    /// The method, as it was sent.
    pub method: String,
    /// The request target, as it was sent.
    pub target: String,
    /// True if the request is treated as HTTP/1.1, false for 1.0.
    pub is_11: bool,
    /// Names and values, in order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The length of the body, in bytes; `None` if it is chunked.
    pub body: Option<u64>,
    /// True if the client lets the connection persist.
    pub persistent: bool,
    /// True if the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// True if the client asks to leave HTTP.
    pub upgrade: bool,
    /// The length of the head, in bytes.
    pub end: usize,
}

/// Reads a head from bytes that arrive in pieces: each of `cuts` is the number of bytes that have
/// arrived when the reader tries again. In the end, all bytes have arrived.
///
/// # Errors
/// The verdict on the bytes.
pub fn head(
    bytes: &[u8],
    cuts: impl IntoIterator<Item = usize>,
    limits: &Limits,
) -> Result<Option<Head>, Reject> {
    let mut reader = HeadReader::default();
    for cut in cuts.into_iter().chain([bytes.len()]) {
        let mut head = RequestHead::new();
        let Some((facts, end)) = reader.read(&bytes[..cut], limits, &mut head)? else { continue };
        return Ok(Some(Head {
            method: head.method.to_string(),
            target: head.target.as_str().into(),
            is_11: head.version == Version::HTTP_11,
            fields: head.headers.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            body: match facts.framing() {
                Framing::None => Some(0),
                Framing::Length(length) => Some(length),
                Framing::Chunked => None,
            },
            persistent: facts.is_persistent(),
            expects_continue: facts.expects_continue(),
            upgrade: facts.asks_for_upgrade(),
            end,
        }));
    }
    Ok(None)
}

/// The decoded part of a chunked body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dechunked {
    /// The data of its chunks.
    pub data: Vec<u8>,
    /// The number of bytes that belong to the body.
    pub consumed: usize,
    /// True if the body has ended.
    pub is_done: bool,
    /// The trailer fields that a handler would get, as field lines.
    pub trailers: Vec<u8>,
}

/// Decodes a chunked body that arrives in pieces, cut at each of `cuts`.
///
/// # Errors
/// The verdict on the bytes.
pub fn chunked(
    bytes: &[u8],
    cuts: impl IntoIterator<Item = usize>,
    limits: &Limits,
) -> Result<Dechunked, Reject> {
    let mut decoder = Chunked::default();
    let mut body = Dechunked::default();
    for cut in cuts.into_iter().chain([bytes.len()]) {
        while body.consumed < cut && !decoder.is_done() {
            let input = &bytes[body.consumed..cut];
            let step = decoder.decode(input, limits)?;
            body.data.extend_from_slice(&input[step.data]);
            body.consumed += step.consumed;
        }
    }
    body.is_done = decoder.is_done();
    if body.is_done {
        body.trailers = decoder.trailers().as_wire().to_vec();
    }
    Ok(body)
}

/// Reads a PROXY header. Returns its length and what it says, or how many bytes are missing at least.
///
/// # Errors
/// The reason for which the bytes begin no header.
pub fn proxy_header(bytes: &[u8]) -> Result<Result<String, usize>, &'static str> {
    match proxy_header::read(bytes) {
        Ok(Progress::Whole(endpoints)) => Ok(Ok(format!("{endpoints:?}"))),
        Ok(Progress::More(missing)) => Ok(Err(missing)),
        Err(Malformed(reason)) => Err(reason),
    }
}

/// The limits of [`websocket`]: of frames and of messages.
#[cfg(feature = "websocket")]
pub const WEBSOCKET_LIMITS: (u64, usize) = (300, 256);

/// A message or a control frame of a WebSocket client.
#[cfg(feature = "websocket")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebSocketEvent {
    /// A whole message that is a text.
    Text(String),
    /// A whole message that is no text.
    Binary(Vec<u8>),
    /// A Ping.
    Ping(Vec<u8>),
    /// A Pong.
    Pong(Vec<u8>),
    /// A Close: its code and its reason.
    Close(u16, String),
}

/// Reads the frames of a client that arrive in pieces, cut at each of `cuts`, up to a Close. Returns what
/// they say, and the code with which the connection fails. `deflate` is true if the client keeps its window.
#[cfg(feature = "websocket")]
pub fn websocket(
    bytes: &[u8],
    cuts: impl IntoIterator<Item = usize>,
    deflate: Option<bool>,
    in_pieces: bool,
) -> (Vec<WebSocketEvent>, Option<u16>) {
    let (frame, message) = WEBSOCKET_LIMITS;
    let deflation = deflate.map(|keeps| Deflation { keeps_own: keeps, keeps_peer: keeps, bits: 15 });
    let mut reader = Reader::new(Sizes { frame, message }, deflation, in_pieces);
    let (mut events, mut begun, mut read) = (Vec::new(), Vec::new(), 0);
    for cut in cuts.into_iter().chain([bytes.len()]) {
        let mut input = &mut bytes[read..cut].to_vec()[..];
        read = cut;
        loop {
            let event = match reader.read(&mut input) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(failure) => return (events, Some(failure.code())),
            };
            events.push(match event {
                Event::Data(data, is_last) => {
                    let (is_text, piece) = match data {
                        Data::Text(text) => (true, text.into_bytes()),
                        Data::Binary(bytes) => (false, bytes),
                    };
                    begun.extend(piece);
                    assert!(begun.len() <= message, "a message is larger than the limit");
                    if !is_last {
                        continue;
                    }
                    let whole = std::mem::take(&mut begun);
                    if is_text {
                        WebSocketEvent::Text(String::from_utf8(whole).expect("pieces of a text are texts"))
                    } else {
                        WebSocketEvent::Binary(whole)
                    }
                }
                Event::Ping(payload) => WebSocketEvent::Ping(payload),
                Event::Pong(payload) => WebSocketEvent::Pong(payload),
                Event::Close(close) => {
                    events.push(WebSocketEvent::Close(close.code, close.reason));
                    return (events, None);
                }
            });
        }
    }
    (events, None)
}

/// Checks the handshake that field lines make, for a server that speaks `chat` on the host `h`. Returns the
/// subprotocol and the answer about compression, or the status of the refusal. `None` if the lines are no
/// fields.
#[cfg(feature = "websocket")]
pub fn websocket_handshake(
    fields: &[u8],
    keeps: bool,
) -> Option<Result<(Option<String>, Option<String>), u16>> {
    let headers = Headers::parse(fields).ok()?;
    let asked = Asked { method: &http::Method::GET, headers: &headers, host: Some("h") };
    let subprotocols = ["chat".to_owned()];
    let wanted = Wanted { origins: &Origins::OwnHost, subprotocols: &subprotocols, deflate: Some(keeps) };
    Some(match check(asked, wanted) {
        Ok(accepted) => Ok((accepted.subprotocol, accepted.deflate.map(|(_, answer)| answer))),
        Err(refusal) => Err(refusal.status().as_u16()),
    })
}

/// A server without sockets and with a virtual clock.
pub struct Server(App);

/// The behaviour of a client.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The pieces that it sends, each after the server has done all it can.
    pub pieces: &'a [&'a [u8]],
    /// True if it closes its sending side after the last piece. Otherwise it falls silent.
    pub ends: bool,
    /// The most bytes that it takes at a time, slowly.
    pub takes: Option<usize>,
    /// The number of bytes after which it takes nothing more, and stays connected.
    pub takes_until: Option<usize>,
    /// The number of pieces after which the server is asked to stop.
    pub stop: Option<usize>,
}

/// The result of a connection.
#[derive(Debug)]
pub struct Talk {
    /// All bytes that the server has sent.
    pub output: Vec<u8>,
    /// How the connection ended.
    pub end: End,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server ended the connection itself, within its deadlines.
    Own,
    /// Nothing was left that could wake the connection, and the server's stop cut it.
    Cut,
    /// Not even the stop ended it.
    Never,
}

impl Server {
    /// Returns a server with these routes and limits, and the default deadlines.
    pub fn new(router: Router, limits: Limits) -> Self {
        let (routes, _) = router.build().expect("routes that can be");
        let pool = Pool::new("fuzzing", 1, 1, Threads::new(Box::new(|| Box::new(()))));
        let config = Config { limits, ..Config::default() };
        Self(App::new(routes, config, pool))
    }

    /// Serves one connection to its end. When nothing else can happen, the clock jumps to the next
    /// deadline.
    pub fn talk(&self, client: Client) -> Talk {
        let session = Session::unknown();
        let world = Arc::new(Mutex::new(World::new(client)));
        let lock = || -> MutexGuard<'_, World> { world.lock().unwrap_or_else(PoisonError::into_inner) };
        let woken = Arc::new(Woken(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut task = pin!(serve(DuplexStream::new(&world), &self.0, &session));
        let mut end = End::Own;
        loop {
            if woken.0.swap(false, Ordering::SeqCst) {
                if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    break;
                }
                continue;
            }
            if end == End::Cut {
                end = End::Never;
                break;
            }
            if client.stop.is_some_and(|at| lock().sent >= at) {
                session.advance(Stage::Draining);
            }
            let wakers = lock().step();
            if let Some(wakers) = wakers {
                wakers.into_iter().for_each(Waker::wake);
            } else {
                end = End::Cut;
                session.advance(Stage::Cut);
            }
        }
        let output = std::mem::take(&mut lock().wire.outbox).into();
        Talk { output, end }
    }

    /// Begins a connection with TLS.
    #[cfg(any(feature = "tls", feature = "tls-ring"))]
    pub fn tls(&self, tls: &Tls) -> TlsTalk<'_> {
        let client = Client { pieces: &[], ends: false, takes: None, takes_until: None, stop: None };
        let world = Arc::new(Mutex::new(World::new(client)));
        let (transport, config) = (DuplexStream::new(&world), tls.config());
        let task = Box::pin(async move {
            let session = Session::unknown();
            if let Ok((stream, _)) = accept(transport, config).await {
                serve(stream, &self.0, &session).await;
            }
        });
        TlsTalk { task, world, woken: Arc::new(Woken(AtomicBool::new(true))), is_over: false }
    }
}

/// A connection with TLS, whose client is moved by hand.
#[cfg(any(feature = "tls", feature = "tls-ring"))]
pub struct TlsTalk<'a> {
    task: Pin<Box<dyn Future<Output = ()> + 'a>>,
    world: Arc<Mutex<World>>,
    woken: Arc<Woken>,
    is_over: bool,
}

#[cfg(any(feature = "tls", feature = "tls-ring"))]
impl TlsTalk<'_> {
    /// Sends bytes to the server, lets it do all it can, and returns what it sends.
    pub fn give(&mut self, bytes: &[u8]) -> Vec<u8> {
        let reader = {
            let mut world = self.world();
            world.wire.inbox.extend(bytes);
            world.wire.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
        self.run();
        self.world().wire.outbox.drain(..).collect()
    }

    /// Ends the client's side, and returns what the server sends until it closes. `None` if it hangs.
    pub fn end(mut self) -> Option<Vec<u8>> {
        self.world().ends = true;
        while !self.is_over {
            self.run();
            let wakers = self.world().step();
            if self.is_over {
                break;
            }
            wakers?.into_iter().for_each(Waker::wake);
        }
        let output = self.world().wire.outbox.drain(..).collect();
        Some(output)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        while !self.is_over && self.woken.0.swap(false, Ordering::SeqCst) {
            self.is_over = self.task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        }
    }
}

/// A waker that records whether the task was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A connection, its client, and a clock that jumps from deadline to deadline.
struct World {
    wire: Wire,
    pieces: VecDeque<Vec<u8>>,
    /// Pieces that have been sent.
    sent: usize,
    /// The client closes its sending side after the last piece.
    ends: bool,
    takes: Option<usize>,
    takes_until: usize,
    /// The client takes more only in the next step.
    is_busy: bool,
    now: Instant,
    alarms: Vec<(Instant, Waker)>,
}

impl World {
    fn new(client: Client) -> Self {
        Self {
            wire: Wire::default(),
            pieces: client.pieces.iter().map(|piece| piece.to_vec()).collect(),
            sent: 0,
            ends: client.ends,
            takes: client.takes,
            takes_until: client.takes_until.unwrap_or(usize::MAX),
            is_busy: false,
            now: Instant::now(),
            alarms: Vec::new(),
        }
    }

    /// Lets the next event happen. Returns the wakers to wake, or `None` if no event is left.
    fn step(&mut self) -> Option<Vec<Waker>> {
        if self.wire.outbox.len() < self.takes_until
            && let Some(writer) = self.wire.writer.take()
        {
            self.is_busy = false;
            return Some(vec![writer]);
        }
        if let Some(piece) = self.pieces.pop_front() {
            self.wire.inbox.extend(piece);
            self.sent += 1;
            return Some(self.wire.reader.take().into_iter().collect());
        }
        // A client that has seen the server close its side closes its own.
        let has_seen = self.wire.is_closed && self.wire.outbox.len() < self.takes_until;
        if (self.ends || has_seen) && !self.wire.has_ended {
            self.wire.has_ended = true;
            return Some(self.wire.reader.take().into_iter().collect());
        }
        self.now = self.alarms.iter().map(|(at, _)| *at).min()?;
        let (due, later) = self.alarms.drain(..).partition(|(at, _)| *at <= self.now);
        self.alarms = later;
        let due: Vec<(Instant, Waker)> = due;
        Some(due.into_iter().map(|(_, waker)| waker).collect())
    }
}

impl Link for World {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn write_size(&mut self, offered: usize) -> usize {
        let left = self.takes_until - self.wire.outbox.len();
        if self.is_busy || left == 0 {
            return 0;
        }
        self.is_busy = self.takes.is_some();
        offered.min(self.takes.unwrap_or(usize::MAX)).min(left)
    }
}

impl Transport for DuplexStream<World> {
    fn now(&self) -> Instant {
        self.link().now
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let mut world = self.link();
        if world.now >= at {
            return Poll::Ready(());
        }
        if !world.alarms.iter().any(|(other, _)| *other == at) {
            world.alarms.push((at, cx.waker().clone()));
        }
        Poll::Pending
    }
}
