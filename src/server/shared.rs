//! The state that the parts of a running server share.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::gate::{Admission, Gate, Reservation};
use super::opening::{Entry, Opened, Opening};
use super::stop::Stopper;
use crate::base::threads::Threads;
use crate::conn::{App, Transport};
use crate::error::Reject;
use crate::message::Peer;

/// The state of a running server: shared by its model, its handle and its stop.
pub(super) struct Shared {
    pub app: App,
    pub gate: Arc<Gate>,
    pub opening: Opening,
    pub stopper: Stopper,
    pub threads: Arc<Threads>,
}

impl Shared {
    /// Lets an accepted connection in, if there is room for it.
    pub fn enter(&self, peer: Peer) -> Result<Entry, Reject> {
        if self.opening.steps.is_empty() {
            self.gate.admit(peer).map(Entry::Admitted)
        } else {
            self.gate.reserve(self.opening.max_at_once).map(Entry::Reserved)
        }
    }

    /// Opens a connection, and admits it: see [`Opening::open`].
    pub async fn open(
        &self,
        transport: impl Transport,
        peer: Peer,
        reservation: Reservation,
        poll_at: impl FnMut(&mut Context<'_>, Instant) -> Poll<()> + Send,
    ) -> Option<(Box<dyn Transport>, Admission)> {
        let connection = Opened { transport: Box::new(transport), peer };
        let stopping = self.stopper.stopping();
        self.opening.open(connection, reservation, &self.app, stopping, poll_at).await
    }
}
