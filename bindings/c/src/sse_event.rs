//! Server-sent events, and the settings of a response that sends them.

use std::str;
use std::time::Duration;

use transom::{EventSendError, InvalidEvent, ServerSentEvent, ServerSentEvents, Stopping};

use crate::bytes::{given, transom_bytes};
use crate::status::transom_status;
use crate::timeout::duration;

/// A server-sent event. Set what you do not need to zero:
///
///     transom_sse_event event = {.data = TRANSOM_TEXT("news"), .id = TRANSOM_TEXT("7")};
///
/// All texts are UTF-8, and their lengths may be TRANSOM_NUL_TERMINATED.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_sse_event {
    /// The data. Each of CR LF, CR and LF begins another line, which the client gets as LF. With
    /// {NULL, 0} the client tells its page nothing.
    pub data: transom_bytes,
    /// The name of the event: one line without NUL, or {NULL, 0} for "message".
    pub event: transom_bytes,
    /// The id: one line without NUL, or {NULL, 0} for none. When the client connects again, it sends the
    /// last id that it got in the field Last-Event-ID. An empty id makes the client forget it.
    pub id: transom_bytes,
    /// How long the client waits before it connects again, in milliseconds; 0 leaves it as it is.
    pub retry_ms: i64,
}

/// The settings of a response that sends events. 0 stands for the default of each.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_sse_settings {
    /// The milliseconds without an event after which a comment is sent, so that nothing on the way takes
    /// the connection for dead; default 15,000. TRANSOM_FOREVER turns comments off.
    pub keep_alive_ms: i64,
    /// The bytes that may wait to be sent; default 256 KiB. An event is taken whole while fewer wait.
    pub queue_limit: usize,
    /// An event that is sent last when the server begins to stop, or NULL.
    pub at_stop: *const transom_sse_event,
}

/// Returns a text that may be absent.
///
/// # Safety
/// As for `given`.
unsafe fn optional(bytes: transom_bytes) -> Result<Option<String>, transom_status> {
    if bytes.data.is_null() && bytes.len == 0 {
        return Ok(None);
    }
    // SAFETY: the caller promises it.
    let bytes = unsafe { given(bytes) }?;
    let text = str::from_utf8(bytes).map_err(|_| transom_status::TRANSOM_NOT_UTF8)?;
    Ok(Some(text.to_owned()))
}

/// Returns the event that the host passed.
///
/// # Safety
/// `event` is NULL or valid, and so are its texts.
pub(crate) unsafe fn event(event: *const transom_sse_event) -> Result<ServerSentEvent, transom_status> {
    // SAFETY: the caller promises it.
    let event = unsafe { event.as_ref() }.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    // SAFETY: as above.
    let (data, name, id) = unsafe { (optional(event.data)?, optional(event.event)?, optional(event.id)?) };
    let mut made = data.map_or_else(ServerSentEvent::without_data, ServerSentEvent::new);
    if let Some(name) = name {
        made = made.event(name);
    }
    if let Some(id) = id {
        made = made.id(id);
    }
    match u64::try_from(event.retry_ms) {
        Ok(0) => Ok(made),
        Ok(retry) => Ok(made.retry(Duration::from_millis(retry))),
        Err(_) => Err(transom_status::TRANSOM_INVALID_ARGUMENT),
    }
}

/// Returns a response to be, with the settings that the host passed.
///
/// # Safety
/// `settings` is NULL or valid, and so is its event.
pub(crate) unsafe fn events(
    settings: *const transom_sse_settings,
    stopping: Stopping,
) -> Result<ServerSentEvents, transom_status> {
    let mut events = ServerSentEvents::until(stopping);
    // SAFETY: the caller promises it.
    let Some(settings) = (unsafe { settings.as_ref() }) else { return Ok(events) };
    if settings.keep_alive_ms != 0 {
        events = events.keep_alive(duration(settings.keep_alive_ms)?);
    }
    if settings.queue_limit != 0 {
        events = events.queue_limit(settings.queue_limit);
    }
    if !settings.at_stop.is_null() {
        // SAFETY: the caller promises it.
        let last = unsafe { event(settings.at_stop) }?;
        last.encode().map_err(invalid)?;
        events = events.at_stop(last);
    }
    Ok(events)
}

/// Returns the status for an event that cannot be sent.
pub(crate) fn invalid(_: InvalidEvent) -> transom_status {
    transom_status::TRANSOM_INVALID_ARGUMENT
}

/// Returns the status for an event that was not sent.
pub(crate) fn status_of(error: EventSendError) -> transom_status {
    match error {
        EventSendError::Invalid(why) => invalid(why),
        EventSendError::Full => transom_status::TRANSOM_WOULD_BLOCK,
        _ => transom_status::TRANSOM_GONE,
    }
}
