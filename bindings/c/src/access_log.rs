//! The access log of servers, as an object of the host.

use std::ffi::{c_char, c_void};
use std::mem;
use std::sync::Arc;

use transom::{AccessLog, Error, LogFormat};

use crate::bytes::{file_name, store, text};
use crate::error::{report, transom_error};
use crate::log_lines::{HostFormat, transom_log_format_fn};
use crate::log_sink::{HostSink, transom_log_write_fn};
use crate::server::transom_server;
use crate::slots::{Handle, Table};
use crate::status::transom_status;
use crate::system::{copy_file, transom_descriptor};
use crate::timeout::{FOREVER, duration};
use crate::user_data::{UserData, transom_free_fn};

/// An access log: a line for each response of the servers that have it, refusals and connections
/// for which there is no room included. A thread of the log writes the lines in batches, at the latest
/// after 100 ms. No request waits for it: lines that come faster than they can be written, and lines
/// that cannot be written, are lost and counted (transom_access_log_lost). The library's log then gets
/// a warning, and the access log itself a line once it can be written.
///
/// Each server that gets it keeps its own reference. When the object and all servers that have it
/// are freed, the lines that there are get written, for up to 2 seconds. Any thread may call its
/// functions. A call with an object that was freed returns TRANSOM_ALREADY_ANSWERED and does no harm.
pub struct transom_access_log {
    _nothing: [u8; 0],
}

/// The objects of the host.
static OBJECTS: Table<AccessLog> = Table::new();

/// Returns the log of an object.
fn get(log: *const transom_access_log) -> Result<AccessLog, transom_status> {
    let handle = Handle::from_pointer(log).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    OBJECTS.look(handle, AccessLog::clone)
}

/// Puts a changed log in place of that of an object.
fn change(
    log: *const transom_access_log,
    change: impl FnOnce(AccessLog) -> AccessLog,
) -> Result<(), transom_status> {
    let handle = Handle::from_pointer(log).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    // Both are dropped after the lock of the table is released: a format calls a free function.
    let mut other = change(get(log)?);
    OBJECTS.change(handle, |log| mem::swap(log, &mut other))
}

/// Makes an object of a log, and stores its handle.
///
/// # Safety
/// `place` is valid for writes.
unsafe fn create(place: *mut *mut transom_access_log, log: AccessLog) -> Result<(), transom_error> {
    OBJECTS.check()?;
    let handle = OBJECTS.insert(log).map_err(|_full| transom_status::TRANSOM_NO_MEMORY)?;
    // SAFETY: the caller promises it.
    unsafe { store(place, handle.to_pointer()) };
    Ok(())
}

/// Creates an access log that adds its lines to a file, which is made if there is none. Stores it
/// in `log`. Its format is "common". Free it with transom_access_log_free.
///
/// Errors: TRANSOM_IO or TRANSOM_PERMISSION_DENIED if the file cannot be opened, with the errno;
/// TRANSOM_NO_MEMORY if there is no room for another object; TRANSOM_FORKED.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_access_log_open(
    path: *const c_char,
    log: *mut *mut transom_access_log,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        if log.is_null() {
            return Err(transom_status::TRANSOM_NULL_ARGUMENT.into());
        }
        // SAFETY: NULL or NUL-terminated, by the contract.
        let path = unsafe { file_name(path) }?;
        // SAFETY: not NULL, and valid by the contract.
        unsafe { create(log, AccessLog::to_file(path)?) }
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Creates an access log that writes to a descriptor, such as that of the standard output. The log
/// writes to a copy of it. Stores the log in `log`. Its format is "common". Free it with
/// transom_access_log_free. On Windows `fd` is a HANDLE.
///
/// Errors: as transom_access_log_open.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_access_log_open_fd(
    fd: transom_descriptor,
    log: *mut *mut transom_access_log,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        if log.is_null() {
            return Err(transom_status::TRANSOM_NULL_ARGUMENT.into());
        }
        let file = copy_file(fd).map_err(Error::Io)?;
        // SAFETY: not NULL, and valid by the contract.
        unsafe { create(log, AccessLog::to_writer(file)?) }
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Creates an access log that calls `function` with its lines. Stores it in `log`. Its format is
/// "common". Free it with transom_access_log_free. `free_fn` runs after the last call of `function`.
///
/// Errors: as transom_access_log_open.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_access_log_new(
    function: transom_log_write_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
    log: *mut *mut transom_access_log,
    error: *mut *mut transom_error,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    let body = || {
        if log.is_null() {
            return Err(transom_status::TRANSOM_NULL_ARGUMENT.into());
        }
        OBJECTS.check()?;
        let sink = HostSink::new(function, user_data)?;
        // SAFETY: not NULL, and valid by the contract.
        unsafe { create(log, AccessLog::to_writer(sink)?) }
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Frees an access log. The servers that have it keep it. If none has it, waits for up to 2 seconds
/// until its lines are written. Does nothing with NULL, nor when it was freed before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_access_log_free(log: *mut transom_access_log) {
    guard!((), {
        if let Some(handle) = Handle::from_pointer(log) {
            // A stale handle has nothing to free.
            drop(OBJECTS.take(handle));
        }
    });
}

