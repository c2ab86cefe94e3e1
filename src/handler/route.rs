//! A route: a method, a pattern, a handler, and the settings that are its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::handler::Handler;
use super::scope::{Scope, compose};
use super::wrap::Wrap;
use crate::base::priority::Priority;

/// A handler, with the settings of its route.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// The pattern as the program wrote it. Empty for a fallback, `None` for the router's own
    /// answers.
    pub pattern: Option<Arc<str>>,
    /// The number that the table gave it; 0 if it has none.
    pub number: u32,
    pub handler: Arc<dyn Handler>,
    pub streaming: bool,
    pub body_limit: Option<u64>,
    pub timeout: Timeout,
    /// `None` is the priority of the handler or the routers.
    pub priority: Option<Priority>,
    /// The wraps and error hooks of the handler, innermost first. Empty once they are composed.
    pub scopes: Vec<Arc<Scope>>,
}

/// The deadline of a route's handler.
#[derive(Clone, Copy, Default)]
pub(crate) enum Timeout {
    /// The server's setting.
    #[default]
    Server,
    Own(Option<Duration>),
}

/// Settings that a router gives to those of its routes that have none of their own.
#[derive(Clone, Copy, Default)]
pub(super) struct Settings {
    pub streaming: bool,
    pub body_limit: Option<u64>,
    pub timeout: Timeout,
    pub priority: Option<Priority>,
}

impl Settings {
    pub fn apply(self, endpoint: &mut Endpoint) {
        endpoint.streaming |= self.streaming;
        endpoint.body_limit = endpoint.body_limit.or(self.body_limit);
        if matches!(endpoint.timeout, Timeout::Server) {
            endpoint.timeout = self.timeout;
        }
        endpoint.settle_priority();
        endpoint.priority = endpoint.priority.or(self.priority);
    }
}

impl Endpoint {
    pub fn new(handler: impl Handler) -> Self {
        Self {
            pattern: Some("".into()),
            number: 0,
            handler: Arc::new(handler),
            streaming: false,
            body_limit: None,
            timeout: Timeout::Server,
            priority: None,
            scopes: Vec::new(),
        }
    }

    /// Returns the priority of the requests.
    #[inline]
    pub fn settled_priority(&self) -> Priority {
        self.priority.unwrap_or_default()
    }

    /// Takes the priority of the handler, unless the route has its own.
    fn settle_priority(&mut self) {
        self.priority = self.priority.or_else(|| self.handler.priority());
    }

    /// Composes the handler with its wraps and error hooks, once for all requests.
    pub fn compose(&mut self) {
        // A handler inside wraps is not asked.
        self.settle_priority();
        let route = self.pattern.as_ref().filter(|pattern| !pattern.is_empty());
        let scopes = std::mem::take(&mut self.scopes);
        self.handler = compose(Arc::clone(&self.handler), &scopes, route);
    }
}

/// A route with settings of its own.
///
/// ```
/// use std::time::Duration;
/// use transom::{Method, Request, Route, Router};
///
/// let upload = Route::new(Method::PUT, "/upload", async |mut req: Request| {
///     let mut total = 0;
///     while let Some(chunk) = req.body_mut().chunk().await {
///         total += chunk?.len();
///     }
///     Ok(total.to_string())
/// });
/// let app = Router::new().route(upload.streaming().body_limit(1 << 30).timeout(None::<Duration>));
/// ```
pub struct Route {
    pub(super) method: Option<Method>,
    pub(super) pattern: String,
    pub(super) endpoint: Endpoint,
    wraps: Vec<Arc<dyn Wrap>>,
}

impl Route {
    /// Returns a route for a method and a pattern.
    pub fn new(method: Method, pattern: impl Into<String>, handler: impl Handler) -> Self {
        Self { method: Some(method), ..Self::any(pattern, handler) }
    }

    /// Returns a route for every method that has no route of its own for the pattern.
    pub fn any(pattern: impl Into<String>, handler: impl Handler) -> Self {
        Self { method: None, pattern: pattern.into(), endpoint: Endpoint::new(handler), wraps: Vec::new() }
    }

    /// Runs the handler as soon as the request head has arrived, and lets it read the body in
    /// chunks. A client that waits for `100 Continue` gets it on the first read.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.endpoint.streaming = true;
        self
    }

    /// Sets the limit on the request body, in bytes, in place of
    /// [`Limits::body`](crate::Limits::body).
    #[must_use]
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.endpoint.body_limit = Some(bytes);
        self
    }

    /// Sets the deadline for the handler, in place of
    /// [`Timeouts::handler`](crate::Timeouts::handler). `None` turns it off. The start of the server
    /// reports a timeout of zero.
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.endpoint.timeout = Timeout::Own(timeout.into());
        self
    }

    /// Sets how long requests may wait for the handler when the server is overloaded, compared with
    /// those of other routes; [`Priority::Normal`] by default, and [`Priority::Vital`] for
    /// [`Readiness`](crate::Readiness) and [`Liveness`](crate::Liveness). It also decides the order in the queue of the blocking pool.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.endpoint.priority = Some(priority);
        self
    }

    /// Runs `wrap` around the handler, inside the wraps of the route's routers. The first wrap of
    /// the route is the outermost of them. See [`Wrap`].
    #[must_use]
    pub fn wrap(mut self, wrap: impl Wrap) -> Self {
        self.wraps.push(Arc::new(wrap));
        self
    }

    /// Takes the route apart: its wraps become the innermost scope of its endpoint.
    pub(super) fn into_parts(self) -> (Option<Method>, String, Endpoint) {
        let Self { method, pattern, mut endpoint, wraps } = self;
        if !wraps.is_empty() {
            endpoint.scopes.insert(0, Arc::new(Scope { wraps, hooks: Vec::new(), is_of_route: true }));
        }
        (method, pattern, endpoint)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({} {:?})", self.method.as_ref().map_or("*", Method::as_str), self.pattern)
    }
}
