//! The writer of an access log: a function of the host.

use std::ffi::{c_int, c_void};
use std::io::{self, Write};

use crate::status::transom_status;
use crate::system::host_error;
use crate::user_data::UserData;

/// A function that writes lines of an access log: `len` bytes of whole lines, each with its line
/// end. It returns 0, or a number of errno, if it could not write them: they are then lost. It runs
/// on a thread of the log, never twice at the same time, and may block.
pub type transom_log_write_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, data: *const c_void, len: usize) -> c_int>;

/// The function of the host with its user data.
pub(crate) struct HostSink {
    function: unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> c_int,
    user_data: UserData,
}

impl HostSink {
    pub fn new(function: transom_log_write_fn, user_data: UserData) -> Result<Self, transom_status> {
        Ok(Self { function: function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?, user_data })
    }
}

impl Write for HostSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // SAFETY: the host's function with its user data; by the contract, any thread may call it.
        // The bytes outlive the call.
        match unsafe { (self.function)(self.user_data.pointer(), bytes.as_ptr().cast(), bytes.len()) } {
            0 => Ok(bytes.len()),
            error => Err(host_error(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
