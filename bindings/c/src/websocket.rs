//! WebSocket connections of the host: sending, receiving and closing.

use std::ffi::{c_char, c_void};
use std::future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use transom::{
    WebSocket, WebSocketClose, WebSocketMessage, WebSocketPiece, WebSocketSendError, WebSocketSender, wait,
};

use crate::bytes::{copied, input, print, text};
use crate::notices::Notices;
use crate::slots::{Handle, Table};
use crate::status::transom_status;
use crate::timeout::duration;
use crate::waiters::Waiters;
use crate::websocket_message::kinds;

/// A WebSocket connection (RFC 6455), from transom_responder_accept_websocket. It belongs to you: end it
/// with transom_websocket_free. Any thread may use it, several at once. Like a responder, the pointer is a
/// number that is looked up: one that was freed is no danger, TRANSOM_ALREADY_ANSWERED.
///
/// The library answers Pings, sends some of its own, and answers the Close of the client. When the server
/// stops, it sends a Close with 1001, and the stop waits for the answer until its deadline.
pub struct transom_websocket {
    _nothing: [u8; 0],
}

/// Every connection that the host has not freed, of all servers.
static WEBSOCKETS: Table<Arc<OpenSocket>> = Table::new();

/// A connection that the host has not freed.
pub(crate) struct OpenSocket {
    received: Mutex<Received>,
    sender: WebSocketSender,
    /// True if a piece of a message was refused last, and false if a whole message was.
    lacks_room_for_piece: AtomicBool,
    receivers: Arc<Waiters>,
    /// The same as a waker. Made once: a clone for each look is two locked instructions, and an echo by callbacks
    /// looks four times.
    receivers_waker: Waker,
    /// Made when something waits: an idle connection has none of the two, and is 112 bytes smaller.
    senders: OnceLock<Arc<Waiters>>,
    watchers: OnceLock<Arc<Waiters>>,
    /// The events that the host asked for.
    pub notices: Notices,
}

struct Received {
    socket: WebSocket,
    /// A message that has arrived and that the host has not received.
    next: Option<WebSocketPiece>,
}

/// A message to send, or a piece of one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Piece { is_last: bool },
}

/// A message that was not sent, and why. It is gone if the connection is.
type Unsent = (transom_status, Option<WebSocketMessage>);

/// A change that the host waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There is a message to receive, or the end.
    Message,
    /// There is room for what was refused, or nothing is ever taken.
    Room,
    /// The connection has ended.
    End,
}

/// Adds a connection to the table. If the table is full, it is closed.
pub(crate) fn register(socket: WebSocket) -> Result<Handle, transom_status> {
    let sender = socket.sender();
    let receivers = Arc::<Waiters>::default();
    let open = OpenSocket {
        received: Mutex::new(Received { socket, next: None }),
        sender,
        lacks_room_for_piece: AtomicBool::new(false),
        receivers_waker: Waker::from(Arc::clone(&receivers)),
        receivers,
        senders: OnceLock::new(),
        watchers: OnceLock::new(),
        notices: Notices::default(),
    };
    WEBSOCKETS.insert(Arc::new(open)).map_err(|_| transom_status::TRANSOM_IO)
}

/// Returns a connection that is not freed.
pub(crate) fn find(websocket: *const transom_websocket) -> Result<Arc<OpenSocket>, transom_status> {
    let handle = Handle::from_pointer(websocket).ok_or(transom_status::TRANSOM_NULL_ARGUMENT)?;
    WEBSOCKETS.look(handle, Arc::clone)
}

impl OpenSocket {
    /// Returns `true` if the change has come; otherwise the waker is called then.
    pub fn has_come(&self, change: Change, waker: &Waker) -> bool {
        let mut cx = Context::from_waker(waker);
        match change {
            Change::Message => self.poll_received(&mut cx).is_ready(),
            Change::Room => {
                // Relaxed: who sends and who waits for room are ordered by the lock of the registered waker.
                let is_piece = self.lacks_room_for_piece.load(Ordering::Relaxed);
                self.poll_room(&mut cx, is_piece).is_ready()
            }
            Change::End => self.poll_end(&mut cx).is_ready(),
        }
    }

