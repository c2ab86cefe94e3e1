//! A connection that has left HTTP after a 101 response (RFC 9110 7.8).

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};

use super::Peer;
use super::client::Client;
use crate::base::stopping::Stopping;

/// A connection that no longer speaks HTTP; see
/// [`Response::upgrade`](super::Response::upgrade).
///
/// The first bytes to read are those that the client sent after its request. A read has no deadline,
/// because such a connection may be quiet. The peer must take what is written at the least rate
/// [`Limits::write_rate`](crate::Limits::write_rate): after
/// [`Timeouts::write`](crate::Timeouts::write) of waiting, a write fails with `TimedOut`. A stop
/// cuts the connection at its deadline; [`stopping`](Self::stopping) waits for the stop to begin.
pub struct Upgraded {
    stream: Box<dyn ByteStream>,
    early: Vec<u8>,
    taken: usize,
    client: Arc<Client>,
}

/// A stream of bytes in both directions.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Pending if the stream knows, without a system call, that there is nothing to read.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Sets the timer to ring so long from now, or not at all.
    fn set_timer(&mut self, after: Option<Duration>);

    /// Ready once the timer has rung.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The function that runs once the 101 is sent, and the protocol it speaks.
pub(crate) struct Upgrade {
    pub protocol: String,
    pub run: Box<dyn FnOnce(Upgraded) -> Task + Send>,
}

impl Upgraded {
    /// Returns an upgraded connection. `early` holds bytes that were read from the stream already.
    pub(crate) fn new(stream: Box<dyn ByteStream>, early: Vec<u8>, client: &Arc<Client>) -> Self {
        Self { stream, early, taken: 0, client: Arc::clone(client) }
    }

    /// Returns a future that is ready when the server begins to stop, at once if the stop has
    /// begun. The handler can then end its protocol in order before the deadline of the stop.
    pub fn stopping(&self) -> Stopping {
        self.client.stopping()
    }

    /// Returns the address of the other end of the connection.
    pub fn peer(&self) -> Peer {
        self.client.peer
    }

    /// Pending if it is known, without a system call, that there is nothing to read; the task is then
    /// woken when bytes have come. Ready if there may be bytes. A protocol that asks before it reads
    /// needs no buffer while its connection is idle.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use futures_lite::{AsyncReadExt, AsyncWriteExt};
    /// use transom::{Response, Upgraded};
    ///
    /// Response::upgrade("echo", async |mut stream: Upgraded| {
    ///     loop {
    ///         poll_fn(|cx| stream.poll_readable(cx)).await;
    ///         let mut buffer = vec![0; 16 * 1024]; // not while nothing comes
    ///         match stream.read(&mut buffer).await {
    ///             Ok(length @ 1..) if stream.write_all(&buffer[..length]).await.is_ok() => {}
    ///             _ => return,
    ///         }
    ///     }
    /// });
    /// ```
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.early.is_empty() { self.stream.poll_readable(cx) } else { Poll::Ready(()) }
    }

    /// Sets the connection's timer to ring so long from now, or not at all. It has one timer, which
    /// costs less than [`sleep`](crate::sleep) and is exact to some milliseconds.
    pub fn set_timer(&mut self, after: Option<Duration>) {
        self.stream.set_timer(after);
    }

    /// Ready once the timer has rung, until it is set again.
    pub fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_timer(cx)
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let early = &self.early[self.taken..];
        if early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = early.len().min(buffer.len());
        buffer[..length].copy_from_slice(&early[..length]);
        self.taken += length;
        if self.taken == self.early.len() {
            (self.early, self.taken) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("early", &(self.early.len() - self.taken)).finish_non_exhaustive()
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upgrade({:?})", self.protocol)
    }
}
