//! A request, as a handler receives it.

use std::fmt;
use std::sync::Arc;

use http::{Method, StatusCode, Version};
use log::Level;

use super::{Address, Arrival, Client, Credentials, Params, Peer, RequestHead, Target, TlsInfo};
use crate::base::guard::log_event;
use crate::base::stopping::Stopping;
use crate::body::Body;
use crate::error::{Gone, Reject};
use crate::fields::{Headers, unsent};

/// A request: head, path parameters, body, and the client's address.
///
/// By default the whole body has arrived when the handler runs, and [`bytes`](Self::bytes) borrows
/// it. On a streaming route ([`Route::streaming`](crate::Route::streaming)) the handler reads it in
/// chunks from [`body_mut`](Self::body_mut).
///
/// ```
/// use transom::{Request, Response, Router};
///
/// let app = Router::new().post("/echo/{name}", async |req: Request| {
///     let kind = req.header("content-type").unwrap_or("application/octet-stream").to_owned();
///     Response::bytes(kind, req.into_body()).header("x-name", "echo")
/// });
/// ```
pub struct Request {
    pub(crate) head: RequestHead,
    pub(crate) client: Arc<Client>,
    /// The number of the request's exchange on its connection.
    pub(crate) exchange: u32,
    pub(crate) body: Body,
}

impl Request {
    /// Returns a request without fields or body, to test a function that takes a request. To test
    /// whole routes, pass the request to a [`Tester`](crate::Tester).
    ///
    /// ```
    /// use transom::{Body, Method, Request};
    ///
    /// let mut req = Request::new(Method::POST, "/a?b")?;
    /// req.headers_mut().append("content-type", "text/plain")?;
    /// *req.body_mut() = Body::from("hello");
    /// assert_eq!((req.path(), req.query(), req.bytes()), ("/a", Some("b"), &b"hello"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Reject::BadTarget`] if the target has none of the forms of RFC 9112 3.2.
    pub fn new(method: Method, target: &str) -> Result<Self, Reject> {
        let mut head = RequestHead::new();
        if !head.target.assign(target) {
            return Err(Reject::BadTarget);
        }
        head.method = method;
        let client = Arc::new(Client::new(Peer::Unknown, None, None));
        Ok(Self { head, client, exchange: 0, body: Body::empty() })
    }

