//! A connection in memory, for tests and fuzz targets: the server reads and writes a stream,
//! and a test moves the other end by hand.
//!
//! The integration tests include this file by its path, so it names no other file of the
//! crate. It knows nothing of HTTP and reads no clock.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures_lite::{AsyncRead, AsyncWrite};

/// Both directions of one connection.
#[derive(Default)]
pub struct Wire {
    /// Bytes from the client that the server has not read.
    pub inbox: VecDeque<u8>,
    /// True once the client has closed its sending side.
    pub has_ended: bool,
    /// True once the client has broken the connection.
    pub has_reset: bool,
    /// Bytes that the transport holds back until it is flushed; see [`Link::holds`].
    pub held: VecDeque<u8>,
    /// Bytes from the server that the client has not taken.
    pub outbox: VecDeque<u8>,
    /// True once the server has closed its sending side.
    pub is_closed: bool,
    /// Wakes the server's task when the inbox or `has_ended` changes.
    pub reader: Option<Waker>,
    /// Wakes the server's task when there is room in the outbox.
    pub writer: Option<Waker>,
}

/// The network and the client of a connection. They decide how many bytes pass at once, and learn
/// what the server does.
pub trait Link {
    /// Returns the connection.
    fn wire(&mut self) -> &mut Wire;

    /// Returns how many of the bytes that are `ready` one read takes.
    fn read_size(&mut self, ready: usize) -> usize {
        ready
    }

    /// Returns how many of the bytes that are `offered` go to the outbox now. With 0 the
    /// server's task waits until [`Wire::writer`] is woken.
    fn write_size(&mut self, offered: usize) -> usize {
        offered
    }

    /// Returns how many bytes the transport holds back until it is flushed, as TLS does.
    fn holds(&self) -> usize {
        0
    }

    /// Called after the server has read.
    fn on_read(&mut self) {}

    /// Called after that many bytes have gone to the outbox.
    fn on_write(&mut self, _length: usize) {}

    /// Called after the server has closed its sending side.
    fn on_close(&mut self) {}

    /// Called when the server drops the stream.
    fn on_drop(&mut self) {}
}

/// The server's end of a connection.
pub struct DuplexStream<L: Link>(Arc<Mutex<L>>);

impl<L: Link> DuplexStream<L> {
    /// Returns the server's end of the link's connection. There is one for each link.
    pub fn new(link: &Arc<Mutex<L>>) -> Self {
        Self(Arc::clone(link))
    }

    /// Returns the link, locked.
    pub fn link(&self) -> MutexGuard<'_, L> {
        // A handler that panics on purpose must not fail the test that goes on.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves the bytes that the transport holds back to the outbox.
fn poll_held(link: &mut impl Link, cx: &Context<'_>) -> Poll<io::Result<()>> {
    if link.wire().has_reset {
        return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
    }
    loop {
        let offered = link.wire().held.len();
        if offered == 0 {
            return Poll::Ready(Ok(()));
        }
        let length = link.write_size(offered);
        let wire = link.wire();
        if length == 0 {
            wire.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        wire.outbox.extend(wire.held.drain(..length));
        link.on_write(length);
    }
}

impl<L: Link> AsyncRead for DuplexStream<L> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        assert!(!buffer.is_empty(), "a read into an empty buffer looks like the end of the stream");
        let mut link = self.link();
        let wire = link.wire();
        if wire.has_reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if wire.inbox.is_empty() {
            if wire.has_ended {
                return Poll::Ready(Ok(0));
            }
            wire.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let ready = wire.inbox.len().min(buffer.len());
        let length = link.read_size(ready);
        for (to, byte) in buffer.iter_mut().zip(link.wire().inbox.drain(..length)) {
            *to = byte;
        }
        link.on_read();
        Poll::Ready(Ok(length))
    }
}

impl<L: Link> AsyncWrite for DuplexStream<L> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut link = self.link();
        assert!(!link.wire().is_closed, "the server wrote after it closed its sending side");
        if link.wire().has_reset {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let holds = link.holds();
        if holds > 0 {
            if link.wire().held.len() >= holds {
                ready!(poll_held(&mut *link, cx))?;
            }
            let wire = link.wire();
            let length = bytes.len().min(holds - wire.held.len());
            wire.held.extend(&bytes[..length]);
            return Poll::Ready(Ok(length));
        }
        let length = link.write_size(bytes.len());
        let wire = link.wire();
        if length == 0 && !bytes.is_empty() {
            wire.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        wire.outbox.extend(&bytes[..length]);
        link.on_write(length);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_held(&mut *self.link(), cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut link = self.link();
        ready!(poll_held(&mut *link, cx))?;
        link.wire().is_closed = true;
        link.on_close();
        Poll::Ready(Ok(()))
    }
}

impl<L: Link> Drop for DuplexStream<L> {
    fn drop(&mut self) {
        self.link().on_drop();
    }
}
