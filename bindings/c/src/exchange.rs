//! A request that the host has not answered yet, kept in a table under its handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use transom::{IntoResponse as _, Reject, Request, Responder, Response, Stopping};

use crate::incoming::Incoming;
use crate::request::transom_request;
use crate::slots::{Handle, Table};
use crate::status::transom_status;
use crate::stops::Stops;

/// Every request that the host may still answer. All servers of the process share the table,
/// because a handle does not tell which server it came from.
pub(crate) static EXCHANGES: Table<Exchange> = Table::new();

/// The right to answer, and the request, which the host may read until it has answered.
pub(crate) struct Exchange {
    /// `None` for a request of a batch, of which the host has a packed copy. Dropped before the responder:
    /// the response ends the body, and the request must be gone when the callback for its body is woken.
    request: Option<Arc<transom_request>>,
    /// `None` once a response was started to a request whose body is still read: see `Started`.
    responder: Option<Responder>,
    /// True once events report on the request.
    watched: AtomicBool,
    /// The callbacks and the event for the start of a stop. `None` until the host asks for one.
    stops: Option<Arc<Stops>>,
}

impl Exchange {
    pub fn new(responder: Responder, request: Option<Arc<transom_request>>) -> Self {
        Self { responder: Some(responder), request, watched: AtomicBool::new(false), stops: None }
    }

    /// Returns `true` in the first call only.
    pub fn begin_watch(&self) -> bool {
        !self.watched.swap(true, Ordering::AcqRel)
    }

    /// Returns a future that is ready when the server begins to stop.
    pub fn stopping(&self) -> Option<Stopping> {
        self.responder.as_ref().map(Responder::stopping)
    }

    /// Sends the response.
    pub fn send(self, response: Response) -> Result<(), transom_status> {
        let Self { request, responder, .. } = self;
        drop(request);
        let responder = responder.ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
        responder.send(response).map_err(|_gone| transom_status::TRANSOM_GONE)
    }
}

/// Takes a request that is not answered out of the table, to answer it.
pub(crate) fn take(handle: Handle) -> Result<Exchange, transom_status> {
    EXCHANGES.take_if(handle, |exchange| exchange.responder.is_some())
}

/// Calls `look` with a request that is not answered and its responder, under the lock of the table.
pub(crate) fn look<R>(
    handle: Handle,
    look: impl FnOnce(&Exchange, &Responder) -> R,
) -> Result<R, transom_status> {
    let looked = EXCHANGES
        .look(handle, |exchange| exchange.responder.as_ref().map(|responder| look(exchange, responder)))?;
    looked.ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)
}

/// Returns what is told when the server begins to stop, for a request that is not answered.
pub(crate) fn stops(handle: Handle) -> Result<Arc<Stops>, transom_status> {
    let found = EXCHANGES.change(handle, |exchange| {
        let responder = exchange.responder.as_ref()?;
        Some(Arc::clone(exchange.stops.get_or_insert_with(|| Arc::new(Stops::new(responder.stopping())))))
    })?;
    found.ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)
}

/// Returns a request that is not answered, if the host has it as an object.
pub(crate) fn request(handle: Handle) -> Result<Option<Arc<transom_request>>, transom_status> {
    look(handle, |exchange, _| exchange.request.as_ref().map(Arc::clone))
}

/// Returns the body of a request, if its route streams and the host may read it.
pub(crate) fn incoming(handle: Handle) -> Result<Arc<Incoming>, transom_status> {
    let found = EXCHANGES.look(handle, |exchange| {
        let request = exchange.request.as_ref()?;
        request.incoming().map(Arc::clone)
    })?;
    found.ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)
}

/// A response that was started, whose request the host may still read. Dropping this ends that.
pub(crate) struct Started(Handle);

impl Started {
    /// Takes the right to answer. The request stays in the table if its body comes piece by piece.
    pub fn new(handle: Handle) -> Result<(Exchange, Option<Self>), transom_status> {
        let streams = look(handle, |exchange, _| exchange.request.as_ref()?.incoming().map(drop))?;
        if streams.is_none() {
            return Ok((take(handle)?, None));
        }
        let (responder, stops) =
            EXCHANGES.change(handle, |exchange| (exchange.responder.take(), exchange.stops.take()))?;
        let responder = responder.ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
        Ok((Exchange { stops, ..Exchange::new(responder, None) }, Some(Self(handle))))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Nothing if a forked child drops it.
        drop(EXCHANGES.take(self.0));
    }
}

/// A request that the host has not been given yet. If it is dropped, the client gets a 503.
pub(crate) struct Unclaimed(Option<Handle>);

impl Unclaimed {
    /// Puts the request into the table. If the table is full, sends a 503 and returns `None`.
    pub fn new(exchange: Exchange) -> Option<Self> {
        match EXCHANGES.insert(exchange) {
            Ok(handle) => Some(Self(Some(handle))),
            Err(exchange) => {
                log::error!(target: "transom", "too many requests wait for an answer");
                // If nobody waits for it any more, there is nobody to tell.
                let _ = exchange.send(unavailable());
                None
            }
        }
    }

    /// Returns `true` if nobody waits for the response any more.
    pub fn is_over(&self) -> bool {
        let over = self.0.map(|handle| look(handle, |_, responder| responder.is_over()));
        !matches!(over, Some(Ok(false)))
    }

    /// Sends the response for `reject`.
    pub fn refuse(mut self, reject: Reject) {
        if let Some(exchange) = self.0.take().and_then(|handle| take(handle).ok()) {
            // If nobody waits for it any more, there is nobody to tell.
            let _ = exchange.send(reject.into_response());
        }
    }

    /// Gives the request to the host as an object, with the handle. Returns `None` if nobody waits for the
    /// response any more.
    pub fn claim_with(self, request: Request, streams: bool) -> Option<(*const transom_request, Handle)> {
        let handle = self.0?;
        let request = Arc::new(transom_request::new(request, streams));
        let pointer = &raw const *request;
        EXCHANGES.change(handle, |exchange| exchange.request = Some(request)).ok()?;
        Some((pointer, self.claim()?))
    }

    /// Gives the request to the host, which gets the handle.
    pub fn claim(mut self) -> Option<Handle> {
        self.0.take()
    }

    /// Returns the token of the request.
    pub fn token(&self) -> u64 {
        self.0.map_or(0, Handle::to_token)
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.take().and_then(|handle| take(handle).ok()) {
            // If nobody waits for it any more, there is nobody to tell.
            let _ = exchange.send(unavailable());
        }
    }
}

/// The response when there is no room for another request.
pub(crate) fn unavailable() -> Response {
    Reject::PoolFull.into_response()
}
