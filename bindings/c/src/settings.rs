//! Settings of a server, by name.

use std::ffi::{c_char, c_void};
use std::ops::RangeInclusive;
use std::sync::Arc;

use transom::{Limits, Model, Timeouts};

use crate::bytes::{store, text};
use crate::error::{report, transom_error};
use crate::hooks::Hooks;
use crate::names::unknown;
use crate::server::transom_server;
use crate::status::transom_status;
use crate::timeout::{FOREVER, duration};
use crate::user_data::{UserData, transom_callback_fn, transom_free_fn};

/// Chooses how the server drives its connections: `name` is "event" (the default), "threads"
/// or "sequential". Handlers, limits, timeouts and stops work the same way in each model. The
/// models differ in the thread that runs a handler, and in what a client waits for.
///
/// "event": A few workers serve all connections and run the inline handlers. The other
/// handlers run on a pool of threads. A client waits for no other client, unless an inline
/// handler blocks its worker.
///
/// "threads": Each connection has a thread, which runs all its handlers; they may block. When
/// there are as many connections as the limit "connection_threads" allows, further clients
/// wait in the backlog of the kernel. To make room for them, the server closes a connection
/// after its response, or when it has sent no request for the timeout "drain".
///
/// "sequential": One thread serves one connection at a time and runs all handlers, so that no
/// two handlers ever run at the same time; they may block. All other clients wait in the
/// backlog of the kernel, whose length is the limit "backlog". The connection that is served
/// makes room for them as in "threads".
///
/// In "threads" and "sequential", a handler that blocks also blocks its connection: the
/// server notices only after the handler has returned that the client has left, or that the
/// timeout "handler" or the deadline of a stop has passed. A handler that returns at once,
/// and sends its response later from another thread, avoids this. So does a handler that waits
/// for its connection in transom_writer_write or transom_request_read: the connection is served
/// meanwhile.
///
/// "threads" and "sequential" exist on Linux only. Elsewhere the start fails with
/// TRANSOM_INVALID_ARGUMENT.
///
/// Errors: TRANSOM_INVALID_ARGUMENT for any other name, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_model(
    server: *mut transom_server,
    name: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, name) = unsafe { (transom_server::get(server)?, text(name)?) };
        let model = name.parse::<Model>().map_err(|error| {
            transom_error::bad_setting(&format!("{error}, got '{}'", name.escape_debug()))
        })?;
        server.set_up(|setup| setup.model = model)?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets the number of threads that serve connections in the model "event", from 1 to 1024.
/// The default is one for each processor. Handlers that may block have other threads: see
/// transom_server_route.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the number is out of range, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_workers(
    server: *mut transom_server,
    workers: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        if !(1..=MOST_WORKERS).contains(&workers) {
            return Err(transom_error::bad_setting(&format!(
                "workers is 1 to {MOST_WORKERS}, got {workers}"
            )));
        }
        server.set_up(|setup| setup.workers = Some(workers))?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets the file mode of the Unix sockets that the server binds, at most 0777. The mode
/// decides who may connect: 0660 is the owner and the group (see unix(7)). Without this call,
/// the umask decides.
///
/// A socket that is bound after this call has its mode before any client can connect. A
/// socket that was bound before gets the mode when the server starts. Sockets from
/// transom_server_listen_fd keep theirs, and abstract names ("unix:@name") have none.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the mode is more than 0777, TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_unix_mode(
    server: *mut transom_server,
    mode: u32,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        if mode > 0o777 {
            return Err(transom_error::bad_setting(&format!("unix_mode is 0 to 0777, got {mode:#o}")));
        }
        server.set_up(|setup| setup.unix_mode = Some(mode))?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Lets the TCP addresses that the server binds after this call be shared (SO_REUSEPORT, socket(7)):
/// other sockets with this option, also of other processes of the same user, may listen on the same
/// address, and the kernel spreads new connections over them.
///
/// When a server stops, the connections that wait in the backlog of its socket are reset, although
/// another process listens on the address; with the sysctl net.ipv4.tcp_migrate_req, Linux gives
/// them to another socket. Processes that share one socket lose none: see transom_server_listener
/// and transom_server_hand_over.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_reuse_port(
    server: *mut transom_server,
    reuse_port: bool,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        unsafe { transom_server::get(server) }?.set_up(|setup| setup.reuse_port = reuse_port)?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets one limit on what clients can make the server do. The names, meanings and defaults:
