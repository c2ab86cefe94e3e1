//! Restarts without a lost request: inherited sockets, hand-over, readiness, and systemd.

use std::ffi::{CStr, OsStr, c_char};
use std::process::Command;

use transom::{Listener, Method};

use crate::bytes::{borrow, print, store, text};
use crate::error::{report, transom_error};
use crate::server::transom_server;
use crate::setup::{AddedRoute, Endpoint, RouteSettings};
use crate::status::transom_status;
use crate::system::os_text;
use crate::timeout::{FOREVER, duration};

/// Adds the listening sockets that another process passed to this one: a predecessor, with
/// transom_server_hand_over, or systemd, with socket activation (see sd_listen_fds(3)). Stores
/// their number in `*count`, which may be NULL; it is 0 if the process was started in another
/// way, and the program then listens on an address of its own:
///
///     size_t count;
///     if (transom_server_listen_inherited(server, &count, NULL) != TRANSOM_OK)
///         return 1;
///     if (count == 0 && transom_server_bind(server, "127.0.0.1:8080", NULL) != TRANSOM_OK)
///         return 1;
///
/// The sockets have the order in which they were passed; transom_server_listener_name returns
/// their names. Each is closed in a program that this process executes. Only the process that
/// the sockets are meant for gets them (LISTEN_PID), and only the first call does. The
/// environment is not changed. A predecessor learns that this process serves when the server
/// starts.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if a descriptor is no listening TCP or Unix stream socket;
/// TRANSOM_IO if the predecessor fails; TRANSOM_ALREADY_STARTED.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_listen_inherited(
    server: *mut transom_server,
    count: *mut usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        // A server that has started takes nothing.
        server.set_up(|_| ())?;
        let listeners = Listener::inherited()?;
        let found = listeners.len();
        server.set_up(|setup| {
            for listener in listeners {
                setup.listeners.push(setup.with_steps(listener));
            }
        })?;
        // SAFETY: NULL or valid for writes, by the contract.
        unsafe { store(count, found) };
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Writes the name of a socket that was passed to this process to `buf`, such as
/// FileDescriptorName= in a systemd unit. `index` counts as in transom_server_address.
///
/// Works as snprintf: at most `cap` bytes are written, the last of which is a NUL, and the
/// length of the whole text without the NUL is returned. Returns 0 if the socket has no name,
/// if there is no such socket, or if the server was not started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_listener_name(
    server: *const transom_server,
    index: usize,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        let running = unsafe { transom_server::get(server) }.and_then(transom_server::running);
        let name = running.ok().and_then(|running| running.handle.listener_name(index)).unwrap_or_default();
        // SAFETY: NULL or valid, by the contract; bytes may have any value.
        unsafe { print(name, buf, cap) }
    })
}

/// Hands the server over to a successor, such as the next version of the program: starts the
/// program `argv[0]` with the arguments `argv`, which end with NULL, passes all listening
/// sockets to it, and waits until it serves, at most `timeout_ms` milliseconds. Then stop this
/// server: its requests finish, and no client is refused in between. Until then both accept
/// clients.
///
/// The successor calls transom_server_listen_inherited and starts the server. It runs as the
/// same user when it does. Its environment is this one's, with the variable TRANSOM_HANDOVER.
/// It also takes over the files of Unix sockets that this server would remove at its end. Its
/// process id is stored in `*pid`, which may be NULL: it is a child of this process, to be
/// waited for as any other. Linux only.
///
/// If this fails, the child was killed and waited for, and this server goes on to serve. The
/// call blocks; do not make it in an inline handler.
///
/// Errors: TRANSOM_IO, with a message: the program cannot be executed, it has ended, it has
/// given the sockets up, it does not serve in time, or another hand-over is in progress.
/// TRANSOM_INVALID_ARGUMENT if `argv` is empty or the time is negative; TRANSOM_NOT_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_hand_over(
    server: *mut transom_server,
    argv: *const *const c_char,
    timeout_ms: i64,
    pid: *mut i64,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, _) = unsafe { (transom_server::get(server)?, borrow(argv)?) };
        let patience = duration(timeout_ms)?.unwrap_or(FOREVER);
        // SAFETY: not NULL, and it ends with NULL, by the contract.
        let words = unsafe { words(argv) }?;
        let (program, arguments) = words.split_first().ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        let running = server.running()?;
        let mut command = Command::new(program);
        let child = running.handle.hand_over(command.args(arguments), patience)?;
        // SAFETY: NULL or valid for writes, by the contract.
        unsafe { store(pid, i64::from(child.id())) };
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Notes that another process serves on the same sockets, such as one that has got a socket from
/// transom_server_listener, or shares those that were passed to both. transom_server_hand_over
/// does it by itself.
///
/// transom_server_stop then leaves new clients to the other process from its beginning. For the
/// timeout "stop_delay" after that, connections that wait for requests stay open, and each closes
/// after a response, so that no request meets a close. Without this call, the server accepts clients
/// for that time, and closes a connection that has not sent its request by then.
///
/// Errors: TRANSOM_NOT_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_note_successor(server: *mut transom_server) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        unsafe { transom_server::get(server) }?.running()?.handle.note_successor();
    })
}

