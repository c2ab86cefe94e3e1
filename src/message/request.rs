//! A request, as a handler gets it.

use std::fmt;
use std::sync::Arc;

use http::{Method, StatusCode, Version};
use log::Level;

use super::{Client, Params, Peer, RequestHead, Target};
use crate::base::guard::log_event;
use crate::base::stopping::Stopping;
use crate::body::Body;
use crate::error::{Gone, Reject};
use crate::fields::{Headers, unsent};

/// A request: head, path parameters, body, and who sent it.
///
/// By default the body is whole when the handler runs, and
/// [`bytes`](Self::bytes) borrows it. A route that asks for a stream
/// ([`Route::streaming`](crate::Route::streaming)) gets it in chunks, from
/// [`body_mut`](Self::body_mut).
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
    /// Its number among the connection's exchanges.
    pub(crate) exchange: u32,
    pub(crate) body: Body,
}

impl Request {
    /// Returns a request made by hand, without fields or body: for a test, say, that calls
    /// an async function of yours with it. (A [`Handler`](crate::Handler) is called by a
    /// server alone, which has the [`Context`](crate::Context) that it needs.)
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
        let client = Arc::new(Client::new(Peer::Unknown, None));
        Ok(Self { head, client, exchange: 0, body: Body::empty() })
    }

    /// The method (RFC 9110 9); case counts.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.method(), "GET");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The request target.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.target().as_str(), "/a%20b?x=1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn target(&self) -> &Target {
        &self.head.target
    }

    /// The path without the query, still percent-encoded ([`Target`]).
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.path(), "/a%20b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn path(&self) -> &str {
        self.head.target.path()
    }

    /// The query: what follows the `?`, still percent-encoded.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.query(), Some("x=1"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn query(&self) -> Option<&str> {
        self.head.target.query()
    }

    /// HTTP/1.1 or HTTP/1.0.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.version(), transom::Version::HTTP_11);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The header fields in the order they came.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.headers().len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn headers(&self) -> &Headers {
        &self.head.headers
    }

    /// The header fields, to change, in a request made by hand.
    ///
    /// ```
    /// let mut req = transom::Request::new(transom::Method::GET, "/")?;
    /// req.headers_mut().append("accept", "text/html")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.head.headers
    }

    /// The first header field of that name, if its value is UTF-8.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.header("HOST"), Some("example.org"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)
    }

    /// The host (and port) the client aimed at: the target's authority, or
    /// the Host field (RFC 9112 3.2.2).
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.host(), Some("example.org"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn host(&self) -> Option<&str> {
        self.head.target.authority().or_else(|| self.header("host"))
    }

    /// All path parameters.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.params().get("id"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn params(&self) -> &Params {
        &self.head.params
    }

    /// The path parameter of that name, percent-decoded; bytes that are not
    /// UTF-8 are U+FFFD, and [`Params::get_bytes`] has them as they are.
    ///
    /// ```
    /// use transom::{Request, Response, Router};
    /// Router::new().get("/users/{id}", async |req: Request| Response::text(req.param("id")));
    /// ```
    ///
    /// # Panics
    /// If the route's pattern has no such name: a mistake in the program,
    /// which no request can bring about. In a handler a panic becomes a 500
    /// and a log line. [`params`](Self::params) has a `get` that returns an
    /// `Option`.
    #[track_caller]
    pub fn param(&self, name: &str) -> &str {
        match self.head.params.get(name) {
            Some(value) => value,
            None => panic!("the route's pattern has no parameter {name:?}"),
        }
    }

    /// The whole body; empty if the route streams it.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.bytes(), b"");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bytes(&self) -> &[u8] {
        self.body.as_bytes().unwrap_or_default()
    }

    /// The body, to read from in a route that streams.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert!(smol::block_on(req.body_mut().chunk()).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body, for keeps.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert!(req.into_body().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Who sent it.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert_eq!(req.peer(), transom::Peer::Unknown);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn peer(&self) -> Peer {
        self.client.peer
    }

    /// Sends `103 Early Hints` with these fields, for example links to what the
    /// client may fetch meanwhile (RFC 8297). Not to HTTP/1.0, which knows no
    /// interim answers. Fields that frame a message or speak of one connection are
    /// left out, with a warning in the log.
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
    /// A client that only half-closed (`shutdown(SHUT_WR)`) looks the same and
    /// still reads the answer, so an answer is sent all the same.
    ///
    /// ```
    /// # let mut req = transom::Request::new(transom::Method::GET, "/a%20b?x=1")?;
    /// # req.headers_mut().append("host", "example.org")?;
    /// assert!(!req.is_client_gone());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_client_gone(&self) -> bool {
        self.client.is_gone()
    }

    /// Returns a future that is ready when the server begins to stop, at once if the stop has
    /// begun. In a request made by hand it never is. See [`Stopping`] for an example.
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
            .field("peer", &self.client.peer)
            .finish_non_exhaustive()
    }
}
