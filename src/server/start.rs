//! How a server starts.

use std::sync::Arc;
use std::time::Duration;

use super::builder::Server;
use super::gate::Gate;
use super::handle::Handle;
use super::keeper::Keeper;
use super::listener::{Listener, check_mode};
use super::model::Model;
use super::models;
use super::monitor::Monitor;
use super::predecessor::Predecessor;
use super::service::Service;
use super::shared::Shared;
use super::stop::Report;
use super::systemd::Systemd;

use crate::base::memory::is_limited;
use crate::base::overload::Overload;
use crate::base::pool::Pool;
use crate::base::stopping::Stopping;
use crate::base::threads::Threads;
use crate::conn::{App, FieldNames, RecordedNames};
use crate::error::{Error, Result};

impl Server {
    /// Starts the server on its own threads. Returns once it serves.
    ///
    /// # Errors
    /// [`Error::BadRoute`], [`Error::NoListener`], [`Error::BadSetting`],
    /// [`Error::DuplicateState`], [`Error::Thread`] if the system refuses a thread that the
    /// server needs, or [`Error::Io`].
    pub fn start(self) -> Result<Handle> {
        let (model, workers, is_unbound) = (self.model, self.workers, self.is_unbound);
        let (shared, mut listeners) = self.prepare(model)?;
        if listeners.is_empty() && !is_unbound {
            return Err(Error::NoListener);
        }
        let handle = Handle::new(Arc::clone(&shared), &listeners);
        let predecessor = Predecessor::of(&mut listeners);
        let started = Self::start_threads(&shared, listeners, model, workers);
        // Threads that have started end by themselves; the pool must be told.
        started.inspect_err(|_| shared.app.pool.close())?;
        predecessor.succeed();
        Self::look_after(&shared)?;
        Ok(handle)
    }

    /// Tells systemd that the server serves, and starts the thread that looks after it.
    fn look_after(shared: &Arc<Shared>) -> Result<()> {
        if let Some(systemd) = &shared.systemd {
            systemd.ready();
        }
        let Some(keeper) = &shared.keeper else { return Ok(()) };
        shared.watch_pool();
        keeper.begin(&shared.threads, Stopping::new(Some(shared.stopper.signal()))).map_err(|error| {
            shared.stopper.stop(Duration::ZERO);
            Error::Thread(error)
        })
    }

    fn start_threads(
        shared: &Arc<Shared>,
        listeners: Vec<Listener>,
        model: Model,
        workers: Option<usize>,
    ) -> Result<()> {
        if shared.app.router.needs_pool() {
            shared.app.pool.prepare().map_err(Error::Thread)?;
        }
        models::start(shared, listeners, model, workers)
    }

    /// Starts the server and waits until it has stopped, as [`Handle::wait`] does.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn run(self) -> Result<Report> {
        self.start()?.wait()
    }

    /// Serves on the caller's executor, which may be any, until the server is stopped.
    ///
    /// The server is event-driven whatever [`model`](Self::model) says. Only the pool for
    /// blocking handlers has threads of its own.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn serve(self) -> Result<Report> {
        let (shared, mut listeners) = self.prepare(Model::EventDriven)?;
        if listeners.is_empty() {
            return Err(Error::NoListener);
        }
        let predecessor = Predecessor::of(&mut listeners);
        if shared.app.router.needs_pool() {
            shared.app.pool.prepare().map_err(Error::Thread)?;
        }
        let told = OnEnd(Arc::clone(&shared));
        let ready = || {
            predecessor.succeed();
            Self::look_after(&shared)
        };
        models::hosted::serve_here(Arc::clone(&shared), listeners, ready).await?;
        drop(told);
        Ok(shared.gate.report())
    }

    /// Returns a [`Service`], for a program that accepts connections itself. Stop it with
    /// [`Service::stop`]: a [`Stopper`](crate::Stopper) alone does not end its idle connections.
    ///
    /// # Errors
    /// [`Error::BadRoute`], [`Error::BadSetting`] or [`Error::DuplicateState`].
    pub fn service(self) -> Result<Service> {
        let (shared, _) = self.prepare(Model::EventDriven)?;
        Ok(Service::new(shared))
    }

    fn prepare(self, model: Model) -> Result<(Arc<Shared>, Vec<Listener>)> {
        let systemd = if self.tells_systemd { Systemd::from_environment() } else { None };
        let keeper = Keeper::new(self.config.timeouts.watchdog, systemd.as_ref());
        let router = match keeper.as_ref().and_then(|keeper| keeper.watchdog.as_ref()) {
            // For `Liveness`.
            Some(watchdog) => self.router.state(Arc::clone(watchdog.stuck())),
            None => self.router,
        };
        let (router, states) = router.build()?;
        let reason = match self.workers {
            Some(0) => Some("it must be at least 1"),
            Some(1025..) => Some("it must be at most 1024"),
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(Error::BadSetting { name: "workers", reason });
        }
        let limits = &self.config.limits;
        limits.check()?;
        self.config.timeouts.check()?;
        let overload = self.config.overload;
        if let Some((name, reason)) = overload.and_then(Overload::fault) {
            return Err(Error::BadSetting { name, reason });
        }
        if let Some(mode) = self.unix_mode {
            check_mode(mode)?;
            self.listeners.iter().try_for_each(|listener| listener.set_mode(mode))?;
        }
        if let Some(backlog) = limits.backlog {
            self.listeners.iter().try_for_each(|listener| listener.set_backlog(backlog))?;
        }
        let threads = Threads::new(self.hook);
        let trust = self.trust.map(|trust| Arc::new(trust.with_limit(limits.connections_per_address)));
        let gate = Gate::new(limits, self.stopper.signal(), states, trust.clone());
        let pool = match model {
            Model::EventDriven => {
                Pool::new("transom-pool", limits.pool_threads, limits.pool_queue, Arc::clone(&threads))
                    .overload(overload)
            }
            // The thread that calls a handler serves one connection and may block.
            Model::Sequential | Model::ThreadPerConnection => Pool::in_place(),
        };
        if is_limited() {
            // While bodies fill the memory, there may be none for it. Without it jobs are refused.
            let _ = pool.prepare();
        }
        if !self.config.timeouts.stop_delay.is_zero() {
            self.stopper.signal().delay();
        }
        let mut app = App::new(router, self.config, pool);
        (app.on_exchange, app.word_answer) = (self.on_exchange, self.word_answer);
        let [request, response] = [self.field_names, self.response_field_names].map(FieldNames::new);
        app.recorded = RecordedNames { request, response };
        app.trust = trust;
        let shared =
            Shared { app, gate, stopper: self.stopper, closing: Arc::default(), threads, systemd, keeper };
        let shared = Arc::new(shared);
        let monitor = Monitor::new(&shared);
        self.on_start.into_iter().for_each(|hook| hook(&monitor));
        Ok((shared, self.listeners))
    }
}

/// Ends what looks after a server, also if the future of a server is dropped.
struct OnEnd(Arc<Shared>);

impl Drop for OnEnd {
    fn drop(&mut self) {
        if let Some(keeper) = &self.0.keeper {
            keeper.end();
        }
    }
}
