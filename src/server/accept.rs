//! Accepting connections, in whatever way the model waits for them.

use std::future::poll_fn;
use std::io;
#[cfg(target_os = "linux")]
use std::net::SocketAddr;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use log::Level;

use super::address::Bound;
use crate::base::descriptor::apart;
use crate::base::guard::Seldom;
use crate::message::Peer;

/// How long accepting rests when the system is out of descriptors or memory.
const RETRY_AFTER_ERROR: Duration = Duration::from_millis(100);

/// An accepted connection, which does not block.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Bound {
    /// Takes a connection from the backlog, if there is one; `WouldBlock` if not.
    #[cfg(target_os = "linux")]
    pub fn accept(&self) -> io::Result<(Socket, Peer)> {
        use rustix::net::{SocketFlags, acceptfrom_with};
        let (socket, address) = acceptfrom_with(self, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        let socket = apart(socket)?;
        match self {
            Self::Tcp(_) => {
                let address = address.and_then(|address| SocketAddr::try_from(address).ok());
                let peer = address.map_or(Peer::Unknown, Peer::Tcp);
                Ok((Socket::Tcp(socket.into()), peer))
            }
            Self::Unix(_) => Ok((Socket::Unix(socket.into()), Peer::Unix)),
        }
    }

    /// The same in more system calls, where accept4(2) is not there.
    #[cfg(not(target_os = "linux"))]
    pub fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                let stream = apart(stream)?;
                stream.set_nonblocking(true)?;
                let _ = stream.set_nodelay(true);
                Ok((Socket::Tcp(stream), Peer::Tcp(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                let stream = apart(stream)?;
                stream.set_nonblocking(true)?;
                Ok((Socket::Unix(stream), Peer::Unix))
            }
        }
    }
}

/// Connections that are being told that there is no room for them.
#[derive(Clone, Default)]
pub(super) struct Refusals(Arc<()>);

impl Refusals {
    /// Beyond so many, connections are just closed.
    const MAX: usize = 64;

    /// One more, until it is dropped, if there may be one.
    pub fn begin(&self) -> Option<Self> {
        (Arc::strong_count(&self.0) <= Self::MAX).then(|| self.clone())
    }
}

/// A listener as a model waits for it.
pub(super) trait Acceptor: Send {
    /// The next connection. The task is woken when one comes.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>>;

    /// Ready at that time.
    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;

    /// Tells that there is no room for a connection.
    fn told(&self) -> &Seldom;
}

/// The next connection, whatever it takes: when the system has no room for one,
/// it says so once, and no more than once a second for all that come, and tries on. Before each try it calls `make_room`.
pub(super) async fn accept(acceptor: &mut impl Acceptor, mut make_room: impl FnMut()) -> (Socket, Peer) {
    let mut failing = false;
    loop {
        let accepted = poll_fn(|cx| {
            let accepted = acceptor.poll_accept(cx);
            // There is room again, though another thread took who waited.
            failing &= accepted.is_ready();
            accepted
        });
        match accepted.await {
            Ok(accepted) => return accepted,
            // The client left before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    let line = format_args!("cannot accept connections: {error}; trying on");
                    acceptor.told().tell(Level::Error, line);
                }
                make_room();
                let until = Instant::now() + RETRY_AFTER_ERROR;
                poll_fn(|cx| acceptor.poll_at(cx, until)).await;
            }
        }
    }
}
