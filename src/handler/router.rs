//! Routes: method and path to a handler, or 404, or 405 with Allow.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use matchit::InsertError;

use super::handler::Handler;
use super::pattern::Pattern;
use crate::error::{Error, Result};
use crate::message::{HeadParts, LONGEST_METHOD, Response};

/// Routes of a server.
///
/// A pattern is a path in which `{name}` stands for one segment, or for a part of
/// it, and `{*name}`, at the end, for all that is left, which may be empty. A fixed
/// segment wins over either; `{name}` and `{*name}` in the same place are refused. GET
/// answers HEAD too. A path that no pattern matches gets 404, one that matches but not
/// for the method 405 with Allow.
///
/// Paths are matched decoded, except for `%2F` and `%25`. A pattern may be written
/// either way: `/café` and `/caf%C3%A9` are the same. A literal brace is doubled,
/// `{{`; `?`, `#`, `*`, and what other routers take for a parameter, `:id` or `<id>`,
/// are escaped when they are meant literally: `%3F`, `%23`, `%2A`, `%3Aid`, `%3Cid>`.
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
    /// Patterns, each with its place in `resources`.
    paths: matchit::Router<usize>,
    resources: Vec<Resource>,
    fallback: Option<Endpoint>,
    fault: Option<Error>,
}

/// All that answers on the patterns of one shape.
#[derive(Default)]
struct Resource {
    /// See [`Pattern::shape`].
    shape: Box<str>,
    /// The pattern that came first.
    pattern: Box<str>,
    methods: Vec<Entry>,
    /// With no methods of its own: the resource whose `{*name}` is empty here.
    rest_of: Option<usize>,
}

/// One method of a resource.
struct Entry {
    /// `None` is any method.
    method: Option<Method>,
    /// The names of the parameters in this method's pattern.
    params: Arc<[Box<str>]>,
    endpoint: Endpoint,
}

/// A handler and how its requests are treated.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// As the host wrote it; empty for the fallback.
    pub pattern: Box<str>,
    pub handler: Arc<dyn Handler>,
    pub streaming: bool,
    pub body_limit: Option<u64>,
    pub timeout: Timeout,
}

/// How long a route's handler may take.
#[derive(Clone, Copy)]
pub(crate) enum Timeout {
    /// As long as the server's setting says.
    Server,
    Own(Option<Duration>),
}

/// What the router says to a request.
pub(crate) enum Found<'a> {
    Endpoint(&'a Endpoint),
    Answer(Response),
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
    method: Option<Method>,
    pattern: String,
    endpoint: Endpoint,
}

impl Route {
    /// A route for one method.
    ///
    /// ```
    /// use transom::{Method, Request, Route};
    /// Route::new(Method::POST, "/", async |_: Request| "done");
    /// ```
    pub fn new(method: Method, pattern: impl Into<String>, handler: impl Handler) -> Self {
        Self { method: Some(method), pattern: pattern.into(), endpoint: Endpoint::new(handler) }
    }

    /// A route for every method that has no route of its own there.
    ///
    /// ```
    /// use transom::{Request, Route, Router};
    /// Router::new().route(Route::any("/", async |req: Request| req.method().to_string()));
    /// ```
    pub fn any(pattern: impl Into<String>, handler: impl Handler) -> Self {
        Self { method: None, pattern: pattern.into(), endpoint: Endpoint::new(handler) }
    }

    /// Runs the handler as soon as the head is there, and lets it read the
    /// body in chunks. `100 Continue` goes out on the first read.
    ///
    /// ```
    /// use transom::{Method, Request, Route};
    /// Route::new(Method::POST, "/", async |_: Request| "done").streaming();
    /// ```
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.endpoint.streaming = true;
        self
    }

    /// Another limit on the request body, in bytes, than
    /// [`Limits::body`](crate::Limits::body).
    ///
    /// ```
    /// use transom::{Method, Request, Route};
    /// Route::new(Method::POST, "/", async |_: Request| "done").body_limit(1024);
    /// ```
    #[must_use]
    pub fn body_limit(mut self, bytes: u64) -> Self {
        self.endpoint.body_limit = Some(bytes);
        self
    }

    /// Another deadline for the handler than
    /// [`Timeouts::handler`](crate::Timeouts::handler); `None` for none. A router
    /// refuses a route whose timeout is zero.
    ///
    /// ```
    /// use transom::{Method, Request, Route};
    /// Route::new(Method::POST, "/", async |_: Request| "done").timeout(std::time::Duration::from_secs(5));
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.endpoint.timeout = Timeout::Own(timeout.into());
        self
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({} {:?})", self.method.as_ref().map_or("*", Method::as_str), self.pattern)
    }
}

