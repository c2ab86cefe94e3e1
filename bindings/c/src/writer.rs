//! Writers: the bodies of responses that are sent piece by piece.

use std::ffi::c_void;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use transom::{BodyWriter, Headers, Responder, Stopping, WriteError};

use crate::bytes::{array, copied, input, transom_field};
use crate::error::{report, transom_error};
use crate::events::{EventQueue, Notice, transom_event_kind};
use crate::exchange::Started;
use crate::fields::headers;
use crate::notices::Notices;
use crate::slots::{Handle, Table};
use crate::status::transom_status;
use crate::stops::Stops;
use crate::timeout::duration;

/// Writes the body of a response that transom_responder_start has begun. It belongs to you:
/// end it with transom_writer_finish or transom_writer_free. Any thread may use it. Like a
/// responder, the pointer is a number that is looked up: a writer that has ended is no
/// danger, TRANSOM_ALREADY_ANSWERED.
pub struct transom_writer {
    _nothing: [u8; 0],
}

/// Every writer that has not ended, of all servers.
static WRITERS: Table<Arc<OpenBody>> = Table::new();

/// A body that has not ended. It ends when the last thread that writes to it is done: properly,
/// with trailer fields, if `finished` is set, otherwise it is cut off.
pub(crate) struct OpenBody {
    writer: Option<BodyWriter>,
    /// Holds the request, if its body comes piece by piece. Dropped before the writer: the end of the
    /// response ends the body, and the request must be gone when the callback for its body is woken.
    started: Option<Started>,
    finished: OnceLock<Headers>,
    stops: Stops,
    notices: Notices,
}

impl OpenBody {
    pub fn new(writer: BodyWriter, started: Option<Started>, stopping: Stopping) -> Self {
        Self {
            writer: Some(writer),
            started,
            finished: OnceLock::new(),
            stops: Stops::new(stopping),
            notices: Notices::default(),
        }
    }

    /// Ends the body properly when the last thread that writes to it is done.
    pub fn finish_in_the_end(&self) {
        // If it was set before, it has the trailer fields already.
        let _ = self.finished.set(Headers::new());
    }

    /// Writes to the body, and waits for room for that long.
    pub fn write(&self, data: &[u8], timeout: Option<Duration>) -> Result<(), transom_status> {
        let writer = self.writer.as_ref().ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
        if data.is_empty() { Ok(()) } else { write(writer, data, timeout) }
    }

    /// Writes to the body without waiting, and without a wake.
    fn feed(&self, data: &[u8]) -> Result<(), transom_status> {
        let writer = self.writer.as_ref().ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
        if data.is_empty() {
            return Ok(());
        }
        if writer.send_now(data) {
            return Ok(());
        }
        if !writer.is_ready() {
            writer.flush();
            return Err(transom_status::TRANSOM_WOULD_BLOCK);
        }
        let fed = writer.try_feed(copied(data)?);
        fed.map_err(|error| status_of(error, transom_status::TRANSOM_WOULD_BLOCK))
    }

    /// Has sent what was fed.
    fn flush(&self) {
        self.writer.iter().for_each(BodyWriter::flush);
    }

    /// Returns `true` if nobody reads the body any more.
    pub fn is_gone(&self) -> bool {
        self.writer.as_ref().is_none_or(BodyWriter::is_gone)
    }

    /// Ready when a write would not wait; otherwise the waker is called then.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.writer.as_ref().map_or(Poll::Ready(()), |writer| writer.poll_ready(cx).map(drop))
    }

    /// Ready when nobody reads the body any more; otherwise the waker is called then.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.writer.as_ref().map_or(Poll::Ready(()), |writer| writer.poll_gone(cx))
    }

    /// Returns what is told when the server begins to stop.
    pub fn stops(&self) -> &Stops {
        &self.stops
    }

    /// Returns the event of that kind.
    pub fn notice(&self, queue: &Arc<EventQueue>, kind: transom_event_kind, token: u64) -> Arc<Notice> {
        self.notices.get(queue, kind, token)
    }
}