/// Returns the texts of an array.
///
/// # Safety
/// The array ends with NULL, each other element is NUL-terminated, and all live as long as `'a`.
unsafe fn words<'a>(argv: *const *const c_char) -> Result<Vec<&'a OsStr>, transom_status> {
    let mut words = Vec::new();
    loop {
        // SAFETY: the elements before this one are not NULL, so this one exists.
        let word = unsafe { *argv.add(words.len()) };
        if word.is_null() {
            return Ok(words);
        }
        // SAFETY: it is NUL-terminated.
        let word = os_text(unsafe { CStr::from_ptr(word) }.to_bytes());
        words.push(word.ok_or(transom_status::TRANSOM_NOT_UTF8)?);
    }
}

/// Adds a route for GET that tells a load balancer whether to send requests here: it answers
/// 200 "ready", and 503 "stopping" with Retry-After once a stop has begun. Set the timeout
/// "stop_delay" to a little more than the load balancer takes to notice: for that time the
/// server still accepts clients. No handler of the program runs.
///
/// Errors: as transom_server_route.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_add_readiness(
    server: *mut transom_server,
    pattern: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let (server, pattern) = unsafe { (transom_server::get(server)?, text(pattern)?) };
        let (method, settings) = (Some(Method::GET), RouteSettings::default());
        let added =
            AddedRoute { method, pattern: pattern.to_owned(), endpoint: Endpoint::Readiness, settings };
        Ok(server.set_up(|setup| setup.route(added))??)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Tells systemd what the server does (see sd_notify(3)), if systemd started the program with
/// Type=notify: that it serves (READY=1), that a stop has begun (STOPPING=1), and that its
/// workers turn (WATCHDOG=1, with WatchdogSec=). A successor of transom_server_hand_over
/// becomes the main process of the service (MAINPID=).
///
/// The watchdog is fed four times in its interval. A worker that a handler blocks for the
/// whole interval is stuck, and so is the pool of threads or the pull queue if requests wait there
/// and none is begun for as long, and what transom_server_set_load and transom_server_watch_events
/// add. The log then says which, and the watchdog is not fed: systemd restarts the service. In
/// the model "sequential" each handler blocks the one worker, so the interval must be longer
/// than the slowest handler takes.
///
/// Without NOTIFY_SOCKET this does nothing. With it, the server has one more thread.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_notify_systemd(server: *mut transom_server) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        server.set_up(|setup| setup.tells_systemd = true)?;
    })
}

/// Tells systemd that the program reloads (RELOADING=1); transom_server_notify_ready ends this.
/// Does nothing unless transom_server_notify_systemd was called.
///
/// Errors: TRANSOM_NOT_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_notify_reloading(server: *mut transom_server) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        unsafe { transom_server::get(server) }?.running()?.handle.notify_reloading();
    })
}

/// Tells systemd that the program has reloaded (READY=1). At the start the server tells it
/// itself. Otherwise as transom_server_notify_reloading.
///
/// Errors: TRANSOM_NOT_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_notify_ready(server: *mut transom_server) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        unsafe { transom_server::get(server) }?.running()?.handle.notify_ready();
    })
}

/// Shows a text in `systemctl status` (STATUS=). Control characters become spaces. Otherwise as
/// transom_server_notify_reloading.
///
/// Errors: TRANSOM_NOT_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_notify_status(
    server: *mut transom_server,
    status: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let (server, status) = unsafe { (transom_server::get(server)?, text(status)?) };
        server.running()?.handle.notify_status(status);
    })
}
