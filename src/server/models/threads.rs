//! The model with a thread for each connection, up to a limit.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use futures_lite::future;
use log::Level;

use super::native::{Listeners, NativeStream, refuse, share_listeners};
use crate::base::guard::RateLimitedLog;
use crate::base::jobs::Order;
use crate::base::pool::Pool;
use crate::conn::serve;
use crate::error::{Error, Result};
use crate::reactor::{Alarm, Reactor};
use crate::server::accept::{ACCEPTS_PER_TURN, Accepted, Refusals};
use crate::server::drain::{accepting_over, drain, end};
use crate::server::lane::Lane;
use crate::server::listener::Listener;
use crate::server::opening::Entry;
use crate::server::shared::Shared;

/// The interval after which one more connection is asked to make room, while all threads are in
/// use and a client waits.
const MAKE_ROOM_INTERVAL: Duration = Duration::from_millis(10);
/// The number of unused reactors to keep for later connections. Each has two descriptors.
const SPARE_REACTORS: usize = 64;

/// Starts the thread that accepts. That thread starts the others when they are needed. All end
/// when the server has stopped.
pub(in crate::server) fn start(shared: &Arc<Shared>, listeners: Vec<Listener>) -> Result<()> {
    let reactor = Reactor::new(shared.app.started)?;
    let (reserved, common): (Vec<_>, Vec<_>) = listeners.into_iter().partition(|it| it.lane.is_some());
    let mut groups = Vec::new();
    if !common.is_empty() {
        groups.push(Group::new(shared, &reactor, common, None)?);
    }
    for listener in reserved {
        let lane = listener.lane.clone();
        groups.push(Group::new(shared, &reactor, vec![listener], lane.as_deref())?);
    }
    let (shared, threads) = (Arc::clone(shared), Arc::clone(&shared.threads));
    let watched = reactor.clone();
    // It serves no connection.
    shared.watch("the accepting thread".to_owned(), move |task| watched.spawn(task), |_| false);
    let accepting = threads.spawn("transom-accept", None, move || {
        reactor.block_on(run(shared, &reactor, &mut groups));
        reactor.close();
    });
    accepting.map_err(Error::Thread)
}

/// Listeners that share their threads.
struct Group {
    listeners: Listeners,
    pool: Pool,
    /// The number of threads.
    count: usize,
    /// True if other connections are asked to end when no thread is free. They would not make room in
    /// a lane.
    makes_room: bool,
    alarm: Alarm,
}

impl Group {
    fn new(
        shared: &Arc<Shared>,
        reactor: &Reactor,
        listeners: Vec<Listener>,
        lane: Option<&Lane>,
    ) -> Result<Self> {
        let limits = &shared.app.config.limits;
        let (name, count) = match lane {
            Some(lane) => ("transom-reserved", lane.places),
            None => ("transom-connection", limits.connection_threads),
        };
        let pool = Pool::new(name, count, usize::MAX, Arc::clone(&shared.threads));
        let pool = pool.stack_size(limits.thread_stack);
        // If the system gives no thread at all, the start fails.
        pool.prepare().map_err(Error::Thread)?;
        let listeners = Listeners::new(reactor, &share_listeners(listeners))?;
        Ok(Self { listeners, pool, count, makes_room: lane.is_none(), alarm: Alarm::new(reactor) })
    }
}

/// Runs a server: accepts until it is asked to stop, drains until the deadline, then cuts.
async fn run(shared: Arc<Shared>, reactor: &Reactor, groups: &mut [Group]) {
    let mut alarm = Alarm::new(reactor);
    let mut accepting: Vec<_> =
        groups.iter_mut().map(|group| Box::pin(accept_all(&shared, reactor, group))).collect();
    let accepting_all = poll_fn(|cx| {
        for group in &mut accepting {
            // None of them ends.
            let _ = group.as_mut().poll(cx);
        }
        Poll::Pending
    });
    let mut closing = Alarm::new(reactor);
    future::or(accepting_over(&shared, |cx, at| closing.poll(cx, at)), accepting_all).await;
    drop(accepting);
    for group in groups {
        group.listeners.close();
    }
    drain(&shared, |cx, at| alarm.poll(cx, at)).await;
    end(&shared);
}

