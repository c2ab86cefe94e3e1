//! The congestion of a queue of the host's, as an object of the host.

use std::ffi::c_char;
use std::ptr;
use std::time::{Duration, Instant};

use transom::{Congestion, Priority};

use crate::bytes::text;
use crate::overload::{overload, priority};
use crate::slots::{Handle, Table};

/// Decides which requests may begin that wait in a queue of the host's, as
/// transom_server_set_overload does for the queues of a server: by the time that they wait. Refuse the
/// others with transom_responder_refuse and TRANSOM_REJECT_OVERLOADED.
///
/// It knows no queue: you tell it what happens in yours. Any thread may call its functions. A call
/// with an object that was freed, or NULL, refuses nothing.
pub struct transom_congestion {
    _nothing: [u8; 0],
}

/// The objects of the host.
static OBJECTS: Table<Congestion> = Table::new();

/// Calls `ask` with the congestion and the time. Returns `None` if there is none.
fn asked<R>(
    congestion: *const transom_congestion,
    ask: impl FnOnce(&mut Congestion, Instant) -> R,
) -> Option<R> {
    let now = Instant::now();
    OBJECTS.change(Handle::from_pointer(congestion)?, |congestion| ask(congestion, now)).ok()
}

/// Returns the priority with this name; the normal one if there is none.
///
/// # Safety
/// `name` is NULL or a text that ends in NUL.
unsafe fn named(name: *const c_char) -> Priority {
    // SAFETY: the caller promises it.
    unsafe { text(name) }.ok().and_then(|name| priority(name).ok()).unwrap_or_default()
}

/// Creates the congestion of a queue that is empty. The times are those of
/// transom_server_set_overload. Free it with transom_congestion_free. Returns NULL if a time is not
/// allowed, if there is no room for another object, and in a fork of a process that has used one.
#[unsafe(no_mangle)]
pub extern "C" fn transom_congestion_new(target_ms: i64, interval_ms: i64) -> *mut transom_congestion {
    guard!(ptr::null_mut(), {
        let Ok(overload) = overload(target_ms, interval_ms) else { return ptr::null_mut() };
        let congestion = Congestion::new(overload, Instant::now());
        let inserted = OBJECTS.check().ok().and_then(|()| OBJECTS.insert(congestion).ok());
        inserted.map_or(ptr::null_mut(), Handle::to_pointer)
    })
}

/// Frees a congestion. Does nothing with NULL, nor when it was freed before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_congestion_free(congestion: *mut transom_congestion) {
    guard!((), {
        if let Some(handle) = Handle::from_pointer(congestion) {
            // A stale handle has nothing to free.
            drop(OBJECTS.take(handle));
        }
    });
}

/// Tells that nothing waits: a request that came now would begin now.
#[unsafe(no_mangle)]
pub extern "C" fn transom_congestion_note_idle(congestion: *mut transom_congestion) {
    guard!((), {
        asked(congestion, Congestion::note_idle);
    });
}

/// Returns true if more comes than can be done.
#[unsafe(no_mangle)]
pub extern "C" fn transom_congestion_is_overloaded(congestion: *mut transom_congestion) -> bool {
    guard!(false, { asked(congestion, Congestion::is_overloaded).unwrap_or(false) })
}

/// Returns true if a request may join the queue, where `waiting` requests wait, the oldest for
/// `oldest_ns` nanoseconds. If false, it would wait too long: refuse it. `priority` is a name as for
/// transom_route_set_priority; any other is "normal".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_congestion_admits(
    congestion: *mut transom_congestion,
    priority: *const c_char,
    waiting: usize,
    oldest_ns: u64,
) -> bool {
    guard!(true, {
        // SAFETY: NULL or valid, by the contract.
        let priority = unsafe { named(priority) };
        let oldest = Duration::from_nanos(oldest_ns);
        asked(congestion, |it, now| it.admits(now, waiting, oldest, priority)).unwrap_or(true)
    })
}

/// Returns true if a request may begin, or go on waiting, that has waited for `waited_ns` nanoseconds. If
/// false, it has waited too long: refuse it. `priority` is that of transom_congestion_admits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_congestion_may_start(
    congestion: *mut transom_congestion,
    priority: *const c_char,
    waited_ns: u64,
) -> bool {
    guard!(true, {
        // SAFETY: NULL or valid, by the contract.
        let priority = unsafe { named(priority) };
        let waited = Duration::from_nanos(waited_ns);
        asked(congestion, |it, now| it.may_start(now, waited, priority)).unwrap_or(true)
    })
}

/// Tells that `count` requests begin, of which the first has waited for `waited_ns` nanoseconds. So the
/// congestion learns how fast the queue moves on. Leave out those with the priority "vital".
#[unsafe(no_mangle)]
pub extern "C" fn transom_congestion_note_start(
    congestion: *mut transom_congestion,
    waited_ns: u64,
    count: u32,
) {
    guard!((), {
        let waited = Duration::from_nanos(waited_ns);
        asked(congestion, |it, now| it.note_start(now, now.checked_sub(waited).unwrap_or(now), count));
    });
}
