//! The thread hooks: functions of the host for the start and the end of a server's threads.

use std::sync::Arc;

use crate::user_data::{UserData, transom_callback_fn};

/// The two functions of the host, with their user data.
pub(crate) struct Hooks {
    pub start: transom_callback_fn,
    pub stop: transom_callback_fn,
    pub user_data: UserData,
}

/// A thread that has run `start`. Dropping this runs `stop`.
pub(crate) struct HookedThread(Arc<Hooks>);

impl Hooks {
    /// Runs `start` on this thread.
    pub fn enter(self: Arc<Self>) -> HookedThread {
        if let Some(start) = self.start {
            // SAFETY: the host's function with its user data; by the contract, any thread may call it.
            unsafe { start(self.user_data.pointer()) }
        }
        HookedThread(self)
    }
}

impl Drop for HookedThread {
    fn drop(&mut self) {
        if let Some(stop) = self.0.stop {
            // SAFETY: as for `start`.
            unsafe { stop(self.0.user_data.pointer()) }
        }
    }
}
