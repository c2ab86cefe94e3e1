//! The event-driven model: worker threads, each driving many connections.
//!
//! The only file that knows which executor and which reactor there are.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_executor::{Executor, Task};
use async_io::Timer;
use async_net::unix::UnixListener;
use async_net::{TcpListener, TcpStream};
use futures_lite::{AsyncRead, AsyncWrite, FutureExt as _, future};

use super::Shared;
use super::address::{Bound, Listener, SocketFile};
use crate::conn::{Stage, Transport, refuse_busy, serve};
use crate::message::Peer;

/// How long accepting rests when the system is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections told at once that there is no room; beyond, they are just closed.
const REFUSALS: usize = 64;
/// Connections accepted in a row before those there are have their turn.
const ACCEPT_TURN: usize = 32;
/// How long connections have to end once they are cut. They need no more than a
/// turn, unless a handler holds the worker.
const CUT_GRACE: Duration = Duration::from_millis(100);

/// Starts the workers. They end when the server has stopped.
pub(super) fn start(shared: &Arc<Shared>, listeners: Vec<Listener>, workers: usize) -> io::Result<()> {
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
        if let Err(error) = shared.threads.spawn("transom-worker", worker) {
            shared.stopper.stop(Duration::ZERO);
            return Err(error);
        }
    }
    Ok(())
}

/// Serves within the caller's executor, whichever it is.
pub(super) async fn serve_here(shared: Arc<Shared>, listeners: Vec<Listener>) -> io::Result<()> {
    let executor = Arc::new(Executor::new());
    let listeners = register(listeners)?;
    let (stopped, _stop) = async_channel::bounded::<()>(1);
    executor.run(run(shared, Arc::downgrade(&executor), listeners, stopped)).await;
    Ok(())
}

/// Serves one connection within the caller's executor.
pub(super) async fn serve_stream<S>(shared: &Shared, stream: S, peer: Peer) -> bool
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Some(admission) = shared.gate.admit(peer) else { return false };
    serve(Timed::new(stream), &shared.app, &admission.session).await;
    true
}

/// A listener in the reactor.
enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "goes when the listener goes")] Option<SocketFile>),
}

fn register(listeners: Vec<Listener>) -> io::Result<Vec<Acceptor>> {
    let register = |listener: Listener| match listener.socket {
        Bound::Tcp(socket) => Ok(Acceptor::Tcp(socket.try_into()?)),
        Bound::Unix(socket) => Ok(Acceptor::Unix(socket.try_into()?, listener.file)),
    };
    listeners.into_iter().map(register).collect()
}

/// A server's life: accept until it is asked to stop, drain until the deadline,
/// then cut. `_stopped` is dropped at the end, which ends the workers.
///
/// An executor owns its tasks until they end: if they owned it too, one that is
/// abandoned would never be dropped, nor would listeners and connections.
async fn run(
    shared: Arc<Shared>,
    executor: Weak<Executor<'static>>,
    listeners: Vec<Acceptor>,
    _stopped: async_channel::Sender<()>,
) {
    let accepting: Vec<Task<()>> = listeners
        .into_iter()
        .filter_map(|listener| {
            let accepting = accept(listener, Arc::clone(&shared), executor.clone());
            Some(executor.upgrade()?.spawn(accepting))
        })
        .collect();
    poll_fn(|cx| shared.stopper.poll_stop(cx)).await;
    drop(accepting);
    drain(&shared).await;
    shared.app.pool.close();
}

/// Lets exchanges finish until the deadline of the stop, then cuts.
pub(super) async fn drain(shared: &Shared) {
    shared.gate.advance(Stage::Draining);
    let mut alarm = Alarm::default();
    poll_fn(|cx| match shared.stopper.poll_stop(cx) {
        _ if shared.gate.poll_empty(cx).is_ready() => Poll::Ready(()),
        // The deadline may have moved closer meanwhile.
        Poll::Ready(deadline) => alarm.poll(cx, deadline),
        Poll::Pending => Poll::Pending,
    })
    .await;
    shared.gate.advance(Stage::Cut);
    let emptied = poll_fn(|cx| shared.gate.poll_empty(cx));
    let grace = async {
        Timer::after(CUT_GRACE).await;
    };
    future::or(emptied, grace).await;
}

async fn accept(listener: Acceptor, shared: Arc<Shared>, executor: Weak<Executor<'static>>) {
    let refusals = Arc::new(());
    let mut failing = false;
    for turn in 1_usize.. {
        if turn % ACCEPT_TURN == 0 {
            future::yield_now().await;
        }
        let accepted = match &listener {
            Acceptor::Tcp(listener) => listener.accept().await.map(|(stream, peer)| {
                // Answers leave in one write: waiting to fill a segment gains nothing.
                let _ = stream.set_nodelay(true);
                let stream = Timed { reset_on_close: set_reset, ..Timed::new(stream) };
                admit(stream, Peer::Tcp(peer), &shared, &executor, &refusals);
            }),
            Acceptor::Unix(listener, _) => listener
                .accept()
                .await
                .map(|(stream, _)| admit(Timed::new(stream), Peer::Unix, &shared, &executor, &refusals)),
        };
        match accepted {
            Ok(()) => failing = false,
            // The client left before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    log::error!(target: "transom", "cannot accept connections: {error}; trying on");
                }
                Timer::after(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit<S>(
    stream: Timed<S>,
    peer: Peer,
    shared: &Arc<Shared>,
    executor: &Weak<Executor<'static>>,
    refusals: &Arc<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(executor) = executor.upgrade() else { return };
    let shared = Arc::clone(shared);
    if let Some(admission) = shared.gate.admit(peer) {
        executor.spawn(async move { serve(stream, &shared.app, &admission.session).await }).detach();
    } else if Arc::strong_count(refusals) <= REFUSALS {
        let refusal = Arc::clone(refusals);
        let refuse = async move {
            refuse_busy(stream, &shared.app.config).await;
            drop(refusal);
        };
        executor.spawn(refuse).detach();
    }
}

/// A stream with the reactor's timer: the transport of this model.
struct Timed<S> {
    stream: S,
    alarm: Alarm,
    reset_on_close: fn(&S, bool),
}

impl<S> Timed<S> {
    /// Of a stream that knows no reset.
    fn new(stream: S) -> Self {
        Self { stream, alarm: Alarm::default(), reset_on_close: |_, _| () }
    }
}

/// Makes the close of a TCP connection a reset or not (socket(7), `SO_LINGER`).
fn set_reset(stream: &TcpStream, reset: bool) {
    let _ = socket2::SockRef::from(stream).set_linger(reset.then_some(Duration::ZERO));
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Timed<S> {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.alarm.poll(cx, at)
    }

    fn reset_on_close(&mut self, reset: bool) {
        (self.reset_on_close)(&self.stream, reset);
    }
}

/// One timer for many deadlines. It is only ever set earlier: a deadline that
/// moves away, as most do with each request, costs nothing until the timer
/// fires and is set anew.
#[derive(Default)]
struct Alarm(Option<(Instant, Timer)>);

impl Alarm {
    fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
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

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
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
