//! The setup of a server: everything that the host sets before the start.

use std::sync::Arc;
use std::time::Duration;

use transom::{
    AccessLog, Compression, Context, Cors, Decompression, Error, Files, Forwarded, Handle, Handler, Limits,
    Listener, Liveness, Method, Metrics, Model, Network, Overload, Priority, Readiness, Reply, Request,
    Route, Router, Server, StatusPage, Timeouts, Wrap,
};

use crate::error::transom_error;
use crate::exchange_hook::ExchangeHook;
use crate::handler::HostHandler;
use crate::hooks::Hooks;
use crate::own_answer::OwnAnswerHook;
use crate::own_body::OwnBodies;
use crate::pull_queue::PullQueue;
use crate::status::transom_status;
use crate::system::SignalMask;
use crate::wrap::SharedWrap;

/// The routes and settings so far. They survive a start that fails, so that the host can try
/// again, for example on another port.
#[derive(Default)]
pub(crate) struct Setup {
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub model: Model,
    pub workers: Option<usize>,
    pub hooks: Option<Arc<Hooks>>,
    /// Around all routes, outermost first.
    pub wraps: Vec<Arc<dyn Wrap>>,
    /// The middleware that marks the server's own answers too.
    pub cors: Option<Cors>,
    pub on_exchange: Vec<Arc<ExchangeHook>>,
    pub access_logs: Vec<AccessLog>,
    pub metrics: Vec<Metrics>,
    /// Around the wraps too.
    pub compression: Option<Compression>,
    pub own_answers: Option<Arc<OwnAnswerHook>>,
    pub own_bodies: OwnBodies,
    pub unix_mode: Option<u32>,
    /// The next TCP sockets have `SO_REUSEPORT`.
    pub reuse_port: bool,
    pub tells_systemd: bool,
    /// True if the server starts without a listener too.
    pub is_unbound: bool,
    /// The proxies whose PROXY headers the next listeners expect.
    pub proxies: Option<Vec<Network>>,
    /// The fields in which proxies tell of clients, and the proxies that are believed.
    pub trust: Option<(Forwarded, Vec<Network>)>,
    /// How long requests may wait, if that is limited.
    pub overload: Option<Overload>,
    /// The places that each of the next listeners has of its own.
    pub reserved: usize,
    /// The hosts that the server answers for; all if there are none.
    pub hosts: Vec<String>,
    pub listeners: Vec<Listener>,
    /// The port of the first TCP listener with TLS.
    pub https_port: Option<u16>,
    routes: Vec<AddedRoute>,
    fallback: Option<(Endpoint, RouteSettings)>,
    /// Each with its path.
    status_pages: Vec<(String, StatusPage)>,
    /// Each with its prefix.
    files: Vec<(String, Files)>,
    /// Has all routes too, to refuse a bad route when it is added.
    check: Router,
}

/// The settings of one route.
#[derive(Clone, Default)]
pub(crate) struct RouteSettings {
    /// Around the handler, outermost first.
    pub wraps: Vec<Arc<dyn Wrap>>,
    pub body_limit: Option<u64>,
    /// `FOREVER` is no limit.
    pub timeout: Option<Duration>,
    pub priority: Option<Priority>,
    pub streaming: bool,
    /// Inside the wraps, which see the request as it came.
    pub decompression: Option<Decompression>,
}

/// A route of a server. Without a method, it is for any.
#[derive(Clone)]
pub(crate) struct AddedRoute {
    pub method: Option<Method>,
    pub pattern: String,
    pub endpoint: Endpoint,
    pub settings: RouteSettings,
}

/// The handler of a route, or the queue that its requests go to.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Handler(Arc<HostHandler>),
    Pull {
        queue: Arc<PullQueue>,
        route_id: u32,
        streams: bool,
    },
    // The library answers these.
    Readiness,
    Liveness,
    /// An object of the library answers.
    Native(Arc<dyn Handler>),
}

impl Setup {
    /// Adds a route.
    pub fn route(&mut self, added: AddedRoute) -> Result<(), Error> {
        self.check.add(added.route())?;
        self.routes.push(added);
        Ok(())
    }

