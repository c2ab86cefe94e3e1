//! An embeddable HTTP server for Rust, C and Python.
//!
//! ```no_run
//! use transom::{Request, Response, Router, Server};
//!
//! fn main() -> transom::Result<()> {
//!     let app = Router::new()
//!         .get("/", async |_: Request| "hello\n")
//!         .get("/users/{id}", async |req: Request| Response::text(req.param("id")))
//!         .get("/slow", transom::blocking(|_: Request| {
//!             std::thread::sleep(std::time::Duration::from_secs(1)); // may block: it runs on the pool
//!             "done\n"
//!         }));
//!     Server::new(app).bind("127.0.0.1:8080")?.run()?;
//!     Ok(())
//! }
//! ```
//!
//! Transom speaks HTTP/1.1 and HTTP/1.0 (RFC 9110, RFC 9112). Every phase has a deadline and every
//! size has a limit, on by default ([`Limits`], [`Timeouts`]). The library installs no signal handler
//! and no logger, starts no global executor, and shares no state between servers: a process may run
//! several, and start and stop each of them as often as it likes.
//!
//! # Where to find what
//!
//! | task | items |
//! |---|---|
//! | routes and their parameters | [`Router`], [`Route`], [`Request::param`] |
//! | state that handlers share | [`Router::state`], [`Request::state`] |
//! | errors, and `?` in handlers | [`HttpError`], [`HttpResult`], [`OrStatus`], [`Router::on_error`] |
//! | JSON, forms and queries as types of yours (feature `serde`) | `Request::json`, `Request::form`, `Request::query_as`, `Json` |
//! | forms with files, queries (feature `forms`) | `Request::read_form`, `Request::multipart`, `Request::query_value` |
//! | cookies, signed ones (feature `cookies`) | `Request::cookies`, `SetCookie`, `SigningKeys` |
//! | functions around handlers (middleware) | [`Router::wrap`], [`Wrap`], [`Next`] |
//! | ready middleware: CORS, authentication, limits (feature `middleware`) | `Cors`, `BasicAuth`, `RateLimit` |
//! | handlers that block | [`blocking`](fn@blocking) |
//! | an answer that is given later, from another thread | [`Reply::later`], [`Responder`] |
//! | uploads | [`Route::streaming`], [`Body::chunk`] |
//! | the files of a folder, one file with ranges (feature `files`) | `Files`, `Response::file` |
//! | streams, files, trailers | [`Response::stream`], [`Body::channel`], [`Body::file`] |
//! | another protocol on the connection | [`Response::upgrade`], [`Upgraded`] |
//! | server-sent events (feature `sse`) | `ServerSentEvents`, `EventBroadcast` |
//! | WebSocket (feature `websocket`) | `WebSocket`, `WebSocketUpgrade`, `Broadcast` |
//! | compressed responses and requests (feature `compression`) | `Compression`, `Decompression` |
//! | an access log (feature `access-log`) | `Server::access_log`, `AccessLog` |
//! | metrics (feature `metrics`) | `Metrics`, `Server::metrics` |
//! | a live status page (feature `status`) | `StatusPage` |
//! | spans of requests (feature `tracing`) | `Tracing`, `TraceContext` |
//! | a function that sees each answer | [`Server::on_exchange`] |
//! | error pages of the server itself | [`Server::own_answers`] |
//! | a clean stop | [`Handle::stop`], [`Stopper`], [`Request::stopping`] |
//! | a restart without a lost request | [`Handle::hand_over`], [`Listener::inherited`], [`Readiness`] |
//! | tests without sockets | [`Router::tester`] |
//!
//! # Ways to run a server
//!
//! - [`Server::run`] serves on threads of its own, until it is stopped.
//! - [`Server::start`] does the same and returns a [`Handle`] at once, for a server inside another
//!   program.
//! - [`Server::serve`] is a future for your own executor.
//! - [`Service::serve_connection`] serves a stream that you accepted.
//!
//! [`Server::model`] chooses how connections are driven; see [`Model`].
//!
//! # The life of a request
//!
//! 1. The server accepts a connection, or answers 503 if there are too many.
//! 2. It reads a request head. A malformed head gets a status and an orderly close ([`Reject`]).
//! 3. The router finds a handler, or answers 404, or 405 with Allow.
//! 4. The server reads the body whole, or the handler reads it in chunks. A client that waits for
//!    `100 Continue` gets it before the first read.
//! 5. The handler runs on the thread of the connection, or on the blocking pool.
//! 6. The server sends the response. Responses to pipelined requests leave together.
//! 7. The connection waits for the next request, or closes so that the client sees the last response.
//!
//! # Features
//!
//! Off by default: `access-log` for an access log (`AccessLog`); `cookies` for cookies and signed ones
//! (`Request::cookies`, `SetCookie`, `SigningKeys`); `files` for static files (`Files`, `Response::file`);
//! `forms` for forms with files (`Request::read_form`, `Request::multipart`); `middleware` for ready middleware
//! (`Cors`, `BasicAuth`, `RateLimit`); `metrics` for counters and
//! histograms of exchanges (`Metrics`); `status` for a live page of what servers do (`StatusPage`); `serde` for typed
//! input and output (`Request::json`, `query_as`, `form`, `params_as`, `Json`); `tower` for tower services
//! as handlers and routers as tower services (`tower_service`, `Router::into_tower_service`); `tracing` for
//! spans of requests (`Tracing`, `TraceContext`); `tls` for TLS by rustls (`Tls`), or `tls-ring` for the same
//! with the smaller cryptography of ring, without post-quantum key exchange; `websocket` for WebSocket
//! with compression (`WebSocket`); `sse` for server-sent events (`ServerSentEvents`, `EventBroadcast`);
//! `compression` for compressed responses and requests (`Compression`, `Decompression`).
//!
//! # Logging
//!
//! The server logs with the `log` crate. The target is `transom`, and the levels are:
//!
//! - error: a part of the server that is stuck, if there is a watchdog; faults of handlers (a panic, a
//!   response that cannot be sent, a responder that was dropped, a body of another length than
//!   announced), and a lack of descriptors or threads;
//! - warn: a part of the server that was stuck and turns again, a handler that did not answer in
//!   time, a response body that broke off, fields, trailers and early hints that are not sent, lines
//!   that an access log loses, requests that are refused because they wait too long, a handler that
//!   still holds its thread when the server has stopped;
//! - debug: requests and connections that are refused, answers that were cut short.
//!
//! If the logger panics, only that line is lost.

