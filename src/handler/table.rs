//! The routing table: which endpoint answers a request.

use std::cmp::Reverse;
use std::sync::Arc;

use http::{Method, StatusCode};
use matchit::InsertError;

use super::handler::{Context, Handler};
use super::pattern::Pattern;
use super::reply::Reply;
use super::route::Endpoint;
use super::scope::Scope;
use crate::message::{HeadParts, Request, Response};

/// The result of looking up a request in the table.
pub(crate) enum Found<'a> {
    Endpoint(&'a Endpoint),
    Answer(Response),
}

impl<'a> Found<'a> {
    /// Returns the endpoint that answers, if there is one.
    #[inline]
    pub fn endpoint(&self) -> Option<&'a Endpoint> {
        match self {
            Self::Endpoint(endpoint) => Some(endpoint),
            Self::Answer(_) => None,
        }
    }
}

/// The routes of a router, by their patterns.
#[derive(Default)]
pub(crate) struct Table {
    /// Patterns, each with its index in `resources`.
    paths: matchit::Router<usize>,
    resources: Vec<Resource>,
    /// Answers the paths without a route.
    missing: Missing,
    /// Answers the paths without a route under the prefix of a nested router.
    nested: Vec<Prefix>,
    /// Answers `OPTIONS *`, if a wrap covers it.
    options: Option<Endpoint>,
    /// The patterns of all endpoints that have a number, in the order of the numbers.
    patterns: Vec<Arc<str>>,
}

/// The endpoints of the patterns of one shape, by method.
#[derive(Default)]
struct Resource {
    /// See [`Pattern::shape`].
    shape: Box<str>,
    /// The pattern that came first.
    pattern: Box<str>,
    methods: Vec<Entry>,
    /// With no methods of its own: the resource that answers here. Its `{*name}` is empty here, or this is its
    /// pattern with a slash at the end.
    answered_by: Option<usize>,
    /// Answers the other methods with a 405, if a wrap covers it.
    refusal: Option<Endpoint>,
}

/// One method of a resource.
struct Entry {
    /// `None` is any method.
    method: Option<Method>,
    /// The names of the parameters in this method's pattern.
    params: Arc<[Box<str>]>,
    endpoint: Endpoint,
}

/// The endpoints that answer paths without a route.
#[derive(Default)]
struct Missing {
    fallback: Option<Endpoint>,
    /// Answers with a 404, if a wrap covers it.
    not_found: Option<Endpoint>,
}

/// The parts of a nested router that decide how paths without a route are answered.
pub(crate) struct Nested {
    pub prefix: String,
    pub fallback: Option<Endpoint>,
    pub scopes: Vec<Arc<Scope>>,
}

impl Missing {
    fn new(fallback: Option<Endpoint>, scopes: &[Arc<Scope>]) -> Self {
        let not_found = own(StatusCode::NOT_FOUND, String::new(), scopes);
        let fallback = fallback.map(|mut endpoint| {
            endpoint.compose();
            endpoint
        });
        Self { fallback, not_found }
    }

    fn find(&self) -> Found<'_> {
        self.fallback.as_ref().map_or_else(|| self.refuse(), Found::Endpoint)
    }

    fn refuse(&self) -> Found<'_> {
        found(self.not_found.as_ref(), || Response::plain(StatusCode::NOT_FOUND))
    }
}

/// The endpoints that answer paths without a route under a prefix.
struct Prefix {
    text: String,
    /// A tree of its own: prefixes may overlap, which patterns in one tree may not.
    paths: matchit::Router<()>,
    /// The names of the parameters in the prefix.
    params: Arc<[Box<str>]>,
    missing: Missing,
}

impl Prefix {
    fn new(prefix: String, missing: Missing) -> Self {
        let mut paths = matchit::Router::new();
        let params = Pattern::parse(&prefix).map(|pattern| pattern.names).unwrap_or_default();
        // A parameter of the prefix has another name than this one.
        let rest = "rest".repeat(prefix.len());
        for path in [&prefix, &format!("{prefix}/"), &format!("{prefix}/{{*{rest}}}")] {
            if let Ok(pattern) = Pattern::parse(path) {
                let _ = paths.insert(pattern.tree, ());
            }
        }
        Self { text: prefix, paths, params, missing }
    }
}

fn found(endpoint: Option<&Endpoint>, answer: impl FnOnce() -> Response) -> Found<'_> {
    endpoint.map_or_else(|| Found::Answer(answer()), Found::Endpoint)
}

/// An answer of the router's own (404, 405, `OPTIONS *`) as a handler, so that wraps can cover it.
struct Own {
    status: StatusCode,
    /// The Allow field of a 405.
    allow: String,
}

