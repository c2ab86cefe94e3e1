//! What the host wants to run on each thread of a server.

use std::sync::Arc;

use crate::user_data::{UserData, transom_callback};

/// The host's functions for a thread's start and end.
pub(crate) struct Hooks {
    pub start: transom_callback,
    pub stop: transom_callback,
    pub user_data: UserData,
}

/// A thread that has run the first and will run the second when it ends.
pub(crate) struct HookedThread(Arc<Hooks>);

impl Hooks {
    pub fn enter(self: Arc<Self>) -> HookedThread {
        if let Some(start) = self.start {
            // SAFETY: the host's function with its user data, by the contract callable on any thread.
            unsafe { start(self.user_data.pointer()) }
        }
        HookedThread(self)
    }
}

impl Drop for HookedThread {
    fn drop(&mut self) {
        if let Some(stop) = self.0.stop {
            // SAFETY: as for the start.
            unsafe { stop(self.0.user_data.pointer()) }
        }
    }
}
