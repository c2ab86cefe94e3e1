//! The life of a server: listening, starting, stopping, waiting.

use std::ffi::c_char;
use std::sync::Arc;

use transom::Address;

use crate::bytes::{Growing, borrow, print, store_growing, text};
use crate::error::{report, transom_error};
use crate::listeners::inherit;
use crate::process;
use crate::running::Running;
use crate::server::transom_server;
use crate::setup::bind;
use crate::status::transom_status;
use crate::system::{NO_DESCRIPTOR, give_socket, transom_descriptor};
use crate::timeout::{FOREVER, duration};

/// Listens on an address, before the server is started. Clients can connect at once, and are
/// served once the server is started. May be called several times.
///
/// `address` has one of these forms:
///
///     "127.0.0.1:8080", "[::1]:8080", "localhost:8080"
///     "127.0.0.1:0"           the system picks a port: see transom_server_port
///     "[fe80::1%eth0]:8080"   a link-local address with its interface
///     "unix:/run/app.sock"    a Unix socket: see transom_server_set_unix_mode
///     "unix:@name"            an abstract name, on Linux (see unix(7)); a file
///                             of such a name is "unix:./@name"
///
/// Errors: TRANSOM_BAD_ADDRESS, TRANSOM_ADDRESS_IN_USE, TRANSOM_PERMISSION_DENIED,
/// TRANSOM_IO, TRANSOM_ALREADY_STARTED.
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
        // Binding may look a name up, which can take long, so no lock is held meanwhile.
        let options = server.set_up(|setup| setup.bind_options())?;
        let listener = bind(address, options)?;
        Ok(server.set_up(|setup| setup.listeners.push(setup.with_steps(listener)))?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Lets the server start without an address and a socket. Clients then connect with
/// transom_server_connect only.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_set_unbound(server: *mut transom_server) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        unsafe { transom_server::get(server) }?.set_up(|setup| setup.is_unbound = true)?;
    })
}

/// Adds a listening TCP or Unix stream socket that the program inherited. The descriptor
/// belongs to the server if this succeeds, and stays yours if it fails.
///
/// On Windows `fd` is a SOCKET of TCP.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if `fd` is not such a socket, TRANSOM_ALREADY_STARTED.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_listen_fd(
    server: *mut transom_server,
    fd: transom_descriptor,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        server.set_up(|setup| {
            // SAFETY: the host gives the descriptor up, by the contract.
            let listener = unsafe { inherit(fd) }?;
            setup.listeners.push(setup.with_steps(listener));
            Ok(())
        })?
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Starts the server: listens on `address` (see transom_server_bind) and on every socket that
/// was added before, and starts the threads. Clients can connect once this has returned
/// TRANSOM_OK. `address` may be NULL if a socket was added before, or after transom_server_set_unbound. Handlers may run before
/// this function returns, and may stop the server.
///
/// After a failure, the server may be started again, for example on another address. After
/// TRANSOM_IO, the sockets that were added before are closed.
///
/// Errors: TRANSOM_BAD_ADDRESS, TRANSOM_ADDRESS_IN_USE, TRANSOM_PERMISSION_DENIED,
/// TRANSOM_IO; TRANSOM_INVALID_ARGUMENT if there is nothing to listen on or a setting has an
/// impossible value; TRANSOM_ALREADY_STARTED; TRANSOM_FORKED in a fork of a process in which
/// a server was started.
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

/// Starts the server. If that fails, it is set up as before.
fn start(server: &transom_server, address: Option<&str>) -> Result<(), transom_error> {
    // Thread hooks may call anything, so no lock is held while they run.
    let mut attempt = server.take_setup()?;
    if let Some(setup) = attempt.setup() {
        server.queue.set_limit(setup.limits.pool_queue);
        server.queue.set_overload(setup.overload);
        server.queue.set_watched(setup.timeouts.watchdog.is_some());
        let handle = process::with_signals_blocked(|| setup.start(address))?;
        let (queue, hooks) = (Arc::clone(&server.queue), setup.hooks.clone());
        let running = Running::new(handle, queue, hooks, setup.timeouts.stop);
        attempt.succeed(running);
    }
    Ok(())
}

/// Returns the TCP port that the server listens on, the first if there are several. Returns 0
/// if the server was not started, or listens on Unix sockets only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_port(server: *const transom_server) -> u16 {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        let running = unsafe { transom_server::get(server) }.and_then(transom_server::running);
        running.map_or(0, |running| running.handle.local_addrs().iter().find_map(Address::port).unwrap_or(0))
    })
}

