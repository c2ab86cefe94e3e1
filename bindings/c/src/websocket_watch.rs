//! Watching WebSocket connections: by callbacks, and by events.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use crate::events::transom_event_kind::{
    TRANSOM_EVENT_WEBSOCKET_CLOSED, TRANSOM_EVENT_WEBSOCKET_MESSAGE, TRANSOM_EVENT_WEBSOCKET_WRITABLE,
};
use crate::events::{transom_event_kind, transom_events};
use crate::status::transom_status;
use crate::user_data::{UserData, transom_callback_fn, transom_free_fn};
use crate::websocket::{Change, OpenSocket, find, transom_websocket};

/// Calls `function` once, when there is a message to receive, or nothing more comes. If that is so
/// already, the call happens before this function returns.
///
/// `function` runs on a thread that serves connections and must not block; it may receive and send with
/// a timeout of 0, and free the connection. It is not called if the connection is freed first. After a
/// call, receive until TRANSOM_WOULD_BLOCK, and register again.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed; `function` is not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_on_message(
    websocket: *mut transom_websocket,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({ call_when(websocket, Change::Message, function, user_data)? })
}

/// Calls `function` once, when there is room again after TRANSOM_WOULD_BLOCK, for a message or for a
/// piece of one, whichever was refused last; or when the connection closes. Otherwise as
/// transom_websocket_on_message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_on_writable(
    websocket: *mut transom_websocket,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({ call_when(websocket, Change::Room, function, user_data)? })
}

/// Calls `function` once, when the connection has ended: the Close of the client has come, the client
/// broke a rule, or the connection was lost (transom_websocket_close_code). Messages that came before may
/// still wait to be received. Otherwise as transom_websocket_on_message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_on_closed(
    websocket: *mut transom_websocket,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({ call_when(websocket, Change::End, function, user_data)? })
}

/// Calls the function once, when the change has come.
fn call_when(
    websocket: *mut transom_websocket,
    change: Change,
    function: transom_callback_fn,
    user_data: UserData,
) -> Result<(), transom_status> {
    let open = find(websocket)?;
    let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    let called = AtomicBool::new(false);
    let callback = SocketCallback { open: Arc::downgrade(&open), change, function, user_data, called };
    Arc::new(callback).try_call(&open);
    Ok(())
}

/// A function of the host for a connection. It is not called once the connection is freed.
struct SocketCallback {
    open: Weak<OpenSocket>,
    change: Change,
    function: unsafe extern "C" fn(*mut c_void),
    user_data: UserData,
    called: AtomicBool,
}

impl SocketCallback {
    /// Calls the function if the change has come; otherwise this is woken then.
    fn try_call(self: Arc<Self>, open: &OpenSocket) {
        let waker = Waker::from(Arc::clone(&self));
        if open.has_come(self.change, &waker) {
            self.call();
        }
    }

    /// Calls the function, unless it was called.
    fn call(&self) {
        if !self.called.swap(true, Ordering::AcqRel) {
            // SAFETY: the host's function with its user data; by the contract, any thread may call it.
            unsafe { (self.function)(self.user_data.pointer()) }
        }
    }
}

impl Wake for SocketCallback {
    fn wake(self: Arc<Self>) {
        let Some(open) = self.open.upgrade() else { return };
        // Most often the message is there, and the waker need not be added again.
        if self.change == Change::Message && open.has_message() {
            self.call();
        } else {
            self.try_call(&open);
        }
    }
}

/// Reports TRANSOM_EVENT_WEBSOCKET_MESSAGE to `events` once, when there is a message to receive, or
/// nothing more comes; at once if that is so already. Call this again after the event to be told again.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_await_websocket_message(
    events: *mut transom_events,
    websocket: *mut transom_websocket,
) -> transom_status {
    // SAFETY: NULL or valid, by the contract.
    checked!({ unsafe { tell_when(events, websocket, Change::Message, TRANSOM_EVENT_WEBSOCKET_MESSAGE)? } })
}

/// Reports TRANSOM_EVENT_WEBSOCKET_WRITABLE to `events` once, when there is room again after
/// TRANSOM_WOULD_BLOCK or the connection closes, or at once if that is so already. Call this again after
/// the event to be told again.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_await_websocket_writable(
    events: *mut transom_events,
    websocket: *mut transom_websocket,
) -> transom_status {
    // SAFETY: NULL or valid, by the contract.
    checked!({ unsafe { tell_when(events, websocket, Change::Room, TRANSOM_EVENT_WEBSOCKET_WRITABLE)? } })
}

/// Reports TRANSOM_EVENT_WEBSOCKET_CLOSED to `events` once, when the connection has ended (see
/// transom_websocket_on_closed), or at once if that is so already.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_watch_websocket_closed(
    events: *mut transom_events,
    websocket: *mut transom_websocket,
) -> transom_status {
    // SAFETY: NULL or valid, by the contract.
    checked!({ unsafe { tell_when(events, websocket, Change::End, TRANSOM_EVENT_WEBSOCKET_CLOSED)? } })
}

/// Tells the event once, when the change has come.
///
/// # Safety
/// `events` is NULL or valid.
unsafe fn tell_when(
    events: *mut transom_events,
    websocket: *mut transom_websocket,
    change: Change,
    kind: transom_event_kind,
) -> Result<(), transom_status> {
    // SAFETY: the caller promises it.
    let queue = &unsafe { transom_events::get(events) }?.queue;
    let open = find(websocket)?;
    let notice = open.notices.get(queue, kind, websocket.addr() as u64);
    if open.has_come(change, &notice.waker()) {
        notice.tell();
    }
    Ok(())
}
