//! Handlers: what a program does with a request.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use super::reply::{HANDLER, Reply};
use crate::base::driving;
use crate::base::guard::caught;
use crate::base::jobs::{Job, Order, Start};
use crate::base::pool::{Pool, PoolFull};
use crate::base::priority::Priority;
use crate::base::wakes;
use crate::error::Reject;
use crate::message::{IntoResponse, Peer, Request, Response};

/// Answers requests.
///
/// An async function or closure is a handler if it takes a [`Request`] and returns a value that
/// implements [`IntoResponse`]. [`blocking`](crate::blocking) makes a handler of a function that
/// may block. If rustc says that a type "is not a future", the `async` before the closure is missing.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use transom::{Request, Response, Router, blocking};
///
/// async fn index(_: Request) -> Response {
///     Response::html("<p>hello</p>")
/// }
///
/// let hits = Arc::new(AtomicU64::new(0));
/// let app = Router::new()
///     .get("/", index)
///     .get("/hits", async move |_: Request| hits.fetch_add(1, Ordering::Relaxed).to_string())
///     .get("/file", blocking(|_: Request| Ok(std::fs::read("/etc/hostname")?)));
/// ```
///
/// Each request gets a clone of the closure, with clones of what it captures. To share a value, put
/// it into an `Arc`, or use [`Router::state`](crate::Router::state). A closure that captures a plain
/// `let mut count` and adds to it changes a copy, which is dropped after the request. [`shared`] is
/// for captures that cannot be cloned.
///
/// If a handler panics, its own request gets a 500, and other requests are not affected. To answer
/// later, from another thread, return [`Reply::later`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    label = "not a handler",
    note = "a handler is an async function or closure from `Request` to a response, whose captures can be cloned and sent to other threads",
    note = "captures that cannot be cloned are shared with `transom::shared(handler)`; a function that may block is `transom::blocking(function)`"
)]
pub trait Handler: Send + Sync + 'static {
    /// Starts to answer. This runs on a thread that also serves other connections. Code that may
    /// block must run on the pool of the [`Context`].
    fn call(&self, request: Request, context: &Context<'_>) -> Reply;

    /// Returns `true` if the handler runs jobs on the pool of its [`Context`]. A server
    /// with such a handler does not start unless the pool has a thread.
    fn needs_pool(&self) -> bool {
        false
    }

    /// Returns the priority of routes that set none, whatever their routers set. `None` leaves it to
    /// the routers.
    fn priority(&self) -> Option<Priority> {
        None
    }
}

impl<F, Fut> Handler for F
where
    F: FnOnce(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send + 'static,
{
    fn call(&self, request: Request, _: &Context<'_>) -> Reply {
        Reply::answering(self.clone()(request))
    }
}

/// Returns a handler for a closure whose captures cannot be cloned. All calls share the captures.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use transom::{Request, Router, shared};
///
/// let hits = AtomicU64::new(0);
/// Router::new().get("/hits", shared(move |_: Request| {
///     let hit = hits.fetch_add(1, Ordering::Relaxed) + 1;
///     async move { hit.to_string() }
/// }));
/// ```
pub fn shared<F, Fut>(handler: F) -> Shared<F>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send + 'static,
{
    Shared(handler)
}

/// The handler that [`shared`] returns.
pub struct Shared<F>(F);

impl<F, Fut> Handler for Shared<F>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send + 'static,
{
    fn call(&self, request: Request, _: &Context<'_>) -> Reply {
        Reply::answering((self.0)(request))
    }
}

impl<F> fmt::Debug for Shared<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// The parts of the server that a [`Handler`] may use; see
/// [`run_blocking`](Self::run_blocking) for an example.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pool: &'a Arc<Pool>,
    priority: Priority,
}

/// A job that is told if it has waited too long.
struct InTime<F>(F);

impl<F: FnOnce(Option<Reject>) + Send + 'static> Job for InTime<F> {
    fn begin(self, start: Start) {
        self.0((start == Start::TooLate).then_some(Reject::Overloaded));
    }
}

impl<'a> Context<'a> {
    pub(crate) fn new(pool: &'a Arc<Pool>, priority: Priority) -> Self {
        Self { pool, priority }
    }

    /// Returns the priority of the request's route.
    pub fn priority(self) -> Priority {
        self.priority
    }

    pub(super) fn pool(self) -> Arc<Pool> {
        Arc::clone(self.pool)
    }

    /// Wakes `waker` when this thread has served the connections that are ready now. A handler that
    /// queues requests for another thread wakes it in this way once for several requests: a thread that
    /// is woken at the first may take the core, and find no other.
    pub fn wake_after_turn(self, waker: &Waker) {
        wakes::wake_after_turn(waker);
    }

    /// Runs `job` on the server's blocking pool, when a thread of the pool is free.
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
    /// With [`Server::overload`](crate::Server::overload), a job is refused that would wait too long.
    /// Once it waits, it waits for as long as it takes; see
    /// [`run_blocking_in_time`](Self::run_blocking_in_time).
    ///
    /// # Errors
    /// [`PoolFull`], with the job, if the queue of the pool is full.
    pub fn run_blocking<F: FnOnce() + Send + 'static>(&self, job: F) -> Result<(), PoolFull<F>> {
        let order = Order { priority: self.priority, ..Order::default() };
        driving::blocking(|| self.pool.run(order, job))
    }

    /// Runs `job` on the server's blocking pool, as [`run_blocking`](Self::run_blocking) does. With
    /// [`Server::overload`](crate::Server::overload), a job that has waited too long is called with the
    /// reason: it is to answer with that and to return at once, because it may run on a thread that
    /// serves connections. Jobs of `peer` are refused before others if it has more than its share of
    /// the pool.
    ///
    /// ```
    /// use transom::{Context, Handler, IntoResponse, Reply, Request, Response};
    ///
    /// struct Slow;
    /// impl Handler for Slow {
    ///     fn call(&self, request: Request, context: &Context) -> Reply {
    ///         let (responder, reply) = Reply::later(&request);
    ///         let queued = context.run_blocking_in_time(request.peer(), move |refused| {
    ///             let _ = responder.send(refused.map_or_else(|| Response::text("done"), IntoResponse::into_response));
    ///         });
    ///         queued.map_or_else(Reply::now, |()| reply)
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`run_blocking`](Self::run_blocking).
    pub fn run_blocking_in_time<F>(&self, peer: Peer, job: F) -> Result<(), PoolFull<F>>
    where
        F: FnOnce(Option<Reject>) + Send + 'static,
    {
        let order = Order { priority: self.priority, source: peer.ip(), is_told: true };
        let queued = driving::blocking(|| self.pool.run_in_order(order, InTime(job)));
        queued.map_err(|full| full.map(|job| job.0))
    }
}

/// Calls a handler so that a panic in it becomes a 500.
pub(crate) fn call(handler: &dyn Handler, request: Request, context: Context<'_>) -> Reply {
    caught(HANDLER, || handler.call(request, &context))
        .unwrap_or_else(|fault| Reply::now(Response::failed(fault)))
}
