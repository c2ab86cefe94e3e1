//! Serving on an executor of the embedding program, with the reactor of async-io. On systems other
//! than Linux, this is also the event-driven model.
//!
//! No other file names async-executor, async-io or async-net.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_executor::{Executor, Task};
use async_io::{Async, Timer};
use async_net::TcpStream;
use futures_lite::{AsyncRead, AsyncWrite, FutureExt as _, future};
use log::Level;
use socket2::SockRef;

use crate::base::guard::{RateLimitedLog, guarded};
use crate::conn::{Transport, close_busy, refuse_busy, serve};
use crate::error::{Error, Reject, Result};
use crate::message::{Address, ConnectionFacts, Credentials, Peer};
use crate::server::accept::{ACCEPTS_PER_TURN, Accepted, Acceptor, Refusals, Socket, accept};
use crate::server::drain::{accepting_over, drain, end};
use crate::server::facts;
use crate::server::lane::Lane;
use crate::server::listener::Listener;
use crate::server::opening::{Entry, Opening, Steps};
use crate::server::shared::Shared;
use crate::server::socket::ListeningSocket;
use crate::system::{AsSocket, OwnedSocket, UnixStream, hold_standard};

/// Starts the workers. They end when the server has stopped.
#[cfg(any(not(target_os = "linux"), transom_portable))]
pub(in crate::server) fn start(shared: &Arc<Shared>, listeners: Vec<Listener>, workers: usize) -> Result<()> {
    let executor = Arc::new(Executor::new());
    let listeners = register(listeners)?;
    let (stopped, stop) = async_channel::bounded::<()>(1);
    let main = executor.spawn(run(Arc::clone(shared), Arc::downgrade(&executor), listeners, stopped));
    main.detach();
    for _ in 0..workers {
        let (executor, stop) = (Arc::clone(&executor), stop.clone());
        let worker = move || {
            // The channel closes when the server has stopped.
            let _ = async_io::block_on(executor.run(stop.recv()));
        };
        if let Err(error) = shared.threads.spawn("transom-worker", None, worker) {
            shared.stopper.stop(Duration::ZERO);
            return Err(Error::Thread(error));
        }
    }
    Ok(())
}

/// Serves on the caller's executor until the server has stopped.
///
/// Calls `ready` once clients are served.
pub(in crate::server) async fn serve_here(
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    ready: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let executor = Arc::new(Executor::new());
    let listeners = register(listeners)?;
    ready()?;
    let (stopped, _stop) = async_channel::bounded::<()>(1);
    executor.run(run(shared, Arc::downgrade(&executor), listeners, stopped)).await;
    Ok(())
}

/// Serves one connection on the caller's executor.
pub(in crate::server) async fn serve_stream<S>(shared: &Shared, refusals: &Refusals, stream: S, peer: Peer)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = HostedStream::new(stream);
    match shared.gate.admit(peer, None) {
        Ok(admission) => serve(stream, &shared.app, &admission.session).await,
        Err(reject) => {
            if let Some(_refusal) = refusals.begin() {
                refuse_busy(stream, reject, peer, &shared.app).await;
            } else {
                close_busy(reject, peer, &shared.app);
            }
        }
    }
}

/// Serves one connection on a thread of its own.
pub(in crate::server) fn serve_on_thread<S>(shared: &Arc<Shared>, stream: S, peer: Peer) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let its = Arc::clone(shared);
    let serving = shared.threads.spawn("transom-brought", None, move || {
        future::block_on(serve_stream(&its, &Refusals::default(), stream, peer));
    });
    serving.map_err(Error::Thread)
}

/// A listener on the reactor of async-io.
struct RegisteredListener {
    socket: Async<Arc<ListeningSocket>>,
    address: Address,
    steps: Option<Arc<Steps>>,
    lane: Option<Arc<Lane>>,
    alarm: Alarm,
    told: RateLimitedLog,
}

impl Drop for RegisteredListener {
    fn drop(&mut self) {
        self.socket.get_ref().end();
    }
}

