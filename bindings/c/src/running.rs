//! A server that has been started: waiting for it, stopping it.

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

#[derive(Default)]
struct Stop {
    /// `None` until it is asked to stop.
    deadline: Option<Instant>,
    /// Closes the pull queue in the end.
    closer: Option<JoinHandle<()>>,
}

/// How long after the deadline of a stop the pull queue is closed at the latest.
const CLOSE_GRACE: Duration = Duration::from_millis(100);

/// How often it is asked whether the deadline has moved closer.
const CLOSE_TURN: Duration = Duration::from_millis(50);

pub(crate) struct Running {
    pub handle: Handle,
    /// What requests under way have when it is freed.
    pub free_deadline: Duration,
    /// What the host runs on the server's threads.
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
        Arc::new(Self { handle, free_deadline, hooks, stopper, queue, stop: Mutex::default() })
    }

    /// Begins to stop. Requests that come in while the server drains still
    /// reach the pull queue; it is closed when there can be no more.
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

    /// Waits until all has stopped; without a timeout, for as long as it takes.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<(), transom_status> {
        let stopped = match timeout {
            None => self.handle.wait().map(Some),
            Some(timeout) => self.handle.wait_timeout(timeout),
        };
        if stopped.map_err(|error| status_of(&error))?.is_none() {
            return Err(transom_status::TRANSOM_TIMEOUT);
        }
        // It has been waiting for the same, so it is about to end.
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
