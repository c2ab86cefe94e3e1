//! Settings of a server, by name.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use transom::{Limits, Model, Timeouts};

use crate::bytes::text;
use crate::callback::transom_callback;
use crate::hooks::Hooks;
use crate::server::transom_server;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_free_fn};

/// How the server drives its connections, by name: "event" (the default),
/// "threads" or "sequential". Handlers, limits, timeouts and stops are the same
/// in each. What differs is which thread runs handlers, and what clients wait for.
///
/// "event": a few workers drive all connections and run the inline handlers; the
/// other handlers run on a pool. A client waits for no other, unless an inline
/// handler holds its worker.
///
/// "threads": each connection has a thread, which runs all its handlers, those
/// that may block among them. With as many connections as the limit
/// "connection_threads" allows, further clients wait in the kernel's backlog,
/// and one connection after another makes room for them: it is closed after its
/// answer, or when it has asked nothing for as long as the timeout "drain" says.
///
/// "sequential": one thread serves one connection at a time and runs all
/// handlers, those that may block among them, so that no two ever run at once.
/// All other clients wait in the kernel's backlog (the limit "backlog" is its
/// length), and the connection being served makes room for them in the same way.
///
/// In "threads" and "sequential", a handler that blocks keeps the connection's
/// thread from the connection: that the client has left, that the timeout
/// "handler" or the deadline of a stop has passed, is seen when it has returned.
/// That does not concern handlers that return, to answer later from a thread of
/// yours. Nor may a handler wait for room there: see transom_writer_write.
///
/// Both are there on Linux only; elsewhere the start fails with
/// TRANSOM_INVALID_ARGUMENT.
///
/// Errors: TRANSOM_INVALID_ARGUMENT of any other name, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_model(
    server: *mut transom_server,
    name: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let (server, name) = unsafe { (transom_server::get(server)?, text(name)?) };
        let model: Model = name.parse().map_err(|_| transom_status::TRANSOM_INVALID_ARGUMENT)?;
        server.set_up(|setup| setup.model = model)?;
    })
}

/// How many threads serve connections in the model "event"; by default one for
/// each processor. Handlers that may block have threads of their own, see
/// transom_server_route.
///
/// Errors: TRANSOM_INVALID_ARGUMENT of 0, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_workers(
    server: *mut transom_server,
    workers: usize,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        if workers == 0 {
            return Err(transom_status::TRANSOM_INVALID_ARGUMENT);
        }
        server.set_up(|setup| setup.workers = Some(workers))?;
    })
}

/// Sets one limit on what clients can make the server do. Name, meaning,
/// default:
///
///     "target"                   request target, bytes                    8192
///     "head"                     request head, bytes                     32768
///     "headers"                  header fields, count                      100
///     "body"                     request body, bytes                  10485760
///     "chunk_extensions"         extensions of one chunk, bytes           4096
///     "trailers"                 trailer section, bytes                   8192
///     "connections"              connections at once                     10000
///     "connections_per_address"  of them from one IP address; 0: any         0
///     "head_rate"                bytes a second that a head must come
///                                with, after ten seconds; 0: any           100
///     "body_rate"                bytes a second that a body must come
///                                with, while it is waited for; 0: any      500
///     "write_rate"               bytes a second of a response that a
///                                client must take, while it is waited
///                                for; 0: any                               500
///     "bodies"                   bytes of request bodies in memory, in
///                                all connections together            268435456
///     "output"                   output waiting in a connection, bytes   65536
///     "drain"                    unread body read to keep a
///                                connection, bytes                      262144
///     "pool_threads"             threads for handlers that may       2 for each processor,
///                                block, in the model "event"         8 at least
///     "pool_queue"               requests waiting for those threads,
///                                and as many in the pull queue            1024
///     "connection_threads"       threads that serve connections,
///                                in the model "threads"                    512
///     "thread_stack"             stack of each of those, bytes;
///                                a handler that needs more ends
///                                the process                           2097152
///     "backlog"                  connections that the kernel holds
///                                until they are accepted; 0: 1024
///                                for sockets that the server binds,
///                                as it was for those it was given            0
///
/// Errors: TRANSOM_INVALID_ARGUMENT of an unknown name or a value too large
/// for this machine, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_limit(
    server: *mut transom_server,
    name: *const c_char,
    value: u64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let (server, name) = unsafe { (transom_server::get(server)?, text(name)?) };
        server.set_up(|setup| set_limit(&mut setup.limits, name, value))??;
    })
}

fn set_limit(limits: &mut Limits, name: &str, value: u64) -> Result<(), transom_status> {
    match name {
        "target" => limits.target = narrow(value)?,
        "head" => limits.head = narrow(value)?,
        "headers" => limits.headers = narrow(value)?,
        "body" => limits.body = value,
        "chunk_extensions" => limits.chunk_extensions = narrow(value)?,
        "trailers" => limits.trailers = narrow(value)?,
        "connections" => limits.connections = narrow(value)?,
        "connections_per_address" => {
            limits.connections_per_address = if value == 0 { None } else { Some(narrow(value)?) };
        }
        "head_rate" => limits.head_rate = narrow(value)?,
        "body_rate" => limits.body_rate = narrow(value)?,
        "write_rate" => limits.write_rate = narrow(value)?,
        "bodies" => limits.bodies = value,
        "output" => limits.output = narrow(value)?,
        "drain" => limits.drain = value,
        "pool_threads" => limits.pool_threads = narrow(value)?,
        "pool_queue" => limits.pool_queue = narrow(value)?,
        "connection_threads" => limits.connection_threads = narrow(value)?,
        "thread_stack" => limits.thread_stack = narrow(value)?,
        "backlog" => limits.backlog = if value == 0 { None } else { Some(narrow(value)?) },
        _ => return Err(transom_status::TRANSOM_INVALID_ARGUMENT),
    }
    Ok(())
}

