//! The router: the routes of a program, and the wraps, hooks and settings around them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::handler::Handler;
use super::pattern::Pattern;
use super::route::{Endpoint, Route, Settings, Timeout};
use super::scope::{Hook, Scope};
use super::table::{Nested, Table};
use super::wrap::Wrap;
use crate::base::priority::Priority;
use crate::base::values::Values;
use crate::error::{Error, Result};
use crate::message::{IntoResponse, LONGEST_METHOD};

/// The routes of a server, and what runs around them.
///
/// A pattern is a path. `{name}` in it matches one segment, or a part of one as in `/{name}.txt`.
/// `{*name}` at its end matches the rest of the path, which may be empty. A fixed segment wins over
/// both; `{name}` and `{*name}` in the same place are refused. The handler of GET answers HEAD too.
/// A path that matches no pattern gets 404. A path that has routes, but none for the method, gets
/// 405 with Allow.
///
/// Paths are matched decoded, except for `%2F` and `%25`. A pattern may be written decoded or
/// encoded: `/café` and `/caf%C3%A9` are the same. To match a brace, double it: `{{`. To match `?`,
/// `#` or `*`, or the parameters of other routers such as `:id` and `<id>`, escape them: `%3F`,
/// `%23`, `%2A`, `%3Aid`, `%3Cid>`.
///
/// ```
/// use transom::{Request, Response, Router};
///
/// let app = Router::new()
///     .get("/", async |_: Request| "index")
///     .get("/users/{id}", async |req: Request| Response::text(req.param("id")))
///     .put("/files/{*path}", async |req: Request| Response::text(req.param("path")))
///     .fallback(async |_: Request| transom::StatusCode::NOT_FOUND);
/// ```
#[derive(Default)]
pub struct Router {
    table: Table,
    /// Answers requests that no route matches.
    fallback: Option<Endpoint>,
    scope: Scope,
    settings: Settings,
    states: Values,
    nested: Vec<Nested>,
    /// The patterns that were `/` in a nested router.
    roots: Vec<String>,
    /// The error of the first route, setting or state that was refused.
    fault: Option<Error>,
}

/// Declares the method of [`Router`] that adds a route for one HTTP method.
macro_rules! method {
    ($name:ident $method:ident) => {
        #[doc = concat!("Routes ", stringify!($method), " requests for `pattern` to `handler`.")]
        ///
        /// The start of the server reports a bad pattern.
        #[must_use]
        pub fn $name(self, pattern: &str, handler: impl Handler) -> Self {
            self.route(Route::new(Method::$method, pattern, handler))
        }
    };
}

impl Router {
    /// Returns a router without routes, which answers 404.
    pub fn new() -> Self {
        Self::default()
    }

    method!(get GET);
    method!(post POST);
    method!(put PUT);
    method!(delete DELETE);
    method!(patch PATCH);
    method!(head HEAD);
    method!(options OPTIONS);

    /// Routes requests for `pattern` to `handler`, for every method that has no route of its own
    /// there.
    #[must_use]
    pub fn any(self, pattern: &str, handler: impl Handler) -> Self {
        self.route(Route::any(pattern, handler))
    }

