//! Spans of requests, for programs that trace (feature `tracing`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tracing::field::Empty;
use tracing::{Span, info_span};

use super::trace_context::TraceContext;
use crate::Ended;
use crate::Exchange;
use crate::Method;
use crate::Next;
use crate::Peer;
use crate::Reject;
use crate::Reply;
use crate::Request;
use crate::Response;
use crate::Server;
use crate::StatusCode;
use crate::Target;
use crate::Version;
use crate::Wrap;

/// A wrap that gives each request a span of the crate `tracing`, with the names of OpenTelemetry.
///
/// The handler, and the wraps inside this one, run in the span: their events and spans belong to it.
/// A handler that blocks runs on another thread; it finds the span in the request:
/// `request.get::<tracing::Span>()`. The span ends when there is a response. [`TraceContext`] is the
/// request's place in a trace that may have begun elsewhere.
///
/// Requests that are refused before they reach a handler are spans too, with
/// [`Server::trace_refusals`].
///
/// ```
/// use transom::{Request, Router, Server, Tracing};
///
/// let app = Router::new()
///     .get("/users/{id}", async |req: Request| {
///         tracing::info!("this event is in the span of the request");
///         req.param("id").to_owned()
///     })
///     .wrap(Tracing::new());
/// Server::new(app).trace_refusals();
/// ```
///
/// | field | value |
/// |---|---|
/// | `otel.name`, `otel.kind` | the method and the route, such as `GET /users/{id}`; `server` |
/// | `trace_id`, `span_id`, `parent_id` | those of [`TraceContext`], in hexadecimal digits |
/// | `http.request.method`, `url.path`, `url.query`, `url.scheme` | the request |
/// | `http.route` | the pattern of the route |
/// | `network.protocol.version` | `1.0` or `1.1` |
/// | `client.address`, `user_agent.original` | the client |
/// | `http.response.status_code` | the status |
/// | `otel.status_code` | `ERROR` for a status of 500 and above, and if the handler never answered |
/// | `error.type` | the status of such an answer, the reason of a refusal, or `cut` |
///
/// The target of the spans is `transom`, and their level is INFO.
#[derive(Clone, Debug, Default)]
pub struct Tracing {
    responds: bool,
}

impl Tracing {
    /// Returns a wrap that makes spans.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the field `traceresponse` to each response: the ids of the trace and of the request's
    /// span, in the form of a `traceparent`.
    #[must_use]
    pub fn traceresponse(mut self) -> Self {
        self.responds = true;
        self
    }
}

/// The facts of a request when its span begins.
#[derive(Default)]
struct Known<'a> {
    method: Option<&'a str>,
    path: Option<&'a str>,
    query: Option<&'a str>,
    scheme: Option<&'a str>,
    route: Option<&'a str>,
    version: Option<Version>,
    user_agent: Option<&'a str>,
}

impl Known<'_> {
    /// Begins the span.
    fn span(&self, peer: Peer) -> Span {
        // A method that is not known could have any name, and so could the span.
        let method = self.method.unwrap_or("HTTP");
        let name = match self.route.filter(|route| !route.is_empty()) {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        };
        let version = self.version.map(|it| if it == Version::HTTP_10 { "1.0" } else { "1.1" });
        let client = match peer {
            Peer::Unix => Some("unix".to_owned()),
            peer => peer.ip().map(|ip| ip.to_string()),
        };
        info_span!(
            target: "transom",
            "request",
            otel.name = name,
            otel.kind = "server",
            otel.status_code = Empty,
            trace_id = Empty,
            span_id = Empty,
            parent_id = Empty,
            http.request.method = self.method,
            url.path = self.path,
            url.query = self.query,
            url.scheme = self.scheme,
            http.route = self.route,
            network.protocol.version = version,
            client.address = client,
            user_agent.original = self.user_agent,
            http.response.status_code = Empty,
            error.type = Empty,
        )
    }
}

impl Wrap for Tracing {
    fn call(&self, mut request: Request, next: Next) -> Reply {
        let known = Known {
            method: Some(request.method().as_str()),
            path: Some(request.path()),
            query: request.query(),
            scheme: Some(request.scheme()),
            route: next.route(),
            version: Some(request.version()),
            user_agent: request.header("user-agent"),
        };
        let span = known.span(request.peer());
        let context =
            TraceContext::read(request.headers()).unwrap_or_else(|| TraceContext::root(!span.is_disabled()));
        note_context(&span, &context);
        let traceresponse = self.responds.then(|| context.to_string());
        request.set(span.clone());
        request.set(context);
        let reply = span.in_scope(|| next.run(request));
        Reply::future(Traced { reply, span, traceresponse, is_over: false })
    }
}

/// A reply that is polled in its span.
struct Traced {
    reply: Reply,
    span: Span,
    traceresponse: Option<String>,
    is_over: bool,
}

impl Future for Traced {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let Self { reply, span, traceresponse, is_over } = &mut *self;
        // The guard ends before the function returns: no thread keeps the span while the reply waits.
        let response = ready!(span.in_scope(|| Pin::new(reply).poll(cx)));
        *is_over = true;
        note_status(span, response.status_code());
        Poll::Ready(match traceresponse.take() {
            Some(value) => response.header("traceresponse", value),
            None => response,
        })
    }
}

/// Notes that a reply was dropped before there was a response: its deadline passed, or a stop cut it.
impl Drop for Traced {
    fn drop(&mut self) {
        if !self.is_over {
            note_error(&self.span, "cut");
        }
    }
}

impl Server {
    /// Makes spans of the requests and connections that are refused before a handler is called, as
    /// [`Tracing`] does for the others.
    #[must_use]
    pub fn trace_refusals(self) -> Self {
        self.on_exchange(|exchange| {
            if !exchange.was_handled() {
                trace_refusal(exchange);
            }
        })
    }
}

/// Makes the span of an exchange that has reached no handler.
fn trace_refusal(exchange: &Exchange<'_>) {
    let target = exchange.target().and_then(Target::parse);
    let known = Known {
        method: exchange.method().map(Method::as_str),
        path: target.as_ref().map(Target::path),
        query: target.as_ref().and_then(Target::query),
        scheme: exchange.method().map(|_| exchange.scheme()),
        route: exchange.route(),
        version: exchange.version(),
        user_agent: None,
    };
    let span = known.span(exchange.peer());
    note_context(&span, &TraceContext::root(!span.is_disabled()));
    if let Some(status) = exchange.status() {
        note_status(&span, status);
    }
    let error = exchange.reject().map(Reject::reason);
    let error = error.or((exchange.ended() == Ended::Cut).then_some("cut"));
    if let Some(error) = error {
        note_error(&span, error);
    }
}

fn note_context(span: &Span, context: &TraceContext) {
    if span.is_disabled() {
        return;
    }
    span.record("trace_id", format!("{:032x}", context.trace_id()));
    span.record("span_id", format!("{:016x}", context.span_id()));
    if let Some(parent) = context.parent_id() {
        span.record("parent_id", format!("{parent:016x}"));
    }
}

fn note_status(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        note_error(span, status.as_str());
    }
}

/// Notes what went wrong. A refusal of the client's fault is no error of the server's.
fn note_error(span: &Span, kind: &str) {
    span.record("error.type", kind);
    if kind == "cut" || kind.starts_with('5') {
        span.record("otel.status_code", "ERROR");
    }
}