#![forbid(unsafe_code)]
// The reactor of Linux, and the models that stand on it, use more of the lower parts.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only the models of Linux use it"))]

/// Runs the code of the README as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Runs the code of the guide to the models as doctests.
#[cfg(doctest)]
#[doc = include_str!("../docs/three-models.md")]
struct ThreeModels;

/// Runs the code of the page about the status page as doctests.
#[cfg(all(doctest, feature = "status"))]
#[doc = include_str!("../docs/status.md")]
struct StatusDocument;

/// Runs the code of the page about static files as doctests.
#[cfg(all(doctest, feature = "files"))]
#[doc = include_str!("../docs/files.md")]
struct FilesPage;

/// Runs the code of the page about metrics as doctests.
#[cfg(all(doctest, feature = "metrics"))]
#[doc = include_str!("../docs/metrics.md")]
struct MetricsPage;

/// Runs the code of the page about server-sent events as doctests.
#[cfg(all(doctest, feature = "sse"))]
#[doc = include_str!("../docs/sse.md")]
struct ServerSentEventsPage;
/// Runs the code of the page about compression as doctests.
#[cfg(all(doctest, feature = "compression"))]
#[doc = include_str!("../docs/compression.md")]
struct CompressionPage;

/// Runs the code of the page about content as doctests.
#[cfg(all(doctest, feature = "cookies", feature = "forms", feature = "middleware"))]
#[doc = include_str!("../docs/content.md")]
struct ContentPage;

