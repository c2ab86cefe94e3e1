//! The counters of a server.

use std::mem::offset_of;

use crate::bytes::{Growing, borrow, store_growing};
use crate::reject;
use crate::server::transom_server;
use crate::status::transom_status;

/// The counters of a server. Later versions of the library may add members at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_stats {
    /// sizeof(transom_stats), which you store here before the call.
    pub size: usize,
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were let in since the start.
    pub accepted: u64,
    /// Requests in progress: those whose responses are not written to the end.
    pub pending: u64,
    /// Requests that have ended since the start, other than those that were cut off. One whose
    /// head was refused does not count here.
    pub requests: u64,
    /// Requests that were cut off at the deadline of a stop.
    pub cut: u64,
    /// Requests and connections that were refused since the start: see transom_server_refused.
    pub refused: u64,
    /// Bytes of request bodies in memory; at most the limit "bodies".
    pub body_bytes: u64,
    /// Threads of the pool on which handlers may block.
    pub pool_threads: u64,
    /// Threads of the pool that run a handler.
    pub pool_busy: u64,
    /// Requests that wait for a thread of the pool.
    pub pool_queued: u64,
    /// Requests in the pull queue.
    pub pull_queued: u64,
    /// Connections in the steps before HTTP, such as a TLS handshake. They count in `connections` too.
    pub opening: u64,
    /// Bytes that were read from clients, as HTTP. Connections that were refused do not count, nor
    /// do bytes of upgraded connections.
    pub bytes_in: u64,
    /// Bytes that were written to clients; counted as `bytes_in`.
    pub bytes_out: u64,
    /// TLS handshakes that were done.
    pub tls_handshakes: u64,
    /// Connections of listeners with TLS that ended before their handshake was done.
    pub tls_failures: u64,
}

impl Growing for transom_stats {
    const LEAST: usize = offset_of!(transom_stats, pull_queued) + size_of::<u64>();
}

/// Stores the counters of the server in `*out`. May be called at any time after the start. It
/// goes through all connections, and keeps new ones waiting meanwhile: call it once a second
/// rather than for each request.
///
/// Errors: TRANSOM_NOT_STARTED; TRANSOM_INVALID_ARGUMENT if `out->size` is not a size of the
/// structure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_stats(
    server: *const transom_server,
    out: *mut transom_stats,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (server, _) = unsafe { (transom_server::get(server)?, borrow(out)?) };
        let stats = server.running()?.handle.stats();
        let stats = transom_stats {
            size: size_of::<transom_stats>(),
            connections: stats.connections,
            accepted: stats.accepted,
            pending: stats.pending,
            requests: stats.exchanges,
            cut: stats.cut,
            refused: stats.all_refused(),
            body_bytes: stats.body_bytes,
            pool_threads: stats.pool_threads,
            pool_busy: stats.pool_busy,
            pool_queued: stats.pool_queued,
            pull_queued: server.queue.len() as u64,
            opening: stats.opening,
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
            tls_handshakes: stats.tls_handshakes,
            tls_failures: stats.tls_failures,
        };
        // SAFETY: NULL, or a structure with its size, by the contract.
        unsafe { store_growing(out, stats) }?;
    })
}

/// Returns how many requests and connections the server has refused for a reason, a
/// transom_reject, since the start. Returns 0 if the server was not started, and for a number
/// that is no reason. Costs as much as transom_server_stats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_refused(server: *const transom_server, reject: i32) -> u64 {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        let running = unsafe { transom_server::get(server) }.and_then(transom_server::running);
        match (running, reject::reason(reject)) {
            (Ok(running), Some(reject)) => running.handle.stats().refused(reject),
            _ => 0,
        }
    })
}
