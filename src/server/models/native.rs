//! Connections and listeners on a thread's own reactor, for the three native models.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::base::guard::RateLimitedLog;
use crate::base::shortcut::{SharedReads, SharedSocket};
use crate::conn::{Transport, close_busy, refuse_busy};
use crate::error::Reject;
use crate::message::{Address, ConnectionFacts, Credentials};
use crate::reactor::{Alarm, Direction, Reactor, Readiness, Stream, Watch};
use crate::server::accept::{Accepted, Acceptor, Refusals, Socket, accept};
use crate::server::facts;
use crate::server::listener::Listener;
use crate::server::shared::Shared;
use crate::server::socket::ListeningSocket;

/// A connection on a thread's reactor: the transport of the native models.
pub(in crate::server) struct NativeStream {
    stream: Stream,
    alarm: Alarm,
    is_tcp: bool,
    /// True if a handler may block the thread. The reactor's time may then be old.
    may_be_held: bool,
    /// The listeners whose clients wait until this connection ends, in the sequential model.
    waited_at: Option<Arc<Vec<SharedListener>>>,
}

impl NativeStream {
    pub fn new(reactor: &Reactor, socket: Socket) -> Self {
        let (socket, is_tcp): (OwnedFd, _) = match socket {
            Socket::Tcp(socket) => (socket.into(), true),
            Socket::Unix(socket) => (socket.into(), false),
        };
        let (stream, alarm) = (Stream::new(reactor, socket), Alarm::new(reactor));
        Self { stream, alarm, is_tcp, may_be_held: false, waited_at: None }
    }

    /// Marks a connection with its own thread, which its handlers may block.
    pub fn alone(self) -> Self {
        Self { may_be_held: true, ..self }
    }

    /// Marks a connection that is served alone, while other clients wait at `listeners`. The
    /// listeners are asked directly: while a handler blocks the thread, no event of a new
    /// client arrives.
    pub fn waited_at(self, listeners: &Arc<Vec<SharedListener>>) -> Self {
        Self { waited_at: Some(Arc::clone(listeners)), ..self.alone() }
    }
}

impl Transport for NativeStream {
    /// Returns the time at which the reactor's turn began, if no handler can block the thread:
    /// reading that time is no system call.
    fn now(&self) -> Instant {
        if self.may_be_held { Instant::now() } else { self.stream.reactor().now() }
    }

    #[inline]
    fn now_since(&self, start: Instant) -> Duration {
        if self.may_be_held { start.elapsed() } else { self.stream.reactor().now_since(start) }
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.alarm.poll(cx, at)
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_readable(cx)
    }

    fn poll_send_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &File,
        at: u64,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        self.stream.poll_send_file(cx, file, at, most)
    }

    fn is_waited_for(&self) -> bool {
        self.waited_at.as_ref().is_some_and(|listeners| listeners.iter().any(has_waiting_client))
    }

    fn is_closed_by_drop(&self) -> bool {
        true
    }

    fn facts(&self) -> Option<Weak<dyn ConnectionFacts>> {
        let owner: Weak<Readiness> = Arc::downgrade(self.stream.owner());
        Some(owner)
    }

    fn shared_socket(&self) -> Option<Arc<dyn SharedSocket>> {
        Some(Arc::clone(self.stream.owner()) as Arc<dyn SharedSocket>)
    }

    fn lend_reads(&mut self) -> Option<Arc<dyn SharedReads>> {
        self.stream.watch_end_only().then(|| Arc::clone(self.stream.owner()) as Arc<dyn SharedReads>)
    }

    fn end_loan(&mut self) {
        self.stream.watch_all();
    }

    fn reset_on_close(&mut self, reset: bool) {
        if self.is_tcp {
            self.stream.reset_on_close(reset);
        }
    }
}

impl AsyncRead for NativeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for NativeStream {
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

impl ConnectionFacts for Readiness {
    fn local_addr(&self) -> Option<Address> {
        facts::local_addr(&self.socket().ok()?).ok()
    }