    /// Adds a [`Route`]. If it is refused, the start of the server reports the error;
    /// [`add`](Self::add) reports it at once.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        if let Err(fault) = self.add(route) {
            self.report(fault);
        }
        self
    }

    /// Sets the handler for requests that no route matches.
    ///
    /// ```
    /// use transom::{Request, Response, Router, StatusCode};
    /// Router::new().fallback(async |_: Request| (StatusCode::NOT_FOUND, "nothing here\n"));
    /// ```
    #[must_use]
    pub fn fallback(mut self, handler: impl Handler) -> Self {
        self.fallback = Some(Endpoint::new(handler));
        self
    }

    /// Adds a route, and reports at once if it is refused.
    ///
    /// ```
    /// use transom::{Request, Route, Router};
    /// let mut app = Router::new();
    /// let error = app.add(Route::any("no-slash", async |_: Request| "")).unwrap_err();
    /// assert_eq!(error.to_string(), "bad route * \"no-slash\": a pattern starts with `/`");
    /// ```
    ///
    /// # Errors
    /// [`Error::BadRoute`] if no request could match the pattern, if the pattern conflicts with
    /// another one, or if it has a handler for the method already. The error shows the right form.
    pub fn add(&mut self, route: Route) -> Result<()> {
        let (method, pattern, mut endpoint) = route.into_parts();
        endpoint.pattern = Some(pattern.as_str().into());
        let name = method.as_ref().map_or("*", Method::as_str).to_owned();
        let checked = method.as_ref().map_or(Ok(()), |method| check_method(method.as_str()));
        let timeout = match endpoint.timeout {
            Timeout::Own(timeout) => timeout,
            Timeout::Server => None,
        };
        checked
            .and_then(|()| check_timeout(timeout))
            .and_then(|()| self.table.add(method, &pattern, endpoint))
            .map_err(|reason| Error::BadRoute { method: name, pattern, reason })
    }

    /// Runs `wrap` around the whole router: around all its routes, whether they are added before or
    /// after, its fallback, and its own answers (404, 405, and the answer to `OPTIONS *`). The first
    /// wrap is the outermost; the wraps of a route are innermost. See [`Wrap`].
    ///
    /// ```
    /// use transom::{Next, Request, Router};
    ///
    /// let log = async |req: Request, next: Next| {
    ///     let line = format!("{} {}", req.method(), req.path());
    ///     let response = next.run(req).await;
    ///     println!("{line} {}", response.status_code());
    ///     response
    /// };
    /// Router::new().wrap(log).get("/", async |_: Request| "hello");
    /// ```
    #[must_use]
    pub fn wrap(mut self, wrap: impl Wrap) -> Self {
        self.scope.wraps.push(Arc::new(wrap));
        self
    }

    /// Sets the function that makes the response for errors of type `E` that handlers and wraps of
    /// this router return with `?`. The function gets the error, or the first of the error's sources
    /// that is an `E`. If the status of the response is 500 or above, the error is logged.
    ///
    /// ```
    /// use transom::{Request, Router, StatusCode};
    ///
    /// let no_number = |_: &std::num::ParseIntError| (StatusCode::BAD_REQUEST, "that is no number\n");
    /// Router::new()
    ///     .on_error(no_number)
    ///     .get("/{number}", async |req: Request| Ok(req.param("number").parse::<u8>()?.to_string()));
    /// ```
    #[must_use]
    pub fn on_error<E, R>(mut self, answer: impl Fn(&E) -> R + Send + Sync + 'static) -> Self
    where
        E: std::error::Error + 'static,
        R: IntoResponse,
    {
        let hook: Hook =
            Arc::new(move |error| error.downcast_ref().map(|error| answer(error).into_response()));
        self.scope.hooks.push(hook);
        self
    }

    /// Shares a value with all handlers and wraps of the server, which get it with
    /// [`Request::state`](crate::Request::state). There is one value of each type; a second one is
    /// an error at the start of the server.
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use transom::{Request, Router};
    ///
    /// #[derive(Default)]
    /// struct Guests(Mutex<Vec<String>>);
    ///
    /// Router::new()
    ///     .state(Guests::default())
    ///     .get("/guests", async |req: Request| req.state::<Guests>().0.lock().unwrap().join("\n"));
    /// ```
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        if self.states.insert(value).is_some() {
            self.report(Error::DuplicateState { type_name: std::any::type_name::<T>() });
        }
        self
    }

    /// Sets a limit on request bodies, in bytes, for the routes without a limit of their own. See
    /// [`Route::body_limit`].
    #[must_use]
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.settings.body_limit = Some(bytes);
        self
    }

    /// Sets a deadline for handlers, for the routes without a deadline of their own. See
    /// [`Route::timeout`].
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        let timeout = timeout.into();
        if let Err(reason) = check_timeout(timeout) {
            self.report(Error::BadRoute { method: "*".into(), pattern: "*".into(), reason });
        }
        self.settings.timeout = Timeout::Own(timeout);
        self
    }

    /// Sets the priority of the routes without a priority of their own. See [`Route::priority`].
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.settings.priority = Some(priority);
        self
    }

    /// Streams the request bodies of all routes. See [`Route::streaming`].
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.settings.streaming = true;
        self
    }

    /// Adds the routes of another router under a prefix. The wraps, error hooks and settings of
    /// that router apply to its routes as before. Its pattern `/` becomes the prefix itself, and also
    /// matches the prefix with a slash at its end, unless another route does. Handlers see the whole
    /// path, and the parameters of the prefix too.
    ///
    /// The wraps of the inner router also run around the 404 under the prefix, which its fallback
    /// answers if it has one. Its state is shared with the whole server.
    ///
    /// ```
    /// use transom::{Request, Router};
    ///
    /// let api = Router::new()
    ///     .body_limit(64 * 1024)
    ///     .get("/users/{id}", async |req: Request| req.param("id").to_owned());
    /// Router::new().nest("/api", api); // GET /api/users/7
    /// ```
    #[must_use]
    pub fn nest(mut self, prefix: &str, inner: Self) -> Self {
        match check_prefix(prefix) {
            Ok(()) => self.merge(prefix, inner),
            Err(reason) => {
                self.report(Error::BadRoute { method: "*".into(), pattern: prefix.into(), reason });
            }
        }
        self
    }

    /// Adds the routes of another router, for example to give some routes a wrap or a setting. The
    /// wraps, error hooks and settings of that router apply to its routes as before. Its fallback
    /// becomes the fallback of this router, if this router has none.
    ///
    /// ```
    /// use transom::{Next, Request, Router};
    ///
    /// let private = Router::new()
    ///     .wrap(async |req: Request, next: Next| next.run(req).await.header("cache-control", "no-store"))
    ///     .get("/account", async |_: Request| "yours");
    /// Router::new().group(private).get("/", async |_: Request| "anybody's");
    /// ```
    #[must_use]
    pub fn group(mut self, inner: Self) -> Self {
        self.merge("", inner);
        self
    }

    fn merge(&mut self, prefix: &str, mut inner: Self) {
        let scopes = inner.close();
        if let Some(fault) = inner.fault.take() {
            self.report(fault);
        }
        for (method, mut endpoint) in inner.table.into_routes() {
            let pattern = match endpoint.pattern.as_deref() {
                Some("/") if !prefix.is_empty() => {
                    self.roots.push(prefix.to_owned());
                    prefix.to_owned()
                }
                pattern => format!("{prefix}{}", pattern.unwrap_or_default()),
            };
            endpoint.pattern = Some(pattern.as_str().into());
            let name = method.as_ref().map_or("*", Method::as_str).to_owned();
            if let Err(reason) = self.table.add(method, &pattern, endpoint) {
                self.report(Error::BadRoute { method: name, pattern, reason });
            }
        }
        self.roots.extend(inner.roots.iter().map(|root| format!("{prefix}{root}")));
        if let Err(type_name) = self.states.append(inner.states) {
            self.report(Error::DuplicateState { type_name });
        }
        for nested in inner.nested.iter_mut().filter(|nested| nested.fallback.is_none()) {
            let scopes = || nested.scopes.clone();
            nested.fallback =
                inner.fallback.clone().map(|endpoint| Endpoint { scopes: scopes(), ..endpoint });
        }
        if prefix.is_empty() {
            self.fallback = self.fallback.take().or(inner.fallback);
        } else {
            self.nested.push(Nested { prefix: prefix.to_owned(), fallback: inner.fallback, scopes });
        }
        let nested = inner.nested.into_iter();
        self.nested
            .extend(nested.map(|nested| Nested { prefix: format!("{prefix}{}", nested.prefix), ..nested }));
    }

    /// Gives the settings, wraps and hooks of this router to its routes, fallbacks and nested
    /// routers. Returns the scope that holds the wraps and hooks.
    fn close(&mut self) -> Vec<Arc<Scope>> {
        let scope = std::mem::take(&mut self.scope);
        let scopes = if scope.is_empty() { Vec::new() } else { vec![Arc::new(scope)] };
        let routes = self.table.routes().chain(&mut self.fallback);
        for endpoint in routes.chain(self.nested.iter_mut().filter_map(|nested| nested.fallback.as_mut())) {
            self.settings.apply(endpoint);
            endpoint.scopes.extend(scopes.iter().cloned());
        }
        self.nested.iter_mut().for_each(|nested| nested.scopes.extend(scopes.iter().cloned()));
        scopes
    }

    fn report(&mut self, fault: Error) {
        self.fault.get_or_insert(fault);
    }

    /// Returns the routing table, with the values for the handlers if there are any.
    ///
    /// # Errors
    /// The first error of the router: a route, setting or state that was refused.
    pub(crate) fn build(mut self) -> Result<(Table, Option<Arc<Values>>)> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let scopes = self.close();
        // Last, because routes that the program adds itself go first.
        self.roots.iter().for_each(|root| self.table.add_slash(root));
        self.table.seal(&scopes, self.fallback, self.nested);
        Ok((self.table, (!self.states.is_empty()).then(|| Arc::new(self.states))))
    }
}

