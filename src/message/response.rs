//! A response, as a handler returns it.

use bytes::Bytes;
use http::{StatusCode, header};
use log::Level;

use super::{Failure, Upgrade, Upgraded, reason};
use crate::body::Body;
use crate::error::Reject;
use crate::fields::unsent;
use crate::fields::{Headers, InvalidHeader};

/// A response: status, header fields, body.
///
/// The server adds Date, unless the handler set it, and the fields that frame the message or
/// concern the connection. Of these fields, a handler may set Content-Length, if the body has that
/// length; `Connection: close`; Trailer, if trailers follow; and Upgrade in a 426. Others are not
/// sent, and the log has a line for each; [`check_headers`](Self::check_headers) finds them
/// beforehand.
///
/// ```
/// use transom::{Response, StatusCode};
///
/// let response =
///     Response::text("no such user\n").status(StatusCode::NOT_FOUND).header("x-reason", "deleted");
/// assert_eq!(response.status_code(), 404);
/// assert_eq!(response.headers().get("content-type"), Some("text/plain; charset=utf-8"));
/// assert_eq!(response.body_ref().as_bytes(), Some(&b"no such user\n"[..]));
///
/// Response::bytes("image/png", vec![0x89, b'P', b'N', b'G']);
/// Response::new(StatusCode::NO_CONTENT);
/// ```
#[derive(Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    /// True if the content type comes from a constructor, not from the handler by name.
    pub(crate) has_default_type: bool,
    /// True if the server gives the answer by itself, and no hook has worded it yet.
    pub(crate) is_own: bool,
    pub(crate) headers: Headers,
    pub(crate) body: Body,
    /// The parts that few responses have, on the heap because responses are moved often.
    pub(crate) extra: Option<Box<Extra>>,
}

/// The parts that few responses have.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// The first field that is not valid.
    pub fault: Option<InvalidHeader>,
    pub upgrade: Option<Box<Upgrade>>,
    /// The reason, if the request is refused. It is logged when this response is sent.
    pub refusal: Option<Reject>,
    /// The failure that made this response. It is logged when the response is sent or dropped.
    pub failure: Option<Box<Failure>>,
}

impl Response {
    /// Returns a response of that status, without fields or body.
    pub const fn new(status: StatusCode) -> Self {
        Self {
            status,
            has_default_type: false,
            is_own: false,
            headers: Headers::new(),
            body: Body::empty(),
            extra: None,
        }
    }

    /// Returns the parts that few responses have, and makes them if there are none.
    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Returns `true` if the status may end an exchange.
    pub(crate) fn has_final_status(&self) -> bool {
        (200..600).contains(&self.status.as_u16())
    }

    /// Puts a 500 in place of a response that cannot be sent. Returns the line for the log, also
    /// for the failure that made this response.
    ///
    /// `may_upgrade` returns `true` if the client can change to the protocol.
    pub(crate) fn take_fault(
        &mut self,
        may_upgrade: impl FnOnce(&Upgrade) -> bool,
    ) -> Option<(Level, String)> {
        let failure = self.extra.as_mut().and_then(|extra| extra.failure.take());
        if let Some(line) = failure.and_then(|mut failure| failure.take_line()) {
            return Some(line);
        }
        let why = if let Some(fault) = self.fault() {
            format!("response was not sent: {fault}")
        } else if let Some(upgrade) = self.upgrade_to() {
            if may_upgrade(upgrade) {
                return None;
            }
            "upgrade was not sent: not asked for, or a body is unread".into()
        } else if self.has_final_status() {
            return None;
        } else {
            format!("response was not sent: {} is no final status", self.status.as_u16())
        };
        *self = Self::plain(StatusCode::INTERNAL_SERVER_ERROR);
        Some((Level::Error, format!("a handler's {why}")))
    }

    /// Returns the protocol for which the connection leaves HTTP, and the function that then runs.
    pub(crate) fn upgrade_to(&self) -> Option<&Upgrade> {
        self.extra.as_ref()?.upgrade.as_deref()
    }

