//! What a connection needs of the world: bytes both ways, and the time.

use std::fs::File;
use std::io;
use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_lite::{AsyncRead, AsyncWrite};

use crate::message::ConnectionFacts;

/// A byte stream with a clock. Each model of serving brings its own.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// The time by which deadlines are set and answers are dated. It may be that of
    /// the thread's turn: some milliseconds ago.
    fn now(&self) -> Instant;

    /// Ready once `at` has passed; before, it sees to it that the task is woken
    /// by then. Several deadlines may be asked for in one turn.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;

    /// Pending if there is nothing to read, as far as is known without trying: then a
    /// buffer to read into is of no use yet, and the task is woken when there is.
    fn poll_readable(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Sends up to so many octets of a file from that place on, which do not pass through
    /// the program, and says how many: 0 if there are none. `Unsupported` if it cannot, now
    /// or with that file.
    fn poll_send_file(
        &mut self,
        _cx: &mut Context<'_>,
        _file: &File,
        _at: u64,
        _most: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Bytes that were written and that it holds back until it is flushed, as TLS does;
    /// `None` if it may hold some back and cannot tell. By that it is known how fast a
    /// client takes its response.
    fn held(&self) -> Option<usize> {
        Some(0)
    }

    /// Whether somebody waits for this connection to end, as far as can be seen at a
    /// glance: then it is not kept.
    fn is_waited_for(&self) -> bool {
        false
    }

    /// Whether dropping it closes it in order, so that closing it first adds nothing.
    fn is_closed_by_drop(&self) -> bool {
        false
    }

    /// Returns the connection's socket, if it has one, to learn facts of.
    fn facts(&self) -> Option<Weak<dyn ConnectionFacts>> {
        None
    }

    /// Makes the coming close a reset, where there is such a thing, or an
    /// ordinary close again. With a reset, what the client has not taken is
    /// dropped, and it can tell that something is missing.
    fn reset_on_close(&mut self, _reset: bool) {}
}

/// A transport whose type is chosen while the server runs.
impl Transport for Box<dyn Transport> {
    fn now(&self) -> Instant {
        (**self).now()
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

    fn reset_on_close(&mut self, reset: bool) {
        (**self).reset_on_close(reset);
    }
}
