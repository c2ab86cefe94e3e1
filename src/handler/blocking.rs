//! Handlers that may block: each call runs on the blocking pool.

use std::fmt;

use super::handler::{Context, Handler};
use super::reply::{HANDLER, Reply};
use super::responder::Responder;
use crate::base::guard::caught;
use crate::base::pool::PoolFull;
use crate::error::Reject;
use crate::message::{IntoResponse, Request, Response};

/// The answer if the pool is full: 503 with Retry-After.
impl<F> IntoResponse for PoolFull<F> {
    fn into_response(self) -> Response {
        let reject = if self.without_threads { Reject::NoThread } else { Reject::PoolFull };
        reject.into_response()
    }
}

/// Returns a handler for a function that may block, which runs on the server's blocking pool. If the
/// pool and its queue are full, or the system has no thread for it, the client gets a 503 with
/// Retry-After.
///
/// ```
/// use transom::{Request, Response, Router, blocking};
///
/// Router::new().get("/slow", blocking(|_: Request| {
///     std::thread::sleep(std::time::Duration::from_millis(10));
///     "slept"
/// }));
/// ```
pub fn blocking<F, R>(function: F) -> Blocking<F>
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    Blocking(std::sync::Arc::new(function))
}

/// The handler that [`blocking`] returns.
///
/// ```
/// let handler: transom::Blocking<_> = transom::blocking(|_: transom::Request| "done");
/// ```
pub struct Blocking<F>(std::sync::Arc<F>);

impl<F, R> Handler for Blocking<F>
where
    F: Fn(Request) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    fn call(&self, request: Request, context: &Context<'_>) -> Reply {
        let function = std::sync::Arc::clone(&self.0);
        let (responder, reply) = Reply::later(&request);
        let queued = Queued(Some(responder));
        let queued = context.run_blocking(move || {
            let Some(responder) = queued.begin() else { return };
            let response =
                caught(HANDLER, || function(request).into_response()).unwrap_or_else(Response::failed);
            // Too late is no fault of the handler's.
            let _ = responder.send(response);
        });
        match queued {
            Ok(()) => reply,
            Err(full) => {
                // In this order, the responder in the job knows that nobody waits for it.
                drop(reply);
                Reply::now(full)
            }
        }
    }

    fn needs_pool(&self) -> bool {
        true
    }
}

/// The right to answer a request that waits for a thread. If it is dropped with the queue, the
/// client gets a 503.
struct Queued(Option<Responder>);

impl Queued {
    /// Ends the wait and returns the responder; `None` if no client waits for the answer any more.
    fn begin(mut self) -> Option<Responder> {
        self.0.take_if(|responder| !responder.is_over())
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(responder) = self.0.take() {
            // If nobody waits any more, all the better.
            let _ = responder.send(Reject::NoThread.into_response());
        }
    }
}

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}
