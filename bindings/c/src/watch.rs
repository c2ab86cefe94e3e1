//! Watching requests and writers: by callbacks, and by events.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};

use crate::bytes::borrow;
use crate::events::transom_event_kind::{
    TRANSOM_EVENT_GONE, TRANSOM_EVENT_OVER, TRANSOM_EVENT_READABLE, TRANSOM_EVENT_WRITABLE,
    TRANSOM_EVENT_WRITER_GONE,
};
use crate::events::{EventQueue, Notice, transom_event_kind, transom_events};
use crate::exchange;
use crate::incoming::Incoming;
use crate::request::transom_request;
use crate::slots::Handle;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_callback_fn, transom_free_fn};
use crate::writer::{OpenBody, find, transom_writer};

/// Returns true if nobody reads the body any more: the client has left, or the response was
/// cut off. Bytes that are written then are dropped (TRANSOM_GONE), and the writer should be
/// freed. Also returns true for NULL and for a writer that has ended.
///
/// The server notices within a second that a client has left, even if nothing is written. A
/// client that only closes its sending side and goes on reading has not left. This also
/// returns true for a body that is not sent (see transom_responder_start), although the
/// writer accepts data.
#[unsafe(no_mangle)]
pub extern "C" fn transom_writer_is_gone(writer: *const transom_writer) -> bool {
    guard!(true, { find(writer).map_or(true, |open| open.is_gone()) })
}

/// Calls `function` once, when the writer has room again after TRANSOM_WOULD_BLOCK, or when
/// nobody reads the body any more. If that is so already, the call happens before this
/// function returns. There is room while less than 64 KiB wait to be sent, or up to 256 KiB in a
/// row while the client reads as fast as you write; a write of any size is then taken whole.
///
/// `function` runs on a thread that serves connections and must not block. It is not called
/// if the writer ends first.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the writer has ended; `function` is not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_on_writable(
    writer: *mut transom_writer,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        call_when_writable(&find(writer)?, function, user_data)?;
    })
}

/// Calls the function once, when there is room in the body or nobody reads it any more.
pub(crate) fn call_when_writable(
    open: &Arc<OpenBody>,
    function: transom_callback_fn,
    user_data: UserData,
) -> Result<(), transom_status> {
    let callback = WriterCallback::new(open, function, user_data)?;
    if open.poll_ready(&mut Context::from_waker(&Waker::from(Arc::clone(&callback)))).is_ready() {
        callback.call();
    }
    Ok(())
}

/// Calls `function` once, when nobody reads the body any more. If that is so already, the
/// call happens before this function returns. A stream that waits for news needs this to
/// learn that its client has left, and to free the writer.
///
/// `function` runs on a thread that serves connections and must not block. It is not called
/// if the writer ends first.
///
/// Errors: as transom_writer_on_writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_on_gone(
    writer: *mut transom_writer,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        let open = find(writer)?;
        let callback = WriterCallback::new(&open, function, user_data)?;
        if open.poll_gone(&mut Context::from_waker(&Waker::from(Arc::clone(&callback)))).is_ready() {
            callback.call();
        }
    })
}

/// A function of the host for a writer. It is not called after the writer has ended.
struct WriterCallback {
    open: Weak<OpenBody>,
    function: unsafe extern "C" fn(*mut c_void),
    user_data: UserData,
}

impl WriterCallback {
    fn new(
        open: &Arc<OpenBody>,
        function: transom_callback_fn,
        user_data: UserData,
    ) -> Result<Arc<Self>, transom_status> {
        let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        Ok(Arc::new(Self { open: Arc::downgrade(open), function, user_data }))
    }

    fn call(&self) {
        // Held during the call: if the function finishes the writer, the body ends afterwards.
        if let Some(_open) = self.open.upgrade() {
            // SAFETY: the host's function with its user data; by the contract, any thread may call it.
            unsafe { (self.function)(self.user_data.pointer()) }
        }
    }
}

impl Wake for WriterCallback {
    fn wake(self: Arc<Self>) {
        self.call();
    }
}

/// Reports to `events` what happens to a request, pulled or not: TRANSOM_EVENT_GONE when its
/// client leaves or closes its sending side, TRANSOM_EVENT_OVER when nobody waits for the
/// response any more. Each comes at once if it has happened already. `token` is the token of
/// a pulled request, or a responder as a number.
///
/// No event comes once the request is answered. Watch the writer of a response that is still
/// being sent. Only the first call for a request has an effect.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the request is answered; no event comes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_watch_request(
    events: *mut transom_events,
    token: u64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        let handle = Handle::from_token(token).ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
        let gone = Notice::new(queue, TRANSOM_EVENT_GONE, token);
        let over = Notice::new(queue, TRANSOM_EVENT_OVER, token);
        exchange::look(handle, |exchange, responder| {
            if exchange.begin_watch() {
                responder.on_over(move || over.tell());
                responder.on_gone(move || gone.tell());
            }
        })?;
    })
}

