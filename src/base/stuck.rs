//! The parts of a server that are stuck, as its watchdog has found them.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A part of a server that does not turn; see [`Handle::stuck`](crate::Handle::stuck).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stuck {
    /// The name of the part, such as `worker 0`, `the blocking pool`, or a name that was given to
    /// [`Handle::watch`](crate::Handle::watch).
    pub name: String,
    /// The time since the part turned last.
    pub lasted: Duration,
    /// Where the part stands, such as the request that a worker is in, or how many requests wait.
    /// Empty if that is not known.
    pub detail: String,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has been stuck for {:.1} s", self.name, self.lasted.as_secs_f64())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

/// The parts of one server that are stuck, shared by its watchdog and by those who show them.
#[derive(Default)]
pub(crate) struct StuckList(Mutex<Vec<Found>>);

/// A part that is stuck.
#[derive(Clone)]
pub(crate) struct Found {
    pub name: String,
    pub since: Instant,
    pub detail: String,
}

impl Found {
    /// Returns the part as it is shown at a time.
    pub fn at(&self, now: Instant) -> Stuck {
        let lasted = now.saturating_duration_since(self.since);
        Stuck { name: self.name.clone(), lasted, detail: self.detail.clone() }
    }
}

impl StuckList {
    /// Replaces the list.
    pub fn set(&self, found: Vec<Found>) {
        let before = std::mem::replace(&mut *self.lock(), found);
        drop(before);
    }

    /// Returns the parts that are stuck now.
    pub fn list(&self) -> Vec<Stuck> {
        let now = Instant::now();
        self.lock().iter().map(|found| found.at(now)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
