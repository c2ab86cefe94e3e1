//! The connections of a server, each with what it does, and counts of them.

use std::ffi::{CStr, c_char};
use std::mem::offset_of;

use transom::{ConnectionInfo, ConnectionState, Deadline};

use self::transom_connection_state as State;
use self::transom_deadline as Kind;
use crate::bytes::transom_bytes;
use crate::list::{List, Listed, cut};
use crate::server::transom_server;
use crate::status::transom_status;

/// The state of a connection. New states may be added.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_connection_state {
    /// It waits for a request.
    TRANSOM_CONNECTION_IDLE = 1,
    /// A part of the head of a request has come.
    TRANSOM_CONNECTION_READING_HEAD = 2,
    /// The server reads a body that the handler gets whole.
    TRANSOM_CONNECTION_READING_BODY = 3,
    /// The handler works, or a request waits for its response.
    TRANSOM_CONNECTION_HANDLING = 4,
    /// The server sends the response.
    TRANSOM_CONNECTION_ANSWERING = 5,
    /// The last response is written, and the server waits until the client has read it.
    TRANSOM_CONNECTION_LINGERING = 6,
    /// A handler has taken the connection out of HTTP.
    TRANSOM_CONNECTION_UPGRADED = 7,
}

/// The kinds of deadlines. New kinds may be added.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_deadline {
    /// The steps before HTTP: the timeout "handshake".
    TRANSOM_DEADLINE_HANDSHAKE = 1,
    /// The wait for a request: the timeout "idle".
    TRANSOM_DEADLINE_IDLE = 2,
    /// The head of a request: the timeout "head" and the limit "head_rate".
    TRANSOM_DEADLINE_HEAD = 3,
    /// The body of a request: the timeout "body" and the limit "body_rate".
    TRANSOM_DEADLINE_BODY = 4,
    /// The handler: the timeout "handler".
    TRANSOM_DEADLINE_HANDLER = 5,
    /// A client that does not take a response: the timeout "write" and the limit "write_rate".
    TRANSOM_DEADLINE_WRITE = 6,
    /// A client that does not close after the last response: the timeouts "linger" and
    /// "linger_idle".
    TRANSOM_DEADLINE_LINGER = 7,
}

const STATES: [(State, ConnectionState, &CStr); 7] = [
    (State::TRANSOM_CONNECTION_IDLE, ConnectionState::Idle, c"idle"),
    (State::TRANSOM_CONNECTION_READING_HEAD, ConnectionState::ReadingHead, c"reading-head"),
    (State::TRANSOM_CONNECTION_READING_BODY, ConnectionState::ReadingBody, c"reading-body"),
    (State::TRANSOM_CONNECTION_HANDLING, ConnectionState::Handling, c"handling"),
    (State::TRANSOM_CONNECTION_ANSWERING, ConnectionState::Answering, c"answering"),
    (State::TRANSOM_CONNECTION_LINGERING, ConnectionState::Lingering, c"lingering"),
    (State::TRANSOM_CONNECTION_UPGRADED, ConnectionState::Upgraded, c"upgraded"),
];

const DEADLINES: [(Kind, Deadline, &CStr); 7] = [
    (Kind::TRANSOM_DEADLINE_HANDSHAKE, Deadline::Handshake, c"handshake"),
    (Kind::TRANSOM_DEADLINE_IDLE, Deadline::Idle, c"idle"),
    (Kind::TRANSOM_DEADLINE_HEAD, Deadline::Head, c"head"),
    (Kind::TRANSOM_DEADLINE_BODY, Deadline::Body, c"body"),
    (Kind::TRANSOM_DEADLINE_HANDLER, Deadline::Handler, c"handler"),
    (Kind::TRANSOM_DEADLINE_WRITE, Deadline::Write, c"write"),
    (Kind::TRANSOM_DEADLINE_LINGER, Deadline::Linger, c"linger"),
];

/// A connection, as it was during transom_server_connections. Later versions of the library may
/// add members at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_connection_info {
    /// The client, or the proxy in front of it, as in transom_request_connection_peer. It is
    /// NUL-terminated.
    pub peer: [c_char; 64],
    /// The pattern of the route whose handler runs, or whose response is sent. Empty for the
    /// fallback. Absent if there is no such route. Valid until the server is freed.
    pub route: transom_bytes,
    /// Nanoseconds since the state began, to a few milliseconds. A handler that has not waited for
    /// anything so far counts from the first call that has seen it.
    pub lasted_ns: u64,
    /// Milliseconds until the server ends what the connection does. -1 if there is no such
    /// time, or if it depends on the rate at which the client sends or reads.
    pub deadline_ms: i64,
    /// Bytes that were read from the client, as HTTP.
    pub bytes_in: u64,
    /// Bytes that were written to the client, as HTTP. Of a body that is written piece by piece, up
    /// to 4 MiB count later.
    pub bytes_out: u64,
    /// Requests that have ended.
    pub requests: u64,
    /// The state: a transom_connection_state.
    pub state: i32,
    /// 0.
    pub reserved: i32,
}

