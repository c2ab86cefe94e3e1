//! Server-sent events: a response whose events the host sends.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use transom::{EventSender, Response, ServerSentEvents, WaitError, wait};

use crate::bytes::{place, transom_field};
use crate::error::{report, transom_error};
use crate::exchange;
use crate::fields::headers;
use crate::responder::{checked, handle, transom_responder};
use crate::slots::{Handle, Table};
use crate::sse_event::{event, events, status_of, transom_sse_event, transom_sse_settings};
use crate::status::transom_status;
use crate::timeout::duration;
use crate::user_data::{UserData, transom_callback_fn, transom_free_fn};

/// Sends server-sent events to one client (WHATWG HTML 9.2). It belongs to you: end it with
/// transom_sse_free. Any thread may use it. Like a responder, the pointer is a number that is looked
/// up: one that was freed is no danger, TRANSOM_ALREADY_ANSWERED.
pub struct transom_sse {
    _nothing: [u8; 0],
}

/// Every sender that the host has not freed, of all servers.
static SENDERS: Table<Arc<EventSender>> = Table::new();

/// Returns a sender that is not freed.
fn find(sse: *const transom_sse) -> Result<Arc<EventSender>, transom_status> {
    let handle = Handle::from_pointer(sse).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    SENDERS.look(handle, Arc::clone)
}

/// Sends the response that `make` returns, with these fields.
///
/// # Safety
/// `fields` is NULL or points to `count` elements, whose bytes are valid; `settings` is NULL or valid, and
/// so is its event.
pub(crate) unsafe fn answer<R>(
    responder: *mut transom_responder,
    fields: *const transom_field,
    count: usize,
    settings: *const transom_sse_settings,
    make: impl FnOnce(ServerSentEvents) -> (R, Response),
) -> Result<R, transom_error> {
    let handle = handle(responder)?;
    // SAFETY: the caller promises it.
    let own = unsafe { headers(fields, count) }?;
    let stopping = exchange::look(handle, |_, responder| responder.stopping())?;
    // SAFETY: as above.
    let events = unsafe { events(settings, stopping) }?;
    let (sender, mut response) = make(events);
    for (name, _) in own.iter() {
        response.headers_mut().remove(name);
    }
    for (name, value) in own.iter() {
        response = response.append_header(name, value);
    }
    let response = checked(response)?;
    exchange::take(handle)?.send(response)?;
    Ok(sender)
}

/// Begins a response that sends events as they come, with status 200, `text/event-stream`, and these
/// fields, of which Cache-Control replaces "no-store". Stores its sender in `*out`. `settings` may be
/// NULL. The request is not valid any more.
///
/// While there are no events, comments are sent. When the server begins to stop, the response ends in
/// order after the events that wait. transom_request_header(request, "last-event-id") is the id of the
/// last event that the client got before it lost the connection.
///
/// Errors: as transom_responder_send; TRANSOM_NOT_UTF8, and TRANSOM_INVALID_ARGUMENT for a setting, after
/// which the responder can still be used. `*out` is then NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_start_sse(
    responder: *mut transom_responder,
    fields: *const transom_field,
    field_count: usize,
    settings: *const transom_sse_settings,
    out: *mut *mut transom_sse,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: NULL or valid, by the contract.
        let out = unsafe { place(out) }?;
        *out = ptr::null_mut();
        // SAFETY: each NULL or valid, by the contract.
        let sender = unsafe { answer(responder, fields, field_count, settings, ServerSentEvents::channel) }?;
        let added = SENDERS.insert(Arc::new(sender)).map_err(|_| transom_status::TRANSOM_IO)?;
        *out = added.to_pointer();
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Sends an event, which is copied. If the client reads more slowly than you send, this waits for room
/// for at most `timeout_ms` milliseconds (0: does not wait, TRANSOM_FOREVER: no limit). After an error,
/// nothing of the event is sent.
///
/// Errors after which you may send again: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and TRANSOM_TIMEOUT
/// without room (transom_sse_on_writable tells when there is); TRANSOM_INVALID_ARGUMENT if the event or
/// its id has a CR, LF or NUL, or if the retry is negative or more than 2^53; TRANSOM_NOT_UTF8.
///
/// Other errors: TRANSOM_GONE if the client left or the server stops (free the sender);
/// TRANSOM_WOULD_DEADLOCK if this would have to wait in an inline handler or in a callback;
/// TRANSOM_ALREADY_ANSWERED if the sender was freed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_sse_send(
    sse: *mut transom_sse,
    event: *const transom_sse_event,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        let sender = find(sse)?;
        // SAFETY: NULL or valid, by the contract.
        let event = unsafe { self::event(event) }?;
        let timeout = duration(timeout_ms)?;
        if timeout == Some(Duration::ZERO) {
            sender.try_send(event).map_err(status_of)?;
        } else {
            match wait(sender.send(event), timeout) {
                Ok(sent) => sent.map_err(status_of)?,
                Err(WaitError::WouldDeadlock) => return Err(transom_status::TRANSOM_WOULD_DEADLOCK),
                Err(_) => return Err(transom_status::TRANSOM_TIMEOUT),
            }
        }
    })
}

