//! The handle of a running server.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
#[cfg(target_os = "linux")]
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};
use log::Level;

use super::connections::ConnectionInfo;
#[cfg(target_os = "linux")]
use super::handover::{Heirloom, Turn, hand_over};
use super::listener::Listener;
use super::load::Load;
use super::models::hosted;
use super::monitor::Monitor;
use super::shared::Shared;
use super::socket::ListeningSocket;
use super::stats::Stats;
use super::stop::{Report, Stopper};
use crate::base::guard::log_event;
use crate::base::stuck::Stuck;
use crate::error::{Error, Result};
use crate::message::{Address, Peer};
use crate::system::OwnedSocket;

/// The time to wait for the server's threads after the deadline of a stop.
const JOIN_GRACE: Duration = Duration::from_millis(200);

/// The address of a server that listens nowhere: a socket without a name.
static NO_ADDRESS: LazyLock<Address> = LazyLock::new(|| Address::Unix(PathBuf::new()));

/// A running server.
///
/// Dropping the handle stops the server, with [`Timeouts::stop`](crate::Timeouts::stop) as
/// the deadline.
///
/// ```
/// use std::time::Duration;
/// use transom::{Request, Router, Server};
///
/// let app = Router::new().get("/", async |_: Request| "hello");
/// let server = Server::new(app).bind("127.0.0.1:0")?.start()?;
/// println!("listening on http://{}", server.local_addr());
/// server.stop(Duration::from_secs(10));
/// # Ok::<(), transom::Error>(())
/// ```
pub struct Handle {
    shared: Arc<Shared>,
    addresses: Vec<Address>,
    /// Gone once the server has stopped listening.
    sockets: Vec<Weak<ListeningSocket>>,
    /// The names of the listeners.
    names: Vec<Option<Arc<str>>>,
    /// True while a hand-over is in progress.
    #[cfg(target_os = "linux")]
    hands_over: AtomicBool,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, listeners: &[Listener]) -> Self {
        let addresses = listeners.iter().map(|listener| listener.local_addr().clone()).collect();
        let sockets = listeners.iter().map(|listener| Arc::downgrade(&listener.socket)).collect();
        Self {
            shared,
            addresses,
            sockets,
            names: listeners.iter().map(|listener| listener.name().map(Arc::from)).collect(),
            #[cfg(target_os = "linux")]
            hands_over: AtomicBool::new(false),
        }
    }

    /// Returns the first address that the server listens on, with the port that the system
    /// chose. That of a server without a listener is a Unix socket without a name.
    pub fn local_addr(&self) -> &Address {
        self.addresses.first().unwrap_or(&NO_ADDRESS)
    }

    /// Returns all addresses that the server listens on, in the order in which they were bound.
    pub fn local_addrs(&self) -> &[Address] {
        &self.addresses
    }

    /// Returns a copy of a listening socket, to hand it over to a successor, such as the next version
    /// of the program, so that no client is refused in between. `index` counts as in
    /// [`local_addrs`](Self::local_addrs).
    ///
    /// The successor listens on the socket with [`Listener`], and this server is stopped then. From
    /// this call on the end of this server neither ends listening for others nor removes the file of
    /// a Unix socket. Clients are accepted by either while both run. The descriptor is closed in a
    /// program that this process executes (`FD_CLOEXEC`); a child clears the flag.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    /// use transom::{Listener, Request, Router, Server};
    ///
    /// let app = || Router::new().get("/", async |_: Request| "hello");
    /// let old = Server::new(app()).bind("127.0.0.1:0")?.start()?;
    /// let socket = TcpListener::from(old.share_listener(0)?);
    /// let new = Server::new(app()).listen(Listener::try_from(socket)?).start()?;
    /// old.stop(Duration::from_secs(10));
    /// assert_eq!(new.local_addr(), old.local_addr());
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] if there is no such listener, if the server has stopped listening, or if the
    /// system has no descriptor.
    pub fn share_listener(&self, index: usize) -> Result<OwnedSocket> {
        let socket = self.sockets.get(index).ok_or(io::ErrorKind::NotFound).map_err(io::Error::from)?;
        let socket = socket.upgrade().ok_or(io::ErrorKind::NotConnected).map_err(io::Error::from)?;
        Ok(socket.share()?)
    }

    /// Returns the [`name`](Listener::name) of a listener that was passed to this process. `index`
    /// counts as in [`local_addrs`](Self::local_addrs).
    pub fn listener_name(&self, index: usize) -> Option<&str> {
        self.names.get(index)?.as_deref()
    }

    /// Hands the server over to a successor, such as the next version of the program: starts it, passes
    /// all listeners to it, and waits until it serves, at most for `patience`. [`stop`](Self::stop) this
    /// server then: its exchanges finish, and no client is refused in between. Until then both accept
    /// clients. For [`Timeouts::stop_delay`](crate::Timeouts::stop_delay) after that, connections that wait for
    /// requests stay open, and each closes after an answer.
    ///
    /// The successor calls [`Listener::inherited`], and starts a server with these listeners. It runs as
    /// the same user when it does. Only the successor gets the listeners: each descriptor is closed in
    /// other programs that this process executes meanwhile. The environment of `command` gets one
    /// variable, `TRANSOM_HANDOVER`. The successor also takes over the files of Unix sockets that this
    /// server would remove at its end.
    ///
    /// If this fails, the child was killed and waited for, and this server goes on to serve. The call
    /// blocks; a handler that makes it should be a [blocking](crate::blocking) one. Linux only.
    ///
    /// ```no_run
    /// use std::process::Command;
    /// use std::time::Duration;
    ///
    /// # fn reload(server: &transom::Handle) -> transom::Result<()> {
    /// let mut command = Command::new(std::env::current_exe()?);
    /// command.args(std::env::args_os().skip(1));
    /// server.hand_over(&mut command, Duration::from_secs(30))?;
    /// server.stop(Duration::from_secs(30));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::HandOver`] with a sentence: the program cannot be executed, it has ended, it has given
    /// the listeners up, it does not serve in time, another hand-over is in progress, or a stop of
    /// this server has begun. [`Error::Io`] if the system has no descriptors.
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "only Linux has it"))]
    pub fn hand_over(&self, command: &mut Command, patience: Duration) -> Result<Child> {
        #[cfg(target_os = "linux")]
        {
            let _turn = Turn::take(&self.hands_over)?;
            if self.shared.stopper.is_stopping() {
                return Err(Error::HandOver { reason: "the server stops".to_owned() });
            }
            let lend = |(socket, name): (&Weak<ListeningSocket>, &Option<Arc<str>>)| {
                let socket = socket.upgrade().ok_or(io::ErrorKind::NotConnected)?;
                Ok(Heirloom { loan: socket.lend()?, name: name.clone() })
            };
            let listeners = self.sockets.iter().zip(&self.names).map(lend).collect::<io::Result<_>>()?;
            let (child, process) = hand_over(listeners, command, patience)?;
            self.note_successor();
            if let Some(systemd) = &self.shared.systemd {
                systemd.retire(process);
            }
            Ok(child)
        }
        #[cfg(not(target_os = "linux"))]
        Err(Error::HandOver { reason: "only Linux has it".to_owned() })
    }

    /// Notes that another process serves on the same sockets, such as one that has got a listener from
    /// [`share_listener`](Self::share_listener), or shares those that were passed to both.
    /// [`hand_over`](Self::hand_over) does it by itself.
    ///
    /// [`stop`](Self::stop) then leaves new clients to the other process from its beginning. For
    /// [`Timeouts::stop_delay`](crate::Timeouts::stop_delay) after that, connections that wait for requests stay
    /// open, and each closes after an answer, so that no request meets a close. Without this call, the server
    /// accepts clients for that time, and closes a connection that has not sent its request by then.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    /// use transom::{Listener, Router, Server};
    ///
    /// let old = Server::new(Router::new()).bind("127.0.0.1:0")?.start()?;
    /// let socket = TcpListener::from(old.share_listener(0)?);
    /// let new = Server::new(Router::new()).listen(Listener::try_from(socket)?).start()?;
    /// old.note_successor();
    /// old.stop(Duration::from_secs(10));
    /// # Ok::<(), transom::Error>(())
    /// ```
    pub fn note_successor(&self) {
        self.shared.stopper.signal().succeed();
    }

    /// Tells systemd that the program reloads; see [`Server::notify_systemd`](crate::Server::notify_systemd).
    /// [`notify_ready`](Self::notify_ready) ends this.
    pub fn notify_reloading(&self) {
        self.shared.systemd.iter().for_each(|systemd| systemd.reloading());
    }

    /// Tells systemd that the program has reloaded. At the start the server tells it itself.
    pub fn notify_ready(&self) {
        self.shared.systemd.iter().for_each(|systemd| systemd.ready());
    }

    /// Shows a text in `systemctl status`; see
    /// [`Server::notify_systemd`](crate::Server::notify_systemd). Control characters become spaces.
    pub fn notify_status(&self, text: &str) {
        self.shared.systemd.iter().for_each(|systemd| systemd.status(text));
    }

    /// Serves a connection that the embedding program brings, beside those of the listeners, on a thread of
    /// its own. The thread ends with the connection, and the stop of the server ends both. The model of the
    /// server does not matter.
    ///
    /// A connection can be anything that reads and writes, such as a pipe in memory.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::time::Duration;
    /// use transom::{Peer, Request, Router, Server};
    ///
    /// let app = Router::new().get("/", async |_: Request| "hello");
    /// let server = Server::new(app).unbound().start()?;
    /// let (mut client, stream) = std::os::unix::net::UnixStream::pair()?;
    /// server.serve_connection(smol::Async::new(stream)?, Peer::Unknown)?;
    /// client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer)?;
    /// assert!(answer.ends_with("\r\n\r\nhello"));
    /// server.stop(Duration::from_secs(10));
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Thread`] if the system refuses a thread.
    pub fn serve_connection<S>(&self, stream: S, peer: Peer) -> Result<()>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        hosted::serve_on_thread(&self.shared, stream, peer)
    }

    /// Returns a [`Stopper`] for this server.
    pub fn stopper(&self) -> Stopper {
        self.shared.stopper.clone()
    }

    /// Stops the server and waits until its threads have ended.
    ///
    /// The server accepts no more connections and closes idle ones. Exchanges in progress may
    /// finish until `deadline`; the rest are then cut. The call does not wait for a handler that
    /// still blocks its thread after the deadline: that thread ends when the handler returns.
    ///
    /// On one of the server's own threads, for example in a handler, the call begins the stop
    /// and returns at once.
    pub fn stop(&self, deadline: Duration) -> Report {
        self.shared.stopper.stop(deadline);
        if !self.shared.threads.is_current() {
            let until = Instant::now().checked_add(deadline.saturating_add(JOIN_GRACE));
            if !self.shared.threads.wait(until) {
                log_event(Level::Warn, format_args!("stopped, but a handler still holds a thread"));
            }
        }
        self.report()
    }

    /// Waits until the server has stopped and all its threads have ended.
    ///
    /// The call has no deadline: if a handler blocks its thread for ever, the call waits for ever.
    /// [`stop`](Self::stop) and [`wait_timeout`](Self::wait_timeout) have a deadline.
    ///
    /// # Errors
    /// [`Error::WouldDeadlock`] on one of the server's own threads.
    pub fn wait(&self) -> Result<Report> {
        if self.shared.threads.is_current() {
            return Err(Error::WouldDeadlock);
        }
        self.shared.threads.wait(None);
        Ok(self.report())
    }

    /// Waits until the server has stopped, at most for `timeout`. Returns `None` if the server
    /// still runs then.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Report>> {
        if self.shared.threads.is_current() {
            return Err(Error::WouldDeadlock);
        }
        let ended = self.shared.threads.wait(Instant::now().checked_add(timeout));
        Ok(ended.then(|| self.report()))
    }

    /// Returns the counters of the server. Goes through all connections, and keeps new ones
    /// waiting meanwhile: ask once a second rather than for each request.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.shared)
    }

    /// Returns all connections, each with its state. Connections in the steps before HTTP are left out;
    /// [`Stats::opening`] counts them. Costs as much as [`stats`](Self::stats).
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        ConnectionInfo::all(&self.shared)
    }

    /// Returns the parts of the server that have not turned for [`Timeouts::watchdog`](crate::Timeouts::watchdog):
    /// workers, the blocking pool, and those of [`watch`](Self::watch). Empty without that timeout, unless
    /// systemd has a watchdog for the program ([`Server::notify_systemd`](crate::Server::notify_systemd)),
    /// whose interval counts then.
    pub fn stuck(&self) -> Vec<Stuck> {
        self.shared.stuck()
    }

    /// Has the watchdog watch a part of the program, such as threads that take requests from a queue. The
    /// part is stuck if jobs wait and none is begun for [`Timeouts::watchdog`](crate::Timeouts::watchdog).
    /// Without a watchdog this does nothing.
    ///
    /// A thread of the server calls `load` a few times in that interval, until the server has stopped. The
    /// function must not block.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use transom::{Handle, Load};
    ///
    /// #[derive(Default)]
    /// struct Jobs {
    ///     waiting: AtomicU64,
    ///     begun: AtomicU64,
    /// }
    ///
    /// fn watch(server: &Handle, jobs: Arc<Jobs>) {
    ///     server.watch("the printer", move || {
    ///         let waiting = jobs.waiting.load(Ordering::Relaxed);
    ///         Load::new(waiting, jobs.begun.load(Ordering::Relaxed)).detail(format!("{waiting} pages wait"))
    ///     });
    /// }
    /// ```
    pub fn watch(&self, name: impl Into<String>, load: impl FnMut() -> Load + Send + 'static) {
        self.shared.watch_load(name.into(), load);
    }

    /// Returns a [`Monitor`], which shows what the server does and does not keep it running.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(&self.shared)
    }

    /// Returns how many exchanges have finished, were cut, and are pending so far.
    pub fn report(&self) -> Report {
        self.shared.gate.report()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop(self.shared.app.config.timeouts.stop);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
