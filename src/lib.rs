//! An HTTP server that you set into your own program.

#![forbid(unsafe_code)]

mod config;
mod conn;
mod error;
mod handler;
mod message;
mod pool;
mod proto;
mod responder;
mod router;
mod server;
mod threads;

pub use bytes::Bytes;
pub use http::{Method, StatusCode, Version};

pub use config::{Limits, Timeouts};
pub use error::{Error, Reject, Result};
pub use handler::{Blocking, Context, Handler, Reply, blocking};
pub use message::{
    Body, BodyWriter, Headers, IntoResponse, InvalidHeader, Params, Peer, Request, Response, Target,
    WriteError,
};
pub use pool::{Pool, PoolFull};
pub use responder::{Gone, Responder};
pub use router::{Route, Router};
pub use server::{Address, Handle, Listener, Report, Server, Service, Stopper};
