//! The settings of WebSocket connections, and the handshake that begins one.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::driver::{Driver, Task};
use super::refusal::WebSocketRefusal;
use super::sender::WebSocketClosed;
use super::settings::Settings;
use super::shared::Shared;
use super::socket::WebSocket;
use crate::IntoResponse as _;
use crate::Peer;
use crate::Request;
use crate::Response;
use crate::Stopping;
use crate::Upgraded;
use crate::websocket::{Accepted, Asked, Origins, Reader, Wanted, check};

/// The settings of WebSocket connections. Made once, used for each handshake.
///
/// ```
/// use std::time::Duration;
/// use transom::{Request, Router, WebSocket, WebSocketUpgrade};
///
/// let chat = WebSocketUpgrade::new()
///     .subprotocols(["chat.v2", "chat.v1"])
///     .origins(["https://app.example.com"])
///     .message_limit(64 * 1024)
///     .ping_interval(Some(Duration::from_secs(15)));
/// Router::new().get("/chat", async move |req: Request| {
///     chat.accept(&req, async |mut socket: WebSocket| {
///         while let Some(message) = socket.recv().await {
///             println!("{:?} by {:?}", message, socket.subprotocol());
///         }
///     })
/// });
/// ```
#[derive(Clone, Debug)]
pub struct WebSocketUpgrade {
    settings: Arc<Settings>,
}

/// The output of a handler of a WebSocket connection: nothing, or a `Result`, so that `?` works.
pub trait WebSocketOutcome: sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for () {}
impl WebSocketOutcome for () {}
impl sealed::Sealed for Result<(), WebSocketClosed> {}
impl WebSocketOutcome for Result<(), WebSocketClosed> {}

impl Default for WebSocketUpgrade {
    fn default() -> Self {
        DEFAULT.clone()
    }
}

/// One for all: an idle connection has no settings of its own.
static DEFAULT: LazyLock<WebSocketUpgrade> =
    LazyLock::new(|| WebSocketUpgrade { settings: Arc::new(Settings::default()) });