    /// Returns the response for a handler that failed: a 500, and a line for the log.
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        let mut response = Self::plain(StatusCode::INTERNAL_SERVER_ERROR);
        response.extra().failure = Some(Box::new(Failure::new(why.into())));
        response
    }

    /// Returns a 200 with a text, as `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::typed("text/plain; charset=utf-8", text.into().into())
    }

    /// Returns a 200 with an HTML page, as `text/html; charset=utf-8`.
    pub fn html(page: impl Into<String>) -> Self {
        Self::typed("text/html; charset=utf-8", page.into().into())
    }

    /// Returns a 200 with a text that is JSON already, as `application/json`. The type `Json`
    /// (feature `serde`) makes the text from a value.
    pub fn json(text: impl Into<String>) -> Self {
        Self::typed("application/json", text.into().into())
    }

    /// Returns a 200 with a body of that content type.
    pub fn bytes(content_type: impl AsRef<str>, body: impl Into<Body>) -> Self {
        let mut headers = Headers::new();
        let named = headers.push_named(header::CONTENT_TYPE.as_str(), content_type.as_ref().as_bytes());
        let extra = named.err().map(|fault| Box::new(Extra { fault: Some(fault), ..Extra::default() }));
        Self {
            status: StatusCode::OK,
            has_default_type: true,
            is_own: false,
            headers,
            body: body.into(),
            extra,
        }
    }

    /// Returns a 200 with a body that comes in chunks.
    pub fn stream(
        content_type: impl AsRef<str>,
        chunks: impl futures_lite::Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        Self::bytes(content_type, Body::stream(chunks))
    }

    fn typed(content_type: &str, body: Body) -> Self {
        let mut headers = Headers::new();
        headers.push(header::CONTENT_TYPE.as_str(), content_type.as_bytes());
        Self { status: StatusCode::OK, has_default_type: true, is_own: false, headers, body, extra: None }
    }

    /// Returns a 101 that leaves HTTP for that protocol (RFC 9110 7.8) and calls `then` with the
    /// connection. The request must list the protocol in its Upgrade field. Otherwise the client
    /// gets a 500 and the log says why.
    ///
    /// ```
    /// use futures_lite::AsyncWriteExt;
    /// use transom::{Request, Response, Router, Upgraded};
    ///
    /// Router::new().get("/chat", async |_: Request| {
    ///     Response::upgrade("chat", async |mut stream: Upgraded| {
    ///         stream.write_all(b"welcome\n").await.ok();
    ///         stream.close().await.ok();
    ///     })
    /// });
    /// ```
    pub fn upgrade<F, Fut>(protocol: &str, then: F) -> Self
    where
        F: FnOnce(Upgraded) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut response = Self::new(StatusCode::SWITCHING_PROTOCOLS);
        let run = Box::new(|stream| Box::pin(then(stream)) as _);
        response.extra().upgrade = Some(Box::new(Upgrade { protocol: protocol.to_owned(), run }));
        response
    }

    /// Returns a short text response that holds only its status.
    #[doc(hidden)]
    pub fn plain(status: StatusCode) -> Self {
        let mut response = Self::text(format!("{} {}\n", status.as_str(), reason(status))).status(status);
        response.is_own = true;
        response
    }

    /// Takes the body of another response, and its fields in place of those of the same name. Takes
    /// its status if that is final and not 200.
    pub(crate) fn reword(&mut self, worded: Self) {
        if worded.status != StatusCode::OK && (200..600).contains(&worded.status.as_u16()) {
            self.status = worded.status;
        }
        self.headers.remove("content-type");
        let fields =
            || worded.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
        for (name, _) in fields().filter(|(name, _)| !name.eq_ignore_ascii_case("set-cookie")) {
            self.headers.remove(name);
        }
        fields().for_each(|(name, value)| self.headers.push(name, value));
        (self.body, self.has_default_type) = (worded.body, worded.has_default_type);
    }

    /// Sets the status. Only a final status, 200 to 599, can be sent. For any other the client gets
    /// a 500 and the log says why.
    ///
    /// With 204, 205 and 304, a content type from a constructor is not sent. With 304, neither are
    /// Content-Encoding, Content-Language and Content-Range: they would describe a body that is not
    /// there (RFC 9110 15.4.5).
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Sets a header field and removes the others of that name. Set-Cookie is added to those
    /// already there, since each cookie has its own line (RFC 6265 3).
    ///
    /// An invalid name or value is kept as a [`fault`](Self::fault): the client then gets a 500,
    /// the log says why, and nothing of the response is sent. [`headers_mut`](Self::headers_mut)
    /// reports the error at once instead.
    ///
    /// ```
    /// use transom::Response;
    /// assert!(Response::text("").header("x-a", "1").fault().is_none());
    /// assert!(Response::text("").header("x-a", "1\r\nx-b: 2").fault().is_some());
    /// let cookies = Response::text("").header("set-cookie", "a=1").header("set-cookie", "b=2");
    /// assert_eq!(cookies.headers().get_all("set-cookie").count(), 2);
    /// ```
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if name.eq_ignore_ascii_case("set-cookie") {
            return self.append_header(name, value);
        }
        self.note_type(name);
        let set = self.headers.insert(name, value);
        self.keep_fault(set)
    }

    /// Adds a header field and keeps the others of that name, for fields whose value is a list (RFC
    /// 9110 5.3). Faults are kept as by [`header`](Self::header).
    ///
    /// ```
    /// use transom::Response;
    /// let response = Response::text("").append_header("vary", "accept").append_header("vary", "origin");
    /// assert_eq!(response.headers().as_wire(), b"content-type: text/plain; charset=utf-8\r\nvary: accept\r\nvary: origin\r\n");
    /// ```
    #[must_use]
    pub fn append_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.note_type(name);
        let added = self.headers.append(name, value);
        self.keep_fault(added)
    }

    fn note_type(&mut self, name: &str) {
        if name.eq_ignore_ascii_case("content-type") {
            self.has_default_type = false;
        }
    }

    fn keep_fault(mut self, outcome: Result<(), InvalidHeader>) -> Self {
        if let Err(fault) = outcome {
            self.extra().fault.get_or_insert(fault);
        }
        self
    }

    /// Sets the body and keeps the fields.
    #[must_use]
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.is_own = false;
        self.body = body.into();
        self
    }

    /// Returns the status.
    pub fn status_code(&self) -> StatusCode {
        self.status
    }

    /// Returns the header fields.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Returns the header fields, to change them.
    pub fn headers_mut(&mut self) -> &mut Headers {
        &mut self.headers
    }

    /// Checks for a header field that will not be sent as it was set: TE, Keep-Alive,
    /// Proxy-Connection and Transfer-Encoding; Trailer without trailers; Upgrade except in a 426; a
    /// Connection that asks for more than `close`; a Content-Length that is not a number, or in a
    /// 204. Without this check such fields are left out, and the log says so.
    ///
    /// ```
    /// use transom::Response;
    /// assert!(Response::text("").header("content-length", "0").check_headers().is_ok());
    /// let error = Response::text("").header("keep-alive", "timeout=5").check_headers().unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "header \"keep-alive\" is not sent: the server decides how long a connection lasts"
    /// );
    /// ```
    ///
    /// # Errors
    /// Returns the error for the first such field.
    pub fn check_headers(&self) -> Result<(), InvalidHeader> {
        let is_open = self.body.len().is_none() && !self.headers.contains("content-length");
        self.unsent(is_open && self.body.has_trailers()).next().map_or(Ok(()), Err)
    }

    /// Returns the header fields that will not be sent as they were set.
    pub(crate) fn unsent(&self, trailers_follow: bool) -> impl Iterator<Item = InvalidHeader> {
        let protocol = self.upgrade_to().map(|upgrade| &*upgrade.protocol);
        unsent(self.status, &self.headers, protocol, trailers_follow)
    }

    /// Returns the body.
    pub fn body_ref(&self) -> &Body {
        &self.body
    }

    /// Returns the body, to change it.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Returns the body and drops the rest of the response.
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Returns the first header field that [`header`](Self::header) refused.
    pub fn fault(&self) -> Option<&InvalidHeader> {
        self.extra.as_ref()?.fault.as_ref()
    }
}