impl Handler for Own {
    fn call(&self, _: Request, _: &Context<'_>) -> Reply {
        Reply::now(match self.status {
            StatusCode::NO_CONTENT => Response::new(self.status),
            StatusCode::METHOD_NOT_ALLOWED => Response::plain(self.status).header("allow", &self.allow),
            _ => Response::plain(self.status),
        })
    }
}

/// Returns the endpoint of an answer of the router's own, if a wrap covers it.
/// The endpoint reads no body, so it accepts a body of any length.
fn own(status: StatusCode, allow: String, scopes: &[Arc<Scope>]) -> Option<Endpoint> {
    if scopes.iter().all(|scope| scope.wraps.is_empty()) {
        return None;
    }
    let mut endpoint = Endpoint::new(Own { status, allow });
    (endpoint.pattern, endpoint.streaming, endpoint.body_limit) = (None, true, Some(u64::MAX));
    endpoint.scopes = scopes.to_vec();
    endpoint.compose();
    Some(endpoint)
}

impl Table {
    /// Adds a route; the error is a sentence.
    pub fn add(&mut self, method: Option<Method>, pattern: &str, endpoint: Endpoint) -> Result<(), String> {
        let parsed = Pattern::parse(pattern)?;
        let index = self.resource(&parsed, pattern)?;
        let methods = &mut self.resources[index].methods;
        if methods.iter().any(|entry| entry.method == method) {
            return Err("there is a handler for this already".into());
        }
        methods.push(Entry { method, params: parsed.names, endpoint });
        Ok(())
    }

    /// Returns the index of the resource of this pattern. Adds the resource if there is none.
    fn resource(&mut self, parsed: &Pattern, pattern: &str) -> Result<usize, String> {
        let index = self.insert(&parsed.tree, &parsed.shape)?;
        let resource = &mut self.resources[index];
        resource.answered_by = None;
        if resource.pattern.is_empty() {
            resource.pattern = pattern.into();
        }
        if let Some((tree, shape)) = parsed.before_rest()
            // The tree takes no empty rest.
            && let Ok(before) = self.insert(tree, shape)
            && self.resources[before].methods.is_empty()
        {
            self.resources[before].answered_by = Some(index);
        }
        Ok(index)
    }

    /// Lets the routes of a pattern answer at the pattern with a slash at its end too, if no other route does.
    pub fn add_slash(&mut self, pattern: &str) {
        let (Ok(plain), Ok(slash)) = (Pattern::parse(pattern), Pattern::parse(&format!("{pattern}/"))) else {
            return;
        };
        if let (Ok(index), Ok(with_slash)) =
            (self.insert(&plain.tree, &plain.shape), self.insert(&slash.tree, &slash.shape))
        {
            let resource = &mut self.resources[with_slash];
            if resource.methods.is_empty() && resource.answered_by.is_none() {
                resource.answered_by = Some(index);
            }
        }
    }

    /// Returns the index of the resource of that shape. Adds the resource if there is none.
    fn insert(&mut self, tree: &str, shape: &str) -> Result<usize, String> {
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

    /// The endpoints of all routes.
    pub fn routes(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        self.resources.iter_mut().flat_map(|resource| &mut resource.methods).map(|entry| &mut entry.endpoint)
    }

    /// The methods and endpoints of all routes.
    pub fn into_routes(self) -> impl Iterator<Item = (Option<Method>, Endpoint)> {
        let entries = self.resources.into_iter().flat_map(|resource| resource.methods);
        entries.map(|entry| (entry.method, entry.endpoint))
    }

    /// The patterns, each with its methods, as the Allow field has them.
    pub fn patterns(&self) -> impl Iterator<Item = (&str, String)> {
        let resources = self.resources.iter().filter(|resource| !resource.methods.is_empty());
        resources.map(|resource| (&*resource.pattern, resource.allow()))
    }

    /// Composes each handler, and each of the router's own answers, with its wraps and error hooks.
    pub fn seal(&mut self, around: &[Arc<Scope>], fallback: Option<Endpoint>, nested: Vec<Nested>) {
        for resource in &mut self.resources {
            let scopes = resource.methods.first().map(|entry| entry.endpoint.scopes.clone());
            // The scope of a single route does not cover the answer to other methods.
            let scopes: Vec<_> = scopes.into_iter().flatten().filter(|scope| !scope.is_of_route).collect();
            resource.refusal = own(StatusCode::METHOD_NOT_ALLOWED, resource.allow(), &scopes);
        }
        self.routes().for_each(Endpoint::compose);
        self.options = own(StatusCode::NO_CONTENT, String::new(), around);
        for Nested { prefix, fallback: own, scopes } in nested {
            // Without a fallback of its own, the fallback of the outer router answers.
            let outer = || fallback.clone().map(|endpoint| Endpoint { scopes: scopes.clone(), ..endpoint });
            self.nested.push(Prefix::new(prefix, Missing::new(own.or_else(outer), &scopes)));
        }
        // The longest prefix goes first, and one without parameters before one with them.
        self.nested
            .sort_by_key(|nested| (Reverse(nested.text.matches('/').count()), nested.text.contains('{')));
        self.missing = Missing::new(fallback, around);
        for (number, endpoint) in (1..).zip(self.endpoints_mut()) {
            endpoint.number = number;
        }
        self.patterns =
            self.endpoints().map(|endpoint| endpoint.pattern.clone().unwrap_or_default()).collect();
    }

    /// The endpoints of all routes, and then the fallbacks.
    fn endpoints_mut(&mut self) -> impl Iterator<Item = &mut Endpoint> {
        let Self { resources, nested, missing, .. } = self;
        let entries = resources.iter_mut().flat_map(|resource| &mut resource.methods);
        let missing = nested.iter_mut().map(|nested| &mut nested.missing).chain([missing]);
        let fallbacks = missing.filter_map(|missing| missing.fallback.as_mut());
        entries.map(|entry| &mut entry.endpoint).chain(fallbacks)
    }

    /// The endpoints of all routes, and then the fallbacks, in the order of their numbers.
    fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let entries = self.resources.iter().flat_map(|resource| &resource.methods);
        let missing = self.nested.iter().map(|nested| &nested.missing).chain([&self.missing]);
        let fallbacks = missing.filter_map(|missing| missing.fallback.as_ref());
        entries.map(|entry| &entry.endpoint).chain(fallbacks)
    }