impl WebSocketUpgrade {
    /// Returns the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.settings));
        self
    }

    /// Limits the bytes of a message, decompressed; default 1 MiB. A larger one ends the connection
    /// with 1009.
    #[must_use]
    pub fn message_limit(self, bytes: usize) -> Self {
        self.with(|settings| settings.sizes.message = bytes)
    }

    /// Limits the bytes of a frame as it is sent; default 16 MiB. A larger one ends the connection with
    /// 1009, before its bytes come.
    #[must_use]
    pub fn frame_limit(self, bytes: u64) -> Self {
        self.with(|settings| settings.sizes.frame = bytes)
    }

    /// Sets the least rate of a message in bytes per second, as they are sent, while the server waits for it;
    /// default 500. One that comes more slowly for [`message_timeout`](Self::message_timeout) ends the
    /// connection with 1008. With 0, any byte of the message is enough.
    #[must_use]
    pub fn message_rate(self, bytes_per_second: u32) -> Self {
        self.with(|settings| settings.message_rate = bytes_per_second)
    }

    /// Sets how long a message may come more slowly than [`message_rate`](Self::message_rate); default 30 s.
    /// Then the connection ends with 1008. With `None`, a message may take for ever.
    #[must_use]
    pub fn message_timeout(self, timeout: Option<Duration>) -> Self {
        self.with(|settings| settings.message_timeout = timeout)
    }

    /// Sets how many bytes may wait to be sent before a sender waits; default 256 KiB. A message is
    /// taken whole while less than that waits.
    #[must_use]
    pub fn queue_limit(self, bytes: usize) -> Self {
        self.with(|settings| settings.queue = bytes.max(1))
    }

    /// Hands messages out in pieces, as they arrive: see [`WebSocket::recv_piece`]. A message is then
    /// not kept in memory whole, and may be as large as [`message_limit`](Self::message_limit) allows.
    #[must_use]
    pub fn in_pieces(self) -> Self {
        self.with(|settings| settings.in_pieces = true)
    }

    /// Sets the subprotocols that the server speaks (RFC 6455 1.9). The first that the client lists is
    /// chosen: [`WebSocket::subprotocol`].
    #[must_use]
    pub fn subprotocols<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        self.with(|settings| settings.subprotocols = names.into_iter().map(Into::into).collect())
    }

    /// Sets origins whose pages may connect, such as `https://example.com`, beside pages of the host
    /// that the request names. By default only those may: another page that a browser shows would
    /// connect with the cookies of its user (RFC 6455 10.2). A page that may not gets a 403. Clients
    /// that are no browsers send no Origin, and may connect.
    #[must_use]
    pub fn origins<S: Into<String>>(self, origins: impl IntoIterator<Item = S>) -> Self {
        let listed = origins.into_iter().map(Into::into).collect();
        self.with(|settings| settings.origins = Origins::Listed(listed))
    }

    /// Lets pages of all origins connect.
    #[must_use]
    pub fn any_origin(self) -> Self {
        self.with(|settings| settings.origins = Origins::Any)
    }

    /// Sets whether messages are compressed if the client offers it (permessage-deflate, RFC 7692); by
    /// default they are. Each message is compressed by itself, with a compressor of the thread, so that
    /// an idle connection holds none.
    #[must_use]
    pub fn compression(self, is_on: bool) -> Self {
        self.with(|settings| settings.deflate = is_on.then_some(false))
    }

    /// Compresses messages with what came before them, if the client does not mind. Similar messages
    /// get shorter, and each connection that has sent and received holds about 350 KiB.
    #[must_use]
    pub fn context_takeover(self) -> Self {
        self.with(|settings| settings.deflate = Some(true))
    }

    /// Sets how long a message must be to be compressed; default 64 bytes. Shorter ones would become
    /// longer.
    #[must_use]
    pub fn compress_from(self, bytes: usize) -> Self {
        self.with(|settings| settings.compress_from = bytes)
    }

    /// Sets the silence of a peer after which a Ping is sent; default 30 s. `None` sends no Pings, and
    /// a peer that is gone may then not be noticed.
    #[must_use]
    pub fn ping_interval(self, interval: Option<Duration>) -> Self {
        self.with(|settings| settings.ping_interval = interval)
    }

    /// Sets how long a peer may be silent after a Ping; default 30 s. Then the connection ends.
    #[must_use]
    pub fn ping_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.ping_timeout = timeout)
    }

    /// Sets how long a peer may take to answer a Close, or to read what is left after its own; default 5 s.
    /// Then the connection ends.
    #[must_use]
    pub fn close_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.close_timeout = timeout)
    }

    /// Checks the handshake of a request and returns the answer. If the handshake is right, `then` runs
    /// with the connection once the answer is sent; see [`WebSocket`]. If it is not, the client gets
    /// what RFC 6455 4.4 demands: 426 if it asks for no WebSocket or for another version than 13, 400,
    /// or 403 for its origin.
    pub fn accept<F, Fut>(&self, request: &Request, then: F) -> Response
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output: WebSocketOutcome> + Send + 'static,
    {
        let accepted = match self.check(request) {
            Ok(accepted) => accepted,
            Err(refusal) => return refusal.into_response(),
        };
        let (shared, peer) = (self.shared(&accepted), request.peer());
        let response = Response::upgrade("websocket", move |stream: Upgraded| {
            let shared = shared(peer, stream.stopping());
            let handler = then(WebSocket::new(&shared));
            drive(stream, shared, Some(Box::pin(handler)))
        });
        with_fields(response, accepted)
    }

    /// Checks the handshake of a request, and returns the answer and the connection apart, for code
    /// that does not run in a handler: on a thread of its own, or in another executor. Messages that
    /// are sent before the answer follow it. If the answer is not sent, the connection is lost (1006).
    ///
    /// ```
    /// use transom::{HttpResult, Request, Response, Router, WebSocketUpgrade, wait};
    ///
    /// let chat = WebSocketUpgrade::new();
    /// Router::new().get("/echo", async move |req: Request| -> HttpResult<Response> {
    ///     let (response, mut socket) = chat.open(&req)?;
    ///     std::thread::spawn(move || {
    ///         while let Ok(Some(message)) = wait(socket.recv(), None) {
    ///             let _ = wait(socket.send(message), None);
    ///         }
    ///     });
    ///     Ok(response)
    /// });
    /// ```
    ///
    /// # Errors
    /// [`WebSocketRefusal`] if the handshake is wrong; it is an answer too, see [`accept`](Self::accept).
    pub fn open(&self, request: &Request) -> Result<(Response, WebSocket), WebSocketRefusal> {
        let accepted = self.check(request)?;
        let shared = self.shared(&accepted)(request.peer(), request.stopping());
        let socket = WebSocket::new(&shared);
        let unsent = Unsent { shared, is_sent: false };
        let response =
            Response::upgrade("websocket", move |stream: Upgraded| drive(stream, unsent.sent(), None));
        Ok((with_fields(response, accepted), socket))
    }

    fn check(&self, request: &Request) -> Result<Accepted, WebSocketRefusal> {
        let Settings { origins, subprotocols, deflate, .. } = &*self.settings;
        let asked = Asked { method: request.method(), headers: request.headers(), host: request.host() };
        Ok(check(asked, Wanted { origins, subprotocols, deflate: *deflate })?)
    }

    /// Returns a function that makes the state of a connection.
    fn shared(&self, accepted: &Accepted) -> impl FnOnce(Peer, Stopping) -> Arc<Shared> + Send + use<> {
        let settings = Arc::clone(&self.settings);
        let deflate = accepted.deflate.as_ref().map(|(deflation, _)| *deflation);
        let subprotocol = accepted.subprotocol.as_deref().map(Box::from);
        move |peer, stopping| Arc::new(Shared::new(settings, deflate, subprotocol, peer, stopping))
    }
}

impl WebSocket {
    /// Checks the handshake of a request and returns the answer, with the settings of
    /// [`WebSocketUpgrade::new`]; see [`WebSocketUpgrade::accept`].
    pub fn upgrade<F, Fut>(request: &Request, then: F) -> Response
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output: WebSocketOutcome> + Send + 'static,
    {
        WebSocketUpgrade::new().accept(request, then)
    }
}

/// Adds what the handshake settled to its answer.
fn with_fields(response: Response, accepted: Accepted) -> Response {
    let fields = [
        ("sec-websocket-accept", Some(accepted.key)),
        ("sec-websocket-protocol", accepted.subprotocol),
        ("sec-websocket-extensions", accepted.deflate.map(|(_, extension)| extension)),
    ];
    fields.into_iter().fold(response, |response, (name, value)| match value {
        Some(value) => response.header(name, value),
        None => response,
    })
}

/// Returns the task of a connection.
fn drive(stream: Upgraded, shared: Arc<Shared>, handler: Option<Task>) -> Driver {
    let settings = &shared.settings;
    let reader = Reader::new(settings.sizes, shared.deflate, settings.in_pieces);
    Driver::new(stream, reader, shared, handler)
}

/// A connection whose answer is not sent yet. If it never is, the connection is lost.
struct Unsent {
    shared: Arc<Shared>,
    is_sent: bool,
}

impl Unsent {
    fn sent(mut self) -> Arc<Shared> {
        self.is_sent = true;
        Arc::clone(&self.shared)
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if !self.is_sent {
            self.shared.lose();
        }
    }
}
