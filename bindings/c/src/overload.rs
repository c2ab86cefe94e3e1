//! Overload: how long requests wait, which are refused first, and which connections have places of
//! their own.

use std::ffi::c_char;
use std::time::Duration;

use transom::{Overload, Priority};

use crate::bytes::text;
use crate::error::{report, transom_error};
use crate::names::unknown;
use crate::route::{self, transom_route};
use crate::server::transom_server;
use crate::status::transom_status;

/// Returns the settings for these times, or a sentence about the one that makes no sense.
pub(crate) fn overload(target_ms: i64, interval_ms: i64) -> Result<Overload, String> {
    let mut overload = Overload::default();
    let times = [
        ("target_ms", target_ms, &mut overload.target),
        ("interval_ms", interval_ms, &mut overload.interval),
    ];
    for (name, value, time) in times {
        match u64::try_from(value) {
            Ok(0) => {}
            Ok(milliseconds) => *time = Duration::from_millis(milliseconds),
            Err(_) => {
                return Err(format!("{name} is 1 to {} ms, or 0 for the default, got {value}", i64::MAX));
            }
        }
    }
    if overload.target > overload.interval {
        return Err(format!("target_ms is at most interval_ms, got {target_ms} and {interval_ms}"));
    }
    Ok(overload)
}

/// Returns the priority with this name, or a sentence that lists the names.
pub(crate) fn priority(name: &str) -> Result<Priority, String> {
    match name {
        "low" => Ok(Priority::Low),
        "normal" => Ok(Priority::Normal),
        "high" => Ok(Priority::High),
        "vital" => Ok(Priority::Vital),
        other => Err(unknown("priority", other, ["low", "normal", "high", "vital"].into_iter())),
    }
}

/// Limits how long requests wait, so that the server stays useful when more comes than it can do.
/// It then answers what it can answer soon, and refuses the rest at once with a 503 and Retry-After:
/// TRANSOM_REJECT_OVERLOADED counts them. Their connections stay open. Without this call, only the
/// limits on numbers, such as "pool_queue", bound what waits.
///
/// A request may wait for `interval_ms` milliseconds, until something has always waited for that long: from then
/// on, for `target_ms` only, until nothing was refused for an interval. 0 is the default: 5 and 100.
/// Where requests move on slowly, both are longer: the time of 8 and of 32 requests.
///
/// Requests wait for a thread of the pool, for the worker that runs an inline handler (with the model
/// "event"), and in the queue of the pull routes, until they are fetched. See
/// transom_route_set_priority for what is refused first. While the pool is overloaded, an address with
/// more than its share of the pool is refused before others; an IPv6 client counts as its /64.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if a time is negative, or if the target is more than the
/// interval, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_overload(
    server: *mut transom_server,
    target_ms: i64,
    interval_ms: i64,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let overload =
            overload(target_ms, interval_ms).map_err(|sentence| transom_error::bad_setting(&sentence))?;
        Ok(server.set_up(|setup| setup.overload = Some(overload))?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Reserves places for the connections of each socket that is added or bound after this call, by
/// transom_server_bind, transom_server_listen_fd, transom_server_start and their like, beside the limit
/// "connections": health checks can then connect although the server is full. Further connections take
/// common places. With the model "threads", each such socket has as many threads of its own, beside
/// "connection_threads", and further connections wait in the backlog. The model "sequential" serves one
/// connection at a time, of whichever socket. 0 reserves none for the sockets after this call.
///
/// Let only those connect to such a socket who watch the server.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_reserve(
    server: *mut transom_server,
    places: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        Ok(server.set_up(|setup| setup.reserved = places)?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Reserves places for the connections of a socket that was added before: by transom_server_listen_fd,
/// transom_server_listen_inherited or transom_server_bind. `index` counts from 0 in the order in which the
/// sockets were added. Otherwise as transom_server_reserve.
///
/// Errors: TRANSOM_OUT_OF_RANGE if there is no such socket; TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_listener_reserve(
    server: *mut transom_server,
    index: usize,
    places: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        server.set_up(|setup| setup.change_listener(index, |listener| listener.reserve(places)).map(drop))?
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets how long requests of this route may wait when the server is overloaded, compared with those
/// of other routes: `name` is "low" (half as long, so they are refused first), "normal" (the default),
/// "high" (twice as long), or "vital" (never refused because of overload, and first in the queues of the
/// pool and of the pull routes). The routes of transom_server_readiness and transom_server_liveness are
/// vital.
///
/// Errors: TRANSOM_INVALID_ARGUMENT for any other name. transom_server_add reports it too, so the
/// status need not be looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_route_set_priority(
    route: *mut transom_route,
    name: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let name = unsafe { text(name) };
        let set = |draft: &mut route::Draft| draft.set_priority(priority(name?));
        // SAFETY: NULL or valid, by the contract.
        unsafe { route::change(route, set) }?;
    })
}
