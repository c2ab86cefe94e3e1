//! Calls the host's code so that its panics do not end a thread of the server. The host's code
//! includes the logger, and the destructor of a panic's payload.

use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

/// Runs `run`, which may call the host's code. If it panics, logs an error that begins with `what`
/// and returns `None`.
pub(crate) fn guarded<R>(what: &str, run: impl FnOnce() -> R) -> Option<R> {
    caught(what, run).map_err(|fault| log_event(Level::Error, format_args!("{fault}"))).ok()
}

/// Runs `run`, which may call the host's code. If it panics, the error is the line for the log,
/// which begins with `what`.
pub(crate) fn caught<R>(what: &str, run: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let fault = format!("{what} panicked: {}", text(&*panic));
        // The payload's destructor could panic again. A leak is the lesser evil.
        mem::forget(panic);
        fault
    })
}

/// Logs a line. Control characters are escaped, because the text of an error may repeat what a peer
/// sent: a line break in it would forge a second line. If the logger panics, as one does that prints
/// to a full disk, only the line is lost.
pub(crate) fn log_event(level: Level, line: fmt::Arguments<'_>) {
    let told = catch_unwind(AssertUnwindSafe(|| log::log!(target: "transom", level, "{}", OneLine(line))));
    if let Err(panic) = told {
        mem::forget(panic);
    }
}

/// Text whose control characters are escaped.
struct OneLine<'a>(fmt::Arguments<'a>);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::write(&mut Escaping(f), self.0)
    }
}

/// A writer that escapes control characters.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        while let Some((at, control)) = text.char_indices().find(|(_, c)| c.is_control()) {
            self.0.write_str(&text[..at])?;
            write!(self.0, "{}", control.escape_debug())?;
            text = &text[at + control.len_utf8()..];
        }
        self.0.write_str(text)
    }
}

/// A log line that is written at most once a second, however often its cause occurs.
#[derive(Default)]
pub(crate) struct RateLimitedLog(Mutex<Option<Instant>>);

impl RateLimitedLog {
    const PAUSE: Duration = Duration::from_secs(1);

    /// Logs the line, unless one was logged less than a second ago.
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

/// Returns the message of a panic in a form that fits a log line.
fn text(panic: &(dyn Any + Send)) -> impl fmt::Display {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").escape_debug()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_in_an_event_starts_no_line() {
        let text = "x\nERROR forged\u{1b}[31m\r\u{85}é \"\\\"";
        assert_eq!(
            OneLine(format_args!("no {text}")).to_string(),
            "no x\\nERROR forged\\u{1b}[31m\\r\\u{85}é \"\\\""
        );
    }
}
