//! A server before it is started: what it will do, and how.

use std::sync::Arc;

use transom::{
    Context, Error, Handle, Handler, Limits, Listener, Method, Model, Reply, Request, Route, Router, Server,
    Timeouts,
};

use crate::handler::HostHandler;
use crate::hooks::Hooks;
use crate::process;
use crate::pull_queue::PullQueue;

/// Everything set so far. A start that fails leaves it, so that the host can
/// try again, on another port for example.
#[derive(Default)]
pub(crate) struct Setup {
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub model: Model,
    pub workers: Option<usize>,
    pub hooks: Option<Arc<Hooks>>,
    pub unix_mode: Option<u32>,
    pub listeners: Vec<Listener>,
    routes: Vec<(Option<Method>, String, Endpoint)>,
    fallback: Option<Endpoint>,
    /// Holds the routes too, to say at once if one cannot be.
    check: Router,
}

/// Who answers.
#[derive(Clone)]
pub(crate) enum Endpoint {
    Handler(Arc<HostHandler>),
    Pull { queue: Arc<PullQueue>, route_id: u32 },
}

impl Setup {
    /// Adds a route; `None` is any method.
    pub fn route(&mut self, method: Option<Method>, pattern: &str, endpoint: Endpoint) -> Result<(), Error> {
        self.check.add(route(method.as_ref(), pattern, endpoint.clone()))?;
        self.routes.push((method, pattern.into(), endpoint));
        Ok(())
    }

    /// Sets who answers where no route does; who did before.
    #[must_use]
    pub fn fallback(&mut self, endpoint: Endpoint) -> Option<Endpoint> {
        self.fallback.replace(endpoint)
    }

    /// Starts the server that was set up, listening there too.
    pub fn start(&mut self, address: Option<&str>) -> Result<Handle, Error> {
        // What can be wrong is found out before the listeners are given away.
        self.server()?.service()?;
        let last = address.map(|address| bind(address, self.unix_mode)).transpose()?;
        let server = self.server()?;
        self.listeners.drain(..).chain(last).fold(server, Server::listen).start()
    }

    fn server(&self) -> Result<Server, Error> {
        let mut router = Router::new();
        for (method, pattern, endpoint) in &self.routes {
            router.add(route(method.as_ref(), pattern, endpoint.clone()))?;
        }
        if let Some(endpoint) = &self.fallback {
            router = router.fallback(endpoint.clone());
        }
        let hooks = self.hooks.clone();
        let server = Server::new(router)
            .limits(self.limits.clone())
            .timeouts(self.timeouts.clone())
            .model(self.model)
            .on_thread(move || {
                // Most threads inherit the mask; this is for those that others start.
                process::block_signals();
                hooks.clone().map(Hooks::enter)
            });
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

/// Listens there; the file of a Unix socket has that mode.
pub(crate) fn bind(address: &str, unix_mode: Option<u32>) -> Result<Listener, Error> {
    unix_mode.map_or_else(|| Listener::bind(address), |mode| Listener::bind_with_mode(address, mode))
}

fn route(method: Option<&Method>, pattern: &str, endpoint: Endpoint) -> Route {
    match method {
        Some(method) => Route::new(method.clone(), pattern, endpoint),
        None => Route::any(pattern, endpoint),
    }
}

impl Handler for Endpoint {
    fn call(&self, request: Request, context: &Context<'_>) -> Reply {
        match self {
            Self::Handler(handler) => handler.call(request, *context),
            Self::Pull { queue, route_id } => queue.call(*route_id, request),
        }
    }

    fn needs_pool(&self) -> bool {
        matches!(self, Self::Handler(handler) if !handler.inline)
    }
}
