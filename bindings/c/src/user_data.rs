//! Callbacks of the host, and the user data that is registered with each.

use std::ffi::c_void;

/// A function that the library calls once something has happened, such as a client that has
/// left. `user_data` is the pointer that was registered with it.
pub type transom_callback_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// A function that frees `user_data`, or, in transom_responder_send_owned, the body. It runs
/// exactly once, on any thread: after the last use, or at once if the registration fails.
/// May be NULL.
pub type transom_free_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The user data of one registration. Dropping it calls the free function of the host. So it
/// is made before anything can fail, and dropped only where no lock is held.
pub(crate) struct UserData {
    pointer: *mut c_void,
    free: transom_free_fn,
}

// SAFETY: by the contract, any thread may use and free user data.
unsafe impl Send for UserData {}
// SAFETY: as above; `&UserData` gives the pointer only.
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
            // SAFETY: the host's function with the pointer that came with it, called once.
            unsafe { free(self.pointer) }
        }
    }
}