fn register(listeners: Vec<Listener>) -> Result<Vec<RegisteredListener>> {
    let register = |listener: Listener| {
        let address = listener.local_addr().clone();
        Ok(RegisteredListener {
            socket: Async::new_nonblocking(listener.socket)?,
            address,
            steps: listener.steps,
            lane: listener.lane,
            alarm: Alarm::default(),
            told: RateLimitedLog::default(),
        })
    };
    // Keeps descriptors 0 to 2 taken, so that async-io does not get them.
    let _held = hold_standard();
    // The first registration of a process starts the thread of async-io, which panics if the
    // system refuses a thread.
    let registered = guarded("the reactor of async-io", || listeners.into_iter().map(register).collect());
    registered.unwrap_or_else(|| Err(Error::Thread(io::ErrorKind::WouldBlock.into())))
}

impl Acceptor for RegisteredListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        loop {
            match self.socket.get_ref().bound().accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_readable(cx))?;
                }
                accepted => {
                    let (steps, lane) = (self.steps.clone(), self.lane.clone());
                    return Poll::Ready(accepted.map(|(socket, peer)| Accepted {
                        socket,
                        peer,
                        steps,
                        lane,
                    }));
                }
            }
        }
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.alarm.poll(cx, at)
    }

    fn told(&self) -> &RateLimitedLog {
        &self.told
    }
}

/// Runs a server: accepts until it is asked to stop, drains until the deadline, then cuts.
/// Dropping `_stopped` at the end ends the workers.
///
/// The executor owns its tasks until they end. Tasks hold it weakly: if they owned it too, an
/// abandoned executor would never be dropped, nor its listeners and connections.
async fn run(
    shared: Arc<Shared>,
    executor: Weak<Executor<'static>>,
    listeners: Vec<RegisteredListener>,
    _stopped: async_channel::Sender<()>,
) {
    let accepting: Vec<Task<()>> = listeners
        .into_iter()
        .filter_map(|listener| {
            let accepting = accept_all(listener, Arc::clone(&shared), executor.clone());
            Some(executor.upgrade()?.spawn(accepting))
        })
        .collect();
    let spawn = move |task| {
        if let Some(executor) = executor.upgrade() {
            executor.spawn(task).detach();
        }
    };
    // The executor may have several threads, which are the host's.
    shared.watch("the executor".to_owned(), spawn, |_| false);
    let mut alarm = Alarm::default();
    accepting_over(&shared, |cx, at| alarm.poll(cx, at)).await;
    drop(accepting);
    drain_here(&shared).await;
}

/// Drains on the caller's executor, then ends the server.
pub(in crate::server) async fn drain_here(shared: &Shared) {
    let mut alarm = Alarm::default();
    drain(shared, |cx, at| alarm.poll(cx, at)).await;
    end(shared);
}

async fn accept_all(
    mut listener: RegisteredListener,
    shared: Arc<Shared>,
    executor: Weak<Executor<'static>>,
) {
    let refusals = Refusals::default();
    for turn in 1_usize.. {
        if turn % ACCEPTS_PER_TURN == 0 {
            future::yield_now().await;
        }
        let accepted = accept(&mut listener, || shared.gate.make_room()).await;
        let entry = shared.enter(&accepted);
        if let (Err(reject), false) = (&entry, accepted.hears_http()) {
            close_busy(*reject, accepted.peer, &shared.app);
            continue;
        }
        let Accepted { socket, peer, .. } = accepted;
        let admitted = match socket {
            Socket::Tcp(stream) => TcpStream::try_from(stream).map(|stream| {
                admit(HostedStream::socket(stream), peer, entry, &shared, &executor, &refusals);
            }),
            // Nothing is asked of it that TCP alone has, and on Windows async-net has no other type.
            Socket::Unix(stream) => TcpStream::try_from(into_tcp(stream)).map(|stream| {
                let stream = HostedStream::socket_at(stream, listener.address.clone());
                admit(stream, peer, entry, &shared, &executor, &refusals);
            }),
        };
        if let Err(error) = admitted {
            listener.told.log(Level::Error, format_args!("cannot register a connection: {error}"));
        }
    }
}

