//! The sequential model: one thread accepts a connection, serves it to its end, and then
//! accepts the next.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use futures_lite::future;

use super::native::{Listeners, NativeStream, SharedListener, share_listeners};
use crate::conn::{Stage, Transport, serve};
use crate::error::{Error, Result};
use crate::reactor::{Alarm, Reactor};
use crate::server::accept::{ACCEPTS_PER_TURN, Accepted};
use crate::server::drain::{accepting_over, closed, drain, end};
use crate::server::gate::Admission;
use crate::server::listener::Listener;
use crate::server::opening::Entry;
use crate::server::shared::Shared;

/// Starts the thread. It ends when the server has stopped.
pub(in crate::server) fn start(shared: &Arc<Shared>, listeners: Vec<Listener>) -> Result<()> {
    let reactor = Reactor::new(shared.app.started)?;
    let shared_listeners = Arc::new(share_listeners(listeners));
    let listeners = Listeners::new(&reactor, &shared_listeners)?;
    let (watched, stuck) = (reactor.clone(), reactor.clone());
    let spawn = move |task| watched.spawn(task);
    shared.watch("the worker".to_owned(), spawn, move |waker| stuck.polls(waker));
    let (shared, threads) = (Arc::clone(shared), Arc::clone(&shared.threads));
    let serving = threads.spawn("transom-sequential", None, move || {
        let its_reactor = reactor.clone();
        reactor.block_on_with_jobs(async move {
            let serving = serve_all(&shared, &its_reactor, &shared_listeners, listeners);
            let stopping = async {
                let mut alarm = Alarm::new(&its_reactor);
                accepting_over(&shared, |cx, at| alarm.poll(cx, at)).await;
                drain(&shared, |cx, at| alarm.poll(cx, at)).await;
                end(&shared);
            };
            future::zip(serving, stopping).await;
        });
    });
    serving.map_err(Error::Thread)
}

/// Serves one connection after another, until the server is asked to stop.
async fn serve_all(
    shared: &Shared,
    reactor: &Reactor,
    shared_listeners: &Arc<Vec<SharedListener>>,
    mut listeners: Listeners,
) {
    for turn in 1_usize.. {
        if turn % ACCEPTS_PER_TURN == 0 {
            future::yield_now().await;
        }
        let accepted = future::or(
            async {
                closed(shared).await;
                None
            },
            // No other connection is open that could make room.
            async { Some(listeners.accept(|| ()).await) },
        );
        let Some(accepted) = accepted.await else { break };
        serve_one(shared, reactor, shared_listeners, accepted, &mut listeners).await;
    }
    // Dropping the listeners does not close them: an upgraded connection that a handler keeps
    // still shares them.
    listeners.close();
}

/// Opens and serves one connection.
async fn serve_one(
    shared: &Shared,
    reactor: &Reactor,
    shared_listeners: &Arc<Vec<SharedListener>>,
    accepted: Accepted,
    listeners: &mut Listeners,
) {
    // The gate always has room for one connection.
    let Ok(entry) = shared.enter(&accepted) else { return };
    let Accepted { socket, peer, .. } = accepted;
    let stream = NativeStream::new(reactor, socket).waited_at(shared_listeners);
    match entry {
        Entry::Admitted(admission) => serve_admitted(shared, stream, &admission, listeners).await,
        Entry::Opening(opening) => {
            let mut alarm = Alarm::new(reactor);
            let opened = shared.open(stream, peer, opening, |cx, at| alarm.poll(cx, at));
            if let Some((transport, admission)) = opened.await {
                serve_admitted(shared, transport, &admission, listeners).await;
            }
        }
    }
}

/// Serves a connection that was admitted, and asks it to make room once another client waits.
async fn serve_admitted<T: Transport>(
    shared: &Shared,
    transport: T,
    admission: &Admission,
    listeners: &mut Listeners,
) {
    let session = &admission.session;
    let mut serving = pin!(serve(transport, &shared.app, session));
    let mut alone = true;
    poll_fn(|cx| {
        if shared.closing.is_given() {
            // New clients are refused now instead of waiting until this connection ends.
            listeners.close();
        }
        if alone && listeners.poll_waiting(cx).is_ready() {
            alone = false;
            session.advance(Stage::Leaving);
        }
        serving.as_mut().poll(cx)
    })
    .await;
}
