//! Limits and timeouts: every bound on what a client can make a server do.

use std::time::Duration;

use crate::base::overload::Overload;

/// Limits on sizes and counts. Each is on by default, except those whose default is off. A server
/// refuses to start with a value that makes no sense ([`Limits::check`]).
///
/// ```
/// let mut limits = transom::Limits::default();
/// limits.body = 1024 * 1024;
/// limits.connections = 500;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest request target, in bytes; default 8 KiB. Beyond: 414. Enforced in `http1::head`.
    pub target: usize,
    /// The largest request head including the request line, in bytes; default 32 KiB. Beyond: 431.
    /// Enforced in `http1::head`.
    pub head: usize,
    /// The largest number of header fields; default 100. Beyond: 431. Enforced in `http1::head`.
    pub headers: usize,
    /// The largest request body after decoding, in bytes; default 10 MiB. Beyond: 413. A route may
    /// set its own. Enforced in `conn::incoming`.
    pub body: u64,
    /// The largest size of the chunk extensions beyond the size of the body's data so far, in
    /// bytes; default 4 KiB. Beyond: 400. Enforced in `http1::chunked`.
    pub chunk_extensions: usize,
    /// The largest trailer section, in bytes; default 8 KiB. Beyond: 400. Enforced in
    /// `http1::chunked`.
    pub trailers: usize,
    /// The largest number of connections at once; default 10,000. Beyond: 503 with Retry-After, and
    /// close. Enforced in `server::gate`.
    pub connections: usize,
    /// The largest number of connections at once from one IP address; default off (`None`). Behind
    /// trusted proxies ([`Server::trust_forwarded`](crate::Server::trust_forwarded)), also the largest
    /// number of exchanges in progress of one client. Beyond: 503 with Retry-After, and close. Enforced
    /// in `server::gate` and `conn::trust`.
    pub connections_per_address: Option<usize>,
    /// The largest number of connections at once that are in the steps before HTTP (a PROXY header, a
    /// TLS handshake); default 1,024. Beyond: 503 with Retry-After and close, before TLS only close.
    /// Enforced in `server::gate`.
    pub handshakes: usize,
    /// The least rate of a request head, in bytes a second, from ten seconds after its first byte;
    /// default 100, 0 turns it off. It has an effect only if [`Timeouts::head`] is longer than these
    /// ten seconds. Below: 408 and close. Enforced in `conn::http1`.
    pub head_rate: u32,
    /// The least rate of a request body, in bytes a second, while the server waits for it; default
    /// 500, 0 turns it off. The server may wait [`Timeouts::body`] in all for each `body_rate` x
    /// `body` bytes. Below: 408 and close. Enforced in `conn::progress`.
    pub body_rate: u32,
    /// The least rate at which a client must take a response, in bytes a second, while the server
    /// waits for the client; default 500, 0 turns it off. The server may wait [`Timeouts::write`]
    /// in all for each `write_rate` x `write` bytes. A stream that has nothing to send does not
    /// wait for its client. Below: close. Enforced in `conn::wire`.
    pub write_rate: u32,
    /// The largest number of bytes of request bodies that all connections together keep in memory
    /// until they are answered; default 256 MiB, and at least the largest body that the server
    /// takes whole. Beyond, or if the system has no memory: 503 with Retry-After, and close.
    /// Enforced in `conn::incoming`.
    pub bodies: u64,
    /// The largest number of bytes of output that wait in one connection; default 64 KiB. Beyond,
    /// the handler's stream is not polled. Enforced in `conn::outgoing`.
    pub output: usize,
    /// The largest rest of a request body that the server reads and drops to keep a connection, in
    /// bytes; default 256 KiB. Beyond: close. Enforced in `conn::incoming`.
    pub drain: u64,
    /// The largest number of threads in the blocking pool; default two for each core, at least 8.
    /// Enforced in `base::pool`.
    pub pool_threads: usize,
    /// The largest number of jobs that wait for the blocking pool; default 1024. Beyond: 503.
    /// Enforced in `base::pool`.
    pub pool_queue: usize,
    /// The largest number of threads that serve connections, in the model with a thread for each
    /// connection; default 512. Beyond: clients wait in the backlog. Enforced in
    /// `server::models::threads`.
    pub connection_threads: usize,
    /// The stack of each such thread, in bytes; default 2 MiB, at least 64 KiB. The system backs
    /// only the used part with memory. A handler that needs more ends the process. Enforced by the
    /// system.
    pub thread_stack: usize,
    /// The largest number of connections that the kernel holds until they are accepted; default off
    /// (`None`): 1,024 for sockets that the server binds, and unchanged for sockets that the server
    /// was given. The kernel allows at most `net.core.somaxconn`. Beyond, the kernel does not
    /// answer; a TCP client tries again after a second, then after longer pauses (listen(2),
    /// tcp(7)). Enforced by the system.
    pub backlog: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            target: 8 * 1024,
            head: 32 * 1024,
            headers: 100,
            body: 10 * 1024 * 1024,
            chunk_extensions: 4 * 1024,
            trailers: 8 * 1024,
            connections: 10_000,
            connections_per_address: None,
            handshakes: 1024,
            head_rate: 100,
            body_rate: 500,
            write_rate: 500,
            bodies: 256 * 1024 * 1024,
            output: 64 * 1024,
            drain: 256 * 1024,
            pool_threads: (2 * std::thread::available_parallelism().map_or(4, usize::from)).max(8),
            pool_queue: 1024,
            connection_threads: 512,
            thread_stack: 2 * 1024 * 1024,
            backlog: None,
        }
    }
}

