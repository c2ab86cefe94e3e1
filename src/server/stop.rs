//! Asking a server to stop, and what became of what it was at.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Asks a server to stop, from anywhere: a handler, another thread, a thread
/// that waits for signals.
///
/// Make one first and give it to the server with
/// [`Server::stopper`](crate::Server::stopper), or take it from a
/// [`Handle`](crate::Handle). Clones ask the same server.
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
    /// Seen by every connection at once, before it is told.
    asked: Arc<AtomicBool>,
}

#[derive(Default)]
struct StopState {
    deadline: Option<Instant>,
    wakers: Vec<Waker>,
}

impl Stopper {
    /// A stopper for a server to come.
    ///
    /// ```
    /// let stopper = transom::Stopper::new();
    /// assert!(!stopper.is_stopping());
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins to stop, and returns at once: no more connections are taken, idle
    /// ones close, exchanges under way are finished, and what is not finished
    /// after `deadline` is cut. Asked again, the earlier deadline counts.
    ///
    /// ```
    /// let stopper = transom::Stopper::new();
    /// stopper.stop(std::time::Duration::from_secs(10));
    /// assert!(stopper.is_stopping());
    /// ```
    pub fn stop(&self, deadline: Duration) {
        let at = Instant::now().checked_add(deadline);
        self.asked.store(true, Ordering::Release);
        let mut state = self.lock();
        // A deadline beyond all time is none, but it is still a stop.
        let at = at.unwrap_or_else(|| Instant::now() + Duration::from_secs(u64::from(u32::MAX)));
        state.deadline = Some(state.deadline.map_or(at, |earlier| earlier.min(at)));
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether it has been asked.
    ///
    /// ```
    /// assert!(!transom::Stopper::new().is_stopping());
    /// ```
    pub fn is_stopping(&self) -> bool {
        self.lock().deadline.is_some()
    }

    /// What is set as soon as it has been asked.
    pub(super) fn asked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    /// Ready with the deadline once it has been asked. The task is woken again
    /// when an earlier one is set.
    pub(super) fn poll_stop(&self, cx: &mut Context<'_>) -> Poll<Instant> {
        let mut state = self.lock();
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        state.deadline.map_or(Poll::Pending, Poll::Ready)
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

/// What became of the exchanges that were under way when a server was stopped.
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
    /// Exchanges answered in full after stopping began.
    pub finished: u64,
    /// Exchanges dropped at the deadline.
    pub cut: u64,
    /// Exchanges still under way when the report was made: before the end, or
    /// where a handler that never yields holds a thread.
    pub pending: u64,
}
