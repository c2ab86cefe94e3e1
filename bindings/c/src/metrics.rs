//! The metrics of servers, as an object of the host.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Arc;

use transom::{Histogram, Method, Metrics};

use crate::bytes::{place, room, text};
use crate::error::{report, transom_error};
use crate::metric_records::pack;
use crate::server::transom_server;
use crate::setup::{AddedRoute, Endpoint, RouteSettings};
use crate::slots::{Handle, Table};
use crate::status::transom_status;

/// Metrics: counts of the responses of the servers that have them, by method, route, status, version
/// and error, with histograms of their durations and sums of their bytes; and of connections,
/// refusals, deadlines, the pool and the process. docs/metrics.md lists them.
///
/// Each server that gets them keeps its own reference: you may free the object at any time, before or
/// after the server. Several servers may count in the same metrics. Any thread may call its functions.
/// A call with an object that was freed returns TRANSOM_ALREADY_ANSWERED and does no harm.
pub struct transom_metrics {
    _nothing: [u8; 0],
}

/// The objects of the host.
static OBJECTS: Table<Metrics> = Table::new();

const BOUNDS: [f64; Histogram::BOUNDS.len()] = {
    let mut bounds = [0.0; Histogram::BOUNDS.len()];
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = Histogram::BOUNDS[index].as_secs_f64();
        index += 1;
    }
    bounds
};
static BOUNDS_IN_SECONDS: [f64; BOUNDS.len()] = BOUNDS;

/// Returns the metrics of an object.
pub(crate) fn get(metrics: *const transom_metrics) -> Result<Metrics, transom_status> {
    let handle = Handle::from_pointer(metrics).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    OBJECTS.look(handle, Metrics::clone)
}

/// Creates metrics that have counted nothing, with at most `max_series` series; 0 is the usual number,
/// 2,000. The responses that would make one more count in one series, the overflow. Free them with
/// transom_metrics_free. Returns NULL if there is no room for another object, and in a fork of a
/// process that has used metrics.
#[unsafe(no_mangle)]
pub extern "C" fn transom_metrics_new(max_series: usize) -> *mut transom_metrics {
    guard!(ptr::null_mut(), {
        let metrics = if max_series == 0 { Metrics::new() } else { Metrics::with_max_series(max_series) };
        match OBJECTS
            .check()
            .and_then(|()| OBJECTS.insert(metrics).map_err(|_full| transom_status::TRANSOM_NO_MEMORY))
        {
            Ok(handle) => handle.to_pointer(),
            Err(_) => ptr::null_mut(),
        }
    })
}

/// Frees metrics. The servers that have them keep them. Does nothing with NULL, nor when they were
/// freed before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_metrics_free(metrics: *mut transom_metrics) {
    guard!((), {
        if let Some(handle) = Handle::from_pointer(metrics) {
            // A stale handle has nothing to free.
            drop(OBJECTS.take(handle));
        }
    });
}

/// Counts the responses of this server in `metrics`.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_add_metrics(
    server: *mut transom_server,
    metrics: *const transom_metrics,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let metrics = get(metrics)?;
        server.set_up(|setup| setup.metrics.push(metrics))?;
    })
}

/// Adds a route for GET that answers with `metrics` as text for Prometheus: in the format of
/// OpenMetrics 1.0 if the client accepts it, or else in version 0.0.4 of its own. No handler of
/// the program runs, so it also answers while they are stuck. The server need not count in
/// the metrics itself: see transom_server_add_metrics.
///
/// Errors: as transom_server_route.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_add_metrics_route(
    server: *mut transom_server,
    pattern: *const c_char,
    metrics: *const transom_metrics,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, pattern) = unsafe { (transom_server::get(server)?, text(pattern)?.to_owned()) };
        let endpoint = Endpoint::Native(Arc::new(get(metrics)?.handler()));
        let added =
            AddedRoute { method: Some(Method::GET), pattern, endpoint, settings: RouteSettings::default() };
        Ok(server.set_up(|setup| setup.route(added))??)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Fills `buf`, which has room for `cap` bytes, with the metrics as text for Prometheus, version
