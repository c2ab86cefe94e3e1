//! Log messages to the host, set for the whole process: to a callback, to a queue that the
//! host takes them from, or to both.

use std::ffi::{CString, c_char, c_void};
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::bytes::{place, room};
use crate::events::transom_events;
use crate::log_queue::LogQueue;
use crate::status::transom_status;
use crate::user_data::UserData;

/// Takes one log message: level 1 is error, 2 warning, 3 information, 4 debug,
/// 5 trace. `message` is valid during the call. It runs on any thread, several
/// at once, and must not block.
pub type transom_log_fn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char)>;

/// The one logger of the library. The queue and the callback do not know each other: what
/// one part of a process sets takes no message from another.
struct Logger {
    callback: OnceLock<Callback>,
    queue: LogQueue,
}

static LOGGER: Logger = Logger { callback: OnceLock::new(), queue: LogQueue::new() };

struct Callback {
    function: unsafe extern "C" fn(*mut c_void, i32, *const c_char),
    user_data: UserData,
}

impl Logger {
    /// Has the messages of the library come here, those that anybody wants.
    fn listen(&'static self) -> Result<(), transom_status> {
        static INSTALLED: OnceLock<bool> = OnceLock::new();
        if !INSTALLED.get_or_init(|| log::set_logger(self).is_ok()) {
            // Only another logger in this very library could stand in the way, and it has none.
            return Err(transom_status::TRANSOM_PANIC);
        }
        log::set_max_level(if self.callback.get().is_some() {
            LevelFilter::Trace
        } else {
            self.queue.level()
        });
        Ok(())
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
        let callback = self.callback.get();
        if !queued && callback.is_none() {
            return;
        }
        let message = record.args().to_string();
        if let Some(Callback { function, user_data }) = callback
            && let Ok(message) = CString::new(message.replace('\0', "\\0"))
        {
            // SAFETY: the host's function with its user data, by the contract callable on any thread.
            unsafe { function(user_data.pointer(), record.level() as i32, message.as_ptr()) }
        }
        if queued {
            self.queue.push(record.level(), message);
        }
    }

    fn flush(&self) {}
}

/// Sends the library's log messages to `function`. Without it, and without
/// transom_log_to_events, they go nowhere.
///
/// Errors: a responder that was freed without an answer, an answer that cannot be sent,
/// a thread that cannot be started. Warnings: a handler that did not answer before the
/// timeout "handler", a request for which there was no thread (once a second at most), a
/// body that broke off. Those about one request name its method, its path, of which they
/// show about 90 bytes, and the pattern of its route. Refused requests are level 4.
///
/// This holds for the whole process and until it ends, so `user_data` is never freed. The
/// first call wins: TRANSOM_ALREADY_STARTED afterwards. It takes nothing from
/// transom_log_next, nor that from it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_set_logger(
    function: transom_log_fn,
    user_data: *mut c_void,
) -> transom_status {
    checked!({
        let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        let callback = Callback { function, user_data: UserData::new(user_data, None) };
        LOGGER.callback.set(callback).map_err(|_| transom_status::TRANSOM_ALREADY_STARTED)?;
        LOGGER.listen()?;
    })
}

/// Keeps the library's log messages up to `level` (1 to 5, see transom_log_fn) for
/// transom_log_next, and tells `events` when there are some: TRANSOM_EVENT_LOG. `level` 0
/// ends that for these events. The messages are those of the whole process, and kept once:
/// of several events that are told of a message, whoever comes first takes it. The highest
/// level that was asked for counts.
///
/// Up to 1024 messages are kept. Beyond that new ones are lost, and a warning stands in
/// their place that says how many.
///
/// Errors: TRANSOM_INVALID_ARGUMENT of another level.
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

/// Takes the oldest log message that is kept: sets `level`, and writes its text to `buf`
/// and its length to `len`. The text is UTF-8 and not NUL-terminated; it may hold any
/// character but line ends and other controls, which are escaped.
///
/// Errors: TRANSOM_TIMEOUT if there is none; TRANSOM_BUFFER_TOO_SMALL, with `len` set to
/// what it needs, 4096 at most (it stays).
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
