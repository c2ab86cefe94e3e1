//! The check that a server's workers turn, on which systemd's watchdog is fed.

use std::env;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A task for a worker.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The workers of a server, and the interval within which each must turn.
pub(super) struct Watchdog {
    interval: Duration,
    workers: Mutex<Vec<Watched>>,
}

/// What is watched.
struct Watched {
    name: String,
    check: Check,
    /// Since when there has been no sign of life.
    silent_since: Option<Instant>,
}

enum Check {
    /// Runs a task on the worker. The flag is true once the last task has run.
    Worker { spawn: Box<dyn Fn(Task) + Send>, has_run: Arc<AtomicBool> },
    /// Returns the number of jobs that wait, and of those that were begun so far.
    Pool { load: Box<dyn Fn() -> (u64, u64) + Send>, begun: u64 },
}

impl Watchdog {
    /// Returns the watchdog that systemd has for this process (`sd_watchdog_enabled(3)`).
    pub fn from_environment() -> Option<Self> {
        let interval = env::var("WATCHDOG_USEC").ok()?.parse().ok().filter(|micros| *micros > 0)?;
        let is_ours = match env::var("WATCHDOG_PID") {
            Ok(process) => process.parse() == Ok(std::process::id()),
            Err(_) => true,
        };
        is_ours.then(|| Self { interval: Duration::from_micros(interval), workers: Mutex::default() })
    }

    /// Returns the time between two checks, of which each may feed the watchdog.
    pub fn turn(&self) -> Duration {
        self.interval / 4
    }

    /// Watches a worker, which runs the tasks that `spawn` gives it.
    pub fn watch(&self, name: String, spawn: impl Fn(Task) + Send + 'static) {
        let has_run = Arc::new(AtomicBool::new(true));
        self.add(name, Check::Worker { spawn: Box::new(spawn), has_run });
    }

    /// Watches a pool: `load` returns how many jobs wait, and how many were begun so far.
    pub fn watch_pool(&self, load: impl Fn() -> (u64, u64) + Send + 'static) {
        self.add("the blocking pool".to_owned(), Check::Pool { load: Box::new(load), begun: 0 });
    }

    fn add(&self, name: String, check: Check) {
        self.lock().push(Watched { name, check, silent_since: None });
    }

    /// Forgets all workers.
    pub fn clear(&self) {
        let workers = std::mem::take(&mut *self.lock());
        drop(workers);
    }

    /// Returns the names of those that have shown no sign of life for the interval.
    pub fn stuck(&self, now: Instant) -> Vec<String> {
        let mut workers = self.lock();
        let silent = workers
            .iter_mut()
            .filter_map(|worker| worker.is_silent(now, self.interval).then(|| worker.name.clone()));
        silent.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn is_silent(&mut self, now: Instant, interval: Duration) -> bool {
        let is_alive = match &mut self.check {
            Check::Worker { spawn, has_run } => {
                let is_alive = has_run.swap(false, Ordering::AcqRel);
                if is_alive {
                    let has_run = Arc::clone(has_run);
                    spawn(Box::pin(async move { has_run.store(true, Ordering::Release) }));
                }
                is_alive
            }
            Check::Pool { load, begun } => {
                let (waiting, begun_now) = load();
                let is_alive = waiting == 0 || begun_now != *begun;
                *begun = begun_now;
                is_alive
            }
        };
        if is_alive {
            // A worker is silent from the moment at which its task is given to it.
            self.silent_since = Some(now);
        }
        self.silent_since.is_some_and(|since| now.saturating_duration_since(since) >= interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(4);

    fn watchdog() -> Watchdog {
        Watchdog { interval: INTERVAL, workers: Mutex::default() }
    }

    #[test]
    fn a_worker_that_does_not_run_its_task_within_the_interval_is_named() {
        let (watchdog, begun) = (watchdog(), Instant::now());
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&tasks);
        watchdog.watch("worker 0".into(), move |task| given.lock().unwrap().push(task));
        watchdog.watch("worker 1".into(), futures_lite::future::block_on);
        let stuck = |seconds| watchdog.stuck(begun + Duration::from_secs(seconds));
        for second in 0..4 {
            assert!(stuck(second).is_empty(), "{second}");
        }
        assert_eq!(stuck(4), ["worker 0"]);
        assert_eq!(tasks.lock().unwrap().len(), 1, "it has one task at a time");
        let task = tasks.lock().unwrap().pop().unwrap();
        futures_lite::future::block_on(task);
        for second in 5..9 {
            assert!(stuck(second).is_empty(), "{second}");
        }
        assert_eq!(stuck(9), ["worker 0"]);
    }

    #[test]
    fn a_pool_is_stuck_if_jobs_wait_and_none_begins() {
        let (watchdog, begun) = (watchdog(), Instant::now());
        let load = Arc::new(Mutex::new((0, 0)));
        let current = Arc::clone(&load);
        watchdog.watch_pool(move || *current.lock().unwrap());
        let stuck = |seconds| !watchdog.stuck(begun + Duration::from_secs(seconds)).is_empty();
        assert!(!stuck(0) && !stuck(10), "no job waits");
        *load.lock().unwrap() = (3, 5);
        assert!(!stuck(20) && !stuck(21) && stuck(24));
        *load.lock().unwrap() = (3, 6);
        assert!(!stuck(25));
    }
}
