//! The model of a thread per connection, from a bounded set.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_lite::future;
use log::Level;

use super::native::{Listeners, NativeStream, refuse, share_listeners};
use crate::base::guard::Seldom;
use crate::base::pool::Pool;
use crate::conn::serve;
use crate::error::{Error, Result};
use crate::reactor::{Alarm, Reactor};
use crate::server::accept::Refusals;
use crate::server::address::Listener;
use crate::server::drain::{drain, end, stop_asked};
use crate::server::shared::Shared;

/// With all threads taken and clients waiting, one more connection is asked to
/// make room so often.
const MAKE_ROOM_INTERVAL: Duration = Duration::from_millis(10);
/// Reactors that are kept for connections to come; each has two descriptors.
const SPARE_REACTORS: usize = 64;

/// Starts the thread that accepts; it starts the others when they are needed.
/// All end when the server has stopped.
pub(in crate::server) fn start(shared: &Arc<Shared>, listeners: Vec<Listener>) -> Result<()> {
    let reactor = Reactor::new()?;
    let listeners = Listeners::new(&reactor, &share_listeners(listeners))?;
    let (shared, limits) = (Arc::clone(shared), &shared.app.config.limits);
    let threads = Arc::clone(&shared.threads);
    let pool = Pool::new("transom-connection", limits.connection_threads, usize::MAX, Arc::clone(&threads))
        .stack_size(limits.thread_stack);
    // Without one, clients would wait for nothing.
    pool.prepare().map_err(Error::Thread)?;
    let accepting = threads.spawn("transom-accept", None, move || {
        reactor.block_on(run(shared, &reactor, &pool, listeners));
        reactor.close();
    });
    accepting.map_err(Error::Thread)
}

/// A server's life: accept until it is asked to stop, drain until the deadline,
/// then cut.
async fn run(shared: Arc<Shared>, reactor: &Reactor, pool: &Pool, mut listeners: Listeners) {
    let mut alarm = Alarm::new(reactor);
    let accepting = accept_all(&shared, reactor, pool, &mut listeners, &mut alarm);
    future::or(stop_asked(&shared), accepting).await;
    listeners.close();
    drain(&shared, |cx, at| alarm.poll(cx, at)).await;
    end(&shared);
}

/// Gives each connection a thread. With all taken, it stops accepting until one
/// is free.
async fn accept_all(
    shared: &Arc<Shared>,
    reactor: &Reactor,
    pool: &Pool,
    listeners: &mut Listeners,
    alarm: &mut Alarm,
) {
    let slots = Slots::new(shared.app.config.limits.connection_threads);
    let (refusals, told) = (Refusals::default(), Seldom::default());
    loop {
        let slot = wait_for_slot(shared, pool, &slots, &told, listeners, alarm).await;
        // What is kept for connections to come holds descriptors, and so do those who
        // stay on without a request.
        let make_room = || {
            if !slots.drop_spare() {
                shared.gate.make_room();
            }
        };
        let (socket, peer) = listeners.accept(make_room).await;
        let admission = match shared.gate.admit(peer) {
            Ok(admission) => admission,
            Err(reject) => {
                refuse(&refusals, reactor, (socket, peer), reject, shared);
                continue;
            }
        };
        let shared = Arc::clone(shared);
        let job = move || {
            // Given up last, when the thread is as good as free.
            let slot = slot;
            let admission = admission;
            let stream = NativeStream::new(&slot.reactor, socket).alone();
            slot.reactor.block_on(serve(stream, &shared.app, &admission.session));
        };
        // It has a thread for it, or one that is about to be free; and it is closed
        // only behind this loop.
        let _ = pool.run(job);
    }
}

/// A slot for one more. With all taken and clients waiting, connections are
/// asked to leave, one after another, until one has.
async fn wait_for_slot(
    shared: &Shared,
    pool: &Pool,
    slots: &Slots,
    told: &Seldom,
    listeners: &Listeners,
    alarm: &mut Alarm,
) -> Slot {
    let mut next_request_at = None;
    poll_fn(|cx| {
        let taken = if pool.is_short() {
            // A thread is started for a client, not for a slot.
            ready!(listeners.poll_waiting(cx));
            pool.prepare().map_or_else(|error| Poll::Ready(Err(error)), |()| slots.poll_take(cx))
        } else {
            slots.poll_take(cx)
        };
        match taken {
            Poll::Ready(Ok(slot)) => return Poll::Ready(slot),
            // Without a thread or descriptors to serve it with, a client waits in the backlog too.
            Poll::Ready(Err(error)) => {
                told.tell(Level::Error, format_args!("cannot serve more connections: {error}; trying on"));
            }
            Poll::Pending => {}
        }
        ready!(listeners.poll_waiting(cx));
        loop {
            if let Some(at) = next_request_at {
                ready!(alarm.poll(cx, at));
            }
            shared.gate.make_room();
            next_request_at = Some(Instant::now() + MAKE_ROOM_INTERVAL);
        }
    })
    .await
}

/// Counts the threads that are free.
#[derive(Clone)]
struct Slots(Arc<Mutex<FreeSlots>>);

struct FreeSlots {
    count: usize,
    /// Reactors that were used before.
    reactors: Vec<Reactor>,
    /// Waits for a slot.
    waker: Option<Waker>,
}

/// A free thread, with all it needs but the connection. Given up
/// when dropped.
struct Slot {
    reactor: Reactor,
    slots: Slots,
}

impl Slots {
    fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(FreeSlots { count, reactors: Vec::new(), waker: None })))
    }

    /// A slot, if there is one, and descriptors for it. If not, the task is woken
    /// when one is given up.
    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<io::Result<Slot>> {
        let mut free = self.lock();
        free.waker = Some(cx.waker().clone());
        if free.count == 0 {
            return Poll::Pending;
        }
        let reactor = match free.reactors.pop() {
            Some(reactor) => reactor,
            None => Reactor::new()?,
        };
        (free.count, free.waker) = (free.count - 1, None);
        Poll::Ready(Ok(Slot { reactor, slots: self.clone() }))
    }

    /// Gives up what is kept for connections to come; false if there is nothing.
    fn drop_spare(&self) -> bool {
        let spare = std::mem::take(&mut self.lock().reactors);
        !spare.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, FreeSlots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut free = self.slots.lock();
        free.count += 1;
        if free.reactors.len() < SPARE_REACTORS {
            free.reactors.push(self.reactor.clone());
        }
        let waker = free.waker.take();
        drop(free);
        waker.into_iter().for_each(Waker::wake);
    }
}
