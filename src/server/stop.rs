//! Stopping a server, and the report of what finished and what was cut.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use crate::base::stopping::StopSignal;

/// Stops a server from anywhere: from a handler, from another thread, or from a thread that
/// waits for signals.
///
/// Give a stopper to the server with [`Server::stopper`](crate::Server::stopper), or take the
/// server's own from [`Handle::stopper`](crate::Handle::stopper). Clones stop the same server.
/// A handler, a body or an upgraded connection can wait for the stop to begin: see
/// [`Stopping`](crate::Stopping).
///
/// ```
/// use std::time::Duration;
/// use transom::{Request, Router, Server, Stopper};
///
/// let stopper = Stopper::new();
/// let in_handler = stopper.clone();
/// let app = Router::new().post("/stop", move |_: Request| {
///     in_handler.stop(Duration::from_secs(5));
///     async { "stopping\n" }
/// });
/// let server = Server::new(app).stopper(&stopper).bind("127.0.0.1:0")?.start()?;
/// stopper.stop(Duration::ZERO);
/// server.wait()?;
/// # Ok::<(), transom::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Stopper {
    state: Arc<Mutex<StopState>>,
    /// The signal that a stop has begun. Every connection sees it at once, before it is woken.
    signal: Arc<StopSignal>,
}

#[derive(Default)]
struct StopState {
    begun: Option<Instant>,
    deadline: Option<Instant>,
    wakers: Vec<Waker>,
}

impl Stopper {
    /// Returns a stopper for a server that is built later.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to stop the server, and returns at once.
    ///
    /// The server accepts no more connections and closes idle ones. Exchanges in progress may
    /// finish until `deadline`; the rest are then cut. If this is called more than once, the
    /// earliest deadline counts.
    pub fn stop(&self, deadline: Duration) {
        let now = Instant::now();
        let mut state = self.lock();
        // A deadline that the clock cannot express still begins a stop.
        let at = now.checked_add(deadline).unwrap_or_else(|| now + Duration::from_secs(u64::from(u32::MAX)));
        state.begun.get_or_insert(now);
        state.deadline = Some(state.deadline.map_or(at, |earlier| earlier.min(at)));
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        // Give the signal before the models are woken: from then on, no connection begins an
        // exchange that would keep it open.
        self.signal.give();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Returns `true` once a stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.signal.is_given()
    }

    /// Returns the signal that is given when a stop begins.
    pub(super) fn signal(&self) -> Arc<StopSignal> {
        Arc::clone(&self.signal)
    }

    /// Ready with the deadline when a stop has begun. Wakes the task again when an earlier
    /// deadline is set.
    pub(super) fn poll_stop(&self, cx: &mut Context<'_>) -> Poll<Instant> {
        let mut state = self.lock();
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        state.deadline.map_or(Poll::Pending, Poll::Ready)
    }

    /// Ready once a stop has begun, with the time until which clients are accepted: `delay` later, or
    /// the deadline if that is earlier. Wakes the task again when an earlier deadline is set.
    pub(super) fn poll_close(&self, cx: &mut Context<'_>, delay: Duration) -> Poll<Instant> {
        let deadline = ready!(self.poll_stop(cx));
        let delayed = self.lock().begun.and_then(|begun| begun.checked_add(delay));
        Poll::Ready(delayed.map_or(deadline, |at| at.min(deadline)))
    }

    fn lock(&self) -> MutexGuard<'_, StopState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopper").field("stopping", &self.is_stopping()).finish()
    }
}

/// The numbers of exchanges that finished, were cut, and are pending when a server stops.
///
/// ```
/// use std::time::Duration;
/// let server = transom::Server::new(transom::Router::new()).bind("127.0.0.1:0")?.start()?;
/// let report = server.stop(Duration::from_secs(10));
/// assert_eq!((report.finished, report.cut, report.pending), (0, 0, 0));
/// # Ok::<(), transom::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Exchanges that were answered in full after the stop began.
    pub finished: u64,
    /// Exchanges that were cut at the deadline.
    pub cut: u64,
    /// Exchanges that had not ended when the report was made, because the stop had not ended or
    /// because a handler blocks a thread.
    pub pending: u64,
}
