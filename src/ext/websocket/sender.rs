//! The sending half of a connection.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::message::WebSocketMessage;
use super::shared::{Shared, WriteAt};
use super::state::Refused;
use crate::websocket::{Close, MAX_CONTROL, Opcode, is_sendable};

/// Sends to a WebSocket connection, from any thread.
///
/// A clone sends to the same connection. Messages leave in the order in which they were taken. They
/// wait in a queue that has a limit ([`WebSocketUpgrade::queue_limit`](super::WebSocketUpgrade::queue_limit)):
/// while as many bytes wait, [`send`](Self::send) waits and [`try_send`](Self::try_send) refuses.
///
/// ```
/// use std::time::Duration;
/// use transom::{Request, Router, WebSocket};
///
/// Router::new().get("/clock", async |req: Request| {
///     WebSocket::upgrade(&req, async |socket: WebSocket| {
///         let sender = socket.sender();
///         let _ = std::thread::spawn(move || {
///             while transom::wait(sender.send("tick"), None).is_ok_and(|sent| sent.is_ok()) {
///                 std::thread::sleep(Duration::from_secs(1));
///             }
///         });
///         socket.closed().await;
///     })
/// });
/// ```
#[derive(Clone)]
pub struct WebSocketSender {
    pub(super) shared: Arc<Shared>,
}

/// The connection closes or has closed: a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketClosed;

/// The reasons for which [`WebSocketSender::try_send`] and [`WebSocketSender::send_piece`] do not send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketSendError {
    /// As many bytes wait to be sent as may. The message comes back.
    Full(WebSocketMessage),
    /// The connection closes or has closed.
    Closed,
    /// The pieces of a message have one kind: text or bytes.
    OtherKind,
}

impl WebSocketSender {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns a number that all handles of the connection have, and no other one meanwhile.
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    /// Sends a message. Waits while the queue is full.
    ///
    /// # Errors
    /// [`WebSocketClosed`] if the connection closes.
    pub fn send<M: Into<WebSocketMessage>>(
        &self,
        message: M,
    ) -> impl Future<Output = Result<(), WebSocketClosed>> + Send + Unpin + use<'_, M> {
        send(&self.shared, message.into())
    }

    /// Sends a message if the queue is not full.
    ///
    /// # Errors
    /// [`WebSocketSendError::Full`] with the message; [`WebSocketSendError::Closed`] if the connection closes.
    pub fn try_send(&self, message: impl Into<WebSocketMessage>) -> Result<(), WebSocketSendError> {
        self.try_put(message.into(), WriteAt::Once)
    }

    /// Queues a message as [`try_send`](Self::try_send) does, and leaves it to [`flush`](Self::flush) to have
    /// it written. Use this for many connections at once, or for several messages of one.
    ///
    /// Until the flush, the message may leave at any time, such as with a Pong or a message that is sent.
    ///
    /// # Errors
    /// As `try_send`.
    pub fn try_feed(&self, message: impl Into<WebSocketMessage>) -> Result<(), WebSocketSendError> {
        self.try_put(message.into(), WriteAt::Flush)
    }

    /// Has the messages written that [`try_feed`](Self::try_feed) has queued. It does not wait.
    ///
    /// In [`Responder::batch`](crate::Responder::batch), the flushes of many connections wake each thread of
    /// the server at most once.
    pub fn flush(&self) {
        self.shared.flush();
    }

    fn try_put(&self, message: WebSocketMessage, at: WriteAt) -> Result<(), WebSocketSendError> {
        let mut message = Some(message);
        match (self.shared.send(&mut message, at), message) {
            (Ok(()), _) => Ok(()),
            (Err(Refused::Full), Some(message)) => Err(WebSocketSendError::Full(message)),
            (Err(_), _) => Err(WebSocketSendError::Closed),
        }
    }

    /// Ready once a message would be taken. Another thread may send in between.
    ///
    /// # Errors
    /// [`WebSocketClosed`] if the connection closes.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<(), WebSocketClosed>> {
        self.shared.poll_ready(cx, false).map_err(|_| WebSocketClosed)
    }

    /// Sends a piece of a message, so that a large one need not be in memory whole. Waits while the queue
    /// is full. Pings and Pongs may leave between two pieces. Other messages are taken meanwhile, and
    /// leave after the last piece. The pieces are not compressed.
    ///
    /// The pieces of a message come from one place, one after another. A message that is not ended with
    /// its last piece keeps all others from leaving.
    ///
    /// # Errors
    /// [`WebSocketSendError::OtherKind`] if the piece is no text and the first piece was one, or the other
    /// way round; [`WebSocketSendError::Closed`] if the connection closes.
    pub fn send_piece<M: Into<WebSocketMessage>>(
        &self,
        piece: M,
        is_last: bool,
    ) -> impl Future<Output = Result<(), WebSocketSendError>> + Send + Unpin + use<'_, M> {
        send_piece(&self.shared, piece.into(), is_last)
    }

    /// Sends a piece of a message if the queue is not full; see [`send_piece`](Self::send_piece).
    ///
    /// # Errors
    /// As `send_piece`; [`WebSocketSendError::Full`] with the piece.
    pub fn try_send_piece(
        &self,
        piece: impl Into<WebSocketMessage>,
        is_last: bool,
    ) -> Result<(), WebSocketSendError> {
        let mut piece = Some(piece.into());
        match (self.shared.send_piece(&mut piece, is_last), piece) {
            (Ok(()), _) => Ok(()),
            (Err(Refused::Full), Some(piece)) => Err(WebSocketSendError::Full(piece)),
            (Err(Refused::OtherKind), _) => Err(WebSocketSendError::OtherKind),
            (Err(_), _) => Err(WebSocketSendError::Closed),
        }
    }

    /// Ready once a piece of a message would be taken. While a message is sent in pieces, this may be
    /// earlier or later than [`poll_ready`](Self::poll_ready) for a whole one.
    ///
    /// # Errors
    /// [`WebSocketClosed`] if the connection closes.
    pub fn poll_ready_piece(&self, cx: &mut Context<'_>) -> Poll<Result<(), WebSocketClosed>> {
        self.shared.poll_ready(cx, true).map_err(|_| WebSocketClosed)
    }

    /// Sends a Ping. The peer answers it with a Pong, which is not received as a message. The payload
    /// is cut to 125 bytes. Not needed to find out that a peer is gone:
    /// [`WebSocketUpgrade::ping_interval`](super::WebSocketUpgrade::ping_interval) does that.
    pub fn ping(&self, payload: &[u8]) {
        let payload = &payload[..payload.len().min(MAX_CONTROL)];
        self.shared.change(|state| {
            if state.closed.is_none() && state.outbox.len() < self.shared.settings.queue {
                state.put_control(Opcode::Ping, payload);
            }
        });
    }

    /// Begins to close the connection, after the messages that wait. The first close counts. Nothing
    /// is sent after it, and messages of the peer still come until it closes too.
    ///
    /// A code that may not be sent (RFC 6455 7.4) is sent as 1000. The reason is cut to 123 bytes.
    pub fn close(&self, code: u16, reason: &str) {
        self.shared.close(&Close::new(if is_sendable(code) { code } else { 1000 }, reason));
    }

    /// Returns `true` once the connection closes: nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        let state = self.shared.lock();
        state.has_sent_close || state.closed.is_some()
    }

    /// Ready once the connection has ended, and its [`close_reason`](super::WebSocket::close_reason) is
    /// known; the task is woken then. A server's own Close does not end it: the peer may still send.
    pub fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.poll_closed(cx)
    }

    /// Returns how many bytes wait to be sent, those of heads of frames included.
    pub fn queued(&self) -> usize {
        self.shared.queued()
    }
}

