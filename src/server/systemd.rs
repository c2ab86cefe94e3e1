//! Telling systemd what a server does (`sd_notify(3)`): it is ready, reloads, stops, is alive.

use std::env;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use log::Level;

use super::watchdog::Watchdog;
use crate::base::descriptor::apart;
use crate::base::guard::{RateLimitedLog, log_event};
use crate::base::stopping::Stopping;
use crate::base::threads::Threads;

/// The longest wait for systemd to take a message.
const SEND_PATIENCE: Duration = Duration::from_secs(1);

/// The systemd that started this process, as far as it wants to be told.
pub(super) struct Systemd {
    socket: UnixDatagram,
    address: SocketAddr,
    pub watchdog: Option<Watchdog>,
    state: Mutex<State>,
    changed: Condvar,
    has_told_stop: AtomicBool,
    told: RateLimitedLog,
}

#[derive(Default)]
struct State {
    /// True if the stop is to be looked at.
    is_woken: bool,
    /// A successor is the main process of the service.
    is_retired: bool,
    has_ended: bool,
}

impl Systemd {
    /// Returns the systemd that started this process; `None` if there is none (`NOTIFY_SOCKET`).
    pub fn from_environment() -> Option<Arc<Self>> {
        let name = env::var("NOTIFY_SOCKET").ok()?;
        let opened = address(&name).and_then(|address| {
            let socket = apart(UnixDatagram::unbound()?)?;
            socket.set_write_timeout(Some(SEND_PATIENCE))?;
            Ok((socket, address))
        });
        match opened {
            Ok((socket, address)) => Some(Arc::new(Self {
                socket,
                address,
                watchdog: Watchdog::from_environment(),
                state: Mutex::default(),
                changed: Condvar::new(),
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
        self.lock().is_retired = true;
    }

    /// Starts the thread that tells of a stop and feeds the watchdog.
    pub fn begin(self: &Arc<Self>, threads: &Arc<Threads>, stopping: Stopping) -> io::Result<()> {
        let systemd = Arc::clone(self);
        threads.spawn("transom-systemd", None, move || systemd.run(stopping))
    }

    /// Ends the thread. The process may end before the thread has told of the stop, so this does.
    pub fn end(&self) {
        self.tell_stop();
        self.lock().has_ended = true;
        self.changed.notify_all();
        if let Some(watchdog) = &self.watchdog {
            watchdog.clear();
        }
    }

    fn run(self: Arc<Self>, stopping: Stopping) {
        let mut stopping = Some(pin!(stopping));
        let waker = Waker::from(Arc::clone(&self));
        let mut next_check = self.watchdog.as_ref().map(|_| Instant::now());
        let mut stuck_before = Vec::new();
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
                let stuck = watchdog.stuck(now);
                if stuck.is_empty() {
                    self.send("WATCHDOG=1");
                } else if stuck != stuck_before {
                    let names = stuck.join(", ");
                    log_event(Level::Error, format_args!("systemd's watchdog is not fed: stuck is {names}"));
                }
                stuck_before = stuck;
                next_check = now.checked_add(watchdog.turn());
            }
            has_ended = self.wait(next_check);
        }
    }

    /// Tells of the stop, once.
    fn tell_stop(&self) {
        if !self.has_told_stop.swap(true, Ordering::AcqRel) {
            self.send("STOPPING=1");
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

    /// Sends a message, unless a successor speaks for the service now.
    fn send(&self, message: &str) {
        if self.lock().is_retired {
            return;
        }
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            self.told.log(Level::Warn, format_args!("systemd was not told {message:?}: {error}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stop has begun.
impl Wake for Systemd {
    fn wake(self: Arc<Self>) {
        self.lock().is_woken = true;
        self.changed.notify_all();
    }
}

fn address(name: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    if !name.starts_with('/') {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is no Unix socket"));
    }
    SocketAddr::from_pathname(name)
}