/// Gives each connection a thread. While all are in use, it does not accept.
async fn accept_all(shared: &Arc<Shared>, reactor: &Reactor, group: &mut Group) {
    let slots = Slots::new(group.count);
    let (refusals, told) = (Refusals::default(), RateLimitedLog::default());
    for turn in 1_usize.. {
        if turn % ACCEPTS_PER_TURN == 0 {
            future::yield_now().await;
        }
        let slot = wait_for_slot(shared, group, &slots, &told).await;
        // Spare reactors hold descriptors, and so do idle connections.
        let make_room = || {
            if !slots.drop_spare() {
                shared.gate.make_room();
            }
        };
        let accepted = group.listeners.accept(make_room).await;
        let entry = match shared.enter(&accepted) {
            Ok(entry) => entry,
            Err(reject) => {
                refuse(&refusals, reactor, accepted, reject, shared);
                continue;
            }
        };
        let (Accepted { socket, peer, .. }, shared) = (accepted, Arc::clone(shared));
        let job = move || {
            // Variables drop in reverse: the slot is given back last, when the thread is free.
            let slot = slot;
            let stream = NativeStream::new(&slot.reactor, socket).alone();
            match entry {
                Entry::Admitted(admission) => slot.reactor.block_on_with_jobs(async move {
                    serve(stream, &shared.app, &admission.session).await;
                }),
                Entry::Opening(opening) => {
                    let mut alarm = Alarm::new(&slot.reactor);
                    slot.reactor.block_on_with_jobs(async move {
                        let opened = shared.open(stream, peer, opening, |cx, at| alarm.poll(cx, at));
                        if let Some((transport, admission)) = opened.await {
                            serve(transport, &shared.app, &admission.session).await;
                        }
                    });
                }
            }
        };
        // A slot stands for a thread that is free or about to be, and the pool is closed only
        // after this loop: the job always runs.
        let _ = group.pool.run(Order::default(), job);
    }
}

/// Waits for a free slot. While a client waits too, connections are asked to make room, one
/// after another, until one has ended.
async fn wait_for_slot(shared: &Shared, group: &mut Group, slots: &Slots, told: &RateLimitedLog) -> Slot {
    let Group { listeners, pool, makes_room, alarm, .. } = group;
    let mut next_request_at = None;
    poll_fn(|cx| {
        let taken = if pool.is_short() {
            // A thread is started only when a client waits for it.
            ready!(listeners.poll_waiting(cx));
            pool.prepare().map_or_else(|error| Poll::Ready(Err(error)), |()| slots.poll_take(cx))
        } else {
            slots.poll_take(cx)
        };
        match taken {
            Poll::Ready(Ok(slot)) => return Poll::Ready(slot),
            // The system has no thread or no descriptors: the client waits in the backlog.
            Poll::Ready(Err(error)) => {
                told.log(
                    Level::Error,
                    format_args!("cannot serve more connections: {error}; will try again"),
                );
            }
            Poll::Pending => {}
        }
        if !*makes_room {
            return Poll::Pending;
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

/// The free threads of a server.
#[derive(Clone)]
struct Slots(Arc<Mutex<FreeSlots>>);

struct FreeSlots {
    count: usize,
    /// Reactors of connections that have ended.
    reactors: Vec<Reactor>,
    /// Woken when a slot is given back.
    waker: Option<Waker>,
}

/// The right to use one thread, with a reactor for it. Given back when dropped.
struct Slot {
    reactor: Reactor,
    slots: Slots,
}

impl Slots {
    fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(FreeSlots { count, reactors: Vec::new(), waker: None })))
    }

    /// Takes a slot, or wakes the task when one is given back. Fails if the system has no
    /// descriptors for the slot's reactor.
    fn poll_take(&self, cx: &mut Context<'_>) -> Poll<io::Result<Slot>> {
        let mut free = self.lock();
        free.waker = Some(cx.waker().clone());
        if free.count == 0 {
            return Poll::Pending;
        }
        let reactor = match free.reactors.pop() {
            Some(reactor) => reactor,
            None => Reactor::new(Instant::now())?,
        };
        (free.count, free.waker) = (free.count - 1, None);
        Poll::Ready(Ok(Slot { reactor, slots: self.clone() }))
    }

    /// Drops the spare reactors. Returns `false` if there were none.
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