impl Endpoint {
    fn new(handler: impl Handler) -> Self {
        Self {
            pattern: Box::default(),
            handler: Arc::new(handler),
            streaming: false,
            body_limit: None,
            timeout: Timeout::Server,
        }
    }
}

/// Writes the method with its usual way in.
macro_rules! method {
    ($name:ident $method:ident) => {
        #[doc = concat!("Routes ", stringify!($method), " requests for `pattern` to `handler`.")]
        ///
        #[doc = concat!("```\ntransom::Router::new().", stringify!($name),
                                                    "(\"/\", async |_: transom::Request| \"done\");\n```")]
        ///
        /// A bad pattern is reported when the server is started.
        #[must_use]
        pub fn $name(self, pattern: &str, handler: impl Handler) -> Self {
            self.route(Route::new(Method::$method, pattern, handler))
        }
    };
}

impl Router {
    /// No routes yet: 404 for everything.
    ///
    /// ```
    /// transom::Router::new();
    /// ```
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

    /// Routes `pattern` to `handler` for every method without a route there.
    ///
    /// ```
    /// transom::Router::new().any("/", async |_: transom::Request| "any");
    /// ```
    #[must_use]
    pub fn any(self, pattern: &str, handler: impl Handler) -> Self {
        self.route(Route::any(pattern, handler))
    }