/// Returns true if no event would be sent any more: the client has left, or the server stops. Also
/// returns true for NULL and for a sender that was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_sse_is_gone(sse: *const transom_sse) -> bool {
    guard!(true, { find(sse).map_or(true, |sender| sender.is_gone()) })
}

/// Returns how many bytes wait to be sent; 0 for NULL and for a sender that was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_sse_queued(sse: *const transom_sse) -> usize {
    guard!(0, { find(sse).map_or(0, |sender| sender.queued()) })
}

/// Calls `function` once, when there is room again after TRANSOM_WOULD_BLOCK, or when no event would be
/// sent any more. If that is so already, the call happens before this function returns.
///
/// `function` runs on a thread that serves connections, or on one that sends, and must not block. It is
/// not called if the sender is freed first.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the sender was freed; `function` is not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_sse_on_writable(
    sse: *mut transom_sse,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({ call_when(Event::Writable, &find(sse)?, function, user_data)? })
}

/// Calls `function` once, when no event would be sent any more: the client has left, or the server
/// stops. If that is so already, the call happens before this function returns. A program that keeps
/// senders needs this to free them.
///
/// `function` and errors: as transom_sse_on_writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_sse_on_gone(
    sse: *mut transom_sse,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({ call_when(Event::Gone, &find(sse)?, function, user_data)? })
}

/// Frees a sender. The response ends in order after the events that wait. Does nothing with NULL, nor
/// when it was freed before.
#[unsafe(no_mangle)]
pub extern "C" fn transom_sse_free(sse: *mut transom_sse) {
    guard!((), {
        if let Some(sender) = Handle::from_pointer(sse).and_then(|handle| SENDERS.take(handle).ok()) {
            drop(sender);
        }
    });
}

/// The event that a callback waits for.
#[derive(Clone, Copy)]
enum Event {
    Writable,
    Gone,
}

/// A function of the host. It is not called after the sender was freed.
struct Callback {
    event: Event,
    sender: Weak<EventSender>,
    function: unsafe extern "C" fn(*mut c_void),
    user_data: UserData,
    called: AtomicBool,
}

/// Calls the function once the event has happened.
fn call_when(
    event: Event,
    sender: &Arc<EventSender>,
    function: transom_callback_fn,
    user_data: UserData,
) -> Result<(), transom_status> {
    let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    let (sender, called) = (Arc::downgrade(sender), AtomicBool::new(false));
    Arc::new(Callback { event, sender, function, user_data, called }).try_call();
    Ok(())
}

impl Callback {
    /// Calls the function if the event has happened; otherwise this is called again then.
    fn try_call(self: Arc<Self>) {
        let Some(sender) = self.sender.upgrade() else { return };
        let waker = Waker::from(Arc::clone(&self));
        let mut cx = Context::from_waker(&waker);
        let has_happened = match self.event {
            Event::Writable => sender.poll_ready(&mut cx).is_ready(),
            Event::Gone => sender.poll_gone(&mut cx).is_ready(),
        };
        if has_happened && !self.called.swap(true, Ordering::AcqRel) {
            // SAFETY: the host's function with its user data; by the contract, any thread may call it.
            unsafe { (self.function)(self.user_data.pointer()) }
        }
    }
}

impl Wake for Callback {
    fn wake(self: Arc<Self>) {
        self.try_call();
    }
}