/// Returns the same socket as a `TcpStream`, which reads and writes sockets of any kind.
fn into_tcp(stream: UnixStream) -> std::net::TcpStream {
    OwnedSocket::from(stream).into()
}

fn admit<S>(
    stream: HostedStream<S>,
    peer: Peer,
    entry: std::result::Result<Entry, Reject>,
    shared: &Arc<Shared>,
    executor: &Weak<Executor<'static>>,
    refusals: &Refusals,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(executor) = executor.upgrade() else { return };
    let shared = Arc::clone(shared);
    match entry {
        Ok(Entry::Opening(opening)) => {
            let serving = async move { open_and_serve(stream, peer, opening, &shared).await };
            executor.spawn(serving).detach();
        }
        Ok(Entry::Admitted(admission)) => {
            executor.spawn(async move { serve(stream, &shared.app, &admission.session).await }).detach();
        }
        Err(reject) => {
            if let Some(refusal) = refusals.begin() {
                let refuse = async move {
                    refuse_busy(stream, reject, peer, &shared.app).await;
                    drop(refusal);
                };
                executor.spawn(refuse).detach();
            } else {
                close_busy(reject, peer, &shared.app);
            }
        }
    }
}

/// Opens a connection, and serves it.
fn open_and_serve(
    stream: impl Transport,
    peer: Peer,
    opening: Opening,
    shared: &Shared,
) -> impl Future<Output = ()> + Send {
    // On the heap, so that connections that are not opened here stay small.
    Box::pin(async move {
        // Boxed again, so that an idle connection does not keep what its opening needs.
        let opened = Box::pin(async {
            let mut alarm = Alarm::default();
            shared.open(stream, peer, opening, |cx, at| alarm.poll(cx, at)).await
        });
        let opened = opened.await;
        if let Some((transport, admission)) = opened {
            serve(transport, &shared.app, &admission.session).await;
        }
    })
}

/// A stream with a timer of async-io: the transport of this model.
struct HostedStream<S> {
    stream: S,
    alarm: Alarm,
    /// Returns the socket, if the stream is one that the server accepted.
    socket: Option<fn(&S) -> SockRef<'_>>,
    reset: bool,
    facts: Option<Arc<dyn ConnectionFacts>>,
}

impl<S> HostedStream<S> {
    /// Wraps a stream of the embedding program. It has no reset, and may hold written bytes
    /// back.
    fn new(stream: S) -> Self {
        Self { stream, alarm: Alarm::default(), socket: None, reset: false, facts: None }
    }

    /// Wraps a socket, which passes all written bytes to the system.
    fn socket<F>(stream: S) -> Self
    where
        S: AsSocket + Clone + Into<Arc<Async<F>>>,
        F: AsSocket + Send + Sync + 'static,
    {
        let facts: Arc<Async<F>> = stream.clone().into();
        Self::socket_with(stream, facts)
    }

    /// Wraps a socket that has this address. Not every system tells the path of a Unix socket.
    fn socket_at<F>(stream: S, address: Address) -> Self
    where
        S: AsSocket + Clone + Into<Arc<Async<F>>>,
        F: AsSocket + Send + Sync + 'static,
    {
        let socket: Arc<Async<F>> = stream.clone().into();
        Self::socket_with(stream, Arc::new(AtAddress { socket, address }))
    }

    fn socket_with(stream: S, facts: Arc<dyn ConnectionFacts>) -> Self
    where
        S: AsSocket,
    {
        let socket: fn(&S) -> SockRef<'_> = |stream| SockRef::from(stream);
        Self { stream, alarm: Alarm::default(), socket: Some(socket), reset: false, facts: Some(facts) }
    }
}

/// Ends the connection even if a forked process has the descriptor too, as the native stream
/// does.
impl<S> Drop for HostedStream<S> {
    fn drop(&mut self) {
        let Some(socket) = self.socket.map(|socket| socket(&self.stream)) else { return };
        if self.reset && reset(&socket) {
            return;
        }
        // An error means that the connection has ended already.
        let _ = socket.shutdown(Shutdown::Both);
    }
}

