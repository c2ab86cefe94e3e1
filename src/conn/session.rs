//! A connection's line to its server: how far stopping has gone, and what
//! became of the exchanges that were under way.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::base::stopping::StopSignal;
use crate::base::values::Values;
use crate::message::{Client, Peer};

/// How far a connection has gone towards its end, as far as its server decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    #[default]
    Running = 0,
    /// The connection ends after the exchange it is at, to make room for others.
    Leaving = 1,
    /// Exchanges under way are finished, idle connections close.
    Draining = 2,
    /// Whatever is under way is dropped.
    Cut = 3,
}

/// What a connection and its server tell each other.
pub(crate) struct Session {
    pub client: Arc<Client>,
    stage: AtomicU8,
    waker: Mutex<Option<Waker>>,
    /// Given when a stop begins, before all connections can be told.
    stopping: Arc<StopSignal>,
    /// Exchanges that have begun and whose answers are not all written.
    open: AtomicU32,
    /// Exchanges that ended well after stopping began.
    finished: AtomicU32,
}

impl Session {
    pub fn new(peer: Peer, stopping: Arc<StopSignal>, states: Option<Arc<Values>>) -> Self {
        Self {
            client: Arc::new(Client::new(peer, Some(Arc::clone(&stopping)), states)),
            stopping,
            stage: AtomicU8::new(Stage::Running as u8),
            waker: Mutex::new(None),
            open: AtomicU32::new(0),
            finished: AtomicU32::new(0),
        }
    }

    /// The connection goes on to that stage.
    pub fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
        let waker = self.waker().clone();
        waker.into_iter().for_each(Waker::wake);
    }

    pub fn has_reached(&self, stage: Stage) -> bool {
        let asked = stage <= Stage::Draining && self.stopping.is_given();
        asked || self.stage.load(Ordering::Acquire) >= stage as u8
    }

    /// What keeps the connection's task told of each new stage.
    pub fn stage_waker(&self) -> StageWaker<'_> {
        StageWaker { session: self, waker: None }
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As the next two, for the connection's task alone: it is the only one that
    /// counts, so none of them needs more than a load and a store.
    pub fn begin_exchange(&self) {
        self.open.store(self.open.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// The exchange has its answer, though some of it may wait to be written.
    pub fn end_exchange(&self) {
        self.client.end_exchange();
    }

    /// All answers are written, or nobody is left to write them to.
    pub fn settle(&self) {
        let settled = self.open.load(Ordering::Relaxed);
        if settled == 0 {
            return;
        }
        self.open.store(0, Ordering::Release);
        if self.has_reached(Stage::Draining) {
            self.finished.store(self.finished.load(Ordering::Relaxed) + settled, Ordering::Release);
        }
    }

    /// How many exchanges are not settled.
    pub fn open(&self) -> u32 {
        self.open.load(Ordering::Acquire)
    }

    pub fn finished(&self) -> u32 {
        self.finished.load(Ordering::Acquire)
    }
}

/// The task that drives a connection, while it does: it is woken at each stage,
/// and looks how far things are each time it is polled.
pub(crate) struct StageWaker<'a> {
    session: &'a Session,
    /// As the session has it: most often nothing has changed.
    waker: Option<Waker>,
}

impl StageWaker<'_> {
    /// The task is being polled with that waker. To be called before the stage is
    /// looked at, so that none is missed.
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