    /// Returns a copy of the request without its body and without the values of
    /// [`set`](Self::set): for a wrap that needs the request after the handler has taken it.
    ///
    /// ```
    /// use transom::{Method, Next, Request, Router};
    ///
    /// let app = Router::new().get("/{name}", async |_: Request| "hello");
    /// let tester = app
    ///     .wrap(async |req: Request, next: Next| {
    ///         let copy = req.clone_head();
    ///         next.run(req).await.header("content-location", copy.path()).header("x-name", copy.param("name"))
    ///     })
    ///     .tester()?;
    /// let response = smol::block_on(tester.answer(Request::new(Method::GET, "/ada?x=1")?));
    /// assert_eq!(response.headers().get("content-location"), Some("/ada"));
    /// assert_eq!(response.headers().get("x-name"), Some("ada"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn clone_head(&self) -> Self {
        let mut head = RequestHead::new();
        head.method.clone_from(&self.head.method);
        head.target.clone_from(&self.head.target);
        head.version = self.head.version;
        head.headers.clone_from(&self.head.headers);
        head.params.clone_from(&self.head.params);
        head.origin.clone_from(&self.head.origin);
        Self { head, client: Arc::clone(&self.client), exchange: self.exchange, body: Body::empty() }
    }

    /// Returns the method (RFC 9110 9). Case matters.
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// Returns the request target.
    pub fn target(&self) -> &Target {
        &self.head.target
    }

    /// Returns the path without the query, still percent-encoded ([`Target`]).
    pub fn path(&self) -> &str {
        self.head.target.path()
    }

    /// Returns the part of the target after the `?`, still percent-encoded.
    pub fn query(&self) -> Option<&str> {
        self.head.target.query()
    }

    /// Returns HTTP/1.1 or HTTP/1.0.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// Returns the header fields, in the order in which they arrived.
    pub fn headers(&self) -> &Headers {
        &self.head.headers
    }

    /// Returns the header fields, to change them.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.head.headers
    }

    /// Returns the first value of a header field. Returns `None` if there is none or it is not UTF-8.
    /// Case does not matter in `name`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)
    }

    /// Returns the host (and port) that the client addressed: the one that a trusted proxy told, if
    /// the server asks for it ([`Forwarded::with_host`](crate::Forwarded::with_host)), the target's
    /// authority, or the Host field (RFC 9112 3.2.2).
    pub fn host(&self) -> Option<&str> {
        if let Some(host) = self.head.origin.as_ref().and_then(|origin| origin.host.as_deref()) {
            return Some(host);
        }
        self.head.target.authority().or_else(|| self.header("host"))
    }

    /// Returns all path parameters.
    pub fn params(&self) -> &Params {
        &self.head.params
    }

    /// Returns the path parameter `name`, percent-decoded. Bytes that are not UTF-8 are U+FFFD;
    /// [`Params::get_bytes`] returns the bytes.
    ///
    /// # Panics
    /// If the route's pattern has no such name. This is a mistake in the program; no request can
    /// cause it. In a handler, a panic becomes a 500 and a log line. [`Params::get`] returns an
    /// `Option` instead.
    #[track_caller]
    pub fn param(&self, name: &str) -> &str {
        match self.head.params.get(name) {
            Some(value) => value,
            None => panic!("the route's pattern has no parameter {name:?}"),
        }
    }

    /// Returns the value of type `T` that was given to
    /// [`Router::state`](crate::Router::state).
    ///
    /// # Panics
    /// If no such value was given. This is a mistake in the program; no request can cause it. In a
    /// handler, the panic becomes a 500, and a log line names the type and the line of the call.
    #[track_caller]
    pub fn state<T: Send + Sync + 'static>(&self) -> &T {
        match self.client.state() {
            Some(state) => state,
            None => panic!(
                "no state of type {} was given to the router, and {} asks for it",
                std::any::type_name::<T>(),
                std::panic::Location::caller()
            ),
        }
    }

    /// Attaches a value to the request, for the inner wraps and the handler. A request has one value
    /// of each type; returns the one that was there before. See [`Wrap`](crate::Wrap) for an example.
    pub fn set<T: Send + Sync + 'static>(&mut self, value: T) -> Option<T> {
        self.head.values.insert(value)
    }

    /// Returns the value of type `T` that [`set`](Self::set) attached.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.head.values.get()
    }

    /// Returns the whole body. Empty if the route streams it.
    pub fn bytes(&self) -> &[u8] {
        self.body.as_bytes().unwrap_or_default()
    }

    /// Returns the body.
    pub fn body_ref(&self) -> &Body {
        &self.body
    }

    /// Returns the body, to read its chunks on a streaming route.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Returns the body and drops the rest of the request.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Returns the address of the client: the other end of the connection, or the client that a
    /// trusted proxy named.
    pub fn peer(&self) -> Peer {
        self.head.origin.as_ref().map_or(self.client.peer, |origin| origin.peer)
    }

    /// Returns the other end of the connection: a proxy, if the server is behind one.
    pub fn connection_peer(&self) -> Peer {
        let proxy = self.client.arrival().and_then(|arrival| arrival.proxy);
        proxy.unwrap_or(self.client.peer)
    }

    /// Returns `true` if a trusted proxy told in its fields where the request came from
    /// ([`Server::trust_forwarded`](crate::Server::trust_forwarded)).
    pub fn is_forwarded(&self) -> bool {
        self.head.origin.is_some()
    }

    /// Returns the address at which the connection came in: the server's end of a TCP
    /// connection, or the Unix socket. Each call asks the system.
    ///
    /// `None` if the embedding program accepted the connection itself, and once the connection
    /// has ended.
    pub fn local_addr(&self) -> Option<Address> {
        self.client.local_addr()
    }

    /// Returns what the TLS handshake of the connection settled. `None` if the connection has no TLS.
    ///
    /// ```
    /// use transom::{Request, Router};
    ///
    /// Router::new().get("/", async |req: Request| match req.tls() {
    ///     Some(tls) => format!("{} for {}", tls.version(), tls.server_name().unwrap_or("no name")),
    ///     None => "not encrypted".to_owned(),
    /// });
    /// ```
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.client.arrival()?.tls.as_ref()
    }

    /// Returns the scheme of the request: the one that a trusted proxy told
    /// ([`Server::trust_forwarded`](crate::Server::trust_forwarded)), `https` if its connection has TLS,
    /// or else `http`.
    pub fn scheme(&self) -> &str {
        let told = self.head.origin.as_ref().and_then(|origin| origin.scheme);
        told.unwrap_or_else(|| self.client.arrival().map_or("http", Arrival::scheme))
    }

    /// Returns the process, the user and the group of a client on a Unix socket. Each call asks
    /// the system. See [`Credentials`] for an example.
    ///
    /// `None` for other clients, on systems other than Linux, and once the connection has
    /// ended.
    pub fn peer_credentials(&self) -> Option<Credentials> {
        self.client.facts()?.peer_credentials()
    }

    /// Sends `103 Early Hints` with these fields, such as links to resources that the client can
    /// fetch meanwhile (RFC 8297). An HTTP/1.0 client does not understand interim responses and
    /// gets none. Fields that frame a message or concern one connection are left out, with a
    /// warning in the log.
    ///
    /// ```
    /// use transom::{Headers, Request, Router};
    ///
    /// let links = Headers::parse(b"link: </style.css>; rel=preload; as=style\n")?;
    /// Router::new().get("/", move |req: Request| {
    ///     req.early_hints(links.clone()).ok();
    ///     async { "the page, made slowly" }
    /// });
    /// # Ok::<(), transom::InvalidHeader>(())
    /// ```
    ///
    /// # Errors
    /// [`Gone`] if the exchange is over.
    pub fn early_hints(&self, fields: Headers) -> Result<(), Gone> {
        for fault in unsent(StatusCode::EARLY_HINTS, &fields, None, false) {
            let (method, path) = (self.method(), self.path());
            log_event(Level::Warn, format_args!("early hints of {method} {path}: {fault}"));
        }
        self.client.hint(self.exchange, fields).then_some(()).ok_or(Gone)
    }

    /// Returns `true` if the client has closed its sending side, or the connection is broken.
    ///
    /// A client that only half-closed its connection (`shutdown(SHUT_WR)`) looks the same and still
    /// reads, so the response is sent in either case.
    pub fn is_client_gone(&self) -> bool {
        self.client.is_gone()
    }

    /// Returns a future that is ready when the server begins to stop, at once if the stop has
    /// begun. For a request from [`Request::new`] it is never ready. See [`Stopping`] for an example.
    pub fn stopping(&self) -> Stopping {
        self.client.stopping()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.head.method)
            .field("target", &self.head.target.as_str())
            .field("version", &self.head.version)
            .field("headers", &self.head.headers)
            .field("params", &self.head.params)
            .field("body", &self.body)
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
