//! Settings of a server, by name.

use std::ffi::{c_char, c_void};
use std::ops::RangeInclusive;
use std::ptr;
use std::sync::Arc;

use transom::{Limits, Model, Timeouts};

use crate::bytes::text;
use crate::error::transom_error;
use crate::hooks::Hooks;
use crate::names::unknown;
use crate::server::transom_server;
use crate::status::transom_status;
use crate::timeout::{FOREVER, duration};
use crate::user_data::{UserData, transom_callback, transom_free_fn};

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
/// Errors: TRANSOM_INVALID_ARGUMENT of any other name (transom_server_setting_error
/// says why), TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_model(
    server: *mut transom_server,
    name: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let (server, name) = unsafe { (transom_server::get(server)?, text(name)?) };
        let model = name.parse::<Model>().map_err(|_| {
            refuse(
                server,
                &format!("model is 'sequential', 'threads' or 'event', got '{}'", name.escape_debug()),
            )
        })?;
        server.set_up(|setup| setup.model = model)?;
    })
}

/// How many threads serve connections in the model "event"; by default one for
/// each processor. Handlers that may block have threads of their own, see
/// transom_server_route.
///
/// Errors: TRANSOM_INVALID_ARGUMENT unless it is 1 to 1024
/// (transom_server_setting_error says so), TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_workers(
    server: *mut transom_server,
    workers: usize,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        if !(1..=MOST_WORKERS).contains(&workers) {
            return Err(refuse(server, &format!("workers is 1 to {MOST_WORKERS}, got {workers}")));
        }
        server.set_up(|setup| setup.workers = Some(workers))?;
    })
}

/// The mode of the files of Unix sockets that the server binds, 0777 at most:
/// who may connect, such as 0660 for the owner and the group (unix(7)). Without
/// it, it is the umask's affair. For sockets that are bound after this call the
/// mode holds before any client can connect; for those that were bound before,
/// from the start of the server on. Sockets that the server was given, and
/// abstract names ("unix:@name"), have none.
///
/// Errors: TRANSOM_INVALID_ARGUMENT of more than 0777
/// (transom_server_setting_error says so), TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_unix_mode(
    server: *mut transom_server,
    mode: u32,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        if mode > 0o777 {
            return Err(refuse(server, &format!("unix_mode is 0 to 0777, got {mode:#o}")));
        }
        server.set_up(|setup| setup.unix_mode = Some(mode))?;
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
/// transom_limit_range tells which values a limit may have.
///
/// Errors: TRANSOM_INVALID_ARGUMENT of an unknown name or a value that is out of
/// range (transom_server_setting_error says which there are), TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_limit(
    server: *mut transom_server,
    name: *const c_char,
    value: u64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let (server, name) = unsafe { (transom_server::get(server)?, text(name)?) };
        let set = server.set_up(|setup| set_limit(&mut setup.limits, name, value))?;
        set.map_err(|why| refuse(server, &why))?;
    })
}

fn set_limit(limits: &mut Limits, name: &str, value: u64) -> Result<(), String> {
    let range = limit_range(name).ok_or_else(|| unknown("limit", name, Limits::names()))?;
    if !range.contains(&value) {
        return Err(format!("limit '{name}' is {} to {}, got {value}", range.start(), range.end()));
    }
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
        _ => return Err(unknown("limit", name, Limits::names())),
    }
    Ok(())
}

fn narrow<T: TryFrom<u64>>(value: u64) -> Result<T, String> {
    value.try_into().map_err(|_| format!("{value} is more than this machine can count"))
}

/// The values that a limit may have here, where 0 is off.
fn limit_range(name: &str) -> Option<RangeInclusive<u64>> {
    let range = Limits::range(name)?;
    Some(if name == "connections_per_address" { 0..=*range.end() } else { range })
}

/// Tells which values the limit `name` may have. `least` and `most` may be NULL.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if there is no limit of that name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_limit_range(
    name: *const c_char,
    least: *mut u64,
    most: *mut u64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or NUL-terminated, by the contract.
        let name = unsafe { text(name) }?;
        let range = limit_range(name).ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        for (place, value) in [(least, *range.start()), (most, *range.end())] {
            if !place.is_null() {
                // SAFETY: not NULL, and valid for writes by the contract.
                unsafe { place.write(value) }
            }
        }
    })
}

