//! The watchdog: it checks that the parts of a server turn, and says which of them are stuck.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

use super::load::Load;
use crate::base::guard::{guarded, log_event};
use crate::base::stuck::{Found, StuckList};

/// A task for a worker.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The parts of a server, and the interval within which each must turn.
pub(super) struct Watchdog {
    /// `timeouts.watchdog`, or the interval of systemd's watchdog.
    interval: Duration,
    /// `None` after the end.
    parts: Mutex<Option<Vec<Part>>>,
    stuck: Arc<StuckList>,
}

/// A part that is watched.
struct Part {
    name: String,
    load: Box<dyn FnMut() -> Load + Send>,
    /// Says where the part stands, if its load does not.
    place: Box<dyn Fn() -> Option<String> + Send>,
    /// The number of begun jobs at the last check.
    begun: u64,
    /// The time of the first check since which jobs wait and none was begun.
    silent_since: Option<Instant>,
    /// True if the log says that the part is stuck.
    is_reported: bool,
}

/// Counts a task as done when it has run, and also when it is dropped because its worker has ended.
struct Turned(Arc<AtomicU64>);

impl Drop for Turned {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl Watchdog {
    pub fn new(interval: Duration) -> Self {
        Self { interval, parts: Mutex::new(Some(Vec::new())), stuck: Arc::default() }
    }

    /// Returns the time within which each part must turn.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Returns the list of the parts that are stuck.
    pub fn stuck(&self) -> &Arc<StuckList> {
        &self.stuck
    }

    /// Watches a worker, which runs the tasks that `spawn` gives it. `place` says where it stands.
    pub fn watch_worker(
        &self,
        name: String,
        spawn: impl Fn(Task) + Send + 'static,
        place: impl Fn() -> Option<String> + Send + 'static,
    ) {
        let (turned, mut given) = (Arc::new(AtomicU64::new(0)), 0);
        let load = move || {
            let begun = turned.load(Ordering::Acquire);
            // It has one task at a time.
            if begun == given {
                given = given.wrapping_add(1);
                let turn = Turned(Arc::clone(&turned));
                spawn(Box::pin(async move { drop(turn) }));
            }
            Load::new(1, begun)
        };
        self.add(name, Box::new(load), Box::new(place));
    }

    /// Watches a part by its load.
    pub fn watch(&self, name: String, load: impl FnMut() -> Load + Send + 'static) {
        self.add(name, Box::new(load), Box::new(|| None));
    }

    fn add(
        &self,
        name: String,
        load: Box<dyn FnMut() -> Load + Send>,
        place: Box<dyn Fn() -> Option<String> + Send>,
    ) {
        let part = Part { name, load, place, begun: 0, silent_since: None, is_reported: false };
        // After the end, the part is dropped without the lock.
        let mut parts = self.lock();
        let late = match &mut *parts {
            Some(parts) => {
                parts.push(part);
                None
            }
            None => Some(part),
        };
        drop(parts);
        drop(late);
    }

    /// Forgets all parts, and takes no more.
    pub fn end(&self) {
        let parts = self.lock().take();
        self.stuck.set(Vec::new());
        drop(parts);
    }