/// Refuses a timeout of zero, which would end each exchange at once.
fn check_timeout(timeout: Option<Duration>) -> std::result::Result<(), String> {
    match timeout {
        Some(Duration::ZERO) => Err("a timeout of 0 ends every exchange at once; None turns it off".into()),
        _ => Ok(()),
    }
}

/// Refuses a prefix that no pattern can follow.
fn check_prefix(prefix: &str) -> std::result::Result<(), String> {
    if prefix.is_empty() || prefix.ends_with('/') {
        return Err("a prefix is a path without a slash at its end, as in `/api`".into());
    }
    if Pattern::parse(prefix)?.has_rest {
        return Err("nothing can follow `{*name}`: a prefix has none".into());
    }
    Ok(())
}

/// Refuses methods whose requests never reach a handler.
fn check_method(method: &str) -> std::result::Result<(), String> {
    if method.contains(|c: char| c.is_ascii_lowercase()) {
        let upper = method.to_ascii_uppercase();
        return Err(format!("methods are case-sensitive: write `{upper}`"));
    }
    if method == "CONNECT" {
        return Err("CONNECT is for proxies: this server refuses it (RFC 9110 9.3.6)".into());
    }
    if method.len() > LONGEST_METHOD {
        return Err(format!("a method has {LONGEST_METHOD} letters at most: longer ones are refused"));
    }
    Ok(())
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.table.patterns()).finish()
    }
}
