//! Telling systemd what a server does (`sd_notify(3)`): it is ready, reloads, stops, is alive.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::Level;

use crate::base::guard::{RateLimitedLog, log_event};
use crate::system::NotifySocket;

/// The longest wait for systemd to take a message.
const SEND_PATIENCE: Duration = Duration::from_secs(1);

/// The systemd that started this process, as far as it wants to be told.
pub(super) struct Systemd {
    socket: NotifySocket,
    /// The interval of systemd's watchdog, if it has one for this process.
    pub watchdog: Option<Duration>,
    /// True once a successor is the main process of the service.
    is_retired: AtomicBool,
    has_told_stop: AtomicBool,
    told: RateLimitedLog,
}

impl Systemd {
    /// Returns the systemd that started this process; `None` if there is none (`NOTIFY_SOCKET`).
    pub fn from_environment() -> Option<Arc<Self>> {
        let name = env::var("NOTIFY_SOCKET").ok()?;
        match NotifySocket::open(&name, SEND_PATIENCE) {
            Ok(socket) => Some(Arc::new(Self {
                socket,
                watchdog: watchdog_interval(),
                is_retired: AtomicBool::new(false),
                has_told_stop: AtomicBool::new(false),
                told: RateLimitedLog::default(),
            })),
            Err(error) => {
                log_event(Level::Warn, format_args!("systemd cannot be told at {name:?}: {error}"));
                None
            }
        }
    }

    /// The server serves, or has reloaded.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// The host reloads. [`ready`](Self::ready) says when it is done.
    pub fn reloading(&self) {
        #[cfg(target_os = "linux")]
        {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
            self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
        }
        #[cfg(not(target_os = "linux"))]
        self.send("RELOADING=1");
    }

    /// Shows a text in `systemctl status`.
    pub fn status(&self, text: &str) {
        // A line end would begin another message.
        let line = text.replace(char::is_control, " ");
        self.send(&format!("STATUS={line}"));
    }

    /// Another process is the main process of the service from now on.
    #[cfg(target_os = "linux")]
    pub fn retire(&self, successor: i32) {
        self.send(&format!("MAINPID={successor}"));
        self.is_retired.store(true, Ordering::Release);
    }

    /// Feeds the watchdog.
    pub fn feed(&self) {
        self.send("WATCHDOG=1");
    }

    /// Tells of the stop, once.
    pub fn tell_stop(&self) {
        if !self.has_told_stop.swap(true, Ordering::AcqRel) {
            self.send("STOPPING=1");
        }
    }

    /// Sends a message, unless a successor speaks for the service now.
    fn send(&self, message: &str) {
        if self.is_retired.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.socket.send(message.as_bytes()) {
            self.told.log(Level::Warn, format_args!("systemd was not told {message:?}: {error}"));
        }
    }
}

/// Returns the interval of the watchdog that systemd has for this process (`sd_watchdog_enabled(3)`).
fn watchdog_interval() -> Option<Duration> {
    let interval = env::var("WATCHDOG_USEC").ok()?.parse().ok().filter(|micros| *micros > 0)?;
    let is_ours = match env::var("WATCHDOG_PID") {
        Ok(process) => process.parse() == Ok(std::process::id()),
        Err(_) => true,
    };
    is_ours.then(|| Duration::from_micros(interval))
}