/// Reports TRANSOM_EVENT_WRITER_GONE to `events` once, when nobody reads the body of the
/// writer any more (see transom_writer_is_gone), or at once if that is so already.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the writer has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_watch_writer(
    events: *mut transom_events,
    writer: *mut transom_writer,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        let open = find(writer)?;
        let notice = open.notice(queue, TRANSOM_EVENT_WRITER_GONE, writer.addr() as u64);
        if open.poll_gone(&mut Context::from_waker(&notice.waker())).is_ready() {
            notice.tell();
        }
    })
}

/// Reports TRANSOM_EVENT_WRITABLE to `events` once, when a writer has room again after
/// TRANSOM_WOULD_BLOCK or nobody reads its body any more, or at once if that is so already.
/// Call this again after the event to be told again; a second call before the event adds
/// nothing.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the writer has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_await_room(
    events: *mut transom_events,
    writer: *mut transom_writer,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        tell_when_writable(&*find(writer)?, queue, TRANSOM_EVENT_WRITABLE, writer.addr() as u64);
    })
}

/// Tells the event once, when there is room in the body or nobody reads it any more.
pub(crate) fn tell_when_writable(
    open: &OpenBody,
    queue: &Arc<EventQueue>,
    kind: transom_event_kind,
    token: u64,
) {
    let notice = open.notice(queue, kind, token);
    if open.poll_ready(&mut Context::from_waker(&notice.waker())).is_ready() {
        notice.tell();
    }
}

/// Calls `function` once, when there is more of the body of a request to read, or its end. If
/// that is so already, the call happens before this function returns. The request must be one
/// whose route streams (transom_route_set_streaming).
///
/// `function` runs on a thread that serves connections and must not block; it may read with a
/// timeout of 0. It is not called if the request is no longer valid.
///
/// Errors: TRANSOM_INVALID_ARGUMENT if the route does not stream; `function` is not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_request_on_readable(
    request: *const transom_request,
    function: transom_callback_fn,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let incoming = unsafe { borrow(request) }?.incoming();
        let incoming = incoming.ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        call_when_readable(incoming, function, user_data)?;
    })
}

/// Calls the function once, when there is something to read or the end.
pub(crate) fn call_when_readable(
    incoming: &Arc<Incoming>,
    function: transom_callback_fn,
    user_data: UserData,
) -> Result<(), transom_status> {
    let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    let (incoming, called) = (Arc::downgrade(incoming), AtomicBool::new(false));
    Arc::new(ReadableCallback { incoming, function, user_data, called }).try_call();
    Ok(())
}

/// A function of the host for a body on its way in. It is not called once the request is gone.
struct ReadableCallback {
    incoming: Weak<Incoming>,
    function: unsafe extern "C" fn(*mut c_void),
    user_data: UserData,
    called: AtomicBool,
}

impl ReadableCallback {
    /// Calls the function if the body can be read now; otherwise this is called again then.
    fn try_call(self: Arc<Self>) {
        let Some(incoming) = self.incoming.upgrade() else { return };
        let waker = Waker::from(Arc::clone(&self));
        if incoming.is_readable(&waker) && !self.called.swap(true, Ordering::AcqRel) {
            // SAFETY: the host's function with its user data; by the contract, any thread may call it.
            unsafe { (self.function)(self.user_data.pointer()) }
        }
    }
}

impl Wake for ReadableCallback {
    fn wake(self: Arc<Self>) {
        self.try_call();
    }
}

/// Reports TRANSOM_EVENT_READABLE to `events` once, when there is more of the body of a request to
/// read, or its end; at once if that is so already. Call this again after the event to be told
/// again. `token` is the token of a pulled request, or a responder as a number; its route must
/// stream (transom_route_set_streaming).
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the request is answered; TRANSOM_INVALID_ARGUMENT if the
/// route does not stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_await_body(
    events: *mut transom_events,
    token: u64,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        let handle = Handle::from_token(token).ok_or(transom_status::TRANSOM_ALREADY_ANSWERED)?;
        tell_when_readable(&*exchange::incoming(handle)?, queue, TRANSOM_EVENT_READABLE, token);
    })
}

/// Tells the event once, when there is something to read or the end.
pub(crate) fn tell_when_readable(
    incoming: &Incoming,
    queue: &Arc<EventQueue>,
    kind: transom_event_kind,
    token: u64,
) {
    let notice = incoming.notice(queue, kind, token);
    if incoming.is_readable(&notice.waker()) {
        notice.tell();
    }
}