/// Deadlines. `None` turns one off; all but `watchdog` are on by default. A server refuses to start if `head`,
/// `idle`, `body`, `write` or `handler` is zero, which would end every exchange at once
/// ([`Timeouts::check`]).
///
/// ```
/// use std::time::Duration;
/// let mut timeouts = transom::Timeouts::default();
/// timeouts.idle = Some(Duration::from_secs(5));
/// timeouts.handler = None;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// The time for a whole head, from its first byte; default 10 s. Then: 408 and close. Enforced
    /// in `conn::http1`.
    pub head: Option<Duration>,
    /// The time that a connection may have no request; default 60 s. Then: close. Enforced in
    /// `conn::http1`.
    pub idle: Option<Duration>,
    /// The time for all steps before HTTP together (a PROXY header, a TLS handshake); default 10 s.
    /// Then: close. Enforced in `server::opening`.
    pub handshake: Option<Duration>,
    /// The time that the server waits for a request body that is slower than [`Limits::body_rate`];
    /// default 30 s. Then: 408 and close. Enforced in `conn::progress`.
    pub body: Option<Duration>,
    /// The time that the server waits for a client that takes its response more slowly than
    /// [`Limits::write_rate`], or the bytes of an upgraded connection; default 30 s. Then: close.
    /// Enforced in `conn::wire`. A client that has closed its side may have left: if a stream sends
    /// it nothing for this time, the stream is cut. Enforced in `conn::outgoing`.
    pub write: Option<Duration>,
    /// The time that a handler may take to answer; default 60 s. Then: 503 and close. A route may
    /// set its own. Enforced in `conn::site`.
    pub handler: Option<Duration>,
    /// The time to read and drop the rest of a request body, to keep the connection for the next
    /// request. Also the time left for a connection that ends when the server stops or needs room.
    /// Default 1 s. Then: close. Enforced in `conn::http1`.
    pub drain: Option<Duration>,
    /// The time for an orderly close, so that the client can read its last answer: the server keeps
    /// reading, drops what arrives, and waits for the client to close (RFC 9112 9.6); default 30 s
    /// in all. Then: close. Enforced in `conn::linger`.
    pub linger: Option<Duration>,
    /// The longest time without a byte from the client during an orderly close; default 5 s. Then:
    /// close. Enforced in `conn::linger`.
    pub linger_idle: Option<Duration>,
    /// The deadline of a stop that has none of its own, as when a [`Handle`](crate::Handle) is
    /// dropped; default 10 s. Then: exchanges are cut and counted. Enforced in `server::handle`.
    pub stop: Duration,
    /// The time for which a server that stops goes on to accept connections and requests, so that a
    /// load balancer sees [`Readiness`](crate::Readiness) turn red before clients are refused; default
    /// 0 s. It lies within the deadline of the stop. Then: the server stops listening. Enforced in
    /// `server::drain`.
    pub stop_delay: Duration,
    /// The time for which a worker, the blocking pool or another part of the server may not turn;
    /// default off (`None`), at least 10 ms. Then: an error in the log says what is stuck and where it
    /// stands, [`Handle::stuck`](crate::Handle::stuck) lists it, and [`Liveness`](crate::Liveness)
    /// answers 503. A worker is stuck if a handler blocks it; the pool is stuck if jobs wait and none
    /// begins. In the sequential model each handler blocks the one worker, so the time must be longer
    /// than the slowest handler takes. With it, the server has one more thread. A
    /// [`Service`](crate::Service) has no thread of its own, and no watchdog. Enforced in
    /// `server::watchdog`.
    pub watchdog: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |n| Some(Duration::from_secs(n));
        Self {
            head: seconds(10),
            idle: seconds(60),
            handshake: seconds(10),
            body: seconds(30),
            write: seconds(30),
            handler: seconds(60),
            drain: seconds(1),
            linger: seconds(30),
            linger_idle: seconds(5),
            stop: Duration::from_secs(10),
            stop_delay: Duration::ZERO,
            watchdog: None,
        }
    }
}

/// The settings of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// The hosts that the server answers for; `None` is any.
    pub hosts: Option<Vec<String>>,
    /// How long requests may wait; `None` is any time.
    pub overload: Option<Overload>,
}
