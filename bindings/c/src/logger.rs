//! Log messages to the host: the one thing that is set for the whole process.

use std::ffi::{CString, c_char, c_void};

use log::{LevelFilter, Log, Metadata, Record};

use crate::status::transom_status;
use crate::user_data::UserData;

/// Takes one log message: level 1 is error, 2 warning, 3 information, 4 debug,
/// 5 trace. `message` is valid during the call. It runs on any thread, several
/// at once, and must not block.
pub type transom_log_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char)>;

struct Logger {
    function: unsafe extern "C" fn(*mut c_void, i32, *const c_char),
    user_data: UserData,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().starts_with("transom")
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().to_string().replace('\0', "\\0");
        if let Ok(message) = CString::new(message) {
            // SAFETY: the host's function with its user data, by the contract callable on any thread.
            unsafe { (self.function)(self.user_data.pointer(), record.level() as i32, message.as_ptr()) }
        }
    }

    fn flush(&self) {}
}

/// Sends the library's log messages to `function`, for example: a handler that never
/// answered, a thread that could not be started. Without it they go nowhere.
///
/// This is the one thing that holds for the whole process and until it ends,
/// so `user_data` is never freed. The first call wins: TRANSOM_ALREADY_STARTED
/// afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_set_logger(
    function: transom_log_fn,
    user_data: *mut c_void,
) -> transom_status {
    checked!({
        let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        let logger = Box::new(Logger { function, user_data: UserData::new(user_data, None) });
        log::set_boxed_logger(logger).map_err(|_| transom_status::TRANSOM_ALREADY_STARTED)?;
        log::set_max_level(LevelFilter::Trace);
    })
}