fn narrow<T: TryFrom<u64>>(value: u64) -> Result<T, transom_status> {
    value.try_into().map_err(|_| transom_status::TRANSOM_INVALID_ARGUMENT)
}

/// Sets one timeout, in milliseconds; TRANSOM_FOREVER turns it off:
///
///     "head"     a whole request head, from its first byte           10000
///     "idle"     a connection without a request                      60000
///     "body"     a request body that comes slower than "body_rate"   30000
///     "write"    a response taken slower than "write_rate"           30000
///     "handler"  an answer, from the call of the handler             60000
///     "drain"    dropping the rest of a body to keep a connection     1000
///     "linger"   closing so that the last answer is read, in all     30000
///     "linger_idle"
///                the same, without a byte from the client             5000
///     "stop"     requests under way when the server is freed         10000
///
/// Errors: TRANSOM_INVALID_ARGUMENT of an unknown name or a negative time,
/// TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_timeout(
    server: *mut transom_server,
    name: *const c_char,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let (server, name) = unsafe { (transom_server::get(server)?, text(name)?) };
        let timeout = duration(timeout_ms)?;
        server.set_up(|setup| set_timeout(&mut setup.timeouts, name, timeout))??;
    })
}

fn set_timeout(timeouts: &mut Timeouts, name: &str, timeout: Option<Duration>) -> Result<(), transom_status> {
    match name {
        "head" => timeouts.head = timeout,
        "idle" => timeouts.idle = timeout,
        "body" => timeouts.body = timeout,
        "write" => timeouts.write = timeout,
        "handler" => timeouts.handler = timeout,
        "drain" => timeouts.drain = timeout,
        "linger" => timeouts.linger = timeout,
        "linger_idle" => timeouts.linger_idle = timeout,
        "stop" => timeouts.stop = timeout.unwrap_or(FOREVER),
        _ => return Err(transom_status::TRANSOM_INVALID_ARGUMENT),
    }
    Ok(())
}

/// For ever, as a deadline that overflows no clock.
pub(crate) const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// A time in milliseconds; `None` is for ever.
pub(crate) fn duration(ms: i64) -> Result<Option<Duration>, transom_status> {
    match ms {
        -1 => Ok(None),
        _ => match u64::try_from(ms) {
            Ok(ms) => Ok(Some(Duration::from_millis(ms))),
            Err(_) => Err(transom_status::TRANSOM_INVALID_ARGUMENT),
        },
    }
}

/// Runs `start` first and `stop` last on every thread that runs handlers or
/// serves connections, for hosts that have to register theirs (interpreters,
/// virtual machines, allocators). Either may be NULL. A second call replaces
/// the first.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_thread_hooks(
    server: *mut transom_server,
    start: transom_callback,
    stop: transom_callback,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let hooks = Hooks { start, stop, user_data: UserData::new(user_data, free_fn) };
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let hooks = Arc::new(hooks);
        server.set_up(|setup| setup.hooks.replace(Arc::clone(&hooks)))?;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a comment in this file says of a setting, without its name.
    fn says(name: &str) -> String {
        let quoted = format!("///     \"{name}\"");
        let (_, rest) = include_str!("settings.rs").split_once(&quoted).unwrap();
        let lines: Vec<_> = rest.lines().take(5).take_while(|line| !line.starts_with("///     \"")).collect();
        lines.join(" ")
    }

    #[test]
    fn the_header_names_every_default() {
        let mut limits = Limits::default();
        let defaults = [
            ("target", limits.target as u64),
            ("head", limits.head as u64),
            ("headers", limits.headers as u64),
            ("body", limits.body),
            ("chunk_extensions", limits.chunk_extensions as u64),
            ("trailers", limits.trailers as u64),
            ("connections", limits.connections as u64),
            ("connections_per_address", 0),
            ("head_rate", limits.head_rate.into()),
            ("body_rate", limits.body_rate.into()),
            ("write_rate", limits.write_rate.into()),
            ("bodies", limits.bodies),
            ("output", limits.output as u64),
            ("drain", limits.drain),
            ("pool_queue", limits.pool_queue as u64),
            ("connection_threads", limits.connection_threads as u64),
            ("thread_stack", limits.thread_stack as u64),
            ("backlog", 0),
        ];
        for (name, default) in defaults {
            let said = says(name);
            assert!(said.split_whitespace().any(|word| word == default.to_string()), "{name}: {said}");
            set_limit(&mut limits, name, default).unwrap();
        }
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn every_setting_is_reached() {
        let mut limits = Limits::default();
        let all = format!("{limits:?}");
        let fields: Vec<_> = all.split([' ', '{']).filter_map(|word| word.strip_suffix(':')).collect();
        assert!(fields.len() >= 16);
        for name in fields {
            assert_eq!(set_limit(&mut limits, name, 7), Ok(()), "{name}");
        }
        let mut timeouts = Timeouts::default();
        let all = format!("{timeouts:?}");
        let fields: Vec<_> = all.split([' ', '{']).filter_map(|word| word.strip_suffix(':')).collect();
        assert!(fields.len() >= 7);
        for name in fields {
            assert_eq!(set_timeout(&mut timeouts, name, None), Ok(()), "{name}");
        }
    }
}
