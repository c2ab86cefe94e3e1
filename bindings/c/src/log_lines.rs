//! The lines of an access log in a format of the host's own.

use std::ffi::{c_char, c_int, c_void};

use transom::Exchange;

use crate::exchange_hook::{told, transom_exchange};
use crate::status::transom_status;
use crate::user_data::UserData;

/// A function that writes the line of an exchange into `buffer`, without a line end, as snprintf
/// does: it returns the length of the line without the NUL at its end. If that is `size` or more,
/// it is called again with a larger buffer, once. If it returns 0 or less, the exchange has no line.
/// It runs on a thread that serves connections, on several at the same time, and must not block.
pub type transom_log_format_fn = Option<
    unsafe extern "C" fn(
        user_data: *mut c_void,
        exchange: *const transom_exchange,
        buffer: *mut c_char,
        size: usize,
    ) -> c_int,
>;

/// The size of the first buffer that the function gets.
const FIRST: usize = 512;
/// The size of the largest one. The rest of a longer line is cut off.
const LARGEST: usize = 64 * 1024;

/// The function of the host with its user data.
pub(crate) struct HostFormat {
    function: unsafe extern "C" fn(*mut c_void, *const transom_exchange, *mut c_char, usize) -> c_int,
    user_data: UserData,
}

impl HostFormat {
    pub fn new(function: transom_log_format_fn, user_data: UserData) -> Result<Self, transom_status> {
        Ok(Self { function: function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?, user_data })
    }

    /// Writes the line of an exchange.
    pub fn write(&self, exchange: &Exchange<'_>, line: &mut Vec<u8>) {
        told(exchange, |told| {
            let mut size = FIRST;
            let length = loop {
                line.clear();
                line.resize(size, 0);
                // SAFETY: the host's function with its user data; by the contract, any thread may
                // call it. `told`, the bytes that it borrows and the buffer outlive the call.
                let length = unsafe {
                    (self.function)(self.user_data.pointer(), told, line.as_mut_ptr().cast(), line.len())
                };
                let length = usize::try_from(length).unwrap_or(0);
                if length < size || size > FIRST {
                    break length.min(size - 1);
                }
                size = length.saturating_add(1).min(LARGEST);
            };
            line.truncate(length);
        });
    }
}
