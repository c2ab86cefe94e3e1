//! A request under way, as the library keeps it while the host has a handle to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use transom::{IntoResponse as _, Reject, Responder, Response};

use crate::request::transom_request;
use crate::slots::{Handle, Table};
use crate::status::transom_status;

/// Every request that the host may still answer. One table for all servers of
/// the process, since a handle says nothing of the server it came from.
pub(crate) static EXCHANGES: Table<Exchange> = Table::new();

/// The right to answer, and what the host may read until it has answered.
pub(crate) struct Exchange {
    pub responder: Responder,
    /// `None` if the host has a packed copy.
    #[expect(dead_code, reason = "held for the pointer that the host has")]
    pub request: Option<Arc<transom_request>>,
    /// Events tell of it.
    watched: AtomicBool,
}

impl Exchange {
    pub fn new(responder: Responder, request: Option<Arc<transom_request>>) -> Self {
        Self { responder, request, watched: AtomicBool::new(false) }
    }

    /// Whether nobody has watched it yet.
    pub fn begin_watch(&self) -> bool {
        !self.watched.swap(true, Ordering::AcqRel)
    }

    /// Answers it.
    pub fn send(self, response: Response) -> Result<(), transom_status> {
        self.responder.send(response).map_err(|_gone| transom_status::TRANSOM_GONE)
    }
}

/// An exchange that nobody in the host knows of yet. Dropped, it is answered
/// with 503: it never got as far as the host.
pub(crate) struct Unclaimed(Option<Handle>);

impl Unclaimed {
    /// Puts it into the table; a full table answers it with 503 right away.
    pub fn new(exchange: Exchange) -> Option<Self> {
        match EXCHANGES.insert(exchange) {
            Ok(handle) => Some(Self(Some(handle))),
            Err(exchange) => {
                log::error!(target: "transom", "too many requests wait for an answer");
                // An answer too late is what it is.
                let _ = exchange.send(unavailable());
                None
            }
        }
    }

    /// Whether nobody waits for an answer any more.
    pub fn is_over(&self) -> bool {
        let over = self.0.map(|handle| EXCHANGES.look(handle, |exchange| exchange.responder.is_over()));
        !matches!(over, Some(Ok(false)))
    }

    /// Answers it with the response to that verdict.
    pub fn refuse(mut self, reject: Reject) {
        if let Some(exchange) = self.0.take().and_then(|handle| EXCHANGES.take(handle).ok()) {
            // If nobody waits any more, all the better.
            let _ = exchange.send(reject.into_response());
        }
    }

    /// Hands it to the host.
    pub fn claim(mut self) -> Option<Handle> {
        self.0.take()
    }

    /// What it will be to the host.
    pub fn token(&self) -> u64 {
        self.0.map_or(0, Handle::to_token)
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.take().and_then(|handle| EXCHANGES.take(handle).ok()) {
            // If nobody waits any more, all the better.
            let _ = exchange.send(unavailable());
        }
    }
}

/// The answer when the host cannot take more.
pub(crate) fn unavailable() -> Response {
    Reject::PoolFull.into_response()
}
