//! Wraps: functions that run around handlers.

use std::fmt;
use std::sync::Arc;

use super::blocking_pool::BlockingPool;
use super::handler::{Context, Handler, call};
use super::reply::Reply;
use crate::base::pool::Pool;
use crate::base::priority::Priority;
use crate::message::{IntoResponse, Request};

/// Runs around handlers (middleware): it sees each request before the handler, and each response
/// after it.
///
/// An async function or closure is a wrap if it takes a [`Request`] and a [`Next`] and returns a value
/// that implements [`IntoResponse`]. It calls [`Next::run`] to run the handler, or answers by itself.
/// [`Router::wrap`](crate::Router::wrap) puts a wrap around all routes of a router,
/// [`Route::wrap`](crate::Route::wrap) around one route.
///
/// ```
/// use transom::{HttpError, Next, Request, Response, Router};
///
/// struct User(String);
///
/// async fn authenticate(mut req: Request, next: Next) -> transom::HttpResult<Response> {
///     // Without a route, the response is a 404 or a 405, which anybody may see.
///     if next.route().is_some() {
///         let name = match req.header("authorization") {
///             Some("Bearer secret") => "ada".to_owned(),
///             _ => return Err(HttpError::unauthorized("a token is needed")),
///         };
///         req.set(User(name));
///     }
///     Ok(next.run(req).await.header("cache-control", "private"))
/// }
///
/// Router::new()
///     .wrap(authenticate)
///     .get("/me", async |req: Request| req.get::<User>().map(|user| user.0.clone()).unwrap_or_default());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no wrap",
    label = "not a wrap",
    note = "a wrap is an async function or closure from `Request` and `Next` to a response, whose captures can be cloned and sent to other threads"
)]
pub trait Wrap: Send + Sync + 'static {
    /// Starts to answer. Like [`Handler::call`], this runs on a thread that also serves other
    /// connections, and must not block.
    fn call(&self, request: Request, next: Next) -> Reply;
}

impl<F, Fut> Wrap for F
where
    F: FnOnce(Request, Next) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send + 'static,
{
    fn call(&self, request: Request, next: Next) -> Reply {
        Reply::answering(self.clone()(request, next))
    }
}

/// The inner wraps and the handler, for a [`Wrap`] to run.
pub struct Next {
    layer: Arc<Layer>,
    pool: Arc<Pool>,
    priority: Priority,
}

impl Next {
    /// Runs the inner wraps and the handler. The [`Reply`] is a future for the response. If one of
    /// them panics, the response is a 500.
    pub fn run(self, request: Request) -> Reply {
        call(&*self.layer.inner, request, Context::new(&self.pool, self.priority))
    }

    /// Returns the server's blocking pool, for what takes long after the handler has answered.
    pub fn blocking_pool(&self) -> BlockingPool {
        BlockingPool::new(&self.pool, self.priority)
    }

    /// Returns the whole pattern of the route, such as `/users/{id}`. Returns `None` if no route
    /// matches: the fallback, a 404, a 405, or the answer to `OPTIONS *` follows.
    pub fn route(&self) -> Option<&str> {
        self.layer.route.as_deref()
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").field("route", &self.route()).finish_non_exhaustive()
    }
}

/// One wrap and the handler inside it.
struct Layer {
    wrap: Arc<dyn Wrap>,
    inner: Arc<dyn Handler>,
    route: Option<Arc<str>>,
}

/// A handler inside a wrap. The layer is shared with each [`Next`].
pub(super) struct Wrapped(Arc<Layer>);

impl Wrapped {
    pub fn new(wrap: &Arc<dyn Wrap>, inner: Arc<dyn Handler>, route: Option<Arc<str>>) -> Self {
        Self(Arc::new(Layer { wrap: Arc::clone(wrap), inner, route }))
    }
}

impl Handler for Wrapped {
    fn call(&self, request: Request, context: &Context<'_>) -> Reply {
        let (pool, priority) = (context.pool(), context.priority());
        let next = Next { layer: Arc::clone(&self.0), pool, priority };
        self.0.wrap.call(request, next)
    }

    fn needs_pool(&self) -> bool {
        self.0.inner.needs_pool()
    }
}
