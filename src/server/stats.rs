//! The counters of a server.

use std::fmt;
use std::sync::atomic::Ordering;

use super::shared::Shared;
use crate::conn::{ConnectionState, DEADLINES, Deadline, REASONS, STATES};
use crate::error::Reject;

/// The counters of a server, as they were when it was asked for them.
///
/// Counting costs next to nothing; see [`Server::on_exchange`](crate::Server::on_exchange) for
/// what each exchange was.
///
/// ```
/// use transom::{Reject, Router, Server};
///
/// let server = Server::new(Router::new()).bind("127.0.0.1:0")?.start()?;
/// let stats = server.stats();
/// println!("{} connections, {} requests", stats.connections, stats.exchanges);
/// assert_eq!(stats.refused(Reject::BodyTooLarge), 0);
/// # Ok::<(), transom::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were let in since the start.
    pub accepted: u64,
    /// Exchanges in progress: requests that were read, at least in part, and whose answers are
    /// not all written.
    pub pending: u64,
    /// Exchanges that have ended since the start, other than those that were cut. A request whose
    /// head was refused begins none: see [`all_refused`](Self::all_refused).
    pub exchanges: u64,
    /// Exchanges that were cut at the deadline of a stop.
    pub cut: u64,
    /// Bytes of request bodies that are held in memory; at most
    /// [`Limits::bodies`](crate::Limits::bodies).
    pub body_bytes: u64,
    /// Threads of the blocking pool.
    pub pool_threads: u64,
    /// Threads of the blocking pool that run a job.
    pub pool_busy: u64,
    /// Jobs that wait for a thread of the blocking pool; at most
    /// [`Limits::pool_queue`](crate::Limits::pool_queue), and those that idle threads take.
    pub pool_queued: u64,
    /// Connections that are in the steps before HTTP, such as a TLS handshake. They count in
    /// [`connections`](Self::connections) too.
    pub opening: u64,
    /// Bytes that were read from clients, as HTTP. Connections that were refused do not count, nor do
    /// bytes of upgraded connections.
    pub bytes_in: u64,
    /// Bytes that were written to clients; counted as [`bytes_in`](Self::bytes_in).
    pub bytes_out: u64,
    /// TLS handshakes that were done.
    pub tls_handshakes: u64,
    /// Connections of listeners with TLS that ended before their handshake was done.
    pub tls_failures: u64,
    states: [u64; STATES],
    expired: [u64; DEADLINES],
    refused: [u64; REASONS],
}

impl Stats {
    pub(super) fn of(shared: &Shared) -> Self {
        let app = &shared.app;
        let counts = shared.gate.counts(app.started.elapsed());
        let (pool_threads, pool_busy, pool_queued) = app.pool.load();
        let refused = app.refusals.all();
        Self {
            connections: counts.connections,
            accepted: counts.admitted,
            pending: counts.pending,
            exchanges: counts.ended,
            cut: counts.cut,
            body_bytes: app.bodies.used(),
            pool_threads,
            pool_busy,
            pool_queued,
            opening: counts.opening,
            bytes_in: counts.bytes_in,
            bytes_out: counts.bytes_out,
            // Relaxed: counts that are only shown.
            tls_handshakes: app.handshakes.load(Ordering::Relaxed),
            tls_failures: app.broken_handshakes.load(Ordering::Relaxed),
            states: counts.states,
            expired: app.expired.all(&refused),
            refused,
        }
    }

    /// Returns how many connections are in that state.
    pub fn in_state(&self, state: ConnectionState) -> u64 {
        self.states[state as usize]
    }

    /// Returns how many deadlines of that kind have passed since the start.
    pub fn expired(&self, deadline: Deadline) -> u64 {
        self.expired[deadline as usize]
    }

    /// Returns how many requests and connections were refused for that reason since the start.
    pub fn refused(&self, reject: Reject) -> u64 {
        self.refused[reject as usize]
    }

    /// Returns how many requests and connections were refused since the start.
    pub fn all_refused(&self) -> u64 {
        self.refused.iter().sum()
    }
}

impl fmt::Debug for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stats")
            .field("connections", &self.connections)
            .field("accepted", &self.accepted)
            .field("pending", &self.pending)
            .field("exchanges", &self.exchanges)
            .field("cut", &self.cut)
            .field("refused", &self.all_refused())
            .finish_non_exhaustive()
    }
}
