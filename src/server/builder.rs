//! The builder of a server.

use std::sync::Arc;

use super::listener::{Listener, check_mode};
use super::model::Model;
use super::monitor::Monitor;
use super::stop::Stopper;

use crate::base::guard::guarded;
use crate::base::overload::Overload;
use crate::base::threads::ThreadHook;
use crate::config::{Config, Limits, Timeouts};
use crate::conn::{Exchange, Forwarded, HOOK_FOR_EXCHANGES, OnExchange, OwnAnswer, Trust, WordAnswer};
use crate::error::Result;
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
    pub(super) router: Router,
    pub(super) config: Config,
    pub(super) model: Model,
    pub(super) workers: Option<usize>,
    pub(super) stopper: Stopper,
    pub(super) hook: ThreadHook,
    pub(super) on_exchange: Option<OnExchange>,
    pub(super) field_names: Vec<Box<str>>,
    pub(super) response_field_names: Vec<Box<str>>,
    pub(super) on_start: Vec<OnStart>,
    pub(super) word_answer: Option<WordAnswer>,
    pub(super) trust: Option<Trust>,
    pub(super) unix_mode: Option<u32>,
    pub(super) reuse_port: bool,
    pub(super) tells_systemd: bool,
    /// True if the server starts without a listener too.
    pub(super) is_unbound: bool,
    pub(super) listeners: Vec<Listener>,
}

/// A function that is called when the server starts.
pub(super) type OnStart = Box<dyn FnOnce(&Monitor) + Send>;

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
    /// to another socket. Processes that share one socket lose none: see
    /// [`Handle::share_listener`](crate::Handle::share_listener) and
    /// [`Handle::hand_over`](crate::Handle::hand_over).
    #[must_use]
    pub fn reuse_port(mut self) -> Self {
        self.reuse_port = true;
        self
    }

    /// Tells systemd what the server does (`sd_notify(3)`), if systemd started the program with
    /// `Type=notify`: that it serves (`READY=1`), that a stop has begun (`STOPPING=1`), and that its
    /// workers turn (`WATCHDOG=1`, with `WatchdogSec=`). A successor of
    /// [`Handle::hand_over`](crate::Handle::hand_over) becomes the main process of the service (`MAINPID=`).
    ///
    /// The watchdog is fed four times in its interval. A worker that has not run a small task for the
    /// whole interval is stuck, because a handler blocks it, and so is the pool for blocking handlers if
    /// requests wait for it and none is begun for as long, or what
    /// [`Handle::watch`](crate::Handle::watch) adds. The log then says which, and the watchdog is not fed:
    /// systemd restarts the service. In the sequential model, each handler blocks the one worker, so the
    /// interval must be longer than the slowest handler takes.
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
    /// [`Error::BadAddress`](crate::Error::BadAddress);
    /// [`Error::Bind`](crate::Error::Bind), with the error of the system;
    /// [`Error::BadSetting`](crate::Error::BadSetting) if [`unix_mode`](Self::unix_mode) is beyond `0o777`.
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
    /// all connections: see [`Handle::serve_connection`](crate::Handle::serve_connection).
    #[must_use]
    pub fn unbound(mut self) -> Self {
        self.is_unbound = true;
        self
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