    /// Receives what `take` makes of the next message; `take` leaves the message if it fails. `None` as
    /// the timeout is no limit.
    pub fn receive<R>(
        &self,
        timeout: Option<Duration>,
        take: impl FnOnce(&mut Option<WebSocketPiece>) -> Result<R, transom_status>,
    ) -> Result<R, transom_status> {
        let mut take = Some(take);
        let mut take_of = |mut received: MutexGuard<'_, Received>| match take.take() {
            Some(take) if received.next.is_some() => take(&mut received.next),
            _ => Err(transom_status::TRANSOM_GONE),
        };
        if timeout == Some(Duration::ZERO) {
            // Adds no waker: nothing waits. An echo by callbacks takes 5,700 instructions instead of 7,000 with this,
            // a `wait` that takes no memory, and no copy (callgrind, 2026-11).
            let looked = wait(future::poll_fn(|_| self.look_received().map(&mut take_of)), timeout);
            return looked.map_err(|_| transom_status::TRANSOM_WOULD_BLOCK)?;
        }
        self.receivers.wait(timeout, |cx| self.poll_received(cx).map(&mut take_of))?
    }

    /// Receives what `take` makes of the next message, or has the waker called when there is one.
    pub fn receive_or_await<R>(
        &self,
        waker: &Waker,
        take: impl FnOnce(&mut Option<WebSocketPiece>) -> Result<R, transom_status>,
    ) -> Result<R, transom_status> {
        match self.poll_received(&mut Context::from_waker(waker)) {
            Poll::Pending => Err(transom_status::TRANSOM_WOULD_BLOCK),
            Poll::Ready(received) if received.next.is_none() => Err(transom_status::TRANSOM_GONE),
            Poll::Ready(mut received) => take(&mut received.next),
        }
    }

    /// Sends a message, or a piece of one, and waits for room for that long.
    pub fn send(
        &self,
        mut message: WebSocketMessage,
        part: Part,
        timeout: Option<Duration>,
    ) -> Result<(), Unsent> {
        // Without a wait there is no need to look at the clock.
        let begun = timeout.filter(|timeout| !timeout.is_zero()).map(|_| Instant::now());
        let deadline = begun.zip(timeout).and_then(|(begun, timeout)| begun.checked_add(timeout));
        loop {
            let tried = match part {
                Part::Whole => self.sender.try_send(message),
                Part::Piece { is_last } => self.sender.try_send_piece(message, is_last),
            };
            message = match tried {
                Ok(()) => break,
                Err(WebSocketSendError::Full(message)) => message,
                Err(WebSocketSendError::OtherKind) => {
                    return Err((transom_status::TRANSOM_INVALID_ARGUMENT, None));
                }
                Err(_) => return Err((transom_status::TRANSOM_GONE, None)),
            };
            // Relaxed: see `has_come`. An older value costs a wake that finds no room.
            self.lacks_room_for_piece.store(part != Part::Whole, Ordering::Relaxed);
            if timeout == Some(Duration::ZERO) {
                return Err((transom_status::TRANSOM_WOULD_BLOCK, Some(message)));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let waited = self
                .senders
                .get_or_init(Arc::default)
                .wait(left, |cx| self.poll_room(cx, part != Part::Whole));
            match waited {
                Ok(()) => {}
                Err(transom_status::TRANSOM_WOULD_BLOCK) => {
                    return Err((transom_status::TRANSOM_TIMEOUT, Some(message)));
                }
                Err(status) => return Err((status, Some(message))),
            }
        }
        // A handler that runs on the thread of the connection lets it send now.
        let _ = wait(future::pending::<()>(), Some(Duration::ZERO));
        Ok(())
    }

    /// Returns the handle that sends.
    pub fn sender(&self) -> &WebSocketSender {
        &self.sender
    }

    /// Returns how the connection ended.
    fn close_reason(&self) -> Option<WebSocketClose> {
        self.lock().socket.close_reason()
    }

    /// Returns `true` if there is a message to receive, or the end. Adds no waker.
    pub fn has_message(&self) -> bool {
        self.look_received().is_ready()
    }

    fn poll_received(&self, cx: &mut Context<'_>) -> Poll<MutexGuard<'_, Received>> {
        poll(&self.receivers, &self.receivers_waker, cx, |cx| self.poll_next(cx))
    }

    /// Looks for a message for a receiver that does not wait. Others that do stay registered.
    fn look_received(&self) -> Poll<MutexGuard<'_, Received>> {
        self.poll_next(&mut Context::from_waker(&self.receivers_waker))
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<MutexGuard<'_, Received>> {
        let mut received = self.lock();
        if received.next.is_none() {
            match received.socket.poll_recv_piece(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(piece) => received.next = piece,
            }
        }
        Poll::Ready(received)
    }

    /// Notes that a whole message was refused, for those who wait for room.
    pub fn note_refused(&self) {
        // Relaxed: see `has_come`.
        self.lacks_room_for_piece.store(false, Ordering::Relaxed);
    }

    /// Ready when there is room for another message, or for a piece of one.
    fn poll_room(&self, cx: &mut Context<'_>, is_piece: bool) -> Poll<()> {
        poll_once(self.senders.get_or_init(Arc::default), cx, |cx| {
            let polled = if is_piece { self.sender.poll_ready_piece(cx) } else { self.sender.poll_ready(cx) };
            polled.map(drop)
        })
    }

    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        poll_once(self.watchers.get_or_init(Arc::default), cx, |cx| self.sender.poll_closed(cx))
    }

    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Polls a thing that keeps one waker for all that wait for it, made for this poll.
