//! A server that was started: stopping it, and waiting for its end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use transom::{Handle, Stopper};

use crate::error::status_of;
use crate::hooks::Hooks;
use crate::process;
use crate::pull_queue::PullQueue;
use crate::status::transom_status;
use crate::timeout::FOREVER;

/// A stop that has begun, or has not.
#[derive(Default)]
struct Stop {
    /// When the pull queue is closed at the latest; `None` until a stop begins.
    deadline: Option<Instant>,
    /// The thread that closes the pull queue.
    closer: Option<JoinHandle<()>>,
}

/// The time from the deadline of a stop until the pull queue is closed at the latest.
const CLOSE_GRACE: Duration = Duration::from_millis(100);

/// The interval at which the thread that closes the queue looks for an earlier deadline.
const CLOSE_TURN: Duration = Duration::from_millis(50);

/// A server that was started.
pub(crate) struct Running {
    pub handle: Handle,
    /// The deadline of the stop that `transom_server_free` makes.
    pub free_deadline: Duration,
    /// The thread hooks of the host.
    pub hooks: Option<Arc<Hooks>>,
    stopper: Stopper,
    queue: Arc<PullQueue>,
    stop: Mutex<Stop>,
}

impl Running {
    pub fn new(
        handle: Handle,
        queue: Arc<PullQueue>,
        hooks: Option<Arc<Hooks>>,
        free_deadline: Duration,
    ) -> Arc<Self> {
        let stopper = handle.stopper();
        let watched = Arc::downgrade(&queue);
        handle
            .watch("the pull queue", move || watched.upgrade().map(|queue| queue.load()).unwrap_or_default());
        Arc::new(Self { handle, free_deadline, hooks, stopper, queue, stop: Mutex::default() })
    }

    /// Begins to stop. The pull queue stays open while requests may still arrive: a thread closes
    /// it after the server has stopped.
    pub fn stop(self: &Arc<Self>, deadline: Duration) {
        self.stopper.stop(deadline);
        let at = Instant::now() + deadline.min(FOREVER) + CLOSE_GRACE;
        let mut stop = self.lock();
        if let Some(earlier) = stop.deadline {
            stop.deadline = Some(earlier.min(at));
            return;
        }
        stop.deadline = Some(at);
        let running = Arc::clone(self);
        match process::spawn("transom-close", move || running.close_in_the_end()) {
            Ok(thread) => stop.closer = Some(thread),
            Err(error) => {
                drop(stop);
                log::error!(target: "transom", "cannot start a thread: {error}; pull requests are cut off now");
                self.queue.close();
            }
        }
    }

    /// Returns `true` once a stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.stopper.is_stopping()
    }

    /// Waits until the server has stopped or the deadline has passed, then closes the pull queue.
    fn close_in_the_end(&self) {
        while let Some(deadline) = self.deadline() {
            let left = deadline.saturating_duration_since(Instant::now());
            let stopped = self.handle.wait_timeout(left.min(CLOSE_TURN));
            if left.is_zero() || !matches!(stopped, Ok(None)) {
                break;
            }
        }
        self.queue.close();
    }

    /// Waits until the server has stopped; `None` is without a limit.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<(), transom_status> {
        let stopped = match timeout {
            None => self.handle.wait().map(Some),
            Some(timeout) => self.handle.wait_timeout(timeout),
        };
        if stopped.map_err(|error| status_of(&error))?.is_none() {
            return Err(transom_status::TRANSOM_TIMEOUT);
        }
        // This thread waits for the same event, so it ends at once.
        let closer = self.lock().closer.take();
        let _ = closer.map(JoinHandle::join);
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    fn lock(&self) -> MutexGuard<'_, Stop> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
