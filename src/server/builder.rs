//! The builder of a server.

use std::sync::Arc;
use std::time::Duration;

use super::gate::Gate;
use super::handle::Handle;
use super::keeper::Keeper;
use super::listener::{Listener, check_mode};
use super::model::Model;
use super::models;
use super::monitor::Monitor;
use super::service::Service;
use super::shared::Shared;
use super::stop::{Report, Stopper};
use super::systemd::Systemd;
#[cfg(target_os = "linux")]
use super::{socket::ListeningSocket, succession::Announcement};

use crate::base::guard::guarded;
use crate::base::overload::Overload;
use crate::base::pool::Pool;
use crate::base::stopping::Stopping;
use crate::base::threads::{ThreadHook, Threads};
use crate::config::{Config, Limits, Timeouts};
use crate::conn::{
    App, Exchange, FieldNames, Forwarded, HOOK_FOR_EXCHANGES, OnExchange, OwnAnswer, RecordedNames, Trust,
    WordAnswer,
};
use crate::error::{Error, Result};
use crate::handler::Router;
use crate::message::{IntoResponse, Network};

/// The builder of a server: routes, settings and addresses.
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
    on_exchange: Option<OnExchange>,
    field_names: Vec<Box<str>>,
    response_field_names: Vec<Box<str>>,
    on_start: Vec<OnStart>,
    word_answer: Option<WordAnswer>,
    trust: Option<Trust>,
    unix_mode: Option<u32>,
    reuse_port: bool,
    tells_systemd: bool,
    /// True if the server starts without a listener too.
    is_unbound: bool,
    listeners: Vec<Listener>,
}

/// A function that is called when the server starts.
type OnStart = Box<dyn FnOnce(&Monitor) + Send>;

