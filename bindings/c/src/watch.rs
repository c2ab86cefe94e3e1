//! Watching requests and writers: by callbacks, and by events.

use std::ffi::c_void;
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};

use crate::events::transom_event_kind::{
    TRANSOM_EVENT_GONE, TRANSOM_EVENT_OVER, TRANSOM_EVENT_WRITABLE, TRANSOM_EVENT_WRITER_GONE,
};
use crate::events::{Notice, transom_events};
use crate::exchange::EXCHANGES;
use crate::slots::Handle;
use crate::status::transom_status;
use crate::user_data::{UserData, transom_callback, transom_free_fn};
use crate::writer::{Open, find, transom_writer};

/// Whether nobody reads any more: the client has left, or the answer was cut off. What is
/// written then goes nowhere (TRANSOM_GONE), and the writer is to be freed. Also true of a
/// writer that was finished or freed, and of NULL.
///
/// A client that leaves is noticed within a second, though nothing is written. One that
/// only closes its sending side, and reads on, has not left. Also true of a body that is
/// not sent (see transom_responder_start), of which pieces are taken all the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_is_gone(writer: *const transom_writer) -> bool {
    guard!(true, { find(writer).map_or(true, |open| open.is_gone()) })
}

/// Calls `function` once, when the writer takes a piece again after TRANSOM_WOULD_BLOCK,
/// or nobody reads any more: write then. At once, in this call, if that is so now. A piece
/// of any size is taken whole while less than 64 KiB wait.
///
/// It runs on a thread that serves connections and must not block. It is not called for
/// a writer that was finished or freed meanwhile.
///
/// Errors: TRANSOM_ALREADY_ANSWERED of a writer that was finished or freed; `function` is
/// then not called.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_on_writable(
    writer: *mut transom_writer,
    function: transom_callback,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        let open = find(writer)?;
        let callback = Callback::new(&open, function, user_data)?;
        if open.poll_ready(&mut Context::from_waker(&Waker::from(Arc::clone(&callback)))).is_ready() {
            callback.call();
        }
    })
}

/// Calls `function` when nobody reads any more, once; at once, in this call, if that is so
/// now. A stream that waits for news ends with its client that way: free the writer.
///
/// It runs on a thread that serves connections and must not block. It is not called for
/// a writer that was finished or freed meanwhile.
///
/// Errors: as transom_writer_on_writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_writer_on_gone(
    writer: *mut transom_writer,
    function: transom_callback,
    user_data: *mut c_void,
    free_fn: transom_free_fn,
) -> transom_status {
    let user_data = UserData::new(user_data, free_fn);
    checked!({
        let open = find(writer)?;
        let callback = Callback::new(&open, function, user_data)?;
        if open.poll_gone(&mut Context::from_waker(&Waker::from(Arc::clone(&callback)))).is_ready() {
            callback.call();
        }
    })
}

/// The host's function for a writer, called while that is open.
struct Callback {
    open: Weak<Open>,
    function: unsafe extern "C" fn(*mut c_void),
    user_data: UserData,
}

impl Callback {
    fn new(
        open: &Arc<Open>,
        function: transom_callback,
        user_data: UserData,
    ) -> Result<Arc<Self>, transom_status> {
        let function = function.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
        Ok(Arc::new(Self { open: Arc::downgrade(open), function, user_data }))
    }

    fn call(&self) {
        // Should it finish the writer, the body ends after the call.
        if let Some(_open) = self.open.upgrade() {
            // SAFETY: the host's function with its user data, by the contract callable on any thread.
            unsafe { (self.function)(self.user_data.pointer()) }
        }
    }
}

impl Wake for Callback {
    fn wake(self: Arc<Self>) {
        self.call();
    }
}

/// Watches a request, pulled or not, by the token (a responder as a number is one too):
/// TRANSOM_EVENT_GONE comes when its client leaves or closes its sending side,
/// TRANSOM_EVENT_OVER when nobody waits for the answer any more; each at once if that is
/// so now. Neither comes once the request is answered; that an answer under way is cut off
/// is told by its writer. The first call for a request counts, others change nothing.
///
/// Errors: TRANSOM_ALREADY_ANSWERED; no event comes then.
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
        EXCHANGES.look(handle, |exchange| {
            if exchange.begin_watch() {
                exchange.responder.on_over(move || over.tell());
                exchange.responder.on_gone(move || gone.tell());
            }
        })?;
    })
}

/// Watches a writer: TRANSOM_EVENT_WRITER_GONE comes once, when nobody reads any more; at
/// once if that is so now. See transom_writer_is_gone.
///
/// Errors: TRANSOM_ALREADY_ANSWERED of a writer that was finished or freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_watch_writer(
    events: *mut transom_events,
    writer: *mut transom_writer,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        let open = find(writer)?;
        let notice = open.notice(queue, TRANSOM_EVENT_WRITER_GONE, writer);
        if open.poll_gone(&mut Context::from_waker(&notice.waker())).is_ready() {
            notice.tell();
        }
    })
}

/// Asks to be told when a writer takes a piece again, after TRANSOM_WOULD_BLOCK:
/// TRANSOM_EVENT_WRITABLE comes once for each call that was not yet followed by it; at once
/// if there is room now, or nobody reads any more.
///
/// Errors: TRANSOM_ALREADY_ANSWERED of a writer that was finished or freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_events_await_room(
    events: *mut transom_events,
    writer: *mut transom_writer,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let queue = &unsafe { transom_events::get(events) }?.queue;
        let open = find(writer)?;
        let notice = open.notice(queue, TRANSOM_EVENT_WRITABLE, writer);
        if open.poll_ready(&mut Context::from_waker(&notice.waker())).is_ready() {
            notice.tell();
        }
    })
}