fn poll_once<R>(
    waiters: &Arc<Waiters>,
    cx: &mut Context<'_>,
    asked: impl FnOnce(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    poll(waiters, &Waker::from(Arc::clone(waiters)), cx, asked)
}

/// Polls a thing that keeps one waker for all that wait for it.
fn poll<R>(
    waiters: &Waiters,
    waker: &Waker,
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
) -> Poll<R> {
    // Added before the thing is asked, so that what comes in between wakes it.
    waiters.add(cx.waker());
    let polled = poll(&mut Context::from_waker(waker));
    if polled.is_ready() {
        waiters.remove(cx.waker());
    }
    polled
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        // The connection may live on, and would keep the callbacks.
        let rare = [self.senders.get(), self.watchers.get()];
        [Some(&self.receivers)].into_iter().chain(rare).flatten().for_each(|waiters| waiters.clear());
    }
}

/// Sends a message of `len` bytes, which are copied, and which may be compressed. `kind` is
/// TRANSOM_WEBSOCKET_TEXT, with bytes that are UTF-8, or TRANSOM_WEBSOCKET_BINARY. `len` may be
/// TRANSOM_NUL_TERMINATED.
///
/// A message is taken whole while less than TRANSOM_WEBSOCKET_QUEUE_LIMIT waits to be sent. Otherwise
/// this waits for room for at most `timeout_ms` milliseconds. 0 does not wait. TRANSOM_FOREVER is no
/// limit: a client that reads more slowly than the limit "write_rate" is cut after the timeout "write".
///
/// Errors after which you may send again: TRANSOM_WOULD_BLOCK (if `timeout_ms` is 0) and
/// TRANSOM_TIMEOUT, when there is no room (transom_websocket_on_writable tells when there is);
/// TRANSOM_NOT_UTF8; TRANSOM_NO_MEMORY; TRANSOM_INVALID_ARGUMENT for another kind or a negative time.
///
/// Other errors: TRANSOM_GONE if the connection closes or has closed; TRANSOM_WOULD_DEADLOCK if this
/// would have to wait on a thread that serves connections; TRANSOM_ALREADY_ANSWERED if the connection
/// was freed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_send(
    websocket: *mut transom_websocket,
    kind: i32,
    data: *const c_void,
    len: usize,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        let open = find(websocket)?;
        // SAFETY: NULL or valid, by the contract.
        let data = unsafe { input(data, len) }?;
        let timeout = duration(timeout_ms)?;
        open.send(message(kind, data)?, Part::Whole, timeout).map_err(|(status, _)| status)?;
    })
}

/// Sends a piece of a message, so that a large one need not be in memory whole; `is_last` ends the
/// message. The pieces of a message come from one thread, one after another, and have one kind; those of
/// a text have whole characters. They are not compressed. Other messages are taken meanwhile, and leave
/// after the last piece; Pings and Pongs may leave between two.
///
/// Errors: as transom_websocket_send; TRANSOM_INVALID_ARGUMENT also if the first piece had another kind.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_send_piece(
    websocket: *mut transom_websocket,
    kind: i32,
    data: *const c_void,
    len: usize,
    is_last: bool,
    timeout_ms: i64,
) -> transom_status {
    checked!({
        let open = find(websocket)?;
        // SAFETY: NULL or valid, by the contract.
        let data = unsafe { input(data, len) }?;
        let timeout = duration(timeout_ms)?;
        open.send(message(kind, data)?, Part::Piece { is_last }, timeout).map_err(|(status, _)| status)?;
    })
}

/// Returns a message with a copy of the bytes.
pub(crate) fn message(number: i32, data: &[u8]) -> Result<WebSocketMessage, transom_status> {
    if kinds::is_binary(number)? {
        return Ok(copied(data)?.into());
    }
    let text = std::str::from_utf8(data).map_err(|_| transom_status::TRANSOM_NOT_UTF8)?;
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(|_| transom_status::TRANSOM_NO_MEMORY)?;
    copy.push_str(text);
    Ok(copy.into())
}

