//! The stream of an upgraded connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};

use super::Transport;
use super::expired::{Deadline, Expired};
use super::wire::Wire;
use super::write_pace::WritePace;
use crate::message::ByteStream;

/// A transport whose peer must take what is written at the least pace. Without that, a peer
/// that neither reads nor leaves would hold the connection for ever. The peer may be silent for
/// as long as it likes.
pub(super) struct PacedStream<T> {
    transport: T,
    pace: WritePace,
    /// Bytes written since the last flush.
    unflushed: usize,
    timer: Option<Instant>,
    /// Where the deadline is counted, once.
    expired: Option<Arc<Expired>>,
}

impl<T: Transport> PacedStream<T> {
    /// Returns the stream of a connection, and the bytes that were read and not used.
    pub fn of(wire: Wire<'_, T>, expired: &Arc<Expired>) -> (Self, Vec<u8>) {
        let (transport, pace, early) = wire.into_parts();
        (Self { transport, pace, unflushed: 0, timer: None, expired: Some(Arc::clone(expired)) }, early)
    }

    /// Notes the result of a write.
    fn written(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(length)) = polled {
            self.unflushed = self.unflushed.saturating_add(length);
            self.pace.note(&self.transport, length);
        }
        self.hold(cx, polled)
    }

    /// Fails with `TimedOut` once the peer has taken too little for too long.
    fn hold<R>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if polled.is_ready() {
            self.pace.pause(&self.transport);
            return polled;
        }
        match self.pace.wait(&self.transport, self.unflushed) {
            Some(deadline) => {
                ready!(self.transport.poll_deadline(cx, deadline));
                if let Some(expired) = self.expired.take() {
                    expired.add(Deadline::Write);
                }
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            None => Poll::Pending,
        }
    }
}

impl<T: Transport> ByteStream for PacedStream<T> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.poll_readable(cx)
    }

    fn set_timer(&mut self, after: Option<Duration>) {
        self.timer = after.and_then(|after| self.transport.now().checked_add(after));
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.timer {
            Some(at) => self.transport.poll_deadline(cx, at),
            None => Poll::Pending,
        }
    }
}

impl<T: Transport> AsyncRead for PacedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_read(cx, buffer)
    }
}

impl<T: Transport> AsyncWrite for PacedStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.transport).poll_write(cx, bytes);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.transport).poll_write_vectored(cx, slices);
        self.written(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.transport).poll_flush(cx);
        if polled.is_ready() {
            let Self { transport, pace, unflushed, .. } = &mut *self;
            pace.flushed(transport, *unflushed);
            self.unflushed = 0;
        }
        self.hold(cx, polled)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.transport).poll_close(cx);
        self.hold(cx, polled)
    }
}