    fn peer_credentials(&self) -> Option<Credentials> {
        facts::peer_credentials(&self.socket().ok()?)
    }
}

/// Refuses a connection for which there is no room: calls the hook of the embedding program, and
/// answers the client in a task of its own.
pub(in crate::server) fn refuse(
    refusals: &Refusals,
    reactor: &Reactor,
    accepted: Accepted,
    reject: Reject,
    shared: &Arc<Shared>,
) {
    let refusal = refusals.begin().filter(|_| accepted.hears_http());
    let Accepted { socket, peer, .. } = accepted;
    if let Some(refusal) = refusal {
        let (stream, shared) = (NativeStream::new(reactor, socket), Arc::clone(shared));
        reactor.spawn(async move {
            refuse_busy(stream, reject, peer, &shared.app).await;
            drop(refusal);
        });
    } else {
        close_busy(reject, peer, &shared.app);
    }
}

/// A listener from which several threads accept. When one of them closes it, it is closed for
/// all.
pub(in crate::server) type SharedListener = Arc<Mutex<Option<Listener>>>;

/// Makes listeners that several threads can share.
pub(in crate::server) fn share_listeners(listeners: Vec<Listener>) -> Vec<SharedListener> {
    listeners.into_iter().map(|listener| Arc::new(Mutex::new(Some(listener)))).collect()
}

/// A shared listener, registered with a thread's reactor.
struct WatchedListener {
    watch: Watch,
    /// Keeps the descriptor open until this reactor has let go of it.
    socket: Arc<ListeningSocket>,
    listener: SharedListener,
}

impl WatchedListener {
    fn new(reactor: &Reactor, listener: &SharedListener) -> io::Result<Self> {
        let socket = match &*lock(listener) {
            Some(listener) => Arc::clone(&listener.socket),
            None => return Err(io::ErrorKind::NotConnected.into()),
        };
        Ok(Self { watch: reactor.watch_shared(&socket)?, socket, listener: Arc::clone(listener) })
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        self.watch.poll_io(cx, Direction::Read, |_| match &*lock(&self.listener) {
            Some(listener) => listener.accept(),
            // The listener is closed: no client comes.
            None => Err(io::ErrorKind::WouldBlock.into()),
        })
    }

    /// Ready when a client waits in the backlog.
    fn poll_waiting(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let tick = ready!(self.watch.poll_ready(cx, Direction::Read));
            if has_waiting_client(&self.listener) {
                return Poll::Ready(());
            }
            self.watch.clear(Direction::Read, tick);
        }
    }
}

fn lock(listener: &SharedListener) -> MutexGuard<'_, Option<Listener>> {
    listener.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns `true` if a client waits in the backlog.
fn has_waiting_client(listener: &SharedListener) -> bool {
    lock(listener).as_ref().is_some_and(|listener| is_readable(&*listener.socket))
}

/// Returns `true` if there is something to read or to accept now.
fn is_readable(descriptor: &impl AsFd) -> bool {
    let mut polled = [PollFd::new(descriptor, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut polled, Some(&now)).is_ok_and(|count| count > 0)
}

/// All listeners of a server, registered with the reactor of a thread that accepts.
pub(in crate::server) struct Listeners {
    watched: Vec<WatchedListener>,
    alarm: Alarm,
    told: RateLimitedLog,
    /// The listener that is asked first. It changes with each call, so that no listener
    /// starves.
    next: usize,
}

impl Listeners {
    pub fn new(reactor: &Reactor, listeners: &[SharedListener]) -> io::Result<Self> {
        let watched = listeners.iter().map(|listener| WatchedListener::new(reactor, listener));
        let watched = watched.collect::<io::Result<_>>()?;
        Ok(Self { watched, alarm: Alarm::new(reactor), told: RateLimitedLog::default(), next: 0 })
    }

    /// Returns the next connection of any listener. Calls `make_room` when the system has no
    /// descriptors for it.
    pub async fn accept(&mut self, make_room: impl FnMut()) -> Accepted {
        accept(self, make_room).await
    }

    /// Returns a connection that waits already, if there is one.
    pub fn accept_waiting(&mut self) -> Option<Accepted> {
        match self.poll_accept(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(accepted) => accepted.ok(),
            Poll::Pending => None,
        }
    }

    /// Ready when a client waits in the backlog of any listener.
    pub fn poll_waiting(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.watched.iter().any(|listener| listener.poll_waiting(cx).is_ready());
        if waiting { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Closes the listeners for all threads: the system refuses new clients.
    pub fn close(&mut self) {
        for watched in self.watched.drain(..) {
            if let Some(listener) = lock(&watched.listener).take() {
                listener.socket.end();
            }
            watched.watch.unregister(&watched.socket);
        }
    }
}

impl Acceptor for Listeners {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let count = self.watched.len();
        self.next = self.next.wrapping_add(1);
        for offset in 0..count {
            let listener = &self.watched[(self.next + offset) % count];
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.alarm.poll(cx, at)
    }

    fn told(&self) -> &RateLimitedLog {
        &self.told
    }
}