///
///     "target"                   bytes of a request target                    8192
///     "head"                     bytes of a request head                     32768
///     "headers"                  header fields of a request                    100
///     "body"                     bytes of a request body                  10485760
///     "chunk_extensions"         bytes of the extensions of one chunk         4096
///     "trailers"                 bytes of a trailer section                   8192
///     "connections"              open connections                            10000
///     "connections_per_address"  open connections from one IP address, and
///                                requests in progress of one client
///                                behind trusted proxies;
///                                0 is no limit                                   0
///     "handshakes"               connections in the steps before HTTP: a
///                                PROXY header, a TLS handshake                1024
///     "head_rate"                least bytes per second of a request head,
///                                after ten seconds; 0 is no limit              100
///     "body_rate"                least bytes per second of a request body,
///                                while the server waits for it;
///                                0 is no limit                                 500
///     "write_rate"               least bytes per second of a response that
///                                a client must take, while the server
///                                waits for it; 0 is no limit                   500
///     "bodies"                   bytes of request bodies in memory, for
///                                all connections together                268435456
///     "output"                   bytes of output that wait in a
///                                connection                                  65536
///     "drain"                    bytes of an unread request body that are
///                                read to keep a connection                  262144
///     "pool_threads"             threads for handlers that may
///                                block, in the model "event"       2 for each processor,
///                                                                  at least 8
///     "pool_queue"               requests that wait for those threads,
///                                and requests in the pull queue               1024
///     "connection_threads"       threads that serve connections, in the
///                                model "threads"                               512
///     "thread_stack"             bytes of stack of each of those threads;
///                                a handler that needs more ends the
///                                process                                   2097152
///     "backlog"                  connections that the kernel holds until
///                                they are accepted; 0 is 1024 for sockets
///                                that the server binds, and no change
///                                for sockets that it was given                   0
///
/// transom_limit_range tells which values a limit may have.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if there is no such limit or the value is out of range;
/// the message lists the names or the range. TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_limit(
    server: *mut transom_server,
    name: *const c_char,
    value: u64,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, name) = unsafe { (transom_server::get(server)?, text(name)?) };
        let set = server.set_up(|setup| set_limit(&mut setup.limits, name, value))?;
        set.map_err(|why| transom_error::bad_setting(&why))?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets a limit by its name. An error is the sentence for the host.
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
        "handshakes" => limits.handshakes = narrow(value)?,
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

/// Returns the values that a limit may have in C, where 0 can mean "no limit".
fn limit_range(name: &str) -> Option<RangeInclusive<u64>> {
    let range = Limits::range(name)?;
    Some(if name == "connections_per_address" { 0..=*range.end() } else { range })
}

/// Stores the smallest value that the limit `name` may have in `*least`, and the largest in
/// `*most`. Either pointer may be NULL.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if there is no such limit.
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
        // SAFETY: each NULL or valid for writes, by the contract.
        unsafe {
            store(least, *range.start());
            store(most, *range.end());
        }
    })
}

/// Returns the smallest value of a timeout, in milliseconds.
fn least_timeout(name: &str) -> Option<i64> {
    let least = Timeouts::least(name)?.as_nanos().div_ceil(1_000_000);
    i64::try_from(least).ok()
}

/// Stores the smallest value that the timeout `name` may have in `*least`, and the largest in
/// `*most`, in milliseconds. TRANSOM_FOREVER is allowed besides. Either pointer may be NULL.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if there is no such timeout.
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
        // SAFETY: each NULL or valid for writes, by the contract.
        unsafe {
            store(least, known);
            store(most, i64::MAX);
        }
    })
}

/// More threads than any machine serves connections well with.
const MOST_WORKERS: usize = 1024;