/// The least milliseconds of a timeout.
fn least_timeout(name: &str) -> Option<i64> {
    Timeouts::least(name).map(|least| i64::from(!least.is_zero()))
}

/// Tells which values the timeout `name` may have, in milliseconds, besides
/// TRANSOM_FOREVER. `least` and `most` may be NULL.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if there is no timeout of that name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_timeout_range(
    name: *const c_char,
    least: *mut i64,
    most: *mut i64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or NUL-terminated, by the contract.
        let name = unsafe { text(name) }?;
        let known = least_timeout(name).ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        for (place, value) in [(least, known), (most, i64::MAX)] {
            if !place.is_null() {
                // SAFETY: not NULL, and valid for writes by the contract.
                unsafe { place.write(value) }
            }
        }
    })
}

/// Why a model, a number of workers, a limit or a timeout of this server was last
/// refused with TRANSOM_INVALID_ARGUMENT, in a sentence that has the name, the
/// value and the range, or the names that there are; NULL if none was, or it was
/// told already. It is yours: free it with transom_error_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_setting_error(server: *mut transom_server) -> *mut transom_error {
    guard!(ptr::null_mut(), {
        // SAFETY: NULL or valid, by the contract.
        let error =
            unsafe { transom_server::get(server) }.ok().and_then(|server| server.swap_setting_error(None));
        error.map_or(ptr::null_mut(), |error| Box::into_raw(Box::new(error)))
    })
}

/// Keeps the sentence for `transom_server_setting_error`; the status to return.
fn refuse(server: &transom_server, why: &str) -> transom_status {
    drop(server.swap_setting_error(Some(transom_error::bad_setting(why))));
    transom_status::TRANSOM_INVALID_ARGUMENT
}

/// More threads than any machine serves connections well with.
const MOST_WORKERS: usize = 1024;

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
/// 0 makes sense for "drain", "linger", "linger_idle" and "stop" only: the others
/// would end everything at once. transom_timeout_range tells which values a timeout may have.
///
/// Errors: TRANSOM_INVALID_ARGUMENT of an unknown name or a time that is out of
/// range (transom_server_setting_error says which there are), TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_timeout(
    server: *mut transom_server,
    name: *const c_char,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let (server, name) = unsafe { (transom_server::get(server)?, text(name)?) };
        let set = server.set_up(|setup| set_timeout(&mut setup.timeouts, name, timeout_ms))?;
        set.map_err(|why| refuse(server, &why))?;
    })
}

fn set_timeout(timeouts: &mut Timeouts, name: &str, ms: i64) -> Result<(), String> {
    let least = least_timeout(name).ok_or_else(|| unknown("timeout", name, Timeouts::names()))?;
    let Some(timeout) = duration(ms).ok().filter(|_| ms == -1 || ms >= least) else {
        let range = format!("{least} to {} ms, or TRANSOM_FOREVER (-1)", i64::MAX);
        return Err(format!("timeout '{name}' is {range}, got {ms}"));
    };
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
        _ => return Err(unknown("timeout", name, Timeouts::names())),
    }
    Ok(())
}

/// Runs `start` first and `stop` last on every thread of the library that runs
/// handlers, callbacks or free functions of this server, for hosts that have to
/// register theirs (interpreters, virtual machines, allocators). Either may be NULL.
/// A second call replaces the first. `free_fn` itself runs after the last `stop`, so
/// perhaps on a thread that has ended for the host; and the log function, which is no
/// server's, on any thread.
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
            let (before, value) = (limits.clone(), limit_range(name).unwrap().start().max(&7).to_owned());
            assert_eq!(set_limit(&mut limits, name, value), Ok(()), "{name}");
            assert_ne!(limits, before, "{name}");
        }
        let mut timeouts = Timeouts::default();
        let all = format!("{timeouts:?}");
        let fields: Vec<_> = all.split([' ', '{']).filter_map(|word| word.strip_suffix(':')).collect();
        assert!(fields.len() >= 7);
        for name in fields {
            let before = timeouts.clone();
            assert_eq!(set_timeout(&mut timeouts, name, -1), Ok(()), "{name}");
            assert_ne!(timeouts, before, "{name}");
        }
    }
}
