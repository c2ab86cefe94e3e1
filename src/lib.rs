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
//! HTTP/1.1 and HTTP/1.0 (RFC 9110, RFC 9112) on the smol stack, with a
//! deadline for every phase and a limit for every size, on by default
//! ([`Limits`], [`Timeouts`]). It installs no signal handler and no logger,
//! starts no global executor, and keeps no state of its own between servers:
//! several live in one process, each started and stopped as often as you like.
//!
//! # Ways to run it
//!
//! - [`Server::run`] serves until it is stopped, on threads of its own.
//! - [`Server::start`] returns a [`Handle`] when it serves: for a server inside
//!   another program.
//! - [`Server::serve`] is a future for an executor of yours.
//! - [`Service::serve_connection`] serves a stream that you accepted.
//!
//! [`Stopper`] asks a server to stop, from a handler or any thread.
//!
//! # The walk of a request
//!
//! ```text
//!   listener   accepts; the gate admits it, or answers 503
//!      |
//!   head       http1::head: more | a head | a Reject (status, orderly close)
//!      |
//!   framing    http1::framing: no body | a length | chunked | a Reject
//!      |
//!   route      Router: a handler, or 404, or 405 with Allow
//!      |
//!   body       read whole, or in chunks as the handler asks; 100 Continue first
//!      |
//!   handler    in place, on the blocking pool, or answered later from anywhere
//!      |
//!   answer     http1::plan: framing, keep-alive, whether there is a body
//!      |
//!   write      pipelined answers leave together
//!      |
//!   again, or drain what is unread, or close so that the client sees the answer
//! ```
//!
//! # Logging
//!
//! Through the `log` crate, target `transom`:
//!
//! - error: faults of handlers (a panic, a response that cannot be sent, a responder that
//!   was dropped, a body of another length than announced), and what the system refuses
//!   (descriptors, threads);
//! - warn: a handler that did not answer in time, a response body that broke off, fields,
//!   trailers and early hints that are not sent, a handler that still holds its thread
//!   when the server has stopped;
//! - debug: requests and connections that are refused, answers that were cut short.
//!
//! A logger that panics costs the line and nothing else.

#![forbid(unsafe_code)]

/// The README's code runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// So does that of the guide to the models.
#[cfg(doctest)]
#[doc = include_str!("../docs/three-models.md")]
struct ThreeModels;

mod base;
mod body;
mod bounds;
mod config;
mod conn;
#[cfg(any(test, fuzzing))]
mod duplex;
mod error;
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

pub use bytes::Bytes;
pub use http::{Method, StatusCode, Version};

pub use base::pool::PoolFull;
pub use base::stopping::Stopping;
pub use body::{Body, BodyWriter, WriteError};
pub use config::{Limits, Timeouts};
pub use conn::{Ended, Exchange, OwnAnswer};
pub use error::{Error, Gone, Reject, Result};
pub use fields::{Headers, InvalidHeader};
#[cfg(feature = "serde")]
pub use handler::Json;
pub use handler::{
    Blocking, Context, Handler, HttpError, HttpResult, Next, OrStatus, Reply, Responder, Route, Router,
    Shared, Tester, Wrap, blocking, shared,
};
pub use message::{Address, Credentials, IntoResponse, Params, Peer, Request, Response, Target, Upgraded};
pub use server::{Handle, LOOPBACK_HOSTS, Listener, Model, Report, Server, Service, Stopper, sleep};