    /// Adds a status page.
    pub fn status_page(&mut self, path: &str, page: StatusPage) -> Result<(), Error> {
        // Finds a bad path now. Routes that conflict are found by the router that has them all.
        Server::new(Router::new().nest(path, page.clone().router())).service()?;
        for pattern in [path.to_owned(), format!("{path}/events")] {
            self.check.add(Route::new(Method::GET, &pattern, Readiness))?;
        }
        self.status_pages.push((path.to_owned(), page));
        Ok(())
    }

    /// Adds the files of a folder under a prefix, which may be empty.
    pub fn files(&mut self, prefix: &str, files: Files) -> Result<(), Error> {
        // As for status pages.
        Server::new(mounted(Router::new(), prefix, files.clone())).service()?;
        let root = (!prefix.is_empty()).then(|| prefix.to_owned());
        for pattern in root.into_iter().chain([format!("{prefix}/{{*file}}")]) {
            self.check.add(Route::new(Method::GET, &pattern, Readiness))?;
        }
        self.files.push((prefix.to_owned(), files));
        Ok(())
    }

    /// Sets what answers the requests that no route matches, and returns what did before.
    #[must_use]
    pub fn fallback(
        &mut self,
        endpoint: Endpoint,
        settings: RouteSettings,
    ) -> Option<(Endpoint, RouteSettings)> {
        self.fallback.replace((endpoint, settings))
    }

    /// Starts a server with this setup, which also listens on `address`.
    pub fn start(&mut self, address: Option<&str>) -> Result<Handle, Error> {
        // Errors are found before the listeners are moved, so that a start can be tried again.
        self.server()?.service()?;
        let last = address.map(|address| bind(address, self.bind_options())).transpose()?;
        let last = last.map(|listener| self.with_steps(listener));
        let server = self.server()?;
        self.listeners.drain(..).chain(last).fold(server, Server::listen).start()
    }

    /// Returns the settings that a socket needs before it listens.
    pub fn bind_options(&self) -> BindOptions {
        BindOptions { unix_mode: self.unix_mode, reuse_port: self.reuse_port }
    }

    /// Gives a listener its places, and what it does before HTTP.
    pub fn with_steps(&self, listener: Listener) -> Listener {
        let listener = listener.reserve(self.reserved);
        match &self.proxies {
            Some(networks) => listener.proxy_protocol(networks.iter().copied()),
            None => listener,
        }
    }

    /// Changes the listener with that index, in the order in which they were added, and returns it.
    pub fn change_listener(
        &mut self,
        index: usize,
        change: impl FnOnce(Listener) -> Listener,
    ) -> Result<&Listener, transom_error> {
        if index >= self.listeners.len() {
            return Err(transom_status::TRANSOM_OUT_OF_RANGE.into());
        }
        let listener = self.listeners.remove(index);
        self.listeners.insert(index, change(listener));
        Ok(&self.listeners[index])
    }

    /// Makes the server, without its listeners.
    fn server(&self) -> Result<Server, Error> {
        let outer = Router::new();
        let outer = match &self.compression {
            Some(compression) => outer.wrap(compression.clone()),
            None => outer,
        };
        let mut router = self.wraps.iter().fold(outer, |router, wrap| router.wrap(share(wrap)));
        for added in &self.routes {
            router.add(added.route())?;
        }
        if let Some((endpoint, settings)) = &self.fallback {
            router = router.group(settings.around(Router::new().fallback(endpoint.clone())));
        }
        for (path, page) in &self.status_pages {
            router = router.nest(path, page.clone().router());
        }
        for (prefix, files) in &self.files {
            router = mounted(router, prefix, files.clone());
        }
        let hooks = self.hooks.clone();
        let server = Server::new(router)
            .limits(self.limits.clone())
            .timeouts(self.timeouts.clone())
            .model(self.model)
            .on_thread(move || {
                // Most threads inherit the mask. A thread that was started elsewhere does not.
                SignalMask::block_all();
                hooks.clone().map(Hooks::enter)
            });
        let hooks = self.on_exchange.iter().cloned();
        let server =
            hooks.fold(server, |server, hook| server.on_exchange(move |exchange| hook.tell(exchange)));
        let server = self.access_logs.iter().fold(server, Server::access_log);
        let server = self.metrics.iter().fold(server, Server::metrics);
        let (bodies, hook, cors) = (self.own_bodies.clone(), self.own_answers.clone(), self.cors.clone());
        let server = if bodies.is_empty() && hook.is_none() && cors.is_none() {
            server
        } else {
            server.own_answers(move |answer| {
                let worded = bodies.word(answer);
                let worded = hook.iter().fold(worded, |worded, hook| hook.word(answer, worded));
                cors.iter().fold(worded, |worded, cors| cors.own_answer(worded))
            })
        };
        let server =
            if self.hosts.is_empty() { server } else { server.allow_hosts(self.hosts.iter().cloned()) };
        let server = match &self.trust {
            Some((fields, networks)) => server.trust_forwarded(*fields, networks.iter().copied()),
            None => server,
        };
        let server = match self.overload {
            Some(overload) => server.overload(overload),
            None => server,
        };
        let server = if self.tells_systemd { server.notify_systemd() } else { server };
        let server = if self.is_unbound { server.unbound() } else { server };
        let server = match self.unix_mode {
            Some(mode) => server.unix_mode(mode),
            None => server,
        };
        Ok(match self.workers {
            Some(workers) => server.workers(workers),
            None => server,
        })
    }
}