/// Writes an address that the server listens on to `buf`, such as "127.0.0.1:8080" or
/// "unix:/run/app.sock". `index` counts from 0 in the order in which the addresses were
/// added.
///
/// Works as snprintf: at most `cap` bytes are written, the last of which is a NUL, and the
/// length of the whole text without the NUL is returned. Returns 0 if there is no such
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
        // SAFETY: NULL or valid, by the contract; bytes may have any value.
        unsafe { print(&text, buf, cap) }
    })
}

/// Returns a copy of a listening socket of the server, to hand it over to a successor, such as
/// the next version of the program, so that no client is refused in between. The descriptor
/// belongs to you. `index` counts as in transom_server_address.
///
/// The successor gets the descriptor over an exec (clear FD_CLOEXEC in the child) or a Unix
/// socket (SCM_RIGHTS), and listens on it with transom_server_listen_fd. Then stop this server:
/// it leaves the socket, and the file of a Unix socket, alone from this call on. While both
/// run, either accepts clients.
///
/// On Windows it is a SOCKET, to close with closesocket.
///
/// Returns -1 if there is no such socket, if the server was not started or listens no more, or
/// if the system has no descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_listener(
    server: *const transom_server,
    index: usize,
) -> transom_descriptor {
    guard!(NO_DESCRIPTOR, {
        // SAFETY: NULL or valid, by the contract.
        let running = unsafe { transom_server::get(server) }.and_then(transom_server::running);
        let copy = running.ok().and_then(|running| running.handle.share_listener(index).ok());
        copy.map_or(NO_DESCRIPTOR, give_socket)
    })
}

/// Begins to stop the server, and returns at once. The server stops listening and closes idle
/// connections. Requests in progress have `deadline_ms` milliseconds to end, after which they
/// are cut off; TRANSOM_FOREVER is no deadline. May be called in a handler, but not in a
/// signal handler. A second call can only shorten the deadline.
///
/// Errors: TRANSOM_NOT_STARTED, TRANSOM_INVALID_ARGUMENT if the time is negative.
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

/// Returns true once the server was told to stop, by transom_server_stop or
/// transom_server_free. A handler that has much to send, and a thread that feeds a stream, ask
/// this to end in order before the deadline. Also true after the stop. Costs one lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_is_stopping(server: *const transom_server) -> bool {
    guard!(false, {
        // SAFETY: NULL or valid, by the contract.
        unsafe { transom_server::get(server) }.is_ok_and(transom_server::is_stopping)
    })
}

/// Waits until the server has stopped and its threads have ended, at most `timeout_ms`
/// milliseconds (TRANSOM_FOREVER: no limit). It does not stop the server: call
/// transom_server_stop before, or on another thread.
///
/// Errors: TRANSOM_TIMEOUT, TRANSOM_NOT_STARTED, TRANSOM_WOULD_DEADLOCK on a thread of the
/// server, TRANSOM_INVALID_ARGUMENT if the time is negative.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_wait(server: *mut transom_server, timeout_ms: i64) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let timeout = duration(timeout_ms)?;
        server.running()?.wait(timeout)?;
    })
}

/// The requests that were in progress when a server was told to stop.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_report {
    /// sizeof(transom_report), which you store here before the call.
    pub size: usize,
    /// Requests that ended with their whole response after the stop began.
    pub finished: u64,
    /// Requests that were cut off at the deadline.
    pub cut: u64,
    /// Requests that are in progress now.
    pub pending: u64,
}

impl Growing for transom_report {
    const LEAST: usize = 32;
}

/// Stores in `*out` how many of the requests in progress have finished and how many were cut
/// off since the server was told to stop. May be called at any time; the numbers are final
/// once the server has stopped.
///
/// Errors: TRANSOM_NOT_STARTED; TRANSOM_INVALID_ARGUMENT if `out->size` is not a size of the
/// structure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_report(
    server: *const transom_server,
    out: *mut transom_report,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (server, _) = unsafe { (transom_server::get(server)?, borrow(out)?) };
        let report = server.running()?.handle.report();
        let size = size_of::<transom_report>();
        let report =
            transom_report { size, finished: report.finished, cut: report.cut, pending: report.pending };
        // SAFETY: NULL, or a structure with its size, by the contract.
        unsafe { store_growing(out, report) }?;
    })
}
