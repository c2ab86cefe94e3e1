//! Where the host's code may panic: what is not ours must not take a thread of ours
//! along. That includes the host's logger, and the destructor of what it panics with.

use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

/// Runs what may run the host's code. If that panics it tells the host, with `what`
/// for a subject, and the result is `None`.
pub(crate) fn guarded<R>(what: &str, run: impl FnOnce() -> R) -> Option<R> {
    caught(what, run).map_err(|fault| log_event(Level::Error, format_args!("{fault}"))).ok()
}

/// Runs what may run the host's code. If that panics the error is the line for the log,
/// with `what` for a subject.
pub(crate) fn caught<R>(what: &str, run: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let fault = format!("{what} panicked: {}", text(&*panic));
        // Its destructor could panic again; a leak is the lesser evil.
        mem::forget(panic);
        fault
    })
}

/// Tells the host. A logger that panics, as one does that prints to a full disk, costs
/// the line.
pub(crate) fn log_event(level: Level, line: fmt::Arguments<'_>) {
    let told = catch_unwind(AssertUnwindSafe(|| log::log!(target: "transom", level, "{line}")));
    if let Err(panic) = told {
        mem::forget(panic);
    }
}

/// A line of the log that is told once a second at most, however often there is reason to.
#[derive(Default)]
pub(crate) struct RateLimitedLog(Mutex<Option<Instant>>);

impl RateLimitedLog {
    const PAUSE: Duration = Duration::from_secs(1);

    /// Tells the host, unless it was told a moment ago.
    pub fn log(&self, level: Level, line: fmt::Arguments<'_>) {
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= Self::PAUSE) {
            *last = Some(now);
            drop(last);
            log_event(level, line);
        }
    }
}

/// What a panic said, fit for a log line.
fn text(panic: &(dyn Any + Send)) -> impl fmt::Display {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").escape_debug()
}
