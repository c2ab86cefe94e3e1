//! Accepting connections: the system call, and what every model does when it fails.
//!
//! Each model waits for the next connection in its own way ([`Acceptor`]).

use std::future::poll_fn;
use std::io;
#[cfg(target_os = "linux")]
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_lite::future;
use log::Level;

use super::lane::Lane;
use super::opening::Steps;
use super::socket::Bound;
use crate::base::guard::RateLimitedLog;
use crate::message::Peer;
#[cfg(not(target_os = "linux"))]
use crate::system::quiet;
use crate::system::{UnixStream, apart};

/// The pause after an accept that failed because the system has no descriptors or no memory.
const RETRY_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Connections that are accepted in a row before other tasks of the thread have their turn, such as the one
/// that waits for a stop.
pub(super) const ACCEPTS_PER_TURN: usize = 32;

/// An accepted, non-blocking socket.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// An accepted connection.
pub(super) struct Accepted {
    pub socket: Socket,
    pub peer: Peer,
    /// The steps before HTTP, if the listener has any.
    pub steps: Option<Arc<Steps>>,
    /// The lane of the listener, if it has one.
    pub lane: Option<Arc<Lane>>,
}

impl Accepted {
    /// Returns `true` if the client understands an answer now. During a TLS handshake it does not.
    pub fn hears_http(&self) -> bool {
        self.steps.as_ref().is_none_or(|steps| steps.tls.is_none())
    }
}

impl Bound {
    /// Takes one connection from the backlog. `WouldBlock` if there is none.
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

    /// Takes one connection from the backlog, on systems without accept4(2).
    #[cfg(not(target_os = "linux"))]
    pub fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().map_err(without_address)?;
                let stream = apart(stream)?;
                quiet(&stream).map_err(left)?;
                stream.set_nonblocking(true)?;
                let _ = stream.set_nodelay(true);
                Ok((Socket::Tcp(stream), Peer::Tcp(peer)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                let stream = apart(stream)?;
                quiet(&stream).map_err(left)?;
                stream.set_nonblocking(true)?;
                Ok((Socket::Unix(stream), Peer::Unix))
            }
        }
    }
}

/// An error of a connection that its client has reset: some systems then refuse to set its options.
#[cfg(not(target_os = "linux"))]
fn left(error: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, error)
}

/// Returns the error of an accept. Some systems give no address of a client that has left, which the
/// standard library reports with an error of its own.
#[cfg(not(target_os = "linux"))]
fn without_address(error: io::Error) -> io::Error {
    if error.raw_os_error().is_none() { left(error) } else { error }
}

/// Returns `true` if an accept failed because of the connection that it took: the client left before, or the
/// network between failed (accept(2), "Error handling"). Windows has its own numbers for that, and Wine too.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, NetworkUnreachable, NotConnected, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | HostUnreachable | NetworkUnreachable | NotConnected | TimedOut
    )
}

/// Counts the connections that are being answered with a refusal.
#[derive(Clone, Default)]
pub(super) struct Refusals(Arc<()>);

impl Refusals {
    /// The most refusals in progress. The next refused connection is closed without an answer.
    const MAX: usize = 64;

    /// Counts one more refusal until the returned value is dropped; `None` at the maximum.
    pub fn begin(&self) -> Option<Self> {
        (Arc::strong_count(&self.0) <= Self::MAX).then(|| self.clone())
    }
}

/// Listeners on the reactor of a model.
pub(super) trait Acceptor: Send {
    /// Returns the next connection, or wakes the task when one comes.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>>;

    /// Ready once `at` has passed.
    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;

    /// The log for failed accepts, which writes at most once a second.
    fn told(&self) -> &RateLimitedLog;
}

/// Waits for the next connection.
///
/// When the system has no descriptors or no memory for a connection, this logs an error,
/// calls `make_room`, and tries again after a pause.
pub(super) async fn accept(acceptor: &mut impl Acceptor, mut make_room: impl FnMut()) -> Accepted {
    let mut failing = false;
    loop {
        let accepted = poll_fn(|cx| {
            let accepted = acceptor.poll_accept(cx);
            // Pending means that the system has room again: another thread took the client.
            failing &= accepted.is_ready();
            accepted
        });
        match accepted.await {
            Ok(accepted) => return accepted,
            // Others have their turn, however many clients leave before they are accepted.
            Err(error) if is_of_one_connection(&error) => future::yield_now().await,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    let line = format_args!("cannot accept connections: {error}; will try again");
                    acceptor.told().log(Level::Error, line);
                }
                make_room();
                let until = Instant::now() + RETRY_AFTER_ERROR;
                poll_fn(|cx| acceptor.poll_at(cx, until)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Waker;

    /// Listeners whose clients all leave before they are accepted.
    struct Deserted {
        asked: usize,
        how: io::ErrorKind,
        told: RateLimitedLog,
    }

    impl Deserted {
        fn new(how: io::ErrorKind) -> Self {
            Self { asked: 0, how, told: RateLimitedLog::default() }
        }
    }

    impl Acceptor for Deserted {
        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
            self.asked += 1;
            // So that the test ends if it fails.
            if self.asked > 1_000 { Poll::Pending } else { Poll::Ready(Err(self.how.into())) }
        }

        fn poll_at(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
            Poll::Pending
        }

        fn told(&self) -> &RateLimitedLog {
            &self.told
        }
    }

    #[test]
    fn clients_that_leave_before_they_are_accepted_keep_no_other_task_waiting() {
        let mut listeners = Deserted::new(io::ErrorKind::ConnectionAborted);
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(pin!(accept(&mut listeners, || ())).as_mut().poll(cx).is_pending());
        assert!(listeners.asked <= ACCEPTS_PER_TURN, "{} times in a row", listeners.asked);
    }

    #[test]
    fn a_client_that_leaves_in_any_way_before_it_is_accepted_pauses_no_listener() {
        use io::ErrorKind::{
            ConnectionAborted, ConnectionReset, HostUnreachable, NetworkUnreachable, NotConnected, TimedOut,
        };
        for how in
            [ConnectionAborted, ConnectionReset, HostUnreachable, NetworkUnreachable, NotConnected, TimedOut]
        {
            let mut listeners = Deserted::new(how);
            let cx = &mut Context::from_waker(Waker::noop());
            let mut accepting =
                Box::pin(accept(&mut listeners, || panic!("{how:?} closes other connections")));
            for _ in 0..10 {
                assert!(accepting.as_mut().poll(cx).is_pending());
            }
            drop(accepting);
            // A pause would not end.
            assert_eq!(listeners.asked, 10, "{how:?}");
        }
    }

    #[test]
    fn a_listener_pauses_when_the_system_has_no_room() {
        let (mut listeners, mut rooms) = (Deserted::new(io::ErrorKind::OutOfMemory), 0);
        let cx = &mut Context::from_waker(Waker::noop());
        let mut accepting = Box::pin(accept(&mut listeners, || rooms += 1));
        for _ in 0..10 {
            assert!(accepting.as_mut().poll(cx).is_pending());
        }
        drop(accepting);
        assert_eq!((listeners.asked, rooms), (1, 1));
    }
}
