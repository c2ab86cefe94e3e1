//! The session of a connection: the server writes how far a stop has gone, the connection writes
//! which exchanges are finished.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::activity::Activity;
use crate::base::stopping::StopSignal;
use crate::message::Client;

/// How far the server has brought a connection towards its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    #[default]
    Running = 0,
    /// The connection ends after its current exchange, to make room for others.
    Leaving = 1,
    /// Exchanges in progress are finished, idle connections close.
    Draining = 2,
    /// Exchanges in progress are dropped.
    Cut = 3,
}

/// A connection, as its server sees it.
pub(crate) struct Session {
    pub client: Arc<Client>,
    /// The state of the connection, and its bytes.
    pub activity: Activity,
    stage: AtomicU8,
    waker: Mutex<Option<Waker>>,
    /// Given when a stop begins, before all connections can be told.
    stopping: Arc<StopSignal>,
    /// Exchanges that have begun and whose answers are not all written.
    open: AtomicU32,
    /// Exchanges that ended well after stopping began.
    finished: AtomicU32,
    /// Exchanges that were settled; the count stops at the largest number.
    settled: AtomicU32,
}

impl Session {
    pub fn new(client: Client, stopping: Arc<StopSignal>) -> Self {
        Self {
            client: Arc::new(client),
            activity: Activity::default(),
            stopping,
            stage: AtomicU8::new(Stage::Running as u8),
            waker: Mutex::new(None),
            open: AtomicU32::new(0),
            finished: AtomicU32::new(0),
            settled: AtomicU32::new(0),
        }
    }

    /// Returns the session of a connection without a server, for tests and fuzz targets.
    #[cfg(any(test, fuzzing))]
    pub fn unknown() -> Self {
        Self::new(Client::new(crate::message::Peer::Unknown, None, None), Arc::default())
    }

    /// Brings the connection to a stage, if it has not come further, and wakes its task.
    pub fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
        let waker = self.waker().clone();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Returns `true` if the connection's task has a waker for which `is_one` holds.
    pub fn has_waker(&self, is_one: impl FnOnce(&Waker) -> bool) -> bool {
        self.waker().as_ref().is_some_and(is_one)
    }

    pub fn has_reached(&self, stage: Stage) -> bool {
        let is_asked = || stage <= Stage::Leaving || stage == Stage::Draining && !self.stopping.is_delayed();
        (self.stopping.is_given() && is_asked()) || self.stage.load(Ordering::Acquire) >= stage as u8
    }

    /// Returns the guard that lets each new stage wake the connection's task.
    pub fn stage_waker(&self) -> StageWaker<'_> {
        StageWaker { session: self, waker: None }
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an exchange that begins.
    ///
    /// Only the connection's task calls this and the next two, so a load and a store are enough. A load of
    /// its own store may be Relaxed. The stores are Release, so that who reads the count of a settled
    /// exchange (Acquire) also sees what the exchange has done.
    pub fn begin_exchange(&self) {
        self.open.store(self.open.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Notes that the exchange has its answer, though bytes of it may wait to be written.
    pub fn end_exchange(&self) {
        self.client.end_exchange();
    }

    /// Settles all exchanges: their answers are written, or the client is gone. This is the one
    /// place where an exchange counts as finished.
    pub fn settle(&self) {
        let settled = self.open.load(Ordering::Relaxed);
        if settled == 0 {
            return;
        }
        self.open.store(0, Ordering::Release);
        // Relaxed: only the task of the connection counts, and others only show the number.
        let total = self.settled.load(Ordering::Relaxed).saturating_add(settled);
        self.settled.store(total, Ordering::Relaxed);
        if self.stopping.is_given() || self.has_reached(Stage::Draining) {
            self.finished.store(self.finished.load(Ordering::Relaxed) + settled, Ordering::Release);
        }
    }

    /// Returns the number of exchanges that are not settled.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Acquire)
    }

    /// Returns the number of exchanges that were settled.
    pub fn settled(&self) -> u32 {
        // Relaxed: a count that is only shown.
        self.settled.load(Ordering::Relaxed)
    }

    pub fn finished(&self) -> u32 {
        self.finished.load(Ordering::Acquire)
    }
}

/// Lets each new stage wake the task that drives a connection, until dropped.
pub(crate) struct StageWaker<'a> {
    pub session: &'a Session,
    /// A copy of the session's waker, to see without a lock that it has not changed.
    waker: Option<Waker>,
}

impl StageWaker<'_> {
    /// Keeps the waker that the task is polled with. Must be called before the stage is read,
    /// so that no stage is missed.
    pub fn hold(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|held| held.will_wake(waker)) {
            self.waker = Some(waker.clone());
            self.session.waker().clone_from(&self.waker);
        }
    }
}

impl Drop for StageWaker<'_> {
    fn drop(&mut self) {
        *self.session.waker() = None;
    }
}