impl OpenBody {
    /// Ends the body.
    fn finish(&mut self) -> Result<(), transom_status> {
        self.started = None;
        let trailers = self.finished.take().unwrap_or_default();
        let finished = self.writer.take().map(|writer| writer.finish_with(trailers));
        finished.unwrap_or(Ok(())).map_err(|error| status_of(error, transom_status::TRANSOM_GONE))
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.started = None;
        if self.finished.get().is_some() {
            // The result has no reader: each thread has the result of its own write.
            let _ = self.finish();
        }
    }
}

/// Adds a writer to the table. If the table is full, the body is cut off.
pub(crate) fn register(
    writer: BodyWriter,
    started: Option<Started>,
    stopping: Stopping,
) -> Result<Handle, transom_status> {
    let open = Arc::new(OpenBody::new(writer, started, stopping));
    WRITERS.insert(open).map_err(|_| transom_status::TRANSOM_IO)
}

/// Returns the handle that the pointer is; it must not be NULL.
fn handle(writer: *const transom_writer) -> Result<Handle, transom_status> {
    Handle::from_pointer(writer).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)
}

/// Returns the body of a writer that has not ended.
pub(crate) fn find(writer: *const transom_writer) -> Result<Arc<OpenBody>, transom_status> {
    WRITERS.look(handle(writer)?, Arc::clone)
}

/// Writes `len` bytes to the body, which are copied or sent at once. `len` may be TRANSOM_NUL_TERMINATED. If
/// the client reads more slowly than you write, this waits for room for at most `timeout_ms`
/// milliseconds. 0 does not wait. TRANSOM_FOREVER is no limit: if the client reads too slowly
/// for the timeout "write" of the server, the wait ends with TRANSOM_GONE. After an error,
/// none of the bytes are sent.
///
/// Errors after which you may write again: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and
/// TRANSOM_TIMEOUT, when there is no room (transom_writer_on_writable tells when there is);
/// TRANSOM_NO_MEMORY; TRANSOM_BODY_TOO_LONG if the bytes go beyond the Content-Length of the
/// response.
///
/// Other errors: TRANSOM_GONE if nobody reads the body any more (free the writer);
/// TRANSOM_WOULD_DEADLOCK if this would have to wait in an inline handler or in a callback,
/// because the thread that makes room is the one that would wait; TRANSOM_ALREADY_ANSWERED if
/// the writer has ended.
///
/// In the models "threads" and "sequential", a handler may write piece by piece on its own
/// thread: the thread goes on to serve its connection while it waits here, and sends each piece
/// before this returns.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_write(
    writer: *mut transom_writer,
    data: *const c_void,
    len: usize,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        let handle = handle(writer)?;
        // SAFETY: NULL or valid, by the contract.
        let data = unsafe { input(data, len) }?;
        let timeout = duration(timeout_ms)?;
        let open = WRITERS.look(handle, Arc::clone)?;
        open.write(data, timeout)?;
    })
}

/// Writes to the body as transom_writer_write does with a timeout of 0, and leaves it to
/// transom_writer_flush to have it sent. Use this for several pieces, or for many bodies at once: the threads
/// of the server are then woken once. Until the flush, the bytes may be sent at any time. If there is no room,
/// those before are sent.
///
/// Errors: as transom_writer_write with a timeout of 0.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_feed(
    writer: *mut transom_writer,
    data: *const c_void,
    len: usize,
) -> transom_status {
    checked!({
        let handle = handle(writer)?;
        // SAFETY: NULL or valid, by the contract.
        let data = unsafe { input(data, len) }?;
        WRITERS.look(handle, Arc::clone)?.feed(data)?;
    })
}

/// Has the bytes sent that transom_writer_feed has written to `count` bodies, and wakes each thread of the
/// server at most once. It does not wait. A writer that has ended, and NULL, have nothing to send.
///
/// Errors: TRANSOM_NULL_ARGUMENT if `writers` is NULL and `count` is not 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_flush(
    writers: *const *mut transom_writer,
    count: usize,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let writers = unsafe { array(writers, count) }?;
        let open = writers.iter().filter_map(|writer| find(*writer).ok());
        Responder::batch(|| open.for_each(|open| open.flush()));
    })
}

