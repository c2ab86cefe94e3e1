//! A logger that keeps what the library says, for the whole test process.

use std::sync::{Mutex, Once};

use log::{LevelFilter, Log, Metadata, Record};

/// Kept lines of this process. Tests run side by side, so each looks for a line
/// that only it brings about.
#[derive(Debug)]
pub struct Logs;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static LOGS: Logs = Logs;

impl Logs {
    /// Starts keeping lines; called again, it does nothing.
    pub fn capture() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&LOGS).unwrap();
            log::set_max_level(LevelFilter::Debug);
        });
    }

    /// How many lines hold that text.
    pub fn count(text: &str) -> usize {
        LINES.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for a line that holds that text.
    #[track_caller]
    pub fn expect(text: &str) {
        super::eventually(&format!("a log line with {text:?}"), || Self::count(text) > 0);
    }
}

impl Log for Logs {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("transom")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}