impl Listed for transom_connection_info {
    const LEAST: usize = offset_of!(transom_connection_info, reserved) + size_of::<i32>();
}

/// Stores the connections of the server in `out`, which has room for `capacity` structures of
/// `size` bytes; `size` is sizeof(transom_connection_info). Stores the number of all connections in
/// `*count`, which may be larger than `capacity`. Connections that have not begun with HTTP, such as
/// those in a TLS handshake, are not there. May be called at any time after the start, also while
/// each handler is stuck. Costs as much as transom_server_stats.
///
/// Errors: TRANSOM_NOT_STARTED; TRANSOM_INVALID_ARGUMENT if `size` is not a size of the structure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_connections(
    server: *const transom_server,
    out: *mut transom_connection_info,
    size: usize,
    capacity: usize,
    count: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, and room for `capacity` structures of `size` bytes, by the contract.
        let (server, list) =
            unsafe { (transom_server::get(server)?, List::new(out, size, capacity, count)?) };
        list.store(server.running()?.handle.connections().iter().map(transom_connection_info::of));
    })
}

/// Returns how many connections are in a state, a transom_connection_state. Returns 0 if the server
/// was not started, and for a number that is no state. Costs as much as transom_server_stats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_in_state(server: *const transom_server, state: i32) -> u64 {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        let running = unsafe { transom_server::get(server) }.and_then(transom_server::running);
        match (running, row(&STATES, state)) {
            (Ok(running), Some((_, state, _))) => running.handle.stats().in_state(*state),
            _ => 0,
        }
    })
}

/// Returns how many deadlines of a kind, a transom_deadline, have passed since the start. Returns 0
/// if the server was not started, and for a number that is no kind. Costs as much as
/// transom_server_stats.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_expired(server: *const transom_server, deadline: i32) -> u64 {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        let running = unsafe { transom_server::get(server) }.and_then(transom_server::running);
        match (running, row(&DEADLINES, deadline)) {
            (Ok(running), Some((_, deadline, _))) => running.handle.stats().expired(*deadline),
            _ => 0,
        }
    })
}

/// Returns the name of a transom_connection_state, such as "reading-head". It never changes. `state`
/// may be any number: the name of an unknown state is "unknown". The text is static, do not free it;
/// it is never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn transom_connection_state_name(state: i32) -> *const c_char {
    row(&STATES, state).map_or(c"unknown", |row| row.2).as_ptr()
}

/// Returns the name of a transom_deadline, such as "idle". It never changes. `deadline` may be any
/// number: the name of an unknown kind is "unknown". The text is static, do not free it; it is never
/// NULL.
#[unsafe(no_mangle)]
pub extern "C" fn transom_deadline_name(deadline: i32) -> *const c_char {
    row(&DEADLINES, deadline).map_or(c"unknown", |row| row.2).as_ptr()
}

impl transom_connection_info {
    fn of(connection: &ConnectionInfo) -> Self {
        let milliseconds = |time: std::time::Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self {
            // The longest text has 56 bytes: an IPv6 address with its zone and its port.
            peer: cut(&connection.peer.to_string()),
            route: connection.route.as_deref().map(str::as_bytes).into(),
            lasted_ns: u64::try_from(connection.lasted.as_nanos()).unwrap_or(u64::MAX),
            deadline_ms: connection.deadline.map_or(-1, milliseconds),
            bytes_in: connection.bytes_in,
            bytes_out: connection.bytes_out,
            requests: connection.exchanges,
            state: STATES.iter().find(|row| row.1 == connection.state).map_or(0, |row| row.0 as i32),
            reserved: 0,
        }
    }
}

/// Returns the row of a number, which counts from 1.
fn row<C, T>(rows: &'static [(C, T, &CStr)], number: i32) -> Option<&'static (C, T, &'static CStr)> {
    rows.get(usize::try_from(number).ok()?.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_and_every_deadline_has_its_number_and_its_name() {
        assert_eq!(STATES.map(|row| row.1), ConnectionState::ALL);
        assert_eq!(DEADLINES.map(|row| row.1), Deadline::ALL);
        for (index, (code, state, name)) in STATES.iter().enumerate() {
            assert_eq!((*code as usize, name.to_str()), (index + 1, Ok(state.name())));
        }
        for (index, (code, deadline, name)) in DEADLINES.iter().enumerate() {
            assert_eq!((*code as usize, name.to_str()), (index + 1, Ok(deadline.name())));
        }
    }
}