/// Writes to the body, at first without waiting.
pub(crate) fn write(
    writer: &BodyWriter,
    data: &[u8],
    timeout: Option<Duration>,
) -> Result<(), transom_status> {
    if writer.send_now(data) {
        return Ok(());
    }
    if timeout == Some(Duration::ZERO) && !writer.is_ready() {
        // Before the bytes are copied: a host that waits for room tries each write twice.
        return Err(transom_status::TRANSOM_WOULD_BLOCK);
    }
    let data = copied(data)?;
    match writer.try_write(data.clone()) {
        Err(WriteError::WouldBlock) if timeout != Some(Duration::ZERO) => {}
        tried => return tried.map_err(|error| status_of(error, transom_status::TRANSOM_WOULD_BLOCK)),
    }
    let written = writer.write_blocking(data, timeout);
    written.map_err(|error| status_of(error, transom_status::TRANSOM_TIMEOUT))
}

/// Returns the status for an error of the core; `without_room` is the one for no room.
fn status_of(error: WriteError, without_room: transom_status) -> transom_status {
    match error {
        WriteError::WouldBlock => without_room,
        WriteError::WouldDeadlock => transom_status::TRANSOM_WOULD_DEADLOCK,
        WriteError::TooLong => transom_status::TRANSOM_BODY_TOO_LONG,
        WriteError::TooShort => transom_status::TRANSOM_BODY_TOO_SHORT,
        _ => transom_status::TRANSOM_GONE,
    }
}

/// Ends the body after its last byte was written, and frees the writer, whatever it returns.
/// If another thread is in transom_writer_write, the body ends after its bytes, and this
/// returns TRANSOM_OK.
///
/// TRANSOM_OK means that the library has the whole body to send, not that the client has it.
///
/// Errors: TRANSOM_BODY_TOO_SHORT if less was written than the Content-Length of the response
/// says: the connection is then closed, so that the client notices; TRANSOM_GONE if the
/// client left or the response was cut off before everything was sent;
/// TRANSOM_ALREADY_ANSWERED if the writer has ended.
#[unsafe(no_mangle)]
pub extern "C" fn transom_writer_finish(writer: *mut transom_writer) -> transom_status {
    checked!({ finish(handle(writer)?, Headers::new())? })
}

/// Like transom_writer_finish, but sends trailer fields after the body (RFC 9110 6.5), such as a
/// checksum of what was written. They are sent only to clients that speak HTTP/1.1, and only after
/// a body of unknown length. Announce them with the field "trailer" of the response:
/// {"trailer", "x-sum"}. Fields that must not be trailers are left out, with a message in the log:
/// those that frame a message or tell what to do with it, such as Content-Type and Set-Cookie.
///
/// Errors: as transom_writer_finish. After TRANSOM_BAD_HEADER, for a malformed field, and
/// TRANSOM_NULL_ARGUMENT, the writer can still be used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_finish_with(
    writer: *mut transom_writer,
    fields: *const transom_field,
    field_count: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        let handle = handle(writer)?;
        // SAFETY: NULL or valid, by the contract.
        let trailers = unsafe { headers(fields, field_count) }?;
        Ok(finish(handle, trailers)?)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Ends a body, now or when the threads that write to it are done.
fn finish(handle: Handle, trailers: Headers) -> Result<(), transom_status> {
    let open = WRITERS.take(handle)?;
    // Nobody else has taken the writer, so this is the first.
    let _ = open.finished.set(trailers);
    Arc::into_inner(open).map_or(Ok(()), |mut open| open.finish())
}

/// Frees a writer. If the body was not finished, the response is cut off, so that the client
/// does not take a part for the whole. If another thread waits in transom_writer_write, it
/// goes on waiting, and the response is cut off after its bytes. Does nothing with NULL.
#[unsafe(no_mangle)]
pub extern "C" fn transom_writer_free(writer: *mut transom_writer) {
    guard!((), {
        if let Some(open) = Handle::from_pointer(writer).and_then(|handle| WRITERS.take(handle).ok()) {
            drop(open);
        }
    });
}
