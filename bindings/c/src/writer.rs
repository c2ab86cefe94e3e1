//! The writer of a body that is sent in pieces.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use transom::{BodyWriter, WriteError};

use crate::bytes::{copied, input};
use crate::events::{EventQueue, Notice, transom_event_kind};
use crate::slots::{Handle, Table};
use crate::status::transom_status;
use crate::timeout::duration;

/// Fills the body of an answer under way. It is yours: finish it, or free it.
/// It may be used from any thread. Like a responder it is a number in the shape
/// of a pointer: one that was finished or freed is found out.
pub struct transom_writer {
    _nothing: [u8; 0],
}

static WRITERS: Table<Arc<Open>> = Table::new();

/// A body that has not ended. It ends when the last thread that writes to it
/// is done: well if it was finished, else cut off.
pub(crate) struct Open {
    writer: Option<BodyWriter>,
    finished: AtomicBool,
    /// The events that were asked for, each at most once and of the queue that asked last.
    notices: Mutex<Vec<(transom_event_kind, Arc<Notice>)>>,
}

impl Open {
    pub fn is_gone(&self) -> bool {
        self.writer.as_ref().is_none_or(BodyWriter::is_gone)
    }

    /// Ready when a write would not have to wait; else the waker is called then.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.writer.as_ref().map_or(Poll::Ready(()), |writer| writer.poll_ready(cx).map(drop))
    }

    /// Ready when nobody reads any more; else the waker is called then.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.writer.as_ref().map_or(Poll::Ready(()), |writer| writer.poll_gone(cx))
    }

    /// The event of that kind. It is the same each time, so that the writer, too, keeps it
    /// only once.
    pub fn notice(
        &self,
        queue: &Arc<EventQueue>,
        kind: transom_event_kind,
        writer: *const transom_writer,
    ) -> Arc<Notice> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, notice)) = notices.iter().find(|(of, notice)| *of == kind && notice.is_for(queue)) {
            return Arc::clone(notice);
        }
        let notice = Notice::new(queue, kind, writer.addr() as u64);
        notices.retain(|(of, _)| *of != kind);
        notices.push((kind, Arc::clone(&notice)));
        notice
    }
}

impl Open {
    /// Ends the body.
    fn finish(&mut self) -> Result<(), transom_status> {
        let finished = self.writer.take().map(BodyWriter::finish);
        finished.unwrap_or(Ok(())).map_err(|error| status_of(error, transom_status::TRANSOM_GONE))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if *self.finished.get_mut() {
            // Nobody is left to be told: other threads have the outcome of their pieces.
            let _ = self.finish();
        }
    }
}

/// A handle for a writer; with a full table the body is cut off.
pub(crate) fn register(writer: BodyWriter) -> Result<Handle, transom_status> {
    let open =
        Arc::new(Open { writer: Some(writer), finished: AtomicBool::new(false), notices: Mutex::default() });
    WRITERS.insert(open).map_err(|_| transom_status::TRANSOM_IO)
}

fn handle(writer: *const transom_writer) -> Result<Handle, transom_status> {
    Handle::from_pointer(writer).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)
}

/// The body that a writer fills, while that is neither finished nor freed.
pub(crate) fn find(writer: *const transom_writer) -> Result<Arc<Open>, transom_status> {
    WRITERS.look(handle(writer)?, Arc::clone)
}

/// Sends a piece of the body; it is copied. If the client takes less than is
/// written, this waits for room, at most `timeout_ms`: 0 is not at all,
/// TRANSOM_FOREVER for as long as it takes (the timeout "write" ends it). On an
/// error nothing of the piece is sent. `len` may be TRANSOM_NUL_TERMINATED.
///
/// Errors: TRANSOM_WOULD_BLOCK and TRANSOM_TIMEOUT, after which it may be tried
/// again (transom_writer_on_writable tells when); TRANSOM_NO_MEMORY likewise;
/// TRANSOM_BODY_TOO_LONG if the piece goes beyond the Content-Length of the response,
/// after which less may be written; TRANSOM_GONE if nobody reads any more
/// (free the writer);
/// TRANSOM_WOULD_DEADLOCK if it would have to wait in an inline handler, or in
/// the models "threads" and "sequential" in any, since what it waits for is that
/// very thread; TRANSOM_ALREADY_ANSWERED after the end.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_write(
    writer: *mut transom_writer,
    data: *const u8,
    len: usize,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        let handle = handle(writer)?;
        // SAFETY: NULL or valid, by the contract.
        let data = unsafe { input(data, len) }?;
        let timeout = duration(timeout_ms)?;
        let open = WRITERS.look(handle, Arc::clone)?;
        let writer = open.writer.as_ref().ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
        if !data.is_empty() {
            write(writer, data, timeout)?;
        }
    })
}

fn write(writer: &BodyWriter, data: &[u8], timeout: Option<Duration>) -> Result<(), transom_status> {
    if timeout == Some(Duration::ZERO) && !writer.is_ready() {
        // Before it is copied: who is told of room tries each piece twice.
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

fn status_of(error: WriteError, without_room: transom_status) -> transom_status {
    match error {
        WriteError::WouldBlock => without_room,
        WriteError::WouldDeadlock => transom_status::TRANSOM_WOULD_DEADLOCK,
        WriteError::TooLong => transom_status::TRANSOM_BODY_TOO_LONG,
        WriteError::TooShort => transom_status::TRANSOM_BODY_TOO_SHORT,
        _ => transom_status::TRANSOM_GONE,
    }
}

/// Ends the body: all of it has been written. The writer is freed, whatever this
/// returns.
///
/// TRANSOM_OK says that the library has the whole body to send, not that the client
/// has it.
///
/// Errors: TRANSOM_BODY_TOO_SHORT if the response has a Content-Length and less was
/// written: the connection is then closed, so that the client can tell;
/// TRANSOM_GONE if the client left, or the answer was cut off, before all that was
/// written was sent; TRANSOM_ALREADY_ANSWERED. While another thread is still writing,
/// the body ends with its piece, and this returns TRANSOM_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_finish(writer: *mut transom_writer) -> transom_status {
    checked!({
        let open = WRITERS.take(handle(writer)?)?;
        open.finished.store(true, Ordering::Release);
        if let Some(mut open) = Arc::into_inner(open) {
            open.finish()?;
        }
    })
}

/// Gives a body up: unless it was finished, the answer is cut off, so that the
/// client does not take a part for the whole. A thread that waits in
/// transom_writer_write meanwhile waits on, and the end comes after its piece.
/// NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_free(writer: *mut transom_writer) {
    guard!((), {
        if let Some(open) = Handle::from_pointer(writer).and_then(|handle| WRITERS.take(handle).ok()) {
            drop(open);
        }
    });
}