/// 0.0.4, without a NUL. Stores the number of bytes in `*len`. With `cap` 0, `buf` may be NULL.
///
/// Errors: TRANSOM_BUFFER_TOO_SMALL if the text does not fit: `*len` is then the room that it needs
/// now. Allow for some more: it grows with each new series, and with the digits of the numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_metrics_text(
    metrics: *const transom_metrics,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> transom_status {
    checked!({
        let metrics = get(metrics)?;
        // SAFETY: valid for so many bytes and for writes, by the contract.
        let (buf, len) = unsafe { (room(buf.cast(), cap)?, place(len)?) };
        fill(buf, len, metrics.snapshot().to_prometheus().as_bytes())?;
    })
}

/// Fills `buf`, which has room for `cap` bytes, with the metrics as records. Stores their bytes in
/// `*len`. With `cap` 0, `buf` may be NULL. No response waits for this.
///
/// Errors: TRANSOM_BUFFER_TOO_SMALL if the records do not fit: `*len` is then the room that they need
/// now. Allow for some more: each new series has a record.
///
/// Each record starts with its length and its kind, a transom_metric_record_kind; skip kinds that
/// you do not know. A transom_series_record is followed by `bucket_count` numbers, each a uint64_t:
/// how many durations are in each bucket of the histogram (see transom_metrics_bounds), not
/// cumulated. Then come the texts, as long as the record says and in the order of its members: the
/// method, the scheme, the route and the error. A transom_metric_record is followed by its texts:
/// the name, the description, the unit, and the name and the value of its label. Padding makes the
/// length a multiple of 8, so in a buffer that is aligned to 8 each record is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_metrics_snapshot(
    metrics: *const transom_metrics,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
) -> transom_status {
    checked!({
        let metrics = get(metrics)?;
        // SAFETY: valid for so many bytes and for writes, by the contract.
        let (buf, len) = unsafe { (room(buf.cast(), cap)?, place(len)?) };
        fill(buf, len, &pack(&metrics.snapshot()))?;
    })
}

/// Returns the number of shards of the metrics, which does not change. Returns 0 for an object that was
/// freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_metrics_shard_count(metrics: *const transom_metrics) -> usize {
    guard!(0, { get(metrics).map_or(0, |metrics| metrics.shards().len()) })
}

/// As transom_metrics_snapshot, but with the responses alone that shard `index` has counted, from 0 on.
/// A thread counts in a shard of its own, which another thread goes on with when it has ended. There are
/// more shards than cores, and the threads for which there is none share the last one. If no more threads
/// than there are cores serve, a worker with much less to do than the others shows.
///
/// Errors: as transom_metrics_snapshot; TRANSOM_INVALID_ARGUMENT if there is no such shard.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_metrics_shard_snapshot(
    metrics: *const transom_metrics,
    index: usize,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
) -> transom_status {
    checked!({
        let shards = get(metrics)?.shards();
        let shard = shards.get(index).ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        // SAFETY: valid for so many bytes and for writes, by the contract.
        let (buf, len) = unsafe { (room(buf.cast(), cap)?, place(len)?) };
        fill(buf, len, &pack(shard))?;
    })
}

/// Returns the bounds between the buckets of the histograms in seconds, and stores their number in
/// `*count`, which may be NULL. There is one bucket more than bounds. A bound belongs to the bucket
/// below it. The numbers are static, do not free them; the result is never NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_metrics_bounds(count: *mut usize) -> *const f64 {
    // SAFETY: NULL or valid for writes, by the contract.
    unsafe { crate::bytes::store(count, BOUNDS_IN_SECONDS.len()) };
    BOUNDS_IN_SECONDS.as_ptr()
}

/// Stores bytes and their number, or the number alone if there is no room for them.
fn fill(buf: &mut [u8], len: &mut usize, bytes: &[u8]) -> Result<(), transom_status> {
    *len = bytes.len();
    let place = buf.get_mut(..bytes.len()).ok_or(transom_status::TRANSOM_BUFFER_TOO_SMALL)?;
    place.copy_from_slice(bytes);
    Ok(())
}