    /// Adds a route; the first that cannot be is reported when the server is started.
    ///
    /// ```
    /// use transom::{Method, Request, Route, Router};
    /// Router::new().route(Route::new(Method::GET, "/", async |_: Request| "hello"));
    /// ```
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        if let Err(fault) = self.add(route) {
            self.fault.get_or_insert(fault);
        }
        self
    }

    /// Answers requests that no route matches.
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

    /// Adds a route and says at once if it cannot be.
    ///
    /// ```
    /// use transom::{Request, Route, Router};
    /// let mut app = Router::new();
    /// let error = app.add(Route::any("no-slash", async |_: Request| "")).unwrap_err();
    /// assert_eq!(error.to_string(), "bad route * \"no-slash\": a pattern starts with `/`");
    /// ```
    ///
    /// # Errors
    /// [`Error::BadRoute`] if no request could match, if the pattern stands in the
    /// way of another, or if it has a handler for the method already. Its reason
    /// shows the right form.
    pub fn add(&mut self, route: Route) -> Result<()> {
        let Route { method, pattern, mut endpoint } = route;
        endpoint.pattern = pattern.as_str().into();
        let bad = |reason: String| Error::BadRoute {
            method: method.as_ref().map_or("*", Method::as_str).to_owned(),
            pattern: pattern.clone(),
            reason,
        };
        if let Some(method) = &method {
            check_method(method.as_str()).map_err(&bad)?;
        }
        if matches!(endpoint.timeout, Timeout::Own(Some(Duration::ZERO))) {
            return Err(bad("a timeout of 0 ends every exchange at once; None is none".into()));
        }
        let parsed = Pattern::parse(&pattern).map_err(&bad)?;
        let index = self.resource(&parsed, &pattern).map_err(&bad)?;
        let methods = &mut self.resources[index].methods;
        if methods.iter().any(|entry| entry.method == method) {
            return Err(bad("there is a handler for this already".into()));
        }
        methods.push(Entry { method, params: parsed.names, endpoint });
        Ok(())
    }

    /// The place of the resource that this pattern is of, made if it is not there.
    fn resource(&mut self, parsed: &Pattern, pattern: &str) -> std::result::Result<usize, String> {
        let index = self.insert(&parsed.tree, &parsed.shape)?;
        let resource = &mut self.resources[index];
        resource.rest_of = None;
        if resource.pattern.is_empty() {
            resource.pattern = pattern.into();
        }
        if let Some((tree, shape)) = parsed.before_rest()
            // The tree takes no empty rest.
            && let Ok(before) = self.insert(tree, shape)
            && self.resources[before].methods.is_empty()
        {
            self.resources[before].rest_of = Some(index);
        }
        Ok(index)
    }

    /// The place of the resource of that shape, which is made if it is not there.
    fn insert(&mut self, tree: &str, shape: &str) -> std::result::Result<usize, String> {
        if let Some(index) = self.resources.iter().position(|resource| *resource.shape == *shape) {
            return Ok(index);
        }
        let index = self.resources.len();
        self.paths.insert(tree, index).map_err(|error| match error {
            InsertError::Conflict { with } => {
                format!("some paths match both it and `{with}`, and neither goes first")
            }
            other => other.to_string(),
        })?;
        self.resources.push(Resource { shape: shape.into(), ..Resource::default() });
        Ok(index)
    }

    /// Whether a handler runs jobs on the pool.
    pub(crate) fn needs_pool(&self) -> bool {
        let routes = self.resources.iter().flat_map(|resource| &resource.methods);
        let endpoints = routes.map(|entry| &entry.endpoint).chain(&self.fallback);
        endpoints.into_iter().any(|endpoint| endpoint.handler.needs_pool())
    }

    /// The largest body that is taken whole, bytes, if `usual` is the limit of a route that
    /// has none of its own.
    pub(crate) fn largest_body(&self, usual: u64) -> u64 {
        let routes = self.resources.iter().flat_map(|resource| &resource.methods);
        let limits =
            routes.filter(|entry| !entry.endpoint.streaming).filter_map(|entry| entry.endpoint.body_limit);
        limits.fold(usual, u64::max)
    }

    /// The first route that could not be added by [`route`](Self::route).
    pub(crate) fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    /// Who answers a request; the parameters of its path are put into its head.
    pub(crate) fn find(&self, head: &mut HeadParts) -> Found<'_> {
        let HeadParts { method, target, params, .. } = head;
        if target.path() == "*" {
            return Found::Answer(match *method {
                Method::OPTIONS => Response::new(StatusCode::NO_CONTENT),
                _ => Response::plain(StatusCode::NOT_FOUND),
            });
        }
        let path = target.routing_path();
        let Ok(matched) = self.paths.at(&path) else {
            return match &self.fallback {
                Some(endpoint) => Found::Endpoint(endpoint),
                None => Found::Answer(Response::plain(StatusCode::NOT_FOUND)),
            };
        };
        let mut resource = &self.resources[*matched.value];
        let rest_of = resource.rest_of;
        if let Some(index) = rest_of {
            resource = &self.resources[index];
        }
        let Some(entry) = resource.entry(method) else {
            let answer = Response::plain(StatusCode::METHOD_NOT_ALLOWED);
            return Found::Answer(answer.header("allow", resource.allow()));
        };
        if !entry.params.is_empty() {
            let values = matched.params.iter().map(|(_, value)| value);
            params.assign(&entry.params, values.chain(rest_of.map(|_| "")));
        }
        Found::Endpoint(&entry.endpoint)
    }
}

impl Resource {
    fn entry(&self, method: &Method) -> Option<&Entry> {
        let of = |wanted: Option<&Method>| self.methods.iter().find(|entry| entry.method.as_ref() == wanted);
        of(Some(method))
            .or_else(|| (*method == Method::HEAD).then(|| of(Some(&Method::GET))).flatten())
            .or_else(|| of(None))
    }

    /// The Allow field (RFC 9110 10.2.1).
    fn allow(&self) -> String {
        let mut names: Vec<_> =
            self.methods.iter().filter_map(|entry| entry.method.as_ref()).map(Method::as_str).collect();
        if names.contains(&"GET") && !names.contains(&"HEAD") {
            names.push("HEAD");
        }
        names.sort_unstable();
        names.join(", ")
    }
}

/// Refuses methods that no request has that reaches a handler.
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
        let resources = self.resources.iter().filter(|resource| !resource.methods.is_empty());
        let patterns = resources.map(|resource| (&resource.pattern, resource.allow()));
        f.debug_map().entries(patterns).finish()
    }
}
