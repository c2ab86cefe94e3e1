//! A connected socket in a reactor.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use super::ready::Way;
use super::{Reactor, Watch};

/// A stream socket, TCP or Unix. Writing to one that is closed is an error and
/// never a signal.
pub(crate) struct Stream {
    /// Forgotten before the descriptor is closed.
    watch: Watch,
    socket: OwnedFd,
}

impl Stream {
    /// Takes over a socket that does not block.
    pub fn new(reactor: &Reactor, socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { watch: reactor.watch(&socket)?, socket })
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buffer.len();
        self.watch.poll_some(cx, Way::Read, room, || {
            Ok(rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty())?.0)
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.watch
            .poll_io(cx, Way::Write, |_| Ok(rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL)?))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next()) {
            return self.poll_write(cx, only);
        }
        self.watch.poll_io(cx, Way::Write, |_| {
            let mut none = SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(&self.socket, slices, &mut none, SendFlags::NOSIGNAL)?)
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(&self.socket, Shutdown::Write) {
            // The other end was faster.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}