/// Sends a Ping with a payload of `len` bytes, at most 125; a longer one is cut. The client answers it
/// with a Pong, which is not received as a message. This is not needed to find out that a client is gone:
/// TRANSOM_WEBSOCKET_PING_INTERVAL_MS does that. Nothing is sent if too much waits, or the connection
/// closes.
///
/// Errors: TRANSOM_ALREADY_ANSWERED if the connection was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_ping(
    websocket: *mut transom_websocket,
    data: *const c_void,
    len: usize,
) -> transom_status {
    checked!({
        let open = find(websocket)?;
        // SAFETY: NULL or valid, by the contract.
        open.sender.ping(unsafe { input(data, len) }?);
    })
}

/// Begins to close the connection, after the messages that wait, with a code (RFC 6455 7.4), such as
/// 1000, and a reason, which may be NULL. The first close counts. Nothing can be sent after this, and
/// messages of the client still come until it closes too: receive until TRANSOM_GONE to read them, or
/// free the connection.
///
/// The reason is cut to 123 bytes.
///
/// Errors: TRANSOM_INVALID_ARGUMENT for a code that no Close frame may have: 1000 to 1003, 1007 to 1014
/// and 3000 to 4999 may be sent; TRANSOM_ALREADY_ANSWERED if the connection was freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_close(
    websocket: *mut transom_websocket,
    code: u16,
    reason: *const c_char,
) -> transom_status {
    checked!({
        let open = find(websocket)?;
        // SAFETY: NULL or NUL-terminated, by the contract.
        let reason = if reason.is_null() { "" } else { unsafe { text(reason) }? };
        if !WebSocketClose::is_sendable(code) {
            return Err(transom_status::TRANSOM_INVALID_ARGUMENT);
        }
        open.sender.close(code, reason);
    })
}

/// Returns the code with which the connection ended: that of the client's Close, or 1005 if it had
/// none; that of the server's if the client broke a rule or a limit; or 1006 if the connection was lost.
/// Returns 0 while messages may come, for NULL, and for a connection that was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_websocket_close_code(websocket: *const transom_websocket) -> u16 {
    guard!(0, {
        let close = find(websocket).ok().and_then(|open| open.close_reason());
        close.map_or(0, |close| close.code)
    })
}

/// Writes the reason that came with the code of transom_websocket_close_code to `buf`: UTF-8, at most
/// 123 bytes, often none.
///
/// Works as snprintf: at most `cap` bytes are written, the last of which is a NUL, and the length of
/// the whole text without the NUL is returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_close_reason(
    websocket: *const transom_websocket,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    guard!(0, {
        let close = find(websocket).ok().and_then(|open| open.close_reason());
        // SAFETY: NULL or valid, by the contract; bytes may have any value.
        unsafe { print(&close.map_or(String::new(), |close| close.reason), buf, cap) }
    })
}

/// Returns true once the connection closes: nothing can be sent any more. Also returns true for NULL and
/// for a connection that was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_websocket_is_closed(websocket: *const transom_websocket) -> bool {
    guard!(true, { find(websocket).map_or(true, |open| open.sender.is_closed()) })
}

/// Returns how many bytes wait to be sent. Returns 0 for NULL and for a connection that was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_websocket_queued(websocket: *const transom_websocket) -> usize {
    guard!(0, { find(websocket).map_or(0, |open| open.sender.queued()) })
}

/// Returns true if messages are compressed (RFC 7692). Returns false for NULL and for a connection that
/// was freed.
#[unsafe(no_mangle)]
pub extern "C" fn transom_websocket_is_compressed(websocket: *const transom_websocket) -> bool {
    guard!(false, { find(websocket).is_ok_and(|open| open.lock().socket.is_compressed()) })
}

/// Writes the subprotocol that was chosen to `buf`, as snprintf does: see
/// transom_websocket_close_reason. Returns 0 if there is none, for NULL, and for a connection that was
/// freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_websocket_subprotocol(
    websocket: *const transom_websocket,
    buf: *mut c_char,
    cap: usize,
) -> usize {
    guard!(0, {
        let chosen = find(websocket).ok().and_then(|it| it.lock().socket.subprotocol().map(str::to_owned));
        // SAFETY: NULL or valid, by the contract; bytes may have any value.
        unsafe { print(&chosen.unwrap_or_default(), buf, cap) }
    })
}

/// Frees a connection. If it is open, it is closed in order (1000), after the messages that wait. If
/// another thread waits in transom_websocket_receive or transom_websocket_send, it goes on waiting, and
/// the connection is closed after that. Does nothing with NULL.
#[unsafe(no_mangle)]
pub extern "C" fn transom_websocket_free(websocket: *mut transom_websocket) {
    guard!((), {
        if let Some(open) = Handle::from_pointer(websocket).and_then(|handle| WEBSOCKETS.take(handle).ok()) {
            drop(open);
        }
    });
}
