//! The builder of a server: routes, settings, addresses.

use std::sync::Arc;

use super::address::{Listener, check_mode};
use super::gate::Gate;
use super::handle::Handle;
use super::model::Model;
use super::models;
use super::service::Service;
use super::shared::Shared;
use super::stop::{Report, Stopper};

use crate::base::pool::Pool;
use crate::base::threads::{ThreadHook, Threads};
use crate::config::{Config, Limits, Timeouts};
use crate::conn::{App, OnRefusal, Refusal};
use crate::error::{Error, Result};
use crate::handler::Router;

/// A server to be: routes, settings, addresses.
///
/// ```no_run
/// use transom::{Request, Router, Server};
///
/// fn main() -> transom::Result<()> {
///     let app = Router::new().get("/", async |_: Request| "hello");
///     Server::new(app).bind("127.0.0.1:8080")?.run()?;
///     Ok(())
/// }
/// ```
pub struct Server {
    router: Router,
    config: Config,
    model: Model,
    workers: Option<usize>,
    stopper: Stopper,
    hook: ThreadHook,
    on_refusal: OnRefusal,
    unix_mode: Option<u32>,
    listeners: Vec<Listener>,
}

/// The names of this machine to itself, for [`Server::allow_hosts`].
///
/// ```
/// assert!(transom::LOOPBACK_HOSTS.contains(&"localhost"));
/// ```
pub const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl Server {
    /// A server of these routes, with default settings.
    ///
    /// ```
    /// transom::Server::new(transom::Router::new());
    /// ```
    pub fn new(app: Router) -> Self {
        Self {
            router: app,
            config: Config::default(),
            model: Model::default(),
            workers: None,
            stopper: Stopper::new(),
            hook: Box::new(|| Box::new(())),
            on_refusal: Box::new(|_| ()),
            unix_mode: None,
            listeners: Vec::new(),
        }
    }

    /// Other limits.
    ///
    /// ```
    /// let mut limits = transom::Limits::default();
    /// limits.body = 1024;
    /// transom::Server::new(transom::Router::new()).limits(limits);
    /// ```
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Other timeouts.
    ///
    /// ```
    /// let mut timeouts = transom::Timeouts::default();
    /// timeouts.handler = None;
    /// transom::Server::new(transom::Router::new()).timeouts(timeouts);
    /// ```
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.config.timeouts = timeouts;
        self
    }

    /// Answers only for these hosts: a request with another Host is refused with
    /// 421. A name with a port stands for that port, one without for any.
    ///
    /// For a server on the loopback this keeps web pages out that have their
    /// name resolve to it (DNS rebinding): see [`LOOPBACK_HOSTS`].
    ///
    /// ```
    /// transom::Server::new(transom::Router::new()).allow_hosts(transom::LOOPBACK_HOSTS);
    /// ```
    #[must_use]
    pub fn allow_hosts(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.config.hosts = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// How it drives its connections; [`Model::EventDriven`] by default. The
    /// others are there on Linux only.
    ///
    /// ```
    /// use transom::{Model, Router, Server};
    /// Server::new(Router::new()).model(Model::ThreadPerConnection);
    /// ```
    #[must_use]
    pub fn model(mut self, model: Model) -> Self {
        self.model = model;
        self
    }

    /// How many threads drive connections in the event-driven model, 1 to 1024; one
    /// for each core by default.
    ///
    /// ```
    /// transom::Server::new(transom::Router::new()).workers(2);
    /// ```
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// What shall be able to stop it; see [`Stopper`].
    ///
    /// ```
    /// let stopper = transom::Stopper::new();
    /// transom::Server::new(transom::Router::new()).stopper(&stopper);
    /// ```
    #[must_use]
    pub fn stopper(mut self, stopper: &Stopper) -> Self {
        self.stopper = stopper.clone();
        self
    }

    /// Runs `hook` first on each of the server's threads, and drops what it
    /// returns when the thread ends.
    ///
    /// ```
    /// transom::Server::new(transom::Router::new()).on_thread(|| println!("a thread starts"));
    /// ```
    #[must_use]
    pub fn on_thread<G: 'static>(mut self, hook: impl Fn() -> G + Send + Sync + 'static) -> Self {
        self.hook = Box::new(move || Box::new(hook()));
        self
    }

    /// Calls `hook` for each request and each connection that is refused because it
    /// breaks a rule or a limit: to count, or to log. It must not block.
    ///
    /// ```
    /// transom::Server::new(transom::Router::new()).on_refusal(|refusal| {
    ///     eprintln!("{} {}", refusal.peer, refusal.reject.reason());
    /// });
    /// ```
    #[must_use]
    pub fn on_refusal(mut self, hook: impl Fn(&Refusal) + Send + Sync + 'static) -> Self {
        self.on_refusal = Box::new(hook);
        self
    }

    /// The mode of the files of Unix sockets that the server binds: who may connect, such
    /// as `0o660` for the owner and the group (unix(7)). Without it, it is the umask's
    /// affair. For sockets that are bound after this call the mode holds before any client
    /// can connect; for those that were bound before, from the start of the server on.
    /// Sockets that the server was given, and abstract names, have none.
    ///
    /// ```
    /// transom::Server::new(transom::Router::new()).unix_mode(0o660);
    /// ```
    #[must_use]
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.unix_mode = Some(mode);
        self
    }

    /// Listens on an address: `host:port`, with port 0 for any that is free,
    /// `unix:path`, or `unix:@name`; see [`Listener::bind`]. Called again, it listens there too. Clients may connect from
    /// now on; they are served when the server is started.
    ///
    /// ```
    /// transom::Server::new(transom::Router::new()).bind("127.0.0.1:0")?.bind("localhost:0")?;
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BadAddress`], or [`Error::Bind`] with what the system said;
    /// [`Error::BadSetting`] of a [`unix_mode`](Self::unix_mode) beyond `0o777`.
    pub fn bind(self, address: &str) -> Result<Self> {
        self.unix_mode.map_or(Ok(()), check_mode)?;
        let listener = Listener::bind_as(address, self.unix_mode)?;
        Ok(self.listen(listener))
    }

    /// Serves a listener that was made before: see [`Listener`].
    ///
    /// ```
    /// let listener = transom::Listener::bind("127.0.0.1:0")?;
    /// transom::Server::new(transom::Router::new()).listen(listener);
    /// # Ok::<(), transom::Error>(())
    /// ```
    #[must_use]
    pub fn listen(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Starts it on threads of its own and returns when it serves.
    ///
    /// ```
    /// let server = transom::Server::new(transom::Router::new()).bind("127.0.0.1:0")?.start()?;
    /// drop(server); // stops it
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BadRoute`], [`Error::NoListener`], [`Error::BadSetting`],
    /// [`Error::Thread`] if the system refuses a thread that the server cannot do
    /// without, or [`Error::Io`].
    pub fn start(self) -> Result<Handle> {
        let (model, workers) = (self.model, self.workers);
        let (shared, listeners) = self.prepare(model)?;
        if listeners.is_empty() {
            return Err(Error::NoListener);
        }
        let addresses = listeners.iter().map(|listener| listener.local_addr().clone()).collect();
        let handle = Handle::new(Arc::clone(&shared), addresses);
        let started = Self::start_threads(&shared, listeners, model, workers);
        // What has been started ends without its threads.
        started.inspect_err(|_| shared.app.pool.close())?;
        Ok(handle)
    }

    fn start_threads(
        shared: &Arc<Shared>,
        listeners: Vec<Listener>,
        model: Model,
        workers: Option<usize>,
    ) -> Result<()> {
        if shared.app.router.needs_pool() {
            shared.app.pool.prepare().map_err(Error::Thread)?;
        }
        models::start(shared, listeners, model, workers)
    }

    /// Starts it and waits until it has stopped, as [`Handle::wait`] does.
    ///
    /// ```
    /// use std::time::Duration;
    /// let stopper = transom::Stopper::new();
    /// stopper.stop(Duration::ZERO); // elsewhere, later
    /// transom::Server::new(transom::Router::new()).stopper(&stopper).bind("127.0.0.1:0")?.run()?;
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn run(self) -> Result<Report> {
        self.start()?.wait()
    }

    /// Serves within the caller's executor, whichever it is, until it is
    /// stopped, and always event-driven. Only the blocking pool has threads of
    /// its own.
    ///
    /// ```
    /// use std::time::Duration;
    /// let stopper = transom::Stopper::new();
    /// let server = transom::Server::new(transom::Router::new()).stopper(&stopper).bind("127.0.0.1:0")?;
    /// stopper.stop(Duration::ZERO); // elsewhere, later
    /// smol::block_on(server.serve())?;
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn serve(self) -> Result<Report> {
        let (shared, listeners) = self.prepare(Model::EventDriven)?;
        if listeners.is_empty() {
            return Err(Error::NoListener);
        }
        if shared.app.router.needs_pool() {
            shared.app.pool.prepare().map_err(Error::Thread)?;
        }
        models::hosted::serve_here(Arc::clone(&shared), listeners).await?;
        Ok(shared.gate.report())
    }

    /// Makes a [`Service`], for a host that accepts connections itself. It is
    /// stopped with [`Service::stop`]; a [`Stopper`] alone does not reach it.
    ///
    /// ```
    /// let service = transom::Server::new(transom::Router::new()).service()?;
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BadRoute`] or [`Error::BadSetting`].
    pub fn service(self) -> Result<Service> {
        let (shared, _) = self.prepare(Model::EventDriven)?;
        Ok(Service::new(shared))
    }

    fn prepare(mut self, model: Model) -> Result<(Arc<Shared>, Vec<Listener>)> {
        if let Some(fault) = self.router.take_fault() {
            return Err(fault);
        }
        let reason = match self.workers {
            Some(0) => Some("it must be at least 1"),
            Some(1025..) => Some("it must be at most 1024"),
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(Error::BadSetting { name: "workers", reason });
        }
        let limits = &self.config.limits;
        limits.check()?;
        self.config.timeouts.check()?;
        if let Some(mode) = self.unix_mode {
            check_mode(mode)?;
            self.listeners.iter().try_for_each(|listener| listener.set_mode(mode))?;
        }
        if let Some(backlog) = limits.backlog {
            self.listeners.iter().try_for_each(|listener| listener.set_backlog(backlog))?;
        }
        let threads = Threads::new(self.hook);
        let gate = Gate::new(limits, self.stopper.asked());
        let pool = match model {
            Model::EventDriven => {
                Pool::new("transom-pool", limits.pool_threads, limits.pool_queue, Arc::clone(&threads))
            }
            // Whoever calls a handler has a thread to block.
            Model::Sequential | Model::ThreadPerConnection => Pool::in_place(),
        };
        let app = App::new(self.router, self.config, pool, self.on_refusal);
        Ok((Arc::new(Shared { app, gate, stopper: self.stopper, threads }), self.listeners))
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses: Vec<_> = self.listeners.iter().map(Listener::local_addr).collect();
        f.debug_struct("Server")
            .field("routes", &self.router)
            .field("addresses", &addresses)
            .finish_non_exhaustive()
    }
}
