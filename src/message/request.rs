//! A request, as a handler gets it.

use std::fmt;
use std::sync::Arc;

use http::{Method, Version};

use super::{Body, Client, Headers, Params, Peer, Target};

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
    pub(crate) parts: RequestParts,
    pub(crate) params: Params,
    pub(crate) body: Body,
}

/// What is known when the head has been read.
pub(crate) struct RequestParts {
    pub method: Method,
    pub target: Target,
    pub version: Version,
    pub headers: Headers,
    pub client: Arc<Client>,
}

impl Request {
    /// A request made by hand, to call a handler without a server.
    ///
    /// ```
    /// use transom::{Body, Headers, Method, Request, Target};
    /// let req = Request::new(Method::GET, Target::parse("/a?b").unwrap(), Headers::new(), Body::empty());
    /// assert_eq!((req.path(), req.query()), ("/a", Some("b")));
    /// ```
    pub fn new(method: Method, target: Target, headers: Headers, body: Body) -> Self {
        let client = Arc::new(Client::new(Peer::Unknown));
        let parts = RequestParts { method, target, version: Version::HTTP_11, headers, client };
        Self { parts, params: Params::default(), body }
    }

    /// The method (RFC 9110 9); case counts.
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The request target as it was sent.
    pub fn target(&self) -> &Target {
        &self.parts.target
    }

    /// The path as it was sent, still percent-encoded, without the query.
    pub fn path(&self) -> &str {
        self.parts.target.path()
    }

    /// What stands behind the `?`, as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.parts.target.query()
    }

    /// HTTP/1.1 or HTTP/1.0.
    pub fn version(&self) -> Version {
        self.parts.version
    }

    /// The header fields in the order they came.
    pub fn headers(&self) -> &Headers {
        &self.parts.headers
    }

    /// The first header field of that name, if its value is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)
    }

    /// The host (and port) the client aimed at: the target's authority, or
    /// the Host field (RFC 9112 3.2.2).
    pub fn host(&self) -> Option<&str> {
        self.parts.target.authority().or_else(|| self.header("host"))
    }

    /// All path parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The path parameter of that name, percent-decoded.
    ///
    /// # Panics
    /// If the route's pattern has no such name: a mistake in the program,
    /// which no request can bring about. In a handler a panic becomes a 500
    /// and a log line. [`params`](Self::params) has a `get` that returns an
    /// `Option`.
    #[track_caller]
    pub fn param(&self, name: &str) -> &str {
        match self.params.get(name) {
            Some(value) => value,
            None => panic!("the route's pattern has no parameter {name:?}"),
        }
    }

    /// The whole body; empty if the route streams it.
    pub fn bytes(&self) -> &[u8] {
        self.body.as_bytes().unwrap_or_default()
    }

    /// The body, to read from in a route that streams.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body, for keeps.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Who sent it.
    pub fn peer(&self) -> Peer {
        self.parts.client.peer
    }

    /// Whether the client has closed its side of the connection or broken it.
    ///
    /// A client that only half-closed (`shutdown(SHUT_WR)`) looks the same and
    /// still reads the answer, so an answer is sent all the same.
    pub fn is_client_gone(&self) -> bool {
        self.parts.client.is_gone()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.parts.method)
            .field("target", &self.parts.target.as_str())
            .field("version", &self.parts.version)
            .field("headers", &self.parts.headers)
            .field("params", &self.params)
            .field("body", &self.body)
            .field("peer", &self.parts.client.peer)
            .finish()
    }
}
