//! The event-driven model: workers, each a thread with a reactor of its own that
//! drives many connections. A connection stays with the worker it was given to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_lite::future;

use super::Shared;
use super::accept::Socket;
use super::address::Listener;
use super::drain::{drain, stop_asked};
use super::native::{Line, Listeners, doors};
use crate::conn::{refuse_busy, serve};
use crate::message::Peer;
use crate::reactor::{Alarm, Reactor};

/// Connections told at once that there is no room; beyond, they are just closed.
const REFUSALS: usize = 64;
/// Connections accepted in a row before those there are have their turn.
const ACCEPT_TURN: usize = 32;
/// Connections taken from the backlog when the server stops: about as many as it
/// holds.
const LAST: usize = 1024;

/// The workers of a server.
struct Crew {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    /// As many references as there are refusals under way, and one.
    refusals: Arc<()>,
}

struct Worker {
    reactor: Reactor,
    /// Connections it drives; so many that it gets no more once it has ended.
    load: Arc<AtomicUsize>,
}

/// A connection's part in its worker's load, until dropped.
struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Drops what a worker has when it ends, however it ends.
struct Ending {
    crew: Arc<Crew>,
    index: usize,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let worker = &self.crew.workers[self.index];
        worker.load.fetch_add(usize::MAX / 2, Ordering::Relaxed);
        worker.reactor.close();
    }
}

/// Starts the workers. They end when the server has stopped.
pub(super) fn start(shared: &Arc<Shared>, listeners: Vec<Listener>, workers: usize) -> io::Result<()> {
    let doors = doors(listeners);
    let worker = |_| Ok(Worker { reactor: Reactor::new()?, load: Arc::default() });
    let workers: Vec<_> = (0..workers).map(worker).collect::<io::Result<_>>()?;
    let crew = Arc::new(Crew { shared: Arc::clone(shared), workers, refusals: Arc::new(()) });
    // All of them before the first worker runs: it may be told to stop at once, and
    // then it closes the doors.
    let ready = crew.workers.iter().enumerate().map(|(index, worker)| {
        Ok((Ending { crew: Arc::clone(&crew), index }, Listeners::new(&worker.reactor, &doors)?))
    });
    for (ending, listeners) in ready.collect::<io::Result<Vec<_>>>()? {
        let work = move || {
            let (crew, index) = (&ending.crew, ending.index);
            crew.workers[index].reactor.block_on(crew.work(index, listeners));
        };
        if let Err(error) = shared.threads.spawn("transom-worker", None, work) {
            shared.stopper.stop(Duration::ZERO);
            return Err(error);
        }
    }
    Ok(())
}

impl Crew {
    /// A worker's life: accept until the server is asked to stop, drain until the
    /// deadline, then cut. All do the same, so that none waits for one that a
    /// handler holds.
    async fn work(&self, index: usize, mut listeners: Listeners) {
        future::or(stop_asked(&self.shared), self.accept_all(index, &mut listeners)).await;
        // They have connected in good faith: those that have asked get an answer.
        for _ in 0..LAST {
            let Some((socket, peer)) = listeners.accept_waiting() else { break };
            self.admit(index, socket, peer);
        }
        listeners.close();
        let mut alarm = Alarm::new(&self.workers[index].reactor);
        drain(&self.shared, |cx, at| alarm.poll(cx, at)).await;
        self.shared.app.pool.close();
    }

    async fn accept_all(&self, index: usize, listeners: &mut Listeners) {
        for turn in 1_usize.. {
            if turn % ACCEPT_TURN == 0 {
                future::yield_now().await;
            }
            let (socket, peer) = listeners.accept().await;
            self.admit(index, socket, peer);
        }
    }

    /// Gives a connection that this worker accepted to one that has few.
    fn admit(&self, index: usize, socket: Socket, peer: Peer) {
        let worker = self.choose(index);
        let shared = Arc::clone(&self.shared);
        let reactor = worker.reactor.clone();
        // A line is made within the task: what a task is given it keeps.
        if let Some(admission) = shared.gate.admit(peer) {
            worker.load.fetch_add(1, Ordering::Relaxed);
            let load = Load(Arc::clone(&worker.load));
            worker.reactor.spawn(async move {
                serve(Line::new(&reactor, socket), &shared.app, &admission.session).await;
                drop(load);
            });
        } else if Arc::strong_count(&self.refusals) <= REFUSALS {
            let refusal = Arc::clone(&self.refusals);
            worker.reactor.spawn(async move {
                refuse_busy(Line::new(&reactor, socket), &shared.app.config).await;
                drop(refusal);
            });
        }
    }

    /// The worker that accepted, unless another has clearly fewer connections:
    /// handing over costs a wake. And only if that one is at hand: what is given to
    /// a worker that a handler holds would wait as long.
    fn choose(&self, index: usize) -> &Worker {
        let load = |worker: &Worker| worker.load.load(Ordering::Relaxed);
        let own = &self.workers[index];
        match self.workers.iter().min_by_key(|worker| load(worker)) {
            Some(least)
                if load(own) > load(least) + 1 + load(least) / 8
                    && least.reactor.is_at_hand(Instant::now()) =>
            {
                least
            }
            _ => own,
        }
    }
}
