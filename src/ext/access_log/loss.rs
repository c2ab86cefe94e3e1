//! The lines that a log could not keep or write.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time between two lines of the program's log about lost lines.
const PAUSE: Duration = Duration::from_secs(10);

/// The count of the lines that were lost.
#[derive(Default)]
pub(super) struct Loss {
    lines: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl Loss {
    /// Returns the number of lines that were lost.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Counts lost lines, and logs why they are lost, unless that was logged not long ago.
    #[cold]
    pub fn add(&self, lines: u64, why: impl fmt::Display) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| now.saturating_duration_since(told) >= PAUSE) {
            *told = Some(now);
            drop(told);
            let why = why.to_string();
            let warn = || log::warn!(target: "transom", "the access log loses lines: {}", why.escape_debug());
            // If the logger panics, only its line is lost.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(warn)) {
                mem::forget(panic);
            }
        }
    }
}
