//! Transports: the byte streams, with a clock, that connections run over.

use std::fs::File;
use std::io;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};

use crate::base::shortcut::{SharedReads, SharedSocket};
use crate::message::ConnectionFacts;

/// A byte stream with a clock. Each model of serving brings its own.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Returns the time that deadlines and the Date field count from. A transport may return
    /// the time at which the thread's turn began, some milliseconds ago.
    fn now(&self) -> Instant;

    /// Returns the time from `start` to [`now`](Self::now).
    fn now_since(&self, start: Instant) -> Duration {
        self.now().saturating_duration_since(start)
    }

    /// Ready once `at` has passed. Until then, the transport wakes the task at that time. A task
    /// may poll several deadlines in one turn.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;

    /// Pending if the transport knows, without a system call, that there is nothing to read. The
    /// connection then needs no buffer yet, and the task is woken when bytes have come.
    fn poll_readable(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Sends up to `most` bytes of a file, from offset `at` on, without copying them through
    /// the program. Returns how many were sent: 0 if the file ends there. The error is
    /// `Unsupported` if the transport cannot do that now, or with that file.
    fn poll_send_file(
        &mut self,
        _cx: &mut Context<'_>,
        _file: &File,
        _at: u64,
        _most: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Returns how many written bytes the transport holds back until it is flushed, as TLS does.
    /// `None` if it may hold some back and cannot tell. The pace of the client is measured with
    /// this.
    fn held(&self) -> Option<usize> {
        Some(0)
    }

    /// Returns `true` if other clients wait for this connection to end, as in the sequential
    /// model. The connection then closes after its answer. This must be cheap.
    fn is_waited_for(&self) -> bool {
        false
    }

    /// Returns `true` if dropping the transport closes it in order: a close before that would
    /// add nothing.
    fn is_closed_by_drop(&self) -> bool {
        false
    }

    /// Returns the connection's socket, if it has one.
    fn facts(&self) -> Option<Weak<dyn ConnectionFacts>> {
        None
    }

    /// Returns the connection's socket, if any thread may write to it what the connection would write.
    fn shared_socket(&self) -> Option<Arc<dyn SharedSocket>> {
        None
    }

    /// Lends the read side of the connection's socket to another thread, if it has one. Until
    /// [`end_loan`](Self::end_loan), [`poll_readable`](Self::poll_readable) is ready only once the client has
    /// closed, or the connection is broken.
    fn lend_reads(&mut self) -> Option<Arc<dyn SharedReads>> {
        None
    }

    /// Takes the read side back.
    fn end_loan(&mut self) {}

    /// Makes the close of the connection a reset, where the transport has resets, or an ordinary
    /// close again. A reset tells the client that bytes are missing.
    fn reset_on_close(&mut self, _reset: bool) {}
}

/// A transport whose type is chosen while the server runs.
impl Transport for Box<dyn Transport> {
    fn now(&self) -> Instant {
        (**self).now()
    }

    fn now_since(&self, start: Instant) -> Duration {
        (**self).now_since(start)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        (**self).poll_deadline(cx, at)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        (**self).poll_readable(cx)
    }

    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &File,
        at: u64,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        (**self).poll_send_file(cx, file, at, most)
    }

    fn held(&self) -> Option<usize> {
        (**self).held()
    }

    fn is_waited_for(&self) -> bool {
        (**self).is_waited_for()
    }

    fn is_closed_by_drop(&self) -> bool {
        (**self).is_closed_by_drop()
    }

    fn facts(&self) -> Option<Weak<dyn ConnectionFacts>> {
        (**self).facts()
    }

    fn shared_socket(&self) -> Option<Arc<dyn SharedSocket>> {
        (**self).shared_socket()
    }

    fn lend_reads(&mut self) -> Option<Arc<dyn SharedReads>> {
        (**self).lend_reads()
    }

    fn end_loan(&mut self) {
        (**self).end_loan();
    }

    fn reset_on_close(&mut self, reset: bool) {
        (**self).reset_on_close(reset);
    }
}
