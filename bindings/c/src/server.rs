//! The server handle: creating a server, its phases, and freeing it.

use std::mem::{self, ManuallyDrop};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::bytes::borrow;
use crate::hooks::Hooks;
use crate::loads::Loads;
use crate::process::{self, HOST, Owner};
use crate::pull_queue::PullQueue;
use crate::running::Running;
use crate::setup::Setup;
use crate::status::transom_status;

/// The time that threads get to end after the deadline, when everything was cut off. They
/// need less, unless a handler blocks one.
const CUT_GRACE: Duration = Duration::from_millis(200);

/// A server. First it takes routes and settings; after the start it has threads and sockets.
/// Any thread may call its functions, several at the same time. transom_server_free must be
/// the last call.
pub struct transom_server {
    /// The process that the server was started in.
    owner: Owner,
    phase: Mutex<Phase>,
    pub(crate) queue: Arc<PullQueue>,
    /// The loads that the host has told.
    pub(crate) loads: Loads,
    running: OnceLock<Arc<Running>>,
}

/// A start in progress. Unless it succeeds, dropping it restores the setup, also after a panic.
pub(crate) struct Attempt<'a> {
    server: &'a transom_server,
    /// The objects that this process has claimed. They are given up unless the start succeeds.
    claimed: Vec<&'a Owner>,
    setup: Option<Box<Setup>>,
}

impl Attempt<'_> {
    pub fn setup(&mut self) -> Option<&mut Setup> {
        self.setup.as_deref_mut()
    }

    /// Ends the attempt: the server runs.
    pub fn succeed(mut self, running: Arc<Running>) {
        self.claimed.clear();
        let setup = self.setup.take();
        self.server.set_running(running);
        drop(setup);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(setup) = self.setup.take() {
            *self.server.phase() = Phase::Setup(setup);
        }
        self.claimed.drain(..).for_each(Owner::give_up);
    }
}

/// The phases of a server's life.
enum Phase {
    Setup(Box<Setup>),
    /// A start is in progress. Handlers and hooks may run already, and may call
    /// `transom_server_stop`, whose deadline is kept here.
    Starting {
        stop: Option<Duration>,
    },
    Started,
}

impl transom_server {
    fn new() -> Self {
        Self {
            owner: Owner::nobody(),
            phase: Mutex::new(Phase::Setup(Box::default())),
            queue: Arc::default(),
            loads: Loads::default(),
            running: OnceLock::new(),
        }
    }

    /// Returns the server that a pointer is to, unless it runs in another process.
    ///
    /// # Safety
    /// `pointer` is NULL or valid during `'a`.
    pub(crate) unsafe fn get<'a>(pointer: *const Self) -> Result<&'a Self, transom_status> {
        // SAFETY: the caller promises it.
        let server = unsafe { borrow(pointer) }?;
        server.owner.check()?;
        Ok(server)
    }

    /// Changes the setup under its lock. `change` must not drop user data, because the free
    /// function of the host may call anything.
    pub(crate) fn set_up<R>(&self, change: impl FnOnce(&mut Setup) -> R) -> Result<R, transom_status> {
        match &mut *self.phase() {
            Phase::Setup(setup) => Ok(change(setup)),
            _ => Err(transom_status::TRANSOM_ALREADY_STARTED),
        }
    }

    /// Takes the setup for a start, and claims the server for this process.
    pub(crate) fn take_setup(&self) -> Result<Attempt<'_>, transom_status> {
        let mut attempt = Attempt { server: self, claimed: Vec::new(), setup: None };
        for owner in [&HOST, &self.owner] {
            owner.claim()?;
            attempt.claimed.push(owner);
        }
        let mut phase = self.phase();
        match mem::replace(&mut *phase, Phase::Starting { stop: None }) {
            Phase::Setup(setup) => attempt.setup = Some(setup),
            other => {
                *phase = other;
                drop(phase);
                return Err(transom_status::TRANSOM_ALREADY_STARTED);
            }
        }
        drop(phase);
        Ok(attempt)
    }

    fn set_running(&self, running: Arc<Running>) {
        // Only the attempt that took the setup gets here, so the cell is empty.
        let running = self.running.get_or_init(|| running);
        let before = mem::replace(&mut *self.phase(), Phase::Started);
        if let Phase::Starting { stop: Some(deadline) } = before {
            running.stop(deadline);
        }
    }

    /// Begins to stop. If a start is in progress, the stop begins when the start has ended.
    pub(crate) fn stop(&self, deadline: Duration) -> Result<(), transom_status> {
        if let Phase::Starting { stop } = &mut *self.phase() {
            *stop = Some(stop.map_or(deadline, |earlier| earlier.min(deadline)));
            return Ok(());
        }
        self.running()?.stop(deadline);
        Ok(())
    }

    /// Returns `true` once a stop was asked for.
    pub(crate) fn is_stopping(&self) -> bool {
        match &*self.phase() {
            Phase::Setup(_) => false,
            Phase::Starting { stop } => stop.is_some(),
            Phase::Started => self.running().is_ok_and(|running| running.is_stopping()),
        }
    }

    /// Returns the running server, or `TRANSOM_NOT_STARTED`.
    pub(crate) fn running(&self) -> Result<&Arc<Running>, transom_status> {
        self.running.get().ok_or(transom_status::TRANSOM_NOT_STARTED)
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Creates a server without routes. Free it with transom_server_free. Returns NULL only if
/// the library has a defect.
#[unsafe(no_mangle)]
pub extern "C" fn transom_server_new() -> *mut transom_server {
    guard!(std::ptr::null_mut(), { Box::into_raw(Box::new(transom_server::new())) })
}

/// Stops a server, waits for its threads, and frees the server and all its user data. Does
/// nothing with NULL.
///
/// A running server is stopped as by transom_server_stop; the deadline is the timeout "stop",
/// 10 seconds by default. This function returns at most 200 ms after the deadline.
///
/// Nothing else may use the server at the same time, except its own handlers: threads in
/// transom_server_next_batch and transom_server_wait must have returned. This function does
/// not wait for a handler that calls it, nor for one that is still running after the
/// deadline. In these cases a thread of the library frees the server once the handler has
/// returned, and runs the thread hooks.
///
/// In a forked child, this does nothing to a server that was started before the fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_free(server: *mut transom_server) {
    // SAFETY: NULL or valid, by the contract. In a forked child nothing is freed, because
    // threads that only the parent has may hold the locks.
    if unsafe { transom_server::get(server) }.is_err() {
        return;
    }
    guard!((), {
        // SAFETY: it comes from `transom_server_new` and is freed once, by the contract.
        let server = ManuallyDrop::new(unsafe { Box::from_raw(server) });
        let ended = server.running().map_or(true, |running| {
            running.stop(running.free_deadline);
            running.wait(Some(running.free_deadline.saturating_add(CUT_GRACE))).is_ok()
        });
        if ended {
            drop(ManuallyDrop::into_inner(server));
            return;
        }
        // Handlers that still run may use the server; one of them may have called this. If no
        // thread can be started, the server is leaked.
        let last = process::spawn("transom-free", move || {
            let ended = server.running().is_ok_and(|running| running.wait(None).is_ok());
            if ended {
                // The free functions of the host run on this thread.
                let hooks = server.running().ok().and_then(|running| running.hooks.clone());
                let _entered = hooks.map(Hooks::enter);
                drop(ManuallyDrop::into_inner(server));
            }
        });
        drop(last);
    });
}
