//! The watchdog: what is stuck, and the parts of the host that are watched.

use std::ffi::c_char;
use std::mem::offset_of;
use std::ptr;

use transom::{Load, Method, Stuck};

use crate::bytes::{place, room, text};
use crate::error::{report, transom_error};
use crate::events::transom_events;
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

/// The size of the structure in the first version of the binary interface that has it.
const LEAST: usize = offset_of!(transom_stuck, lasted_ns) + size_of::<u64>();

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
        // SAFETY: each NULL or valid, by the contract.
        let (server, count) = unsafe { (transom_server::get(server)?, place(count)?) };
        if size < LEAST {
            return Err(transom_status::TRANSOM_INVALID_ARGUMENT);
        }
        let bytes = size.checked_mul(capacity).ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        // SAFETY: by the contract, `capacity` structures of `size` bytes, of which any bits are bytes.
        let out = unsafe { room(out.cast::<u8>(), bytes) }?;
        let all = server.running()?.handle.stuck();
        for (stuck, out) in all.iter().zip(out.chunks_exact_mut(size)) {
            let info = transom_stuck::of(stuck);
            let known = size.min(size_of::<transom_stuck>());
            out.fill(0);
            // SAFETY: both have `known` bytes, and the host's memory is not ours.
            unsafe { ptr::copy_nonoverlapping((&raw const info).cast::<u8>(), out.as_mut_ptr(), known) }
        }
        *count = all.len();
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

/// Returns a text with a NUL at its end. A text that is too long loses whole characters.
fn cut<const ROOM: usize>(text: &str) -> [c_char; ROOM] {
    let mut out = [0; ROOM];
    let mut end = text.len().min(ROOM - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (to, from) in out.iter_mut().zip(&text.as_bytes()[..end]) {
        *to = from.cast_signed() as c_char;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_loses_whole_characters() {
        let expect = |text: &str, shown: &[u8; 6]| {
            assert_eq!(cut::<6>(text).map(i32::from), shown.map(i32::from), "{text}");
        };
        expect("abc", b"abc\0\0\0");
        expect("abcdefg", b"abcde\0");
        expect("abcd\u{e4}", b"abcd\0\0");
    }
}
