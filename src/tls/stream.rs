//! A transport that encrypts what another transport carries.

use std::fs::File;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_lite::{AsyncRead, AsyncWrite};

use super::records::{MOST, Progress, RECORD, Records};
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
    /// True once a record was invalid. Nothing more is read or written.
    has_failed: bool,
}

impl<T: Transport> TlsStream<T> {
    pub(super) fn new(transport: T, records: Records) -> Self {
        Self { transport, records, has_ended: false, has_failed: false }
    }

    /// Reads once from the transport into `incoming`. 0 is the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let incoming = &mut self.records.incoming;
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

    /// Decrypts into `buffer`. Pending if no record with data is whole.
    fn process(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let processed = self.records.process(buffer);
        // An answer to a record of the client, such as one for a new key, or an alert. What does not leave
        // now leaves with the next write.
        let sent = self.poll_send(cx);
        let (length, progress) = processed.inspect_err(|_| self.has_failed = true)?;
        self.has_ended |= progress == Progress::PeerClosed;
        if length > 0 || self.has_ended {
            return Poll::Ready(Ok(length));
        }
        // A client that reads nothing is not answered without bound.
        if self.records.outgoing.len() > MOST {
            ready!(sent)?;
        }
        Poll::Pending
    }

    /// Takes the next bytes to write: encrypts them, and sends what leaves now.
    fn accept(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.records.encrypt(bytes).inspect_err(|_| self.has_failed = true)?;
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// Ready once bytes can be taken: those that were taken before have left.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_failed {
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
        if buffer.is_empty() || self.has_failed {
            return Poll::Ready(if self.has_failed { Err(io::ErrorKind::InvalidData.into()) } else { Ok(0) });
        }
        loop {
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
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_failed {
            self.records.close()?;
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.transport).poll_close(cx)
    }
}

impl<T: Transport> Transport for TlsStream<T> {
    fn now(&self) -> Instant {
        self.transport.now()
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.transport.poll_deadline(cx, at)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waits = !self.records.plain.is_empty() || self.records.may_hold_record;
        if waits || self.has_ended || self.has_failed {
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