/// Sets one timeout, in milliseconds. TRANSOM_FOREVER turns the timeout off. The names,
/// meanings and defaults:
///
///     "head"         receiving a request head, from its first byte       10000
///     "idle"         a connection without a request                      60000
///     "handshake"    all steps before HTTP together: a PROXY header, a
///                    TLS handshake                                       10000
///     "body"         waiting for a request body that is slower than
///                    the limit "body_rate"                               30000
///     "write"        waiting for a client that takes its response more
///                    slowly than the limit "write_rate"                  30000
///     "handler"      the time from the call of a handler to its
///                    response                                            60000
///     "drain"        reading the rest of a request body to keep the
///                    connection                                           1000
///     "linger"       closing a connection so that the client can read
///                    the last response                                   30000
///     "linger_idle"  the same, without a byte from the client             5000
///     "stop"         requests in progress when the server is freed       10000
///     "stop_delay"   accepting clients after a stop has begun, within
///                    its deadline                                            0
///     "watchdog"     a worker, the pool, the pull queue or another part
///                    of the server that does not turn; the log then
///                    says what is stuck                                    off
///
/// "drain", "linger", "linger_idle", "stop" and "stop_delay" may be 0. The others may not, because 0 would
/// end everything at once. "watchdog" is at least 10, and off if TRANSOM_FOREVER. transom_timeout_range tells which values a timeout may have.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if there is no such timeout or the time is out of
/// range; the message lists the names or the range. TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_timeout(
    server: *mut transom_server,
    name: *const c_char,
    timeout_ms: i64,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, name) = unsafe { (transom_server::get(server)?, text(name)?) };
        let set = server.set_up(|setup| set_timeout(&mut setup.timeouts, name, timeout_ms))?;
        set.map_err(|why| transom_error::bad_setting(&why))?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets a timeout by its name. An error is the sentence for the host.
fn set_timeout(timeouts: &mut Timeouts, name: &str, ms: i64) -> Result<(), String> {
    let least = least_timeout(name).ok_or_else(|| unknown("timeout", name, Timeouts::names()))?;
    let Some(timeout) = duration(ms).ok().filter(|_| ms == -1 || ms >= least) else {
        let range = format!("{least} to {} ms, or TRANSOM_FOREVER (-1)", i64::MAX);
        return Err(format!("timeout '{name}' is {range}, got {ms}"));
    };
    match name {
        "head" => timeouts.head = timeout,
        "idle" => timeouts.idle = timeout,
        "handshake" => timeouts.handshake = timeout,
        "body" => timeouts.body = timeout,
        "write" => timeouts.write = timeout,
        "handler" => timeouts.handler = timeout,
        "drain" => timeouts.drain = timeout,
        "linger" => timeouts.linger = timeout,
        "linger_idle" => timeouts.linger_idle = timeout,
        "stop" => timeouts.stop = timeout.unwrap_or(FOREVER),
        "stop_delay" => timeouts.stop_delay = timeout.unwrap_or(FOREVER),
        "watchdog" => timeouts.watchdog = timeout,
        _ => return Err(unknown("timeout", name, Timeouts::names())),
    }
    Ok(())
}

/// Runs `start` first and `stop` last on every thread of the library that runs handlers,
/// callbacks or free functions of this server. Interpreters, virtual machines and allocators
/// that must know each thread need this. Either function may be NULL. A second call replaces
/// the first.
///
/// `free_fn` runs after the last call of `stop`, so perhaps on a thread for which `stop` has
/// run. The log function belongs to no server, and runs on any thread.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_thread_hooks(
    server: *mut transom_server,
    start: transom_callback_fn,
    stop: transom_callback_fn,
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

    /// Returns what the comment on a setting in this file says after its name.
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
            let value = if name == "watchdog" { 10 } else { -1 };
            assert_eq!(set_timeout(&mut timeouts, name, value), Ok(()), "{name}");
            assert_ne!(timeouts, before, "{name}");
        }
        assert!(set_timeout(&mut timeouts, "watchdog", 9).is_err());
        assert_eq!(set_timeout(&mut timeouts, "watchdog", -1), Ok(()));
        assert_eq!(timeouts.watchdog, None);
    }
}
