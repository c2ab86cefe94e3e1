//! Handlers: what a program does with a request.

use std::fmt;
use std::task::Poll;

use log::Level;

use super::answering::Answering;
use super::responder::{Answer, Responder};
use crate::base::driving;
use crate::base::guard::{caught, log_event};
use crate::base::pool::{Pool, PoolFull};
use crate::error::Reject;
use crate::message::{IntoResponse, Request, Response};

/// What a handler is called in the log.
const HANDLER: &str = "a handler";

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

/// The answer of a server that has too much to do: 503 with Retry-After.
impl<F> IntoResponse for PoolFull<F> {
    fn into_response(self) -> Response {
        let reject = if self.without_threads { Reject::NoThread } else { Reject::PoolFull };
        reject.into_response()
    }
}

impl<F, Fut> Handler for F
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send + 'static,
{
    fn call(&self, request: Request, _: &Context<'_>) -> Reply {
        Reply(Kind::Future(Answering::new(self(request))))
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

/// A response, or the promise of one.
///
/// ```
/// use transom::{Context, Handler, Reply, Request};
///
/// struct Hello;
/// impl Handler for Hello {
///     fn call(&self, _: Request, _: &Context) -> Reply {
///         Reply::now("hello")
///     }
/// }
/// ```
pub struct Reply(Kind);

enum Kind {
    Now(Option<Response>),
    Future(Answering),
    Later(Answer),
}

impl Reply {
    /// The response, here and now.
    ///
    /// ```
    /// transom::Reply::now("hello");
    /// ```
    pub fn now(response: impl IntoResponse) -> Self {
        Self(Kind::Now(Some(response.into_response())))
    }

    /// A future that makes the response. It is dropped if the handler's
    /// deadline passes or the server is stopped; not when the client leaves.
    ///
    /// ```
    /// transom::Reply::future(async { transom::Response::text("hello") });
    /// ```
    pub fn future(answer: impl Future<Output = Response> + Send + 'static) -> Self {
        Self(Kind::Future(Answering::new(answer)))
    }

    /// A [`Responder`] that may answer that request from anywhere, and the
    /// reply that waits for it; see [`Responder`] for an example.
    pub fn later(request: &Request) -> (Responder, Self) {
        let (responder, answer) = Responder::new(request);
        (responder, Self(Kind::Later(answer)))
    }

    /// Polls for the response. A panic in the handler becomes a 500.
    pub(crate) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Response> {
        match &mut self.0 {
            Kind::Now(response) => response.take().map_or(Poll::Pending, Poll::Ready),
            Kind::Later(answer) => answer.poll(cx),
            Kind::Future(future) => caught(HANDLER, || future.poll(cx)).unwrap_or_else(|fault| {
                // It must not be polled again.
                self.0 = Kind::Now(None);
                Poll::Ready(Response::failed(fault))
            }),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Now(_) => "Reply(now)",
            Kind::Future(_) => "Reply(future)",
            Kind::Later(_) => "Reply(later)",
        })
    }
}

/// Calls a handler so that a panic in it becomes a 500.
pub(crate) fn call(handler: &dyn Handler, request: Request, context: Context<'_>) -> Reply {
    caught(HANDLER, || handler.call(request, &context))
        .unwrap_or_else(|fault| Reply::now(Response::failed(fault)))
}

/// A handler of a function that may block: it runs on the server's blocking
/// pool. When the pool and its queue are full, or the system gives it no thread, the
/// answer is 503 with Retry-After.
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

/// The handler that [`blocking`] makes.
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
            let response = caught(HANDLER, || function(request).into_response()).unwrap_or_else(|fault| {
                if responder.is_over() {
                    log_event(Level::Error, format_args!("{fault}"));
                }
                Response::failed(fault)
            });
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

/// The right to answer a request that waits for a thread. Dropped with the queue, it
/// is answered with 503.
struct Queued(Option<Responder>);

impl Queued {
    /// The wait has ended; `None` if nobody waits for an answer any more.
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
