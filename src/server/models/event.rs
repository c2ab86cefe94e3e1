//! The event-driven model: a few workers, each a thread with its own reactor, drive many
//! connections. A connection stays with one worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_lite::future;

use super::native::{Listeners, NativeStream, refuse, share_listeners};
use crate::conn::serve;
use crate::error::{Error, Result};
use crate::reactor::{Alarm, Reactor};
use crate::server::accept::{ACCEPTS_PER_TURN, Accepted, Refusals};
use crate::server::drain::{accepting_over, drain, end};
use crate::server::listener::Listener;
use crate::server::opening::Entry;
use crate::server::shared::Shared;

/// The most connections that a worker takes from the backlog when the server stops: about as
/// many as the backlog holds.
const ACCEPTS_AT_STOP: usize = 1024;

/// The workers of a server.
struct Workers {
    shared: Arc<Shared>,
    list: Vec<Arc<Worker>>,
    refusals: Refusals,
    /// The number of workers that have not ended.
    running: AtomicUsize,
}

struct Worker {
    shared: Arc<Shared>,
    reactor: Reactor,
    /// The number of connections that the worker drives. Once the worker has ended, the number
    /// is so high that the worker gets no more.
    load: AtomicUsize,
}

/// Counts one connection in the load of its worker, until dropped. The one pointer to the worker, to
/// its reactor and its server too, makes an idle connection 24 bytes smaller (bench: idle, 2026-11).
struct Load(Arc<Worker>);

impl Load {
    fn new(worker: &Arc<Worker>) -> Self {
        // Relaxed: an estimate for the choice of a worker, also below. It guards nothing.
        worker.load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(worker))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Closes a worker's reactor when the worker ends, also by a panic. The last one ends the
/// server.
struct WorkerGuard {
    all: Arc<Workers>,
    index: usize,
}

impl Drop for WorkerGuard {
    fn drop(&mut self) {
        let worker = &self.all.list[self.index];
        // Relaxed: a connection that another worker still sends here is dropped by the closed reactor.
        worker.load.fetch_add(usize::MAX / 2, Ordering::Relaxed);
        worker.reactor.close();
        // The pool is closed last: another worker may have accepted a connection just now.
        if self.all.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            end(&self.all.shared);
        }
    }
}

/// Starts the workers. They end when the server has stopped.
pub(in crate::server) fn start(shared: &Arc<Shared>, listeners: Vec<Listener>, workers: usize) -> Result<()> {
    let shared_listeners = share_listeners(listeners);
    let overload = shared.app.config.overload;
    let worker = |_| {
        Ok(Arc::new(Worker {
            shared: Arc::clone(shared),
            reactor: Reactor::new(shared.app.started)?.limiting_waits(overload),
            load: AtomicUsize::new(0),
        }))
    };
    let workers: Vec<_> = (0..workers).map(worker).collect::<io::Result<_>>()?;
    let (refusals, running) = (Refusals::default(), AtomicUsize::new(workers.len()));
    let all = Arc::new(Workers { shared: Arc::clone(shared), list: workers, refusals, running });
    for (index, worker) in all.list.iter().enumerate() {
        let (reactor, stuck) = (worker.reactor.clone(), worker.reactor.clone());
        let spawn = move |task| reactor.spawn(task);
        shared.watch(format!("worker {index}"), spawn, move |waker| stuck.polls(waker));
    }
    // Every worker registers the listeners before the first one runs: a worker that is told
    // to stop at once closes them.
    let ready = all.list.iter().enumerate().map(|(index, worker)| {
        Ok((
            WorkerGuard { all: Arc::clone(&all), index },
            Listeners::new(&worker.reactor, &shared_listeners)?,
        ))
    });
    for (guard, listeners) in ready.collect::<io::Result<Vec<_>>>()? {
        let work = move || {
            let (all, index) = (&guard.all, guard.index);
            all.list[index].reactor.block_on(all.work(index, listeners));
        };
        if let Err(error) = shared.threads.spawn("transom-worker", None, work) {
            shared.stopper.stop(Duration::ZERO);
            return Err(Error::Thread(error));
        }
    }
    Ok(())
}

impl Workers {
    /// Runs a worker: accepts until the server is asked to stop, drains until the deadline,
    /// then cuts. All workers do the same, so that none waits for one that a handler blocks.
    async fn work(&self, index: usize, mut listeners: Listeners) {
        let mut alarm = Alarm::new(&self.list[index].reactor);
        let over = accepting_over(&self.shared, |cx, at| alarm.poll(cx, at));
        future::or(over, self.accept_all(index, &mut listeners)).await;
        // These clients connected before the stop: those that sent a request get an answer.
        for _ in 0..ACCEPTS_AT_STOP {
            let Some(accepted) = listeners.accept_waiting() else { break };
            self.admit(index, accepted);
        }
        listeners.close();
        drain(&self.shared, |cx, at| alarm.poll(cx, at)).await;
    }

    async fn accept_all(&self, index: usize, listeners: &mut Listeners) {
        for turn in 1_usize.. {
            if turn % ACCEPTS_PER_TURN == 0 {
                future::yield_now().await;
            }
            let accepted = listeners.accept(|| self.shared.gate.make_room()).await;
            self.admit(index, accepted);
        }
    }

    /// Admits a connection that this worker accepted, and gives it to a worker with few
    /// connections.
    fn admit(&self, index: usize, accepted: Accepted) {
        let worker = self.choose(index);
        let entry = match self.shared.enter(&accepted) {
            Ok(entry) => entry,
            Err(reject) => {
                return refuse(&self.refusals, &worker.reactor, accepted, reject, &self.shared);
            }
        };
        let Accepted { socket, peer, .. } = accepted;
        let load = Load::new(worker);
        // Each stream is made inside its task: a task keeps the memory of its arguments.
        match entry {
            Entry::Admitted(admission) => worker.reactor.spawn(async move {
                let stream = NativeStream::new(&load.0.reactor, socket);
                serve(stream, &load.0.shared.app, &admission.session).await;
                drop(load);
            }),
            Entry::Opening(opening) => worker.reactor.spawn(async move {
                // Boxed, so that an idle connection does not keep what its opening needs: its task has 184
                // bytes instead of 1,600 (malloc, TLS, 2026-11).
                let opened = Box::pin(async {
                    let reactor = &load.0.reactor;
                    let (stream, mut alarm) = (NativeStream::new(reactor, socket), Alarm::new(reactor));
                    load.0.shared.open(stream, peer, opening, |cx, at| alarm.poll(cx, at)).await
                });
                let opened = opened.await;
                if let Some((transport, admission)) = opened {
                    serve(transport, &load.0.shared.app, &admission.session).await;
                }
                drop(load);
            }),
        }
    }

    /// Chooses the worker for a new connection: the one that accepted it, unless another has
    /// clearly fewer connections, because handing over costs a wake. A worker that a handler
    /// blocks is not chosen, because the connection would wait for that handler.
    fn choose(&self, index: usize) -> &Arc<Worker> {
        // Relaxed: an old count leads to a slightly worse choice.
        let load = |worker: &Worker| worker.load.load(Ordering::Relaxed);
        let own = &self.list[index];
        match self.list.iter().min_by_key(|worker| load(worker)) {
            Some(least)
                if load(own) > load(least) + 1 + load(least) / 8
                    && least.reactor.is_responsive(Instant::now()) =>
            {
                least
            }
            _ => own,
        }
    }
}