/// The names by which a machine reaches itself, for [`Server::allow_hosts`].
pub const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl Server {
    /// Returns a server with these routes and default settings.
    pub fn new(app: Router) -> Self {
        Self {
            router: app,
            config: Config::default(),
            model: Model::default(),
            workers: None,
            stopper: Stopper::new(),
            hook: Box::new(|| Box::new(())),
            on_exchange: None,
            field_names: Vec::new(),
            response_field_names: Vec::new(),
            on_start: Vec::new(),
            word_answer: None,
            trust: None,
            unix_mode: None,
            reuse_port: false,
            tells_systemd: false,
            is_unbound: false,
            listeners: Vec::new(),
        }
    }

    /// Sets the limits on sizes, rates and counts.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets the timeouts.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.config.timeouts = timeouts;
        self
    }

    /// Limits how long a request waits for its handler, so that the server stays useful when more
    /// comes than it can do. It then answers what it can answer soon, and refuses the rest at once with
    /// a 503 and Retry-After ([`Reject::Overloaded`](crate::Reject::Overloaded)), for little work and on a
    /// connection that stays open. Without this call, only the numbers of [`Limits`] bound what waits.
    ///
    /// Three waits count: in the queue of the blocking pool; until a worker of the event-driven model
    /// comes to a request, for handlers that run there; and, in C, until a request is
    /// pulled. In the other models, clients wait in the backlog, where the server does not see them.
    ///
    /// [`Route::priority`](crate::Route::priority) says which requests are refused first, and which
    /// never. In the queue of the pool, jobs of an address that has more than its share of them are
    /// refused before those of others. An IPv6 client counts as its /64.
    ///
    /// ```
    /// use transom::{Overload, Priority, Readiness, Request, Router, Server, blocking};
    ///
    /// let app = Router::new()
    ///     .get("/", blocking(|_: Request| "work"))
    ///     .group(Router::new().priority(Priority::Low).get("/report", blocking(|_: Request| "more work")))
    ///     .get("/ready", Readiness); // is never refused
    /// Server::new(app).overload(Overload::default());
    /// ```
    #[must_use]
    pub fn overload(mut self, overload: Overload) -> Self {
        self.config.overload = Some(overload);
        self
    }

    /// Answers requests for these hosts only. A request with another Host gets a 421. A name
    /// with a port allows that port alone; a name without a port allows any port.
    ///
    /// On a loopback address, allow [`LOOPBACK_HOSTS`]: that refuses web pages whose own name
    /// resolves to this machine (DNS rebinding).
    ///
    /// ```
    /// transom::Server::new(transom::Router::new()).allow_hosts(transom::LOOPBACK_HOSTS);
    /// ```
    #[must_use]
    pub fn allow_hosts(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.config.hosts = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the [`Model`]; [`Model::EventDriven`] by default. The other models need Linux.
    #[must_use]
    pub fn model(mut self, model: Model) -> Self {
        self.model = model;
        self
    }

    /// Sets how many threads drive connections in the event-driven model: 1 to 1024, by default
    /// one for each core.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Sets the [`Stopper`] that can stop the server.
    #[must_use]
    pub fn stopper(mut self, stopper: &Stopper) -> Self {
        self.stopper = stopper.clone();
        self
    }

    /// Calls `hook` on each of the server's threads before anything else runs there. The value
    /// that the hook returns is dropped when the thread ends.
    ///
    /// ```
    /// transom::Server::new(transom::Router::new()).on_thread(|| println!("a thread starts"));
    /// ```
    #[must_use]
    pub fn on_thread<G: 'static>(mut self, hook: impl Fn() -> G + Send + Sync + 'static) -> Self {
        self.hook = Box::new(move || Box::new(hook()));
        self
    }

    /// Calls `hook` once for each answer of the server: a handler's, or one that the server gives
    /// by itself, also to a connection for which there is no room. The call comes when the answer
    /// has been written, or when the connection ends before that. See [`Exchange`] for what the
    /// hook learns, and for an example.
    ///
    /// The hook runs on a thread that drives connections, and must not block. If it panics, the
    /// log gets a line, and the answer is not affected. If this is called more than once, each hook is
    /// called for each answer, in that order.
    #[must_use]
    pub fn on_exchange(mut self, hook: impl Fn(&Exchange<'_>) + Send + Sync + 'static) -> Self {
        self.on_exchange = Some(match self.on_exchange {
            None => Arc::new(hook),
            Some(first) => Arc::new(move |exchange| {
                guarded(HOOK_FOR_EXCHANGES, || first(exchange));
                hook(exchange);
            }),
        });
        self
    }

    /// Records these header fields of each request, for the hooks of
    /// [`on_exchange`](Self::on_exchange): see [`Exchange::field`]. Without this call no fields are
    /// recorded, because that takes time and memory. A second call adds names.
    ///
    /// ```
    /// use transom::{Router, Server};
    ///
    /// Server::new(Router::new()).record_fields(["user-agent"]).on_exchange(|exchange| {
    ///     let agent = exchange.field("user-agent").unwrap_or(b"-");
    ///     println!("{} by {}", exchange.target().unwrap_or("-"), agent.escape_ascii());
    /// });
    /// ```
    #[must_use]
    pub fn record_fields(mut self, names: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        add_names(&mut self.field_names, names);
        self
    }

    /// Records these header fields of each response, for the hooks of
    /// [`on_exchange`](Self::on_exchange): see [`Exchange::response_field`]. Otherwise as
    /// [`record_fields`](Self::record_fields).
    #[must_use]
    pub fn record_response_fields(mut self, names: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        add_names(&mut self.response_field_names, names);
        self
    }

    /// Calls `hook` once, when the server starts and before it serves its first connection. The
    /// [`Monitor`] shows what the server does from then on, to a handler or to another thread.
    ///
    /// ```
    /// use std::sync::{Arc, OnceLock};
    /// use transom::{Monitor, Request, Router, Server};
    ///
    /// let monitor = Arc::new(OnceLock::new());
    /// let found = Arc::clone(&monitor);
    /// let app = Router::new().get("/load", move |_: Request| {
    ///     let stats = found.get().and_then(Monitor::stats);
    ///     async move { format!("{} connections\n", stats.map_or(0, |stats| stats.connections)) }
    /// });
    /// Server::new(app).on_start(move |started| drop(monitor.set(started.clone())));
    /// ```
    #[must_use]
    pub fn on_start(mut self, hook: impl FnOnce(&Monitor) + Send + 'static) -> Self {
        self.on_start.push(Box::new(hook));
        self
    }

    /// Sets the function that words the answers that the server gives by itself: refusals, 404,
    /// 405, and the 500 of a handler that failed. See [`OwnAnswer`] for an example.
    ///
    /// The hook runs once for an answer, just before the answer is sent. The answer takes the
    /// body of the hook's response, and its fields in place of those of the same name. A status
    /// other than 200 replaces the answer's. The other fields of the answer stay: `Allow`,
    /// `Retry-After`, and those that wraps have added. The hook must not block. If it panics, or
    /// its body is a stream, the server's own text is sent.
    ///
    /// The hook does not word what a handler answers, and an [`HttpError`](crate::HttpError) with a
    /// status of its own is such an answer: also the 400, 404, 415 and 422 of typed input. A
    /// [wrap](crate::Router::wrap) can word those: `examples/json_api.rs` shows one.
    #[must_use]
    pub fn own_answers<R: IntoResponse>(
        mut self,
        hook: impl Fn(&OwnAnswer<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.word_answer = Some(Box::new(move |answer| hook(answer).into_response()));
        self
    }

    /// Believes trusted proxies where a request came from: [`Request::peer`](crate::Request::peer),
    /// [`Request::scheme`](crate::Request::scheme), the records of [`on_exchange`](Self::on_exchange) and the
    /// log then tell of the real client. [`Request::connection_peer`](crate::Request::connection_peer)
    /// still tells of the proxy. The header fields stay as they are.
    ///
    /// Only requests on connections from `networks` are believed, and only the chosen fields: a proxy
    /// that writes `X-Forwarded-For` passes a `Forwarded` of its client on. The fields are read from
    /// their end, past the addresses of trusted proxies, up to the first address that is not trusted.
    /// An address that is malformed or hidden (`unknown`, `_name`) ends the search, and the hop before
    /// it counts. At most 32 hops are read.
    ///
    /// The proxy must set each field, or remove it: nginx, for example, sets `X-Forwarded-Proto` only
    /// if it is told to.
    ///
    /// With [`Limits::connections_per_address`], the connections of trusted proxies do not count.
    /// Instead, so many exchanges of one client may be in progress at once. A further request gets a 503
    /// with Retry-After ([`Reject::TooManyFromAddress`](crate::Reject::TooManyFromAddress)).
    ///
    /// ```
    /// use transom::{Forwarded, Request, Router, Server};
    ///
    /// let app = Router::new().get("/", async |req: Request| format!("{} over {}", req.peer(), req.scheme()));
    /// let proxies = ["10.0.0.0/8".parse()?, "unix".parse()?];
    /// Server::new(app).trust_forwarded(Forwarded::x_forwarded(), proxies);
    /// # Ok::<(), transom::Error>(())
    /// ```
    #[must_use]
    pub fn trust_forwarded(mut self, fields: Forwarded, networks: impl IntoIterator<Item = Network>) -> Self {
        self.trust = Some(Trust::new(fields, networks.into_iter().collect()));
        self
    }

    /// Sets the mode of the files of Unix sockets that the server binds. The mode says who may
    /// connect: `0o660` allows the owner and the group (unix(7)). Without this call, the umask
    /// decides.
    ///
    /// A socket that is bound after this call has the mode before any client can connect. A
    /// socket that was bound before gets the mode when the server starts. Listeners that were
    /// passed to the server keep their mode, and abstract names have none.
    #[must_use]
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.unix_mode = Some(mode);
        self
    }

    /// Lets the TCP addresses that are bound after this call be shared (`SO_REUSEPORT`, socket(7)): other
    /// sockets with this option, also of other processes of the same user, may listen on the same address, and
    /// the kernel spreads new connections over them.
    ///
    /// When a server stops, the connections that wait in the backlog of its socket are reset, although
    /// another process listens on the address; with the sysctl `net.ipv4.tcp_migrate_req`, Linux gives them
    /// to another socket. Processes that share one socket lose none: see [`Handle::share_listener`]
    /// and [`Handle::hand_over`].
    #[must_use]
    pub fn reuse_port(mut self) -> Self {
        self.reuse_port = true;
        self
    }

    /// Tells systemd what the server does (`sd_notify(3)`), if systemd started the program with
    /// `Type=notify`: that it serves (`READY=1`), that a stop has begun (`STOPPING=1`), and that its
    /// workers turn (`WATCHDOG=1`, with `WatchdogSec=`). A successor of
    /// [`Handle::hand_over`] becomes the main process of the service (`MAINPID=`).
    ///
    /// The watchdog is fed four times in its interval. A worker that has not run a small task for the
    /// whole interval is stuck, because a handler blocks it, and so is the pool for blocking handlers if
    /// requests wait for it and none is begun for as long, or what [`Handle::watch`] adds. The log then says
    /// which, and the watchdog is not fed: systemd restarts the service. In the sequential model, each handler blocks the one
    /// worker, so the interval must be longer than the slowest handler takes.
    ///
    /// Without `NOTIFY_SOCKET` this does nothing. With it, the server has one more thread.
    #[must_use]
    pub fn notify_systemd(mut self) -> Self {
        self.tells_systemd = true;
        self
    }

    /// Listens on an address: `host:port`, `unix:path` or `unix:@name`; see
    /// [`Listener::bind`]. Call this again to listen on more addresses.
    ///
    /// Clients can connect from now on. They are served once the server has started.
    ///
    /// # Errors
    /// [`Error::BadAddress`]; [`Error::Bind`], with the error of the system;
    /// [`Error::BadSetting`] if [`unix_mode`](Self::unix_mode) is beyond `0o777`.
    pub fn bind(self, address: &str) -> Result<Self> {
        self.unix_mode.map_or(Ok(()), check_mode)?;
        let listener = Listener::bind_as(address, self.unix_mode, self.reuse_port)?;
        Ok(self.listen(listener))
    }

    /// Listens on an existing [`Listener`] too.
    #[must_use]
    pub fn listen(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Lets the server [`start`](Self::start) without a listener too. The embedding program then brings
    /// all connections: see [`Handle::serve_connection`].
    #[must_use]
    pub fn unbound(mut self) -> Self {
        self.is_unbound = true;
        self
    }

    /// Starts the server on its own threads. Returns once it serves.
    ///
    /// # Errors
    /// [`Error::BadRoute`], [`Error::NoListener`], [`Error::BadSetting`],
    /// [`Error::DuplicateState`], [`Error::Thread`] if the system refuses a thread that the
    /// server needs, or [`Error::Io`].
    pub fn start(self) -> Result<Handle> {
        let (model, workers, is_unbound) = (self.model, self.workers, self.is_unbound);
        let (shared, mut listeners) = self.prepare(model)?;
        if listeners.is_empty() && !is_unbound {
            return Err(Error::NoListener);
        }
        let handle = Handle::new(Arc::clone(&shared), &listeners);
        let predecessor = Predecessor::of(&mut listeners);
        let started = Self::start_threads(&shared, listeners, model, workers);
        // Threads that have started end by themselves; the pool must be told.
        started.inspect_err(|_| shared.app.pool.close())?;
        predecessor.succeed();
        Self::look_after(&shared)?;
        Ok(handle)
    }

    /// Tells systemd that the server serves, and starts the thread that looks after it.
    fn look_after(shared: &Arc<Shared>) -> Result<()> {
        if let Some(systemd) = &shared.systemd {
            systemd.ready();
        }
        let Some(keeper) = &shared.keeper else { return Ok(()) };
        shared.watch_pool();
        keeper.begin(&shared.threads, Stopping::new(Some(shared.stopper.signal()))).map_err(|error| {
            shared.stopper.stop(Duration::ZERO);
            Error::Thread(error)
        })
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

    /// Starts the server and waits until it has stopped, as [`Handle::wait`] does.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn run(self) -> Result<Report> {
        self.start()?.wait()
    }

    /// Serves on the caller's executor, which may be any, until the server is stopped.
    ///
    /// The server is event-driven whatever [`model`](Self::model) says. Only the pool for
    /// blocking handlers has threads of its own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn serve(self) -> Result<Report> {
        let (shared, mut listeners) = self.prepare(Model::EventDriven)?;
        if listeners.is_empty() {
            return Err(Error::NoListener);
        }
        let predecessor = Predecessor::of(&mut listeners);
        if shared.app.router.needs_pool() {
            shared.app.pool.prepare().map_err(Error::Thread)?;
        }
        let told = OnEnd(Arc::clone(&shared));
        let ready = || {
            predecessor.succeed();
            Self::look_after(&shared)
        };
        models::hosted::serve_here(Arc::clone(&shared), listeners, ready).await?;
        drop(told);
        Ok(shared.gate.report())
    }

    /// Returns a [`Service`], for a program that accepts connections itself. Stop it with
    /// [`Service::stop`]: a [`Stopper`] alone does not end its idle connections.
    ///
    /// # Errors
    /// [`Error::BadRoute`], [`Error::BadSetting`] or [`Error::DuplicateState`].
    pub fn service(self) -> Result<Service> {
        let (shared, _) = self.prepare(Model::EventDriven)?;
        Ok(Service::new(shared))
    }

    fn prepare(self, model: Model) -> Result<(Arc<Shared>, Vec<Listener>)> {
        let systemd = if self.tells_systemd { Systemd::from_environment() } else { None };
        let keeper = Keeper::new(self.config.timeouts.watchdog, systemd.as_ref());
        let router = match keeper.as_ref().and_then(|keeper| keeper.watchdog.as_ref()) {
            // For `Liveness`.
            Some(watchdog) => self.router.state(Arc::clone(watchdog.stuck())),
            None => self.router,
        };
        let (router, states) = router.build()?;
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
        let overload = self.config.overload;
        if let Some((name, reason)) = overload.and_then(Overload::fault) {
            return Err(Error::BadSetting { name, reason });
        }
        if let Some(mode) = self.unix_mode {
            check_mode(mode)?;
            self.listeners.iter().try_for_each(|listener| listener.set_mode(mode))?;
        }
        if let Some(backlog) = limits.backlog {
            self.listeners.iter().try_for_each(|listener| listener.set_backlog(backlog))?;
        }
        let threads = Threads::new(self.hook);
        let trust = self.trust.map(|trust| Arc::new(trust.with_limit(limits.connections_per_address)));
        let gate = Gate::new(limits, self.stopper.signal(), states, trust.clone());
        let pool = match model {
            Model::EventDriven => {
                Pool::new("transom-pool", limits.pool_threads, limits.pool_queue, Arc::clone(&threads))
                    .overload(overload)
            }
            // The thread that calls a handler serves one connection and may block.
            Model::Sequential | Model::ThreadPerConnection => Pool::in_place(),
        };
        if !self.config.timeouts.stop_delay.is_zero() {
            self.stopper.signal().delay();
        }
        let mut app = App::new(router, self.config, pool);
        (app.on_exchange, app.word_answer) = (self.on_exchange, self.word_answer);
        let [request, response] = [self.field_names, self.response_field_names].map(FieldNames::new);
        app.recorded = Arc::new(RecordedNames { request, response });
        app.trust = trust;
        let shared =
            Shared { app, gate, stopper: self.stopper, closing: Arc::default(), threads, systemd, keeper };
        let shared = Arc::new(shared);
        let monitor = Monitor::new(&shared);
        self.on_start.into_iter().for_each(|hook| hook(&monitor));
        Ok((shared, self.listeners))
    }
}

