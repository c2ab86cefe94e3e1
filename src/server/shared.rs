//! The state that the parts of a running server share.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use http::Method;

use super::accept::Accepted;
use super::gate::{Admission, Gate};
use super::keeper::Keeper;
use super::load::Load;
use super::opening::{Entry, Opened, Opening};
use super::stop::Stopper;
use super::systemd::Systemd;
use super::watchdog::{Task, Watchdog};
use crate::base::stopping::{StopSignal, Stopping};
use crate::base::stuck::Stuck;
use crate::base::threads::Threads;
use crate::conn::{App, Transport};
use crate::error::Reject;
use crate::message::{Arrival, Peer};

/// The state of a running server: shared by its model, its handle and its stop.
pub(super) struct Shared {
    pub app: App,
    pub gate: Arc<Gate>,
    pub stopper: Stopper,
    /// Given when the server accepts no more: after a stop has begun, by `timeouts.stop_delay`.
    pub closing: Arc<StopSignal>,
    pub threads: Arc<Threads>,
    /// Told what the server does, if the host asked for it.
    pub systemd: Option<Arc<Systemd>>,
    /// Looks after the server, if there is a watchdog or systemd is told.
    pub keeper: Option<Arc<Keeper>>,
}

impl Shared {
    /// Lets an accepted connection in, if there is room for it.
    pub fn enter(&self, accepted: &Accepted) -> Result<Entry, Reject> {
        let lane = accepted.lane.as_ref();
        let Some(steps) = &accepted.steps else {
            return self.gate.admit(accepted.peer, lane).map(Entry::Admitted);
        };
        let reservation = self.gate.reserve(lane)?;
        Ok(Entry::Opening(Opening { reservation, steps: Arc::clone(steps) }))
    }

    /// Opens a connection, and admits it: see [`Opening::open`].
    pub async fn open(
        &self,
        transport: impl Transport,
        peer: Peer,
        opening: Opening,
        poll_at: impl FnMut(&mut Context<'_>, Instant) -> Poll<()> + Send,
    ) -> Option<(Box<dyn Transport>, Admission)> {
        let connection = Opened { transport: Box::new(transport), peer, arrival: Arrival::default() };
        opening.open(connection, &self.app, self.closing(), poll_at).await
    }

    /// Returns the watchdog, if there is one.
    pub fn watchdog(&self) -> Option<&Watchdog> {
        self.keeper.as_ref()?.watchdog.as_ref()
    }

    /// Has the watchdog watch a worker, which runs the tasks that `spawn` gives it. `polls` returns `true`
    /// for the waker of the task that the worker polls.
    pub fn watch(
        self: &Arc<Self>,
        name: String,
        spawn: impl Fn(Task) + Send + 'static,
        polls: impl Fn(&Waker) -> bool + Send + 'static,
    ) {
        if let Some(watchdog) = self.watchdog() {
            let shared = Arc::downgrade(self);
            watchdog.watch_worker(name, spawn, move || shared.upgrade()?.place_of(&polls));
        }
    }

    /// Returns where the connection stands for whose task's waker `polls` returns `true`.
    fn place_of(&self, polls: impl Fn(&Waker) -> bool) -> Option<String> {
        let sessions = self.gate.sessions();
        let session = sessions.iter().find(|session| session.has_waker(&polls))?;
        let (doing, peer) = (session.activity.doing(self.app.started.elapsed()), session.client.peer);
        let (state, router) = (doing.state, &self.app.router);
        let Some(pattern) = router.endpoint(doing.route).and_then(|endpoint| endpoint.pattern.as_deref())
        else {
            return Some(format!("a connection that is {}, client {peer}", state.name()));
        };
        let method = router.method(doing.route).map_or("any method", Method::as_str);
        let route =
            if pattern.is_empty() { "the fallback".to_owned() } else { format!("{method} {pattern}") };
        Some(format!("a connection that is {}, route {route}, client {peer}", state.name()))
    }

    /// Has the watchdog watch a part by its load, if there is a watchdog.
    pub fn watch_load(&self, name: String, load: impl FnMut() -> Load + Send + 'static) {
        if let Some(watchdog) = self.watchdog() {
            watchdog.watch(name, load);
        }
    }

    /// Returns the parts that are stuck.
    pub fn stuck(&self) -> Vec<Stuck> {
        self.watchdog().map(|watchdog| watchdog.stuck().list()).unwrap_or_default()
    }

    /// Has the watchdog watch the blocking pool.
    pub fn watch_pool(&self) {
        let pool = Arc::downgrade(&self.app.pool);
        self.watch_load("the blocking pool".to_owned(), move || {
            let Some(pool) = pool.upgrade() else { return Load::default() };
            let (_, busy, waiting) = pool.load();
            Load::new(waiting, pool.begun())
                .detail(format!("requests waiting: {waiting}, threads busy: {busy}"))
        });
    }

    /// Returns a future that is ready when the server accepts no more.
    pub fn closing(&self) -> Stopping {
        Stopping::new(Some(Arc::clone(&self.closing)))
    }
}