/// Runs the code of the page about WebSocket as doctests.
#[cfg(all(doctest, feature = "websocket"))]
#[doc = include_str!("../docs/websocket.md")]
struct WebSocketPage;

mod base;
mod body;
mod bounds;
mod config;
mod conn;
#[cfg(any(test, fuzzing))]
mod duplex;
mod error;
mod ext;
mod fields;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod http1;
mod message;
#[cfg(target_os = "linux")]
mod reactor;
mod server;
mod system;
#[cfg(any(feature = "tls", feature = "tls-ring"))]
mod tls;
#[cfg(feature = "websocket")]
mod websocket;

pub use bytes::Bytes;
pub use http::{Method, StatusCode, Version};

pub use base::congestion::Congestion;
pub use base::memory::MemoryClaim;
pub use base::overload::Overload;
pub use base::pool::PoolFull;
pub use base::priority::Priority;
pub use base::stopping::Stopping;
pub use base::stuck::Stuck;
pub use base::wait::{WaitError, wait};
pub use base::wakes::wake_after_turn;
pub use body::{Body, BodyWriter, WriteError};
pub use config::{Limits, Timeouts};
pub use conn::{ConnectionState, Deadline, Ended, Exchange, Forwarded, OwnAnswer};
pub use error::{Error, Gone, Reject, Result};
#[cfg(feature = "files")]
pub use ext::Files;
#[cfg(any(feature = "sse", feature = "websocket"))]
pub use ext::SlowReader;
#[cfg(feature = "status")]
pub use ext::StatusPage;
#[cfg(feature = "access-log")]
pub use ext::{AccessLog, LogFormat};
#[cfg(feature = "cookies")]
pub use ext::{BadCookie, Cookies, SameSite, SetCookie, SigningKeys};
#[cfg(feature = "middleware")]
pub use ext::{
    BasicAuth, BearerAuth, CacheControl, CanonicalHost, ConcurrencyLimit, Cors, RateLimit, RequestId,
    RequestIds, SecurityHeaders, TrailingSlash,
};
#[cfg(feature = "websocket")]
pub use ext::{
    Broadcast, WebSocket, WebSocketClosed, WebSocketMessage, WebSocketOutcome, WebSocketPiece,
    WebSocketRefusal, WebSocketSendError, WebSocketSender, WebSocketUpgrade,
};
#[cfg(feature = "compression")]
pub use ext::{Coding, Compression, Decompression};
#[cfg(feature = "sse")]
pub use ext::{EventBroadcast, EventSendError, EventSender, InvalidEvent, ServerSentEvent, ServerSentEvents};
#[cfg(feature = "metrics")]
pub use ext::{ExchangeSeries, Histogram, MetricKind, MetricValue, Metrics, MetricsSnapshot};
#[cfg(feature = "forms")]
pub use ext::{Form, FormError, FormLimits, Multipart, Part, UploadFile};
#[cfg(feature = "tower")]
pub use ext::{RouterService, TowerHandler, tower_service};
#[cfg(feature = "tracing")]
pub use ext::{TraceContext, Tracing};
pub use fields::{Headers, InvalidHeader};
pub use handler::{
    Blocking, BlockingPool, Context, Handler, HttpError, HttpResult, Liveness, Next, OrStatus, Readiness,
    Reply, Responder, Route, Router, Shared, Tester, Wrap, blocking, shared,
};
#[cfg(feature = "serde")]
pub use handler::{Json, JsonLimits};
pub use message::{
    Address, Credentials, IntoResponse, Network, Params, Peer, Request, Response, Target, TlsInfo, Upgraded,
};
pub use server::{
    ConnectionInfo, Handle, LOOPBACK_HOSTS, Listener, Load, Model, Monitor, Report, Server, Service, Stats,
    Stopper, sleep,
};
#[cfg(any(feature = "tls", feature = "tls-ring"))]
pub use tls::{Tls, TlsBuilder, TlsVersion};
#[cfg(feature = "websocket")]
pub use websocket::WebSocketClose;
