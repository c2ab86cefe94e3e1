//! The server handle: made, and freed.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::bytes::borrow;
use crate::error::transom_error;
use crate::process::{self, Process};
use crate::queue::Queue;
use crate::running::Running;
use crate::setup::Setup;
use crate::status::transom_status;

/// A server: routes and settings at first, then threads and sockets. All
/// functions may be called from any thread, also at the same time, but for
/// transom_server_free, which must be the last.
pub struct transom_server {
    process: Process,
    /// `None` once it is started, or while a start is under way.
    setup: Mutex<Option<Setup>>,
    pub(crate) queue: Arc<Queue>,
    running: OnceLock<Arc<Running>>,
    /// Why a route was refused last.
    route_error: Mutex<Option<transom_error>>,
}

impl transom_server {
    fn new() -> Self {
        Self {
            process: Process::current(),
            setup: Mutex::new(Some(Setup::default())),
            queue: Arc::default(),
            running: OnceLock::new(),
            route_error: Mutex::new(None),
        }
    }

    /// The server that `pointer` is.
    ///
    /// # Safety
    /// It is NULL or valid during `'a`.
    pub(crate) unsafe fn get<'a>(pointer: *const Self) -> Result<&'a Self, transom_status> {
        // SAFETY: passed on.
        let server = unsafe { borrow(pointer) }?;
        server.process.check()?;
        Ok(server)
    }

    /// Changes the setup, under its lock: `change` must not drop user data,
    /// whose free function may call anything.
    pub(crate) fn set_up<R>(&self, change: impl FnOnce(&mut Setup) -> R) -> Result<R, transom_status> {
        let mut setup = self.lock();
        let Some(setup) = setup.as_mut() else {
            return Err(transom_status::TRANSOM_ALREADY_STARTED);
        };
        Ok(change(setup))
    }

    /// Takes the setup to start from.
    pub(crate) fn take_setup(&self) -> Option<Setup> {
        self.lock().take()
    }

    /// Puts the setup back after a failure.
    pub(crate) fn restore_setup(&self, setup: Setup) {
        *self.lock() = Some(setup);
    }

    pub(crate) fn set_running(&self, running: Arc<Running>) {
        // Only who took the setup comes here, and it is taken for good.
        let _ = self.running.set(running);
    }

    pub(crate) fn running(&self) -> Result<&Arc<Running>, transom_status> {
        self.running.get().ok_or(transom_status::TRANSOM_NOT_STARTED)
    }

    /// Keeps, or takes, why a route was refused.
    pub(crate) fn swap_route_error(&self, error: Option<transom_error>) -> Option<transom_error> {
        mem::replace(&mut *self.route_error.lock().unwrap_or_else(PoisonError::into_inner), error)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Setup>> {
        self.setup.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server without routes. NULL only if the library has a defect.
#[unsafe(no_mangle)]
pub extern "C" fn transom_server_new() -> *mut transom_server {
    guard!(std::ptr::null_mut(), { Box::into_raw(Box::new(transom_server::new())) })
}

/// Stops the server if it runs (as transom_server_stop, with the timeout "stop"
/// as the deadline, 10 s), waits for its threads and frees it. NULL is fine.
///
/// Nothing else may be using the server by then, handlers excepted. In a
/// handler of its own this begins to stop and returns, and the rest happens
/// when the handler has returned. In a forked child it does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_server_free(server: *mut transom_server) {
    // SAFETY: NULL or valid, by the contract. In a fork, threads that are gone
    // may hold its locks: it is left alone.
    if unsafe { transom_server::get(server) }.is_err() {
        return;
    }
    guard!((), {
        // SAFETY: from `transom_server_new`, and freed once, by the contract.
        let server = unsafe { Box::from_raw(server) };
        let Ok(running) = server.running() else { return };
        let deadline = running.free_deadline;
        running.stop(deadline);
        if running.wait(Some(deadline)) != Err(transom_status::TRANSOM_WOULD_DEADLOCK) {
            return;
        }
        // Handlers under way may still use the server, this one among them. If
        // there is no thread to be had, it stays for good.
        let server = mem::ManuallyDrop::new(server);
        let last = process::spawn("transom-free", move || {
            let server = mem::ManuallyDrop::into_inner(server);
            if let Ok(running) = server.running() {
                // Beyond the deadline, dropping it has the last word.
                let _ = running.wait(Some(deadline));
            }
        });
        drop(last);
    });
}