    /// Checks each part, and logs those that are stuck, and those that turn again. Returns the names of
    /// those that have not turned for `patience`.
    pub fn check(&self, now: Instant, patience: Duration) -> Vec<String> {
        // The functions run without the lock: they are the program's own, and may add a part.
        let Some(mut parts) = self.lock().as_mut().map(mem::take) else { return Vec::new() };
        let stuck = parts.iter_mut().filter_map(|part| part.check(now, self.interval)).collect();
        let is_silent = |part: &&Part| part.has_been_silent(now, patience);
        let silent = parts.iter().filter(is_silent).map(|part| part.name.clone()).collect();
        let mut current = self.lock();
        if let Some(added) = &mut *current {
            parts.append(added);
            *added = parts;
            self.stuck.set(stuck);
        } else {
            drop(current);
            drop(parts);
        }
        silent
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Part>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// Checks the part. Returns where it stands if it is stuck.
    fn check(&mut self, now: Instant, interval: Duration) -> Option<Found> {
        let load = guarded("a function that tells the load of a part", &mut self.load).unwrap_or_default();
        let before = self.silent_since;
        if load.waiting == 0 {
            self.silent_since = None;
        } else if before.is_none() || load.begun != self.begun {
            self.silent_since = Some(now);
        }
        self.begun = load.begun;
        if let Some(since) = self.silent_since.filter(|_| self.has_been_silent(now, interval)) {
            let detail = Some(load.detail).filter(|detail| !detail.is_empty());
            let detail = detail.or_else(|| (self.place)()).unwrap_or_default();
            let found = Found { name: self.name.clone(), since, detail };
            if !mem::replace(&mut self.is_reported, true) {
                log_event(Level::Error, format_args!("{}", found.at(now)));
            }
            return Some(found);
        }
        if mem::take(&mut self.is_reported) {
            let lasted = before.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            log_event(
                Level::Warn,
                format_args!("{} turns again; it was stuck for {:.1} s", self.name, lasted.as_secs_f64()),
            );
        }
        None
    }

    fn has_been_silent(&self, now: Instant, time: Duration) -> bool {
        self.silent_since.is_some_and(|since| now.saturating_duration_since(since) >= time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(4);

    /// Returns the names of the parts that are stuck at a second.
    fn stuck(watchdog: &Watchdog, begun: Instant, second: u64) -> Vec<String> {
        let silent = watchdog.check(begun + Duration::from_secs(second), INTERVAL);
        let listed: Vec<_> = watchdog.stuck().list().into_iter().map(|stuck| stuck.name).collect();
        assert_eq!(silent, listed);
        silent
    }

    #[test]
    fn a_worker_that_does_not_run_its_task_within_the_interval_is_named() {
        let (watchdog, begun) = (Watchdog::new(INTERVAL), Instant::now());
        let tasks = Arc::new(Mutex::new(Vec::new()));
        let given = Arc::clone(&tasks);
        let place = || Some("at home".into());
        watchdog.watch_worker("worker 0".into(), move |task| given.lock().unwrap().push(task), place);
        watchdog.watch_worker("worker 1".into(), futures_lite::future::block_on, place);
        watchdog.watch_worker("one that has ended".into(), drop, place);
        for second in 0..4 {
            assert!(stuck(&watchdog, begun, second).is_empty(), "{second}");
        }
        assert_eq!(stuck(&watchdog, begun, 4), ["worker 0"]);
        assert_eq!(watchdog.stuck().list()[0].detail, "at home");
        assert_eq!(tasks.lock().unwrap().len(), 1, "it has one task at a time");
        let task = tasks.lock().unwrap().pop().unwrap();
        futures_lite::future::block_on(task);
        for second in 5..9 {
            assert!(stuck(&watchdog, begun, second).is_empty(), "{second}");
        }
        assert_eq!(stuck(&watchdog, begun, 9), ["worker 0"]);
        watchdog.end();
        assert!(stuck(&watchdog, begun, 20).is_empty());
    }

    #[test]
    fn a_part_is_stuck_if_jobs_wait_and_none_begins() {
        let (watchdog, begun) = (Watchdog::new(INTERVAL), Instant::now());
        let load = Arc::new(Mutex::new(Load::new(0, 0)));
        let current = Arc::clone(&load);
        watchdog.watch("the pool".into(), move || current.lock().unwrap().clone());
        let is_stuck = |second| !stuck(&watchdog, begun, second).is_empty();
        assert!(!is_stuck(0) && !is_stuck(10), "no job waits");
        *load.lock().unwrap() = Load::new(3, 0).detail("3 jobs wait");
        assert!(!is_stuck(20) && !is_stuck(23), "they wait since the check at 20");
        assert!(is_stuck(24));
        assert_eq!(watchdog.stuck().list()[0].detail, "3 jobs wait");
        *load.lock().unwrap() = Load::new(3, 1);
        assert!(!is_stuck(25) && !is_stuck(28) && is_stuck(29));
        *load.lock().unwrap() = Load::new(0, 1);
        assert!(!is_stuck(30));
    }

    #[test]
    fn a_function_may_panic_or_add_a_part_and_the_others_are_checked() {
        let (watchdog, begun) = (Arc::new(Watchdog::new(INTERVAL)), Instant::now());
        let again = Arc::clone(&watchdog);
        watchdog.watch("one that panics".into(), || panic!("on purpose"));
        let mut added = false;
        watchdog.watch("one that adds".into(), move || {
            if !mem::replace(&mut added, true) {
                again.watch("the added one".into(), || Load::new(1, 0));
            }
            Load::new(1, 0)
        });
        assert!(stuck(&watchdog, begun, 0).is_empty());
        assert_eq!(stuck(&watchdog, begun, 4), ["one that adds"]);
        assert_eq!(stuck(&watchdog, begun, 8), ["one that adds", "the added one"]);
        watchdog.end();
    }
}