/// Conversion into a response, for the values that a handler may return.
///
/// ```
/// use transom::{IntoResponse, Request, Response, Router, StatusCode};
///
/// struct NotFound(String);
/// impl IntoResponse for NotFound {
///     fn into_response(self) -> Response {
///         Response::text(format!("no {}\n", self.0)).status(StatusCode::NOT_FOUND)
///     }
/// }
///
/// Router::new()
///     .get("/a", async |_: Request| "a text")
///     .get("/b", async |_: Request| (StatusCode::CREATED, "made"))
///     .get("/c", async |_: Request| NotFound("c".into()));
/// ```
///
/// A [`Result`] is a response if its error is an [`HttpError`](crate::HttpError), into which `?`
/// converts every other error.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "no response",
    note = "a handler returns a `Response`, text, bytes, `()`, a `StatusCode`, `(StatusCode, T)`, or an `HttpResult` of one of these",
    note = "a `Result` has an `HttpError` for its error: use `?` on errors, `.or_status(status, \"why\")?` to choose a status, and `HttpError::respond(response)` for everything else"
)]
pub trait IntoResponse {
    /// Converts the value into a response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

/// The response to a refused request. [`Server::on_exchange`](crate::Server::on_exchange) learns the
/// reason. A 503 has Retry-After, because the client may try again.
///
/// ```
/// use transom::{IntoResponse, Reject};
/// let answer = Reject::PoolFull.into_response();
/// assert_eq!(answer.headers().get("retry-after"), Some("1"));
/// ```
impl IntoResponse for Reject {
    fn into_response(self) -> Response {
        let mut response = match self.status() {
            // An overload is not the client's concern, so its cause is not sent.
            status @ StatusCode::SERVICE_UNAVAILABLE => Response::plain(status).header("retry-after", "1"),
            status => {
                let text = format!("{} {}: {self}\n", status.as_str(), reason(status));
                Response::text(text).status(status)
            }
        };
        response.is_own = true;
        response.extra().refusal = Some(self);
        response
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::typed("text/plain; charset=utf-8", self.into())
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::typed("application/octet-stream", self.into())
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(StatusCode::NO_CONTENT)
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().status(self.0)
    }
}

impl<B: Into<Body>> From<http::Response<B>> for Response {
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            has_default_type: false,
            is_own: false,
            headers: (&parts.headers).into(),
            body: body.into(),
            extra: None,
        }
    }
}
