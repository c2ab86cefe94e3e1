//! The lines that a log could not keep or write.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::text::push_number;
use super::time::TimeText;

/// The time between two lines of the program's log about lost lines.
const PAUSE: Duration = Duration::from_secs(10);

/// The form of a log's line that tells of lost lines.
#[derive(Clone, Copy)]
pub(super) enum LossLine {
    /// A comment, which tools skip.
    Comment,
    Json,
    /// There is no such line.
    None,
}

impl LossLine {
    /// Adds the line.
    pub fn write(self, lost: u64, line: &mut Vec<u8>) {
        let now = Instant::now();
        let mut time = TimeText::default();
        match self {
            Self::Comment => {
                line.extend_from_slice(b"# ");
                push_number(line, lost);
                line.extend_from_slice(b" lines were lost before [");
                time.push_common(line, now);
                line.extend_from_slice(b"]\n");
            }
            Self::Json => {
                line.extend_from_slice(b"{\"timestamp\":\"");
                time.push_rfc3339(line, now);
                line.extend_from_slice(b"\",\"transom.log.lost\":");
                push_number(line, lost);
                line.extend_from_slice(b"}\n");
            }
            Self::None => {}
        }
    }
}

/// The count of the lines that were lost.
#[derive(Default)]
pub(super) struct Loss {
    lines: AtomicU64,
    told: Mutex<Option<Instant>>,
}

impl Loss {
    /// Returns the number of lines that were lost.
    pub fn lines(&self) -> u64 {
        // Relaxed: a count that is only shown, also below.
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
