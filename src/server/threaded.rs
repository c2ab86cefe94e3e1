//! The model of a thread per connection, from a bounded set.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_lite::future;

use super::Shared;
use super::accept::Socket;
use super::address::Listener;
use super::drain::{drain, stop_asked};
use super::gate::Admission;
use super::native::{Line, Listeners, doors};
use crate::conn::{refuse_busy, serve};
use crate::pool::Pool;
use crate::reactor::{Alarm, Reactor};

/// With all threads taken and clients waiting, one more connection is asked to
/// make room so often.
const ASK: Duration = Duration::from_millis(10);
/// Reactors that are kept for connections to come; each has two descriptors.
const SPARE: usize = 64;

/// Starts the thread that accepts; it starts the others when they are needed.
/// All end when the server has stopped.
pub(super) fn start(shared: &Arc<Shared>, listeners: Vec<Listener>) -> io::Result<()> {
    let reactor = Reactor::new()?;
    let listeners = Listeners::new(&reactor, &doors(listeners))?;
    let shared = Arc::clone(shared);
    let threads = Arc::clone(&shared.threads);
    threads.spawn("transom-accept", None, move || reactor.block_on(run(shared, &reactor, listeners)))
}

/// A server's life: accept until it is asked to stop, drain until the deadline,
/// then cut.
async fn run(shared: Arc<Shared>, reactor: &Reactor, mut listeners: Listeners) {
    let limits = &shared.app.config.limits;
    let pool =
        Pool::new("transom-connection", limits.connection_threads, usize::MAX, Arc::clone(&shared.threads))
            .stack_size(limits.thread_stack);
    let mut alarm = Alarm::new(reactor);
    future::or(stop_asked(&shared), accept_all(&shared, &pool, &mut listeners, &mut alarm)).await;
    listeners.close();
    drain(&shared, |cx, at| alarm.poll(cx, at)).await;
    shared.app.pool.close();
}

/// Gives each connection a thread. With all taken, it stops accepting until one
/// is free.
async fn accept_all(shared: &Arc<Shared>, pool: &Pool, listeners: &mut Listeners, alarm: &mut Alarm) {
    let places = Places::new(shared.app.config.limits.connection_threads);
    loop {
        let place = wait_for_place(shared, &places, listeners, alarm).await;
        // Those who stay on without a request may hold the last descriptors.
        let (socket, peer) = listeners.accept_with(|| shared.gate.make_room()).await;
        let shared = Arc::clone(shared);
        let admission = shared.gate.admit(peer);
        let job = move || {
            // Given up last, when the thread is as good as free.
            let place = place;
            serve_here(&shared, &place.reactor, socket, admission.as_ref());
        };
        // A pool whose threads are fewer than its jobs keeps them waiting; and it
        // is closed only behind this loop.
        let _ = pool.run(job);
    }
}

/// A place for one more. With all taken and clients waiting, connections are
/// asked to leave, one after another, until one has.
async fn wait_for_place(shared: &Shared, places: &Places, listeners: &Listeners, alarm: &mut Alarm) -> Place {
    let mut ask_at = None;
    let mut failing = false;
    poll_fn(|cx| {
        match places.poll_take(cx) {
            Poll::Ready(Ok(place)) => return Poll::Ready(place),
            // Without descriptors to serve it with, a client waits in the backlog too.
            Poll::Ready(Err(error)) if !std::mem::replace(&mut failing, true) => {
                log::error!(target: "transom", "cannot serve more connections: {error}; trying on");
            }
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        ready!(listeners.poll_waiting(cx));
        loop {
            if let Some(at) = ask_at {
                ready!(alarm.poll(cx, at));
            }
            shared.gate.make_room();
            ask_at = Some(Instant::now() + ASK);
        }
    })
    .await
}

/// Serves a connection on this thread to its end, or refuses it if it was not
/// admitted.
fn serve_here(shared: &Shared, reactor: &Reactor, socket: Socket, admission: Option<&Admission>) {
    let line = Line::new(reactor, socket).alone();
    match admission {
        Some(admission) => reactor.block_on(serve(line, &shared.app, &admission.session)),
        None => reactor.block_on(refuse_busy(line, &shared.app.config)),
    }
}

/// Counts the threads that are free.
#[derive(Clone)]
struct Places(Arc<Mutex<Free>>);

struct Free {
    count: usize,
    /// Reactors that were used before.
    reactors: Vec<Reactor>,
    /// Waits for a place.
    waker: Option<Waker>,
}

/// A thread's worth of place, with all it needs but the connection. Given up
/// when dropped.
struct Place {
    reactor: Reactor,
    places: Places,
}

impl Places {
    fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(Free { count, reactors: Vec::new(), waker: None })))
    }

    /// A place, if there is one, and descriptors for it.
    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<io::Result<Place>> {
        let mut free = self.lock();
        if free.count == 0 {
            free.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let reactor = match free.reactors.pop() {
            Some(reactor) => reactor,
            None => Reactor::new().inspect_err(|_| free.waker = Some(cx.waker().clone()))?,
        };
        free.count -= 1;
        Poll::Ready(Ok(Place { reactor, places: self.clone() }))
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut free = self.places.lock();
        free.count += 1;
        if free.reactors.len() < SPARE {
            free.reactors.push(self.reactor.clone());
        }
        let waker = free.waker.take();
        drop(free);
        waker.into_iter().for_each(Waker::wake);
    }
}