/// Ends what looks after a server, also if the future of a server is dropped.
struct OnEnd(Arc<Shared>);

impl Drop for OnEnd {
    fn drop(&mut self) {
        if let Some(keeper) = &self.0.keeper {
            keeper.end();
        }
    }
}

/// The predecessor that waits until this server serves, if there is one.
struct Predecessor {
    #[cfg(target_os = "linux")]
    listeners: Vec<(Arc<ListeningSocket>, Announcement)>,
}

impl Predecessor {
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "only Linux has hand-overs"))]
    fn of(listeners: &mut [Listener]) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            listeners: listeners
                .iter_mut()
                .filter_map(|it| Some((Arc::clone(&it.socket), it.announcement.take()?)))
                .collect(),
        }
    }

    /// Tells the predecessor that the server serves.
    fn succeed(self) {
        let Self {
            #[cfg(target_os = "linux")]
            listeners,
        } = self;
        #[cfg(target_os = "linux")]
        for (socket, announcement) in listeners {
            socket.take_file_over();
            announcement.serves();
        }
    }
}

/// Adds the names that are not there yet.
fn add_names(known: &mut Vec<Box<str>>, names: impl IntoIterator<Item = impl Into<Box<str>>>) {
    for name in names.into_iter().map(Into::into) {
        if !known.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            known.push(name);
        }
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