/// Sends a message. An async function would keep it twice.
pub(super) fn send(
    shared: &Shared,
    message: WebSocketMessage,
) -> impl Future<Output = Result<(), WebSocketClosed>> + Send + Unpin + use<'_> {
    let mut message = Some(message);
    poll_fn(move |cx| {
        loop {
            match shared.send(&mut message, WriteAt::Once) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Refused::Full) => ready!(shared.poll_ready(cx, false)).map_err(|_| WebSocketClosed)?,
                Err(_) => return Poll::Ready(Err(WebSocketClosed)),
            }
        }
    })
}

/// Sends a piece of a message.
pub(super) fn send_piece(
    shared: &Shared,
    piece: WebSocketMessage,
    is_last: bool,
) -> impl Future<Output = Result<(), WebSocketSendError>> + Send + Unpin + use<'_> {
    let mut piece = Some(piece);
    poll_fn(move |cx| {
        loop {
            match shared.send_piece(&mut piece, is_last) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Refused::Full) => {
                    ready!(shared.poll_ready(cx, true)).map_err(|_| WebSocketSendError::Closed)?;
                }
                Err(Refused::OtherKind) => return Poll::Ready(Err(WebSocketSendError::OtherKind)),
                Err(Refused::Closed) => return Poll::Ready(Err(WebSocketSendError::Closed)),
            }
        }
    })
}

impl fmt::Debug for WebSocketSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketSender")
            .field("queued", &self.queued())
            .field("is_closed", &self.is_closed())
            .finish()
    }
}

impl fmt::Display for WebSocketClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the WebSocket connection is closed")
    }
}

impl std::error::Error for WebSocketClosed {}

impl fmt::Display for WebSocketSendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("too much waits to be sent"),
            Self::Closed => WebSocketClosed.fmt(f),
            Self::OtherKind => f.write_str("the pieces of a message are all text, or all bytes"),
        }
    }
}

impl std::error::Error for WebSocketSendError {}
