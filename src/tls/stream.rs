//! A transport that encrypts what another transport carries.

use std::fs::File;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};

use super::records::{MOST, MOST_INCOMING, Progress, RECORD, Records};
use crate::base::buffer::Buffer;
use crate::conn::Transport;
use crate::message::ConnectionFacts;

/// The stream of a TLS connection, over another transport.
pub(crate) struct TlsStream<T> {
    pub(super) transport: T,
    pub(super) records: Records,
    /// True once the client sends nothing more: it has closed in order, or the transport has ended.
    ///
    /// Both count as the end. A request has a length or chunks, so it cannot be cut short unnoticed, and
    /// many clients close the transport alone.
    has_ended: bool,
}

/// Reads in a row that bring no data, before other connections of the thread have their turn.
pub(super) const READS_PER_TURN: usize = 8;

impl<T: Transport> TlsStream<T> {
    pub(super) fn new(transport: T, records: Records) -> Self {
        Self { transport, records, has_ended: false }
    }

    /// Reads once from the transport into `incoming`. 0 is the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let incoming = &mut self.records.incoming;
        if incoming.len() >= MOST_INCOMING {
            self.records.has_failed = true;
            let reason = "a message of the handshake is too long";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        let mut polled = Poll::Pending;
        if self.transport.poll_readable(cx).is_ready() {
            let room = incoming.room().ok_or(io::ErrorKind::OutOfMemory)?;
            polled = Pin::new(&mut self.transport).poll_read(cx, room);
        }
        if polled.is_pending() {
            incoming.release();
        }
        let length = ready!(polled)?;
        incoming.filled(length);
        Poll::Ready(Ok(length))
    }

    /// Sends all of `outgoing`.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &mut self.records.outgoing;
        while !outgoing.is_empty() {
            let length = ready!(Pin::new(&mut self.transport).poll_write(cx, outgoing.as_slice()))?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            outgoing.consume(length);
        }
        outgoing.release();
        Poll::Ready(Ok(()))
    }

    /// Sends all of `outgoing`, and what the transport holds back.
    pub(super) fn poll_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    /// Decrypts into `buffer`. Pending if no record with data is whole.
    fn process(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let processed = self.records.process(buffer);
        // An alert, or an answer to a record of the client. What does not leave now leaves with the next
        // write. A client cannot ask for many: rustls answers one new key, and declines one renegotiation.
        if !self.records.outgoing.is_empty() {
            let _ = self.poll_all(cx);
        }
        let (length, progress) = processed?;
        self.has_ended |= progress == Progress::PeerClosed;
        if length > 0 || self.has_ended { Poll::Ready(Ok(length)) } else { Poll::Pending }
    }

    /// Takes the next bytes to write: encrypts them, and sends what leaves now.
    fn accept(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.records.encrypt(bytes)?;
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// Ready once bytes can be taken: those that were taken before have left.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.records.has_failed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.poll_send(cx)
    }
}

impl<T: Transport> AsyncRead for TlsStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let plain = &mut self.records.plain;
        if !plain.is_empty() {
            let length = plain.len().min(buffer.len());
            buffer[..length].copy_from_slice(&plain.as_slice()[..length]);
            plain.consume(length);
            plain.release();
            return Poll::Ready(Ok(length));
        }
        if self.records.has_failed {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        for _ in 0..READS_PER_TURN {
            if self.has_ended {
                return Poll::Ready(Ok(0));
            }
            if self.records.may_hold_record
                && let Poll::Ready(read) = self.process(cx, buffer)
            {
                return Poll::Ready(read);
            }
            self.has_ended = ready!(self.poll_fill(cx))? == 0;
            self.records.may_hold_record = true;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T: Transport> AsyncWrite for TlsStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        self.accept(cx, &bytes[..bytes.len().min(MOST)])
    }

    /// Gathers short slices into one record.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        let Some(first) = slices.iter().find(|slice| !slice.is_empty()) else { return Poll::Ready(Ok(0)) };
        if first.len() >= RECORD {
            return self.accept(cx, &first[..first.len().min(MOST)]);
        }
        let mut record = Buffer::new();
        let room = record.room_for(RECORD).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut length = 0;
        for slice in slices {
            let more = slice.len().min(RECORD - length);
            room[length..length + more].copy_from_slice(&slice[..more]);
            length += more;
        }
        record.filled(length);
        self.accept(cx, record.as_slice())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_all(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.records.close();
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.transport).poll_close(cx)
    }
}

impl<T: Transport> Transport for TlsStream<T> {
    fn now(&self) -> Instant {
        self.transport.now()
    }

    fn now_since(&self, start: Instant) -> Duration {
        self.transport.now_since(start)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.transport.poll_deadline(cx, at)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waits = !self.records.plain.is_empty() || self.records.may_hold_record;
        if waits || self.has_ended || self.records.has_failed {
            return Poll::Ready(());
        }
        self.transport.poll_readable(cx)
    }

    /// Not supported: the bytes of a file are encrypted in the program.
    fn poll_send_file(
        &mut self,
        _cx: &mut Context<'_>,
        _file: &File,
        _at: u64,
        _most: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn held(&self) -> Option<usize> {
        Some(self.records.outgoing.len() + self.transport.held()?)
    }

    fn is_waited_for(&self) -> bool {
        self.transport.is_waited_for()
    }

    fn facts(&self) -> Option<Weak<dyn ConnectionFacts>> {
        self.transport.facts()
    }

    fn reset_on_close(&mut self, reset: bool) {
        self.transport.reset_on_close(reset);
    }
}