fn mounted(router: Router, prefix: &str, files: Files) -> Router {
    match prefix {
        // A route of the host for "/" wins.
        "" => router.get("/{*file}", files.handler()),
        _ => router.nest(prefix, files.router()),
    }
}

fn share(wrap: &Arc<dyn Wrap>) -> SharedWrap {
    SharedWrap(Arc::clone(wrap))
}

/// The settings that a socket needs before it listens.
#[derive(Clone, Copy)]
pub(crate) struct BindOptions {
    /// The file mode of a Unix socket.
    unix_mode: Option<u32>,
    /// `SO_REUSEPORT` for a TCP socket.
    reuse_port: bool,
}

/// Listens on an address.
pub(crate) fn bind(address: &str, options: BindOptions) -> Result<Listener, Error> {
    match options.unix_mode {
        Some(mode) if address.starts_with("unix:") => Listener::bind_with_mode(address, mode),
        _ if options.reuse_port => Listener::bind_reuse_port(address),
        _ => Listener::bind(address),
    }
}

impl AddedRoute {
    fn route(&self) -> Route {
        let mut route = match &self.method {
            Some(method) => Route::new(method.clone(), &self.pattern, self.endpoint.clone()),
            None => Route::any(&self.pattern, self.endpoint.clone()),
        };
        for wrap in &self.settings.wraps {
            route = route.wrap(share(wrap));
        }
        if let Some(decompression) = &self.settings.decompression {
            route = route.wrap(decompression.clone());
        }
        if let Some(bytes) = self.settings.body_limit {
            route = route.body_limit(bytes);
        }
        if let Some(timeout) = self.settings.timeout {
            route = route.timeout(timeout);
        }
        if let Some(priority) = self.settings.priority {
            route = route.priority(priority);
        }
        if self.settings.streaming {
            route = route.streaming();
        }
        route
    }
}

impl RouteSettings {
    /// Gives the settings to a router.
    fn around(&self, mut router: Router) -> Router {
        for wrap in &self.wraps {
            router = router.wrap(share(wrap));
        }
        if let Some(decompression) = &self.decompression {
            router = router.wrap(decompression.clone());
        }
        if let Some(bytes) = self.body_limit {
            router = router.body_limit(bytes);
        }
        if let Some(timeout) = self.timeout {
            router = router.timeout(timeout);
        }
        if let Some(priority) = self.priority {
            router = router.priority(priority);
        }
        if self.streaming {
            router = router.streaming();
        }
        router
    }
}

impl Handler for Endpoint {
    fn call(&self, request: Request, context: &Context<'_>) -> Reply {
        match self {
            Self::Handler(handler) => handler.call(request, *context),
            Self::Pull { queue, route_id, streams } => queue.call(*route_id, request, *streams, *context),
            Self::Readiness => Readiness.call(request, context),
            Self::Liveness => Liveness.call(request, context),
            Self::Native(handler) => handler.call(request, context),
        }
    }

    fn needs_pool(&self) -> bool {
        matches!(self, Self::Handler(handler) if !handler.inline)
    }

    fn priority(&self) -> Option<Priority> {
        match self {
            Self::Handler(_) | Self::Pull { .. } => None,
            Self::Readiness => Readiness.priority(),
            Self::Liveness => Liveness.priority(),
            Self::Native(handler) => handler.priority(),
        }
    }
}
