//! A connection's line to its server: how far stopping has gone, and what
//! became of the exchanges that were under way.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::message::{Client, Peer};

/// How far a connection has gone towards its end, as far as its server decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
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
    /// Set when stopping is asked for, before all connections can be told.
    stopping: Arc<AtomicBool>,
    /// Exchanges that have begun and whose answers are not all written.
    open: AtomicU32,
    /// Exchanges that ended well after stopping began.
    finished: AtomicU32,
}

impl Session {
    pub fn new(peer: Peer, stopping: Arc<AtomicBool>) -> Self {
        Self {
            stopping,
            client: Arc::new(Client::new(peer)),
            stage: AtomicU8::new(Stage::Running as u8),
            waker: Mutex::new(None),
            open: AtomicU32::new(0),
            finished: AtomicU32::new(0),
        }
    }

    /// The connection goes on to that stage.
    pub fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        waker.into_iter().for_each(Waker::wake);
    }

    pub fn has_reached(&self, stage: Stage) -> bool {
        let asked = stage <= Stage::Draining && self.stopping.load(Ordering::Acquire);
        asked || self.stage.load(Ordering::Acquire) >= stage as u8
    }

    /// Ready once it has reached that stage.
    pub fn poll_stage(&self, cx: &mut Context<'_>, stage: Stage) -> Poll<()> {
        if self.has_reached(stage) {
            return Poll::Ready(());
        }
        {
            let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        // The stage may have moved on before the waker was there to be woken.
        if self.has_reached(stage) { Poll::Ready(()) } else { Poll::Pending }
    }

    pub fn begin_exchange(&self) {
        self.open.fetch_add(1, Ordering::AcqRel);
    }

    /// The exchange has its answer, though some of it may wait to be written.
    pub fn end_exchange(&self) {
        self.client.end_exchange();
    }

    /// All answers are written, or nobody is left to write them to.
    pub fn settle(&self) {
        let settled = self.open.swap(0, Ordering::AcqRel);
        if self.has_reached(Stage::Draining) {
            self.finished.fetch_add(settled, Ordering::AcqRel);
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
