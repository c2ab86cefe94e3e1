//! What a host hands over with a callback: a pointer and how to free it.

use std::ffi::c_void;

/// Something the host wants to be told.
pub type transom_callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Frees what was handed over as `user_data` (for transom_responder_send_owned:
/// the bytes). It runs exactly once: after the last use, at once when the
/// registration fails, on whatever thread that happens. May be NULL.
pub type transom_free_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The host's pointer. Dropping it frees it, so it is made before anything can
/// fail and dropped only where no lock is held.
pub(crate) struct UserData {
    pointer: *mut c_void,
    free: transom_free_fn,
}

// SAFETY: the contract: user data is used and freed on any thread.
unsafe impl Send for UserData {}
// SAFETY: as above; only the pointer itself is read.
unsafe impl Sync for UserData {}

impl UserData {
    pub fn new(pointer: *mut c_void, free: transom_free_fn) -> Self {
        Self { pointer, free }
    }

    pub fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the host's function with the pointer it came with, once.
            unsafe { free(self.pointer) }
        }
    }
}