/// Resets a connection. Returns `true` if a shutdown must not follow.
#[cfg(target_os = "linux")]
fn reset(socket: &SockRef<'_>) -> bool {
    rustix::net::connect_unspec(&**socket).is_ok()
}

/// Other systems reset a connection when its last descriptor is closed, if it does not linger. A
/// shutdown would end the connection in order before that.
#[cfg(not(target_os = "linux"))]
fn reset(_socket: &SockRef<'_>) -> bool {
    true
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for HostedStream<S> {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.alarm.poll(cx, at)
    }

    fn held(&self) -> Option<usize> {
        self.socket.map(|_| 0)
    }

    fn facts(&self) -> Option<Weak<dyn ConnectionFacts>> {
        self.facts.as_ref().map(Arc::downgrade)
    }

    fn reset_on_close(&mut self, reset: bool) {
        self.reset = reset;
        if let Some(socket) = self.socket {
            // Also resets if the process ends before this value is dropped (socket(7),
            // `SO_LINGER`).
            let _ = socket(&self.stream).set_linger(reset.then_some(Duration::ZERO));
        }
    }
}

impl<S: AsSocket + Send + Sync> ConnectionFacts for Async<S> {
    fn local_addr(&self) -> Option<Address> {
        facts::local_addr(self).ok()
    }

    fn peer_credentials(&self) -> Option<Credentials> {
        facts::peer_credentials(self)
    }
}

/// A socket with an address that is known from elsewhere.
struct AtAddress<S> {
    socket: Arc<Async<S>>,
    address: Address,
}

impl<S: AsSocket + Send + Sync> ConnectionFacts for AtAddress<S> {
    fn local_addr(&self) -> Option<Address> {
        Some(self.address.clone())
    }

    fn peer_credentials(&self) -> Option<Credentials> {
        self.socket.peer_credentials()
    }
}

/// One timer for many deadlines. The timer is only ever set earlier: a deadline that moves
/// later, as most do with each request, costs nothing until the timer fires and is set again.
#[derive(Default)]
pub(in crate::server) struct Alarm(Option<(Instant, Timer)>);

impl Alarm {
    pub fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        loop {
            let (set, timer) = match &mut self.0 {
                Some((set, timer)) if *set <= at => (*set, timer),
                _ => {
                    let (_, timer) = self.0.insert((at, Timer::at(at)));
                    (at, timer)
                }
            };
            if timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.0 = None;
            if set >= at {
                return Poll::Ready(());
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HostedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HostedStream<S> {
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener as Listening, TcpStream as Client};

    use super::*;

    /// Returns a connection's transport, a second descriptor as a forked child would have, and
    /// the client.
    fn connection() -> (HostedStream<TcpStream>, Client, Client) {
        let listening = Listening::bind("127.0.0.1:0").unwrap();
        let client = Client::connect(listening.local_addr().unwrap()).unwrap();
        let (ours, _) = listening.accept().unwrap();
        let held = ours.try_clone().unwrap();
        (HostedStream::socket(TcpStream::try_from(ours).unwrap()), held, client)
    }

    #[test]
    fn a_hosted_connection_ends_for_its_client_though_another_process_has_its_descriptor() {
        let (ours, held, mut client) = connection();
        drop(ours);
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        drop(held);
        let (mut ours, held, mut client) = connection();
        // Only Linux resets a connection that another process has too.
        let held = cfg!(target_os = "linux").then_some(held);
        ours.reset_on_close(true);
        drop(ours);
        let end = client.read(&mut [0; 8]).map_err(|error| error.kind());
        // Wine ends any connection in order, also one that is not to linger.
        let in_order = cfg!(windows) && end == Ok(0);
        assert!(in_order || end == Err(io::ErrorKind::ConnectionReset), "{end:?}");
        drop(held);
    }
}
