//! Limits and timeouts: every bound on what a client can make a server do.

use std::time::Duration;

/// How much of everything. Each limit is on by default. A start refuses values
/// that make no sense ([`Limits::check`]).
///
/// ```
/// let mut limits = transom::Limits::default();
/// limits.body = 1024 * 1024;
/// limits.connections = 500;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Request target, bytes; default 8 KiB. Beyond: 414. Enforced in `http1::head`.
    pub target: usize,
    /// Request head, bytes, request line and all; default 32 KiB. Beyond: 431. Enforced in `http1::head`.
    pub head: usize,
    /// Header fields, count; default 100. Beyond: 431. Enforced in `http1::head`.
    pub headers: usize,
    /// Request body, bytes after decoding; default 10 MiB. Beyond: 413.
    /// A route may set its own. Enforced in `conn::incoming`.
    pub body: u64,
    /// Extensions of one chunk, bytes; default 4 KiB. Beyond: 400. Enforced in `http1::chunked`.
    pub chunk_extensions: usize,
    /// Trailer section, bytes; default 8 KiB. Beyond: 400. Enforced in `http1::chunked`.
    pub trailers: usize,
    /// Connections at once; default 10,000. Beyond: 503 with Retry-After, and
    /// close. Enforced in `server::gate`.
    pub connections: usize,
    /// Connections at once from one IP address; default off (`None`). Beyond:
    /// 503 with Retry-After, and close. Enforced in `server::gate`.
    pub connections_per_address: Option<usize>,
    /// The least rate of a request head, bytes a second, from ten seconds after
    /// its first byte; default 100, 0 is off. It bounds heads that
    /// [`Timeouts::head`] allows more than these ten seconds. Below: 408 and
    /// close. Enforced in `conn::connection`.
    pub head_rate: u32,
    /// The least rate of a request body, bytes a second, while the server waits
    /// for it; default 500, 0 is off. A client has [`Timeouts::body`] of waiting
    /// for each `body_rate` x `body` bytes. Below: 408 and close. Enforced in
    /// `conn::incoming`.
    pub body_rate: u32,
    /// The least rate at which a client must take a response, bytes a second,
    /// while the server waits for it; default 500, 0 is off. A client has
    /// [`Timeouts::write`] of waiting for each `write_rate` x `write` bytes; a
    /// stream that has nothing to send does not wait for its client. Below:
    /// close. Enforced in `conn::wire`.
    pub write_rate: u32,
    /// Bytes of request bodies that all connections together keep in memory until
    /// they are answered; default 256 MiB, and no less than the largest body that
    /// the server takes whole. Beyond, or when the system has no memory: 503 with
    /// Retry-After, and close. Enforced in `conn::incoming`.
    pub bodies: u64,
    /// Output waiting in one connection, bytes; default 64 KiB. Beyond, the
    /// handler's stream is not asked for more. Enforced in `conn::outgoing`.
    pub output: usize,
    /// Unread request body that is read and dropped to keep a connection,
    /// bytes; default 256 KiB. Beyond: close. Enforced in `conn::incoming`.
    pub drain: u64,
    /// Threads of the blocking pool, count; default two for each core, at
    /// least 8. Enforced in `base::pool`.
    pub pool_threads: usize,
    /// Jobs that wait for the blocking pool, count; default 1024. Beyond: 503.
    /// Enforced in `base::pool`.
    pub pool_queue: usize,
    /// Threads that serve connections in the model of a thread per connection,
    /// count; default 512. Beyond: clients wait in the backlog. Enforced in
    /// `server::models::threads`.
    pub connection_threads: usize,
    /// Stack of each such thread, bytes; default 2 MiB, at least 64 KiB, of which
    /// the system keeps in memory what is used. A handler that needs more ends the
    /// process.
    /// Enforced by the system.
    pub thread_stack: usize,
    /// Connections that the kernel holds until they are accepted, count; default
    /// off (`None`): 1,024 for sockets that the server binds, and as it was for
    /// those it was given. No more than `net.core.somaxconn`. Beyond, the kernel
    /// does not answer; a TCP client asks again after a second, and so on
    /// (listen(2), tcp(7)). Enforced by the system.
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

/// How long for everything. `None` turns one off; all are on by default. Zero
/// would end everything at once: a start refuses it for `head`, `idle`, `body`,
/// `write` and `handler` ([`Timeouts::check`]).
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
    /// A whole head, from its first byte; default 10 s. Then: 408 and close.
    /// Enforced in `conn::connection`.
    pub head: Option<Duration>,
    /// A connection without a request; default 60 s. Then: close. Enforced in `conn::connection`.
    pub idle: Option<Duration>,
    /// Waiting for a request body that does not keep [`Limits::body_rate`];
    /// default 30 s. Then: 408 and close. Enforced in `conn::incoming`.
    pub body: Option<Duration>,
    /// Waiting for a client that does not take its response at
    /// [`Limits::write_rate`], or what an upgraded connection writes; default 30 s.
    /// Then: close. Enforced in `conn::wire`. A client that has closed its side,
    /// and so may be gone, is sent nothing for as long at most: a stream that has
    /// nothing for it is then cut. Enforced in `conn::outgoing`.
    pub write: Option<Duration>,
    /// A handler, until it answers; default 60 s. Then: 503 and close. A route
    /// may set its own. Enforced in `conn::exchange`.
    pub handler: Option<Duration>,
    /// Reading and dropping the rest of a request body, to keep the connection
    /// for the next request; also what a connection that ends has left when the
    /// server stops or needs room; default 1 s. Then: close. Enforced in
    /// `conn::connection`.
    pub drain: Option<Duration>,
    /// Closing so that the client can read its last answer: the server reads on,
    /// drops what comes, and waits for the client to close (RFC 9112 9.6);
    /// default 30 s in all. Then: close. Enforced in `conn::linger`.
    pub linger: Option<Duration>,
    /// The same, without a byte from the client; default 5 s. Then: close.
    /// Enforced in `conn::linger`.
    pub linger_idle: Option<Duration>,
    /// A stop that names no deadline of its own: a dropped
    /// [`Handle`](crate::Handle); default 10 s. Then: exchanges are cut and
    /// counted. Enforced in `server::handle`.
    pub stop: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |n| Some(Duration::from_secs(n));
        Self {
            head: seconds(10),
            idle: seconds(60),
            body: seconds(30),
            write: seconds(30),
            handler: seconds(60),
            drain: seconds(1),
            linger: seconds(30),
            linger_idle: seconds(5),
            stop: Duration::from_secs(10),
        }
    }
}

/// Both, as a connection takes them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub limits: Limits,
    pub timeouts: Timeouts,
    /// The hosts that are answered for; `None` is any.
    pub hosts: Option<Vec<String>>,
}
