//! The server's end of a connection in memory: what the client writes is a body, and what the server
//! writes is another.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite, Stream as _};
use transom::{Body, BodyWriter, Bytes};

/// The most bytes of one write.
const PIECE: usize = 64 * 1024;

/// A connection that the host brings, as the server reads and writes it.
pub(crate) struct Brought {
    requests: Body,
    /// Bytes that the client has sent and the server has not read.
    rest: Bytes,
    /// `None` once the server has closed its sending side. Dropping it open resets the connection.
    responses: Option<BodyWriter>,
}

impl Brought {
    pub fn new(requests: Body, responses: BodyWriter) -> Self {
        Self { requests, rest: Bytes::new(), responses: Some(responses) }
    }
}

impl AsyncRead for Brought {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.rest.is_empty() {
            self.rest = match ready!(Pin::new(&mut self.requests).poll_next(cx)) {
                None => return Poll::Ready(Ok(0)),
                Some(Ok(piece)) => piece,
                // The client was freed before it has closed its sending side.
                Some(Err(_)) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        }
        let length = self.rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Brought {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(responses) = &self.responses else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let length = bytes.len().min(PIECE);
        // Nobody else writes, so there is room until the bytes are there.
        let sent = match ready!(responses.poll_ready(cx)) {
            Ok(()) => responses.try_write(Bytes::copy_from_slice(&bytes[..length])),
            gone => gone,
        };
        Poll::Ready(sent.map(|()| length).map_err(|_| io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(responses) = self.responses.take() {
            // The client may have left before.
            let _ = responses.finish();
        }
        Poll::Ready(Ok(()))
    }
}
