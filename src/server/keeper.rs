//! The thread that looks after a server: it runs the watchdog, and tells systemd of a stop.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use log::Level;

use super::systemd::Systemd;
use super::watchdog::Watchdog;
use crate::base::guard::log_event;
use crate::base::stopping::Stopping;
use crate::base::threads::Threads;

/// The number of checks in the interval of a watchdog.
const CHECKS_PER_INTERVAL: u32 = 4;

/// The keeper of a server that has a watchdog, or that tells systemd what it does.
pub(super) struct Keeper {
    systemd: Option<Arc<Systemd>>,
    pub watchdog: Option<Watchdog>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// True if the stop is to be looked at.
    is_woken: bool,
    has_ended: bool,
}

impl Keeper {
    /// Returns the keeper of a server; `None` if the server needs none. `interval` is
    /// `timeouts.watchdog`. Without it, the interval of systemd's watchdog counts.
    pub fn new(interval: Option<Duration>, systemd: Option<&Arc<Systemd>>) -> Option<Arc<Self>> {
        let interval = interval.or_else(|| systemd?.watchdog);
        let (watchdog, systemd) = (interval.map(Watchdog::new), systemd.cloned());
        (watchdog.is_some() || systemd.is_some())
            .then(|| Arc::new(Self { systemd, watchdog, state: Mutex::default(), changed: Condvar::new() }))
    }

    /// Starts the thread.
    pub fn begin(self: &Arc<Self>, threads: &Arc<Threads>, stopping: Stopping) -> io::Result<()> {
        let keeper = Arc::clone(self);
        threads.spawn("transom-keeper", None, move || keeper.run(stopping))
    }

    /// Ends the thread. The process may end before the thread has told systemd of the stop, so this does.
    pub fn end(&self) {
        self.tell_stop();
        self.lock().has_ended = true;
        self.changed.notify_all();
        if let Some(watchdog) = &self.watchdog {
            watchdog.end();
        }
    }

    fn run(self: Arc<Self>, stopping: Stopping) {
        let mut stopping = Some(pin!(stopping));
        let waker = Waker::from(Arc::clone(&self));
        let mut next_check = self.watchdog.as_ref().map(|_| Instant::now());
        let mut unfed_for = Vec::new();
        let mut has_ended = false;
        loop {
            if let Some(stop) = &mut stopping
                && stop.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
            {
                stopping = None;
                self.tell_stop();
            }
            if has_ended {
                return;
            }
            let now = Instant::now();
            if let Some(watchdog) = &self.watchdog
                && next_check.is_some_and(|at| at <= now)
            {
                let pause = self.check(watchdog, now, &mut unfed_for);
                next_check = now.checked_add(pause);
            }
            has_ended = self.wait(next_check);
        }
    }

    /// Checks that everything turns, and feeds systemd's watchdog if it does. `unfed_for` are the parts
    /// for which the watchdog was not fed before. Returns the time until the next check.
    fn check(&self, watchdog: &Watchdog, now: Instant, unfed_for: &mut Vec<String>) -> Duration {
        let fed = self.systemd.as_ref().and_then(|systemd| Some((systemd, systemd.watchdog?)));
        let patience = fed.map_or(Duration::MAX, |(_, interval)| interval);
        let stuck = watchdog.check(now, patience);
        if let Some((systemd, _)) = fed {
            if stuck.is_empty() {
                systemd.feed();
            } else if stuck != *unfed_for {
                let names = stuck.join(", ");
                log_event(Level::Error, format_args!("systemd's watchdog is not fed: stuck is {names}"));
            }
            *unfed_for = stuck;
        }
        watchdog.interval().min(patience) / CHECKS_PER_INTERVAL
    }

    fn tell_stop(&self) {
        if let Some(systemd) = &self.systemd {
            systemd.tell_stop();
        }
    }

    /// Waits until something has changed, or until `until`. Returns `true` at the end.
    fn wait(&self, until: Option<Instant>) -> bool {
        let mut state = self.lock();
        while !state.has_ended && !state.is_woken {
            state = match until.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => break,
                Some(left) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        state.is_woken = false;
        state.has_ended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stop has begun.
impl Wake for Keeper {
    fn wake(self: Arc<Self>) {
        self.lock().is_woken = true;
        self.changed.notify_all();
    }
}
