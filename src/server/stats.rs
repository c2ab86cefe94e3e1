//! The counters of a server.

use std::fmt;

use super::shared::Shared;
use crate::conn::REASONS;
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
    refused: [u64; REASONS],
}

impl Stats {
    pub(super) fn of(shared: &Shared) -> Self {
        let mut stats = Self {
            connections: 0,
            accepted: 0,
            pending: 0,
            exchanges: 0,
            cut: 0,
            body_bytes: shared.app.bodies.used(),
            pool_threads: 0,
            pool_busy: 0,
            pool_queued: 0,
            refused: shared.app.refusals.all(),
        };
        (stats.pool_threads, stats.pool_busy, stats.pool_queued) = shared.app.pool.load();
        let counts = shared.gate.counts();
        (stats.connections, stats.accepted) = (counts.connections, counts.admitted);
        (stats.pending, stats.exchanges, stats.cut) = (counts.pending, counts.ended, counts.cut);
        stats
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
