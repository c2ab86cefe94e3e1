//! The state that the parts of a running server share.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::accept::Accepted;
use super::gate::{Admission, Gate};
use super::opening::{Entry, Opened, Opening};
use super::stop::Stopper;
use super::systemd::Systemd;
use super::watchdog::Task;
use crate::base::stopping::{StopSignal, Stopping};
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
}

impl Shared {
    /// Lets an accepted connection in, if there is room for it.
    pub fn enter(&self, accepted: &Accepted) -> Result<Entry, Reject> {
        let Some(steps) = &accepted.steps else { return self.gate.admit(accepted.peer).map(Entry::Admitted) };
        let reservation = self.gate.reserve()?;
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

    /// Has the watchdog watch a worker, which runs the tasks that `spawn` gives it.
    pub fn watch(&self, name: String, spawn: impl Fn(Task) + Send + 'static) {
        if let Some(watchdog) = self.systemd.as_ref().and_then(|systemd| systemd.watchdog.as_ref()) {
            watchdog.watch(name, spawn);
        }
    }

    /// Returns a future that is ready when the server accepts no more.
    pub fn closing(&self) -> Stopping {
        Stopping::new(Some(Arc::clone(&self.closing)))
    }
}
