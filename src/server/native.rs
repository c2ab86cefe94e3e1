//! The thread's own reactor, as connections and listeners see it.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::accept::{Acceptor, Socket, accept};
use super::address::{Bound, Listener, SocketFile};
use crate::conn::Transport;
use crate::message::Peer;
use crate::reactor::{Alarm, Reactor, Stream, Watch, Way};

/// A connection on a thread's reactor: the transport of the models that have one.
pub(super) struct Line {
    stream: Stream,
    alarm: Alarm,
    is_tcp: bool,
}

impl Line {
    pub fn new(reactor: &Reactor, socket: Socket) -> io::Result<Self> {
        let (socket, is_tcp): (OwnedFd, _) = match socket {
            Socket::Tcp(socket) => (socket.into(), true),
            Socket::Unix(socket) => (socket.into(), false),
        };
        Ok(Self { stream: Stream::new(reactor, socket)?, alarm: Alarm::new(reactor), is_tcp })
    }
}

impl Transport for Line {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.alarm.poll(cx, at)
    }

    fn reset_on_close(&mut self, reset: bool) {
        if self.is_tcp {
            // A close without lingering is a reset (socket(7), SO_LINGER).
            let _ = socket2::SockRef::from(&self.stream).set_linger(reset.then_some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
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

/// A listener on a thread's reactor.
struct Watched {
    watch: Watch,
    socket: Bound,
    #[expect(dead_code, reason = "goes when the listener goes")]
    file: Option<SocketFile>,
}

impl Watched {
    fn new(reactor: &Reactor, listener: Listener) -> io::Result<Self> {
        let Listener { socket, file, .. } = listener;
        Ok(Self { watch: reactor.watch(&socket)?, socket, file })
    }

    /// Ready when a client waits in the backlog.
    fn poll_waiting(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let tick = ready!(self.watch.poll_ready(cx, Way::Read));
            let mut polled = [PollFd::new(&self.socket, PollFlags::IN)];
            let found = rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
            if found != Ok(0) {
                return Poll::Ready(());
            }
            self.watch.clear(Way::Read, tick);
        }
    }
}

/// All listeners of a server, on the reactor of the thread that accepts.
pub(super) struct Listeners {
    watched: Vec<Watched>,
    alarm: Alarm,
    /// Who is asked first, in turn, so that none is passed over.
    turn: usize,
}

impl Listeners {
    pub fn new(reactor: &Reactor, listeners: Vec<Listener>) -> io::Result<Self> {
        let watched = listeners.into_iter().map(|listener| Watched::new(reactor, listener));
        Ok(Self { watched: watched.collect::<io::Result<_>>()?, alarm: Alarm::new(reactor), turn: 0 })
    }

    /// The next connection of any of them.
    pub async fn accept(&mut self) -> (Socket, Peer) {
        accept(self).await
    }

    /// Ready when a client waits in the backlog of one.
    pub fn poll_waiting(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.watched.iter().any(|listener| listener.poll_waiting(cx).is_ready());
        if waiting { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Listens no more: clients are refused.
    pub fn close(&mut self) {
        self.watched.clear();
    }
}

impl Acceptor for Listeners {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>> {
        let count = self.watched.len();
        self.turn = self.turn.wrapping_add(1);
        for place in 0..count {
            let listener = &self.watched[(self.turn + place) % count];
            if let Poll::Ready(accepted) = listener.watch.poll_io(cx, Way::Read, || listener.socket.accept())
            {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.alarm.poll(cx, at)
    }
}
