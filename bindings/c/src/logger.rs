//! The logger of the process: it passes log messages to a callback of the host, to a queue
//! that the host reads, or to both.

use std::ffi::{CString, c_char, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::bytes::{place, room, text};
use crate::events::transom_events;
use crate::log_queue::LogQueue;
use crate::status::transom_status;
use crate::user_data::UserData;

/// A function that takes one log message. `level` is 1 for an error, 2 for a warning, 3 for
/// information, 4 for debugging and 5 for tracing. `message` is NUL-terminated and valid
/// during the call. The function runs on any thread, on several at the same time, and must
/// not block.
pub type transom_log_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char)>;

/// The one logger of the library. The callback and the queue are independent: each gets all
/// the messages that it asks for, because different parts of a program may use them.
struct Logger {
    callback: OnceLock<LogFunction>,
    /// The highest level that the callback gets.
    callback_level: AtomicUsize,
    queue: LogQueue,
    /// Held while the level of the process is set, so that the last change counts.
    changing: Mutex<()>,
}

static LOGGER: Logger = Logger {
    callback: OnceLock::new(),
    callback_level: AtomicUsize::new(LevelFilter::Trace as usize),
    queue: LogQueue::new(),
    changing: Mutex::new(()),
};

/// The log function of the host.
struct LogFunction {
    function: unsafe extern "C" fn(*mut c_void, i32, *const c_char),
    user_data: UserData,
}

impl Logger {
    /// Installs the logger, and sets the highest level that the callback or the queue wants.
    fn listen(&'static self) -> Result<(), transom_status> {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        if !INSTALLED.get_or_init(|| log::set_logger(self).is_ok()) {
            // Only another logger in this library could have been set before, and it has none.
            return Err(transom_status::TRANSOM_PANIC);
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // Messages beyond this level are not even put into words.
        log::set_max_level(self.callback_level().max(self.queue.level()));
        Ok(())
    }

    /// Returns the highest level that the callback gets. `Off` if there is none.
    fn callback_level(&self) -> LevelFilter {
        // Relaxed: the lock in `listen` orders the levels. A message that is logged at that moment has either.
        let level = self.callback_level.load(Ordering::Relaxed);
        let wanted = LevelFilter::iter().find(|filter| *filter as usize == level);
        self.callback.get().and(wanted).unwrap_or(LevelFilter::Off)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.target().starts_with("transom")
    }

    fn log(&self, record: &Record) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let queued = record.level() <= self.queue.level();
        let callback = self.callback.get().filter(|_| record.level() <= self.callback_level());
        if !queued && callback.is_none() {
            return;
        }
        let message = record.args().to_string();
        if let Some(LogFunction { function, user_data }) = callback
            && let Ok(message) = CString::new(message.replace('\0', "\\0"))
        {
            // SAFETY: the host's function with its user data; by the contract, any thread may call it.
            unsafe { function(user_data.pointer(), record.level() as i32, message.as_ptr()) }
        }
        if queued {
            self.queue.push(record.level(), message);
        }
    }

    fn flush(&self) {}
}

/// Sends the log messages of the library to `function`. Without this call and without
/// transom_log_to_events, log messages are dropped.
///
/// Level 1 reports a responder that was freed without a response, a response that cannot be
/// sent, and a thread that cannot be started. Level 2 reports a handler that did not respond
/// before the timeout "handler", a request for which there was no thread (at most once a
/// second), a response body that broke off, and a call that was refused for a mistake of the
/// program and got NULL in place of a transom_error **. Level 4 reports refused requests. A message
/// about one request names its method, the first 90 bytes or so of its path, and the pattern
/// of its route.
///
/// The logger is set for the whole process until it ends: `user_data` is never freed. It
/// takes no messages away from transom_log_next.
///
/// Errors: TRANSOM_ALREADY_STARTED if a logger was set before; the first one stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_set_logger(
    function: transom_log_fn,
    user_data: *mut c_void,
) -> transom_status {
    checked!({
        let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        let callback = LogFunction { function, user_data: UserData::new(user_data, None) };
        LOGGER.callback.set(callback).map_err(|_| transom_status::TRANSOM_ALREADY_STARTED)?;
        LOGGER.listen()?;
    })
}

/// Sets the highest level of the messages that the log function gets, from 1 to 5 (see
/// transom_log_fn); 0 is none. Without this call it gets all. Messages that nobody wants cost
/// next to nothing: they are not put into words. May be called at any time, also before
/// transom_set_logger. The messages for transom_log_next have a level of their own.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if `level` is not from 0 to 5.
#[unsafe(no_mangle)]
pub extern "C" fn transom_set_log_level(level: i32) -> transom_status {
    checked!({
        let level = level_filter(level).ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        // Relaxed: see `callback_level`.
        LOGGER.callback_level.store(level as usize, Ordering::Relaxed);
        LOGGER.listen()?;
    })
}

/// Writes a message to the log of the library. It goes where the library's own messages go:
/// to the function of transom_set_logger, and to transom_log_next. Bindings and wrappers
/// report here what a callback of theirs cannot return, such as an exception. `message` is
/// one line of UTF-8.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if `level` is not from 1 to 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_log(level: i32, message: *const c_char) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let message = unsafe { text(message) }?;
        let level = level_filter(level).and_then(|filter| filter.to_level());
        let level = level.ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        log::log!(target: "transom::host", level, "{message}");
    })
}

/// Keeps log messages for transom_log_next, and reports them to `events` as
/// TRANSOM_EVENT_LOG. `level` is the highest level to keep, from 1 to 5 (see
/// transom_log_fn); 0 ends the reports to `events`.
///
/// The messages are those of the whole process, and they are kept in one queue. If several
/// event queues are told of a message, the first caller of transom_log_next takes it. The
/// highest level that any of them asked for counts.
///
/// At most 1024 messages are kept. If more come, the new ones are lost, and one warning that
/// says how many takes their place.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if `level` is not from 0 to 5.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_log_to_events(events: *mut transom_events, level: i32) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let events = unsafe { transom_events::get(events) }?;
        let level = level_filter(level).ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        LOGGER.queue.set_listener(&events.queue, level);
        LOGGER.listen()?;
    })
}

fn level_filter(level: i32) -> Option<LevelFilter> {
    LevelFilter::iter().find(|filter| *filter as i32 == level)
}

/// Takes the oldest message that transom_log_to_events keeps, without waiting. Stores its
/// level in `*level`, copies its text to `buf`, which has room for `cap` bytes, and stores
/// the length in `*len`. The text is one line of UTF-8, not NUL-terminated; control
/// characters are escaped.
///
/// Errors: TRANSOM_TIMEOUT if there is no message; TRANSOM_BUFFER_TOO_SMALL if `cap` is too
/// small: `*len` is then the length that is needed, at most 4096, and the message stays.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_log_next(
    level: *mut i32,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (level, buf, len) = unsafe { (place(level)?, room(buf, cap)?, place(len)?) };
        (*level, *len) = (0, 0);
        LOGGER.queue.take(|oldest: Level, message| {
            *len = message.len();
            let room = buf.get_mut(..message.len()).ok_or(transom_status::TRANSOM_BUFFER_TOO_SMALL)?;
            room.copy_from_slice(message.as_bytes());
            *level = oldest as i32;
            Ok(())
        })?;
    })
}
