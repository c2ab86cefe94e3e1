//! A server's life: listen, start, stop, wait.

use std::ffi::c_char;
use std::sync::Arc;

use transom::Address;

use crate::bytes::{place, room, text};
use crate::error::{report, transom_error};
use crate::listeners::inherit;
use crate::process;
use crate::running::Running;
use crate::server::transom_server;
use crate::setup::bind;
use crate::status::transom_status;
use crate::timeout::{FOREVER, duration};

/// Listens on an address, before the server is started: clients can connect,
/// and are served from the start on. May be called several times.
///
/// "127.0.0.1:8080", "[::1]:0" (port 0: the system picks one, see
/// transom_server_port), "localhost:8080", "[fe80::1%eth0]:8080" (a link-local
/// address with its interface), "unix:/run/app.sock" (see
/// transom_server_set_unix_mode), or on Linux "unix:@name", an abstract name
/// (unix(7)); a file of such a name is "unix:./@name".
///
/// Errors: TRANSOM_BAD_ADDRESS, TRANSOM_ADDRESS_IN_USE,
/// TRANSOM_PERMISSION_DENIED, TRANSOM_IO, TRANSOM_ALREADY_STARTED.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_bind(
    server: *mut transom_server,
    address: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, address) = unsafe { (transom_server::get(server)?, text(address)?) };
        // Looking a name up may take its time: no lock is held meanwhile.
        let mode = server.set_up(|setup| setup.unix_mode)?;
        let listener = bind(address, mode)?;
        Ok(server.set_up(|setup| setup.listeners.push(listener))?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Adds a listening TCP or Unix socket that the program was started with. It
/// belongs to the server from then on; on failure it stays yours.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if it is not a listening socket,
/// TRANSOM_ALREADY_STARTED.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_listen_fd(
    server: *mut transom_server,
    fd: i32,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        server.set_up(|setup| {
            // SAFETY: by the contract the host gives it up.
            setup.listeners.push(unsafe { inherit(fd) }?);
            Ok(())
        })?
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Listens on `address` (see transom_server_bind), and on what was added
/// before, and starts the server's threads. When it returns TRANSOM_OK, clients
/// can connect. `address` may be NULL if one was added before. Handlers may run
/// before it returns, and stop the server.
///
/// After a failure it may be tried again, with another address for example.
/// (After TRANSOM_IO, what was listened on before no longer is.)
///
/// Errors: TRANSOM_BAD_ADDRESS, TRANSOM_ADDRESS_IN_USE,
/// TRANSOM_PERMISSION_DENIED, TRANSOM_IO, TRANSOM_INVALID_ARGUMENT (nothing to
/// listen on, or a setting that makes no sense), TRANSOM_ALREADY_STARTED,
/// TRANSOM_FORKED in a fork of a process in which a server had been started.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_start(
    server: *mut transom_server,
    address: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        // SAFETY: as above.
        let address = if address.is_null() { None } else { Some(unsafe { text(address) }?) };
        start(server, address)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

fn start(server: &transom_server, address: Option<&str>) -> Result<(), transom_error> {
    // No lock is held meanwhile: thread hooks may call anything.
    let mut attempt = server.take_setup()?;
    if let Some(setup) = attempt.setup() {
        server.queue.set_limit(setup.limits.pool_queue);
        let handle = process::with_signals_blocked(|| setup.start(address))?;
        let (queue, hooks) = (Arc::clone(&server.queue), setup.hooks.clone());
        let running = Running::new(handle, queue, hooks, setup.timeouts.stop);
        attempt.succeed(running);
    }
    Ok(())
}

/// The TCP port the server listens on, the first if there are several. 0 if it
/// was not started, or only listens on Unix sockets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_port(server: *const transom_server) -> u16 {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        let running = unsafe { transom_server::get(server) }.and_then(transom_server::running);
        running.map_or(0, |running| running.handle.local_addrs().iter().find_map(Address::port).unwrap_or(0))
    })
}

/// Writes the address at that place, counted from 0, as text to `buf`, in the
/// order they were added: "127.0.0.1:8080", "unix:/run/app.sock". As with
/// snprintf, at most `cap` bytes are written, the last of them a NUL, and the
/// length of the whole text is returned, without the NUL. 0 if there is no such
/// address or the server was not started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_address(
    server: *const transom_server,
    index: usize,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        let running = unsafe { transom_server::get(server) }.and_then(transom_server::running);
        let text =
            running.ok().and_then(|running| running.handle.local_addrs().get(index)).map(ToString::to_string);
        let text = text.unwrap_or_default();
        // SAFETY: NULL or valid, by the contract; bytes may hold anything.
        if let Ok([room @ .., last]) = unsafe { room(buf.cast::<u8>(), cap) } {
            let length = text.len().min(room.len());
            room[..length].copy_from_slice(&text.as_bytes()[..length]);
            *room.get_mut(length).unwrap_or(last) = 0;
        }
        text.len()
    })
}

/// Begins to stop and returns at once: listening ends, idle connections are
/// closed, and requests under way have `deadline_ms` (or TRANSOM_FOREVER) until
/// they are cut off. May be called anywhere, also in handlers, but not in a
/// signal handler. A second call may only shorten the time.
///
/// Errors: TRANSOM_NOT_STARTED, TRANSOM_INVALID_ARGUMENT of a negative time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_stop(
    server: *mut transom_server,
    deadline_ms: i64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        server.stop(duration(deadline_ms)?.unwrap_or(FOREVER))?;
    })
}

/// Waits until the server has stopped and its threads have ended. It does not
/// stop it: that is for transom_server_stop, called elsewhere or before.
///
/// Errors: TRANSOM_TIMEOUT, TRANSOM_NOT_STARTED, TRANSOM_WOULD_DEADLOCK on the
/// server's own threads, TRANSOM_INVALID_ARGUMENT of a negative time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_wait(server: *mut transom_server, timeout_ms: i64) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let timeout = duration(timeout_ms)?;
        server.running()?.wait(timeout)?;
    })
}

/// What became of a server's requests when it was stopped.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_report {
    /// Requests that were answered in full after stopping began.
    pub finished: u64,
    /// Requests that were cut off at the deadline.
    pub cut: u64,
    /// Requests under way now.
    pub pending: u64,
}

/// Says what became of requests under way when the server was asked to stop;
/// at any time, final once it has stopped.
///
/// Errors: TRANSOM_NOT_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_report(
    server: *const transom_server,
    out: *mut transom_report,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (server, out) = unsafe { (transom_server::get(server)?, place(out)?) };
        let report = server.running()?.handle.report();
        *out = transom_report { finished: report.finished, cut: report.cut, pending: report.pending };
    })
}
