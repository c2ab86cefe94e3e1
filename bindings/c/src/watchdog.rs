//! The watchdog: what is stuck, and the parts of the host that are watched.

use std::ffi::c_char;
use std::mem::offset_of;

use transom::{Load, Method, Stuck};

use crate::bytes::text;
use crate::error::{report, transom_error};
use crate::events::transom_events;
use crate::list::{List, Listed, cut};
use crate::server::transom_server;
use crate::setup::{AddedRoute, Endpoint, RouteSettings};
use crate::status::transom_status;

/// A part of a server that is stuck, as it was during transom_server_stuck. Later versions of the
/// library may add members at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_stuck {
    /// Its name: "worker 0", "the blocking pool", "the pull queue", or a name of your own. It is
    /// NUL-terminated, and a longer one is cut off.
    pub name: [c_char; 64],
    /// Where it stands, such as the route and the client that a worker serves, or how many requests
    /// wait. Empty if that is not known. It is NUL-terminated, and a longer text is cut off.
    pub detail: [c_char; 256],
    /// Nanoseconds since it turned last.
    pub lasted_ns: u64,
}

impl Listed for transom_stuck {
    const LEAST: usize = offset_of!(transom_stuck, lasted_ns) + size_of::<u64>();
}

/// Stores the parts of the server that have not turned for the timeout "watchdog" in `out`, which
/// has room for `capacity` structures of `size` bytes; `size` is sizeof(transom_stuck). Stores their
/// number in `*count`, which may be larger than `capacity`. Without that timeout there are none,
/// unless systemd has a watchdog for the program (transom_server_notify_systemd): its interval counts
/// then. May be called at any time after the start.
///
/// Errors: TRANSOM_NOT_STARTED; TRANSOM_INVALID_ARGUMENT if `size` is not a size of the structure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_stuck(
    server: *const transom_server,
    out: *mut transom_stuck,
    size: usize,
    capacity: usize,
    count: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, and room for `capacity` structures of `size` bytes, by the contract.
        let (server, list) =
            unsafe { (transom_server::get(server)?, List::new(out, size, capacity, count)?) };
        list.store(server.running()?.handle.stuck().iter().map(transom_stuck::of));
    })
}

/// Adds a route for GET that tells whether the server turns: it answers 200 "alive", and 503 with
/// the names of the parts that are stuck while the timeout "watchdog" says so. Without that timeout
/// the answer is always 200. No handler of the program runs, and no thread of the pool is needed.
/// Kubernetes asks for it (livenessProbe). A worker that is stuck answers nothing, which counts as
/// well. It stays 200 during a stop: see transom_server_add_readiness.
///
/// Errors: as transom_server_route.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_add_liveness(
    server: *mut transom_server,
    pattern: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, pattern) = unsafe { (transom_server::get(server)?, text(pattern)?) };
        let (method, settings) = (Some(Method::GET), RouteSettings::default());
        let added =
            AddedRoute { method, pattern: pattern.to_owned(), endpoint: Endpoint::Liveness, settings };
        server.set_up(|setup| setup.route(added))??;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Tells the watchdog the load of a part of your program, such as a queue for threads of your own:
/// how many jobs wait, and how many were begun so far. The part is stuck if jobs wait and none is
/// begun for the timeout "watchdog". Call this whenever a number has changed, or now and then. The
/// first call for a name adds the part, which is watched until the server has stopped.
///
/// Without a watchdog this does nothing. Costs one lock.
///
/// Errors: TRANSOM_NOT_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_load(
    server: *mut transom_server,
    name: *const c_char,
    waiting: u64,
    begun: u64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let (server, name) = unsafe { (transom_server::get(server)?, text(name)?) };
        server.loads.note(&server.running()?.handle, name, waiting, begun);
    })
}

/// Has the watchdog watch the thread or the event loop of yours that takes events from a queue. A
/// few times in the interval of the timeout "watchdog" the queue gets TRANSOM_EVENT_WATCHDOG; answer
/// it with transom_events_answer. If no answer comes for the interval, the part `name` is stuck.
/// `detail` is the text for the log that says why that may be; it may be NULL.
///
/// Without a watchdog no event comes. The watch ends with the queue or when the server has stopped.
///
/// Errors: TRANSOM_NOT_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_watch_events(
    server: *mut transom_server,
    events: *mut transom_events,
    name: *const c_char,
    detail: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (server, events, name) =
            unsafe { (transom_server::get(server)?, transom_events::get(events)?, text(name)?) };
        // SAFETY: valid, by the contract.
        let detail = if detail.is_null() { "" } else { unsafe { text(detail) }? }.to_owned();
        let running = server.running()?;
        let question = events.queue.add_question();
        running.handle.watch(name, move || match question.ask() {
            Some(answers) => Load::new(1, answers).detail(&*detail),
            // The queue is closed.
            None => Load::default(),
        });
    })
}

/// Answers TRANSOM_EVENT_WATCHDOG. `token` is that of the event. The thread that takes the events
/// calls this, once it could do other work. An answer to a watch that has ended does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_answer(events: *mut transom_events, token: u64) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        unsafe { transom_events::get(events) }?.queue.answer(token);
    })
}

impl transom_stuck {
    fn of(stuck: &Stuck) -> Self {
        let lasted_ns = u64::try_from(stuck.lasted.as_nanos()).unwrap_or(u64::MAX);
        Self { name: cut(&stuck.name), detail: cut(&stuck.detail), lasted_ns }
    }
}
