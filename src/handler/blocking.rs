//! Handlers that may block: each call runs on the blocking pool.

use std::fmt;

use super::handler::{Context, Handler};
use super::reply::{HANDLER, Reply};
use super::responder::Responder;
use crate::base::guard::caught;
use crate::base::pool::PoolFull;
use crate::error::Reject;
use crate::message::{IntoResponse, Request, Response};

/// A 503 with Retry-After.
impl<F> IntoResponse for PoolFull<F> {
    fn into_response(self) -> Response {
        let reject = match self {
            Self { overloaded: true, .. } => Reject::Overloaded,
            Self { without_threads: true, .. } => Reject::NoThread,
            _ => Reject::PoolFull,
        };
        reject.into_response()
    }
}

/// Returns a handler for a function that may block. The function runs on the server's blocking pool.
/// If all threads of the pool are busy and its queue is full, if the request would wait or has waited
/// too long ([`Server::overload`](crate::Server::overload)), or if the system has no thread for the
/// pool, the client gets a 503 with Retry-After.
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

/// The handler that [`blocking`](fn@blocking) returns.
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
        let queued = context.run_blocking_in_time(request.peer(), move |refused| {
            let Some(responder) = queued.begin() else { return };
            if let Some(refused) = refused {
                let _ = responder.send(refused.into_response());
                return;
            }
            let response =
                caught(HANDLER, || function(request).into_response()).unwrap_or_else(Response::failed);
            // If the answer comes too late, the cause is in the log already.
            let _ = responder.send(response);
        });
        match queued {
            Ok(()) => reply,
            Err(full) => {
                // Drop the reply first, so that the responder in the job sees that the exchange is
                // over.
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
            // The exchange may be over, and then no answer is needed.
            let _ = responder.send(Reject::NoThread.into_response());
        }
    }
}

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}
