//! Handlers: what a program does with a request.

use super::reply::{HANDLER, Reply};
use crate::base::driving;
use crate::base::guard::caught;
use crate::base::pool::{Pool, PoolFull};
use crate::message::{IntoResponse, Request, Response};

/// Answers requests.
///
/// An async function or closure from [`Request`] to anything that
/// [`IntoResponse`] is one; [`blocking`] makes one of a function that may
/// block. Implement it by hand to answer from elsewhere, with [`Reply::later`].
///
/// A closure that owns something hands a clone of it to each request's future:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use transom::{Request, Router};
///
/// let hits = Arc::new(AtomicU64::new(0));
/// Router::new().get("/hits", move |_: Request| {
///     let hits = Arc::clone(&hits);
///     async move { (hits.fetch_add(1, Ordering::Relaxed) + 1).to_string() }
/// });
/// ```
///
/// A handler that panics costs its own request a 500 and nothing more.
///
/// ```
/// use transom::{Request, Response, Router, blocking};
///
/// async fn index(_: Request) -> Response {
///     Response::html("<p>hello</p>")
/// }
///
/// let app = Router::new()
///     .get("/", index)
///     .get("/now", async |_: Request| "now")
///     .get("/file", blocking(|_: Request| std::fs::read("/etc/hostname").map_err(|_| "cannot read it")));
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Starts to answer. This runs on a thread that serves other connections
    /// too: what may block belongs on the pool of the [`Context`].
    fn call(&self, request: Request, context: &Context<'_>) -> Reply;

    /// Returns `true` if the handler runs jobs on the pool of its [`Context`]. A server
    /// with such a handler does not start unless the pool has a thread.
    fn needs_pool(&self) -> bool {
        false
    }
}

impl<F, Fut> Handler for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send + 'static,
{
    fn call(&self, request: Request, _: &Context<'_>) -> Reply {
        Reply::answering(self(request))
    }
}

/// What a handler may use of the server that called it; see
/// [`run_blocking`](Self::run_blocking) for an example.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pool: &'a Pool,
}

impl<'a> Context<'a> {
    pub(crate) fn new(pool: &'a Pool) -> Self {
        Self { pool }
    }

    /// Runs `job` on the server's blocking pool, soon.
    ///
    /// ```
    /// use transom::{Context, Handler, Reply, Request, Response};
    ///
    /// struct Slow;
    /// impl Handler for Slow {
    ///     fn call(&self, request: Request, context: &Context) -> Reply {
    ///         let (responder, reply) = Reply::later(&request);
    ///         match context.run_blocking(move || drop(responder.send(Response::text("done")))) {
    ///             Ok(()) => reply,
    ///             Err(full) => Reply::now(full), // 503 with Retry-After
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// [`PoolFull`], with the job.
    pub fn run_blocking<F: FnOnce() + Send + 'static>(&self, job: F) -> Result<(), PoolFull<F>> {
        driving::blocking(|| self.pool.run(job))
    }
}

/// Calls a handler so that a panic in it becomes a 500.
pub(crate) fn call(handler: &dyn Handler, request: Request, context: Context<'_>) -> Reply {
    caught(HANDLER, || handler.call(request, &context))
        .unwrap_or_else(|fault| Reply::now(Response::failed(fault)))
}