/// Sets the format of the lines, for the servers that get the log after this call:
///
/// - "common": the common log format, `192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET /a HTTP/1.1"
///   200 2326` in one line;
/// - "combined": the same, and then the fields Referer and User-Agent in quotes;
/// - "json": an object of JSON in each line, with the names of OpenTelemetry as keys;
/// - a format of directives, which are those of Apache's LogFormat, such as
///   `%h %t "%r" %>s %O %D "%{Referer}i" "%{X-Request-Id}o"`.
///
/// The directives are %h or %a (the client), %A and %p (the address and the port at which the
/// connection came in), %l and %u (always "-"), %t (the time in brackets), %r (the request line), %m,
/// %U, %q, %H (its method, path, query with "?", protocol), %s or %>s (the status), %O, %B or %b (bytes of
/// the response), %I (bytes of the request), %D, %{ms}T, %T, %L (the duration in microseconds,
/// milliseconds, seconds, seconds with six decimals), %{Name}i and %{Name}o (a header field of the
/// request, and of the response as the handler made it), %R (the pattern of the route), %E (the reason of
/// a refusal, or how an exchange that was not answered ended), and %% (a percent sign).
///
/// The time is when the head of the request had been read, in UTC. The bytes are those of the
/// response with its head. What is not known is "-", or left out of JSON. What a client has sent is
/// escaped, so that it forges neither a line nor a field.
///
/// Errors: TRANSOM_INVALID_ARGUMENT for another name, and for an unknown directive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_access_log_set_format(
    log: *mut transom_access_log,
    name: *const c_char,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or NUL-terminated, by the contract.
        let format = match unsafe { text(name) }? {
            "common" => LogFormat::Common,
            "combined" => LogFormat::Combined,
            "json" => LogFormat::Json,
            format if format.contains('%') => LogFormat::pattern(format)?,
            other => {
                let sentence = format!(
                    "the format is common, combined or json, or has directives such as %h, got '{}'",
                    other.escape_debug()
                );
                return Err(transom_error::bad_setting(&sentence));
            }
        };
        Ok(change(log, |log| log.format(format))?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sets a format of the program's own, for the servers that get the log after this call. Control
/// bytes in its lines other than tabs are written as `\xhh`, so that an exchange never has two
/// lines. The log then has no lines about lost lines. `free_fn` runs when neither the log nor a server
/// uses the format any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_access_log_set_own_format(
    log: *mut transom_access_log,
    function: transom_log_format_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        let format = Arc::new(HostFormat::new(function, user_data)?);
        change(log, |log| log.format(LogFormat::own(move |exchange, line| format.write(exchange, line))))?;
    })
}

/// Sets how many bytes of lines may wait to be written; 4 MiB without a call. Further lines are
/// lost.
#[unsafe(no_mangle)]
pub extern "C" fn transom_access_log_set_buffer(
    log: *mut transom_access_log,
    bytes: usize,
) -> transom_status {
    checked!({
        drop(get(log)?.buffer(bytes));
    })
}

/// Opens the file of the log again, after it was renamed: logrotate does that. No line is lost. When
/// this returns TRANSOM_OK, no more lines go to the old file.
///
/// Errors: TRANSOM_IO or TRANSOM_PERMISSION_DENIED if the file cannot be opened, and the log goes on
/// with the old one; also if the log has a function in place of a file, and if it writes to the old
/// file for more than 2 seconds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_access_log_reopen(
    log: *mut transom_access_log,
    error: *mut *mut transom_error,
) -> transom_status {
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, || Ok(get(log)?.reopen()?)) }
}

/// Waits until the lines of all responses that were given before are written, or lost. A timeout of
/// -1 is no limit.
///
/// Errors: TRANSOM_TIMEOUT if that takes longer.
#[unsafe(no_mangle)]
pub extern "C" fn transom_access_log_flush(log: *mut transom_access_log, timeout_ms: i64) -> transom_status {
    checked!({
        let timeout = duration(timeout_ms)?.unwrap_or(FOREVER);
        if !get(log)?.flush(timeout) {
            return Err(transom_status::TRANSOM_TIMEOUT);
        }
    })
}

/// Returns the number of lines that were lost. Returns 0 for an object that was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_access_log_lost(log: *const transom_access_log) -> u64 {
    guard!(0, { get(log).map_or(0, |log| log.lost()) })
}

/// Writes a line to an access log for each response of the server. A server may have several logs,
/// and several servers one. The server keeps the log, with the format that it has now, when you free
/// it.
///
/// Errors: TRANSOM_ALREADY_STARTED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_add_access_log(
    server: *mut transom_server,
    log: *const transom_access_log,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let server = unsafe { transom_server::get(server) }?;
        let log = get(log)?;
        server.set_up(|setup| setup.access_logs.push(log.clone()))?;
    })
}