    /// Returns the endpoint of a number.
    pub fn endpoint(&self, number: u32) -> Option<&Endpoint> {
        self.endpoints().nth(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// Returns the pattern of the endpoint of a number. It is empty for a fallback.
    #[inline]
    pub fn pattern(&self, number: u32) -> Option<&str> {
        self.patterns.get(usize::try_from(number.checked_sub(1)?).ok()?).map(|pattern| &**pattern)
    }

    /// Returns the method of the route of a number; `None` if the route is for any, or a fallback.
    pub fn method(&self, number: u32) -> Option<&Method> {
        let mut routes = self.resources.iter().flat_map(|resource| &resource.methods);
        routes.nth(usize::try_from(number.checked_sub(1)?).ok()?)?.method.as_ref()
    }

    /// Returns `true` if a handler runs jobs on the pool.
    pub fn needs_pool(&self) -> bool {
        self.endpoints().any(|endpoint| endpoint.handler.needs_pool())
    }

    /// The largest body that is taken whole, bytes, if `usual` is the limit of a route that
    /// has none of its own.
    pub fn largest_body(&self, usual: u64) -> u64 {
        let routes = self.resources.iter().flat_map(|resource| &resource.methods);
        let limits =
            routes.filter(|entry| !entry.endpoint.streaming).filter_map(|entry| entry.endpoint.body_limit);
        limits.fold(usual, u64::max)
    }

    /// Finds the endpoint that answers a request. Puts the parameters of the path into the head.
    pub fn find(&self, head: &mut HeadParts) -> Found<'_> {
        let HeadParts { method, target, params, .. } = head;
        if target.path() == "*" {
            return match *method {
                Method::OPTIONS => found(self.options.as_ref(), || Response::new(StatusCode::NO_CONTENT)),
                _ => self.missing.refuse(),
            };
        }
        let path = target.routing_path();
        let Ok(matched) = self.paths.at(&path) else {
            for nested in &self.nested {
                if let Ok(matched) = nested.paths.at(&path) {
                    if !nested.params.is_empty() {
                        let values = matched.params.iter().map(|(_, value)| value);
                        params.assign(&nested.params, values.take(nested.params.len()));
                    }
                    return nested.missing.find();
                }
            }
            return self.missing.find();
        };
        let mut resource = &self.resources[*matched.value];
        let answered_by = resource.answered_by;
        if let Some(index) = answered_by {
            resource = &self.resources[index];
        }
        let entry = resource.entry(method);
        // The wraps around a 405 see the parameters that the first route of the pattern names.
        if let Some(named) = entry.or(resource.methods.first())
            && !named.params.is_empty()
        {
            let values = matched.params.iter().map(|(_, value)| value);
            let values = values.chain(answered_by.map(|_| ""));
            params.assign(&named.params, values.take(named.params.len()));
        }
        let Some(entry) = entry else {
            return found(resource.refusal.as_ref(), || {
                Response::plain(StatusCode::METHOD_NOT_ALLOWED).header("allow", resource.allow())
            });
        };
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
