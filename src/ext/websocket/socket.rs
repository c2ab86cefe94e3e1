//! A connection, as its handler has it.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::message::{WebSocketMessage, WebSocketPiece};
use super::sender::{WebSocketClosed, WebSocketSendError, WebSocketSender, send, send_piece};
use super::shared::{Rest, Shared};
use crate::Peer;
use crate::Stopping;
use crate::websocket::Close;

/// A WebSocket connection (RFC 6455).
///
/// [`upgrade`](Self::upgrade) makes one of a request; [`WebSocketUpgrade`](super::WebSocketUpgrade) does
/// so with settings. The connection is read and written while the handler waits for something else:
/// Pings are answered, and what [`sender`](Self::sender) gave to other threads is sent. It is closed in
/// order (1000) when the handler has returned and the `WebSocket` is dropped, and when the server stops
/// (1001).
///
/// ```
/// use transom::{Request, Router, WebSocket};
///
/// // Sends each message back.
/// Router::new().get("/echo", async |req: Request| {
///     WebSocket::upgrade(&req, async |mut socket: WebSocket| {
///         while let Some(message) = socket.recv().await {
///             socket.send(message).await?;
///         }
///         Ok(())
///     })
/// });
/// ```
pub struct WebSocket {
    /// One pointer: a future keeps its arguments twice.
    shared: Arc<Shared>,
}

impl WebSocket {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }

    /// Receives the next message. `None` once the connection closes: [`close_reason`](Self::close_reason)
    /// says why.
    pub fn recv(&mut self) -> impl Future<Output = Option<WebSocketMessage>> + Send + Unpin + use<'_> {
        poll_fn(|cx| self.poll_recv(cx))
    }

    /// Receives the next message, if it is there.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<WebSocketMessage>> {
        loop {
            let Some(received) = ready!(self.shared.poll_receive_rest(cx)) else { return Poll::Ready(None) };
            let Rest { begun, piece, is_last } = received;
            let Some((is_text, mut bytes)) = begun else {
                if is_last {
                    return Poll::Ready(Some(piece));
                }
                self.keep(piece.as_text().is_some(), piece.into_bytes().into());
                continue;
            };
            bytes.extend_from_slice(piece.as_bytes());
            if !is_last {
                self.keep(is_text, bytes);
                continue;
            }
            // The pieces of a text are texts.
            return Poll::Ready(Some(if is_text {
                WebSocketMessage::Text(String::from_utf8(bytes).unwrap_or_default())
            } else {
                bytes.into()
            }));
        }
    }

    /// Keeps the first pieces of a message.
    fn keep(&self, is_text: bool, bytes: Vec<u8>) {
        self.shared.lock().keep_partial(is_text, bytes);
    }

    /// Receives the next piece of a message. With
    /// [`WebSocketUpgrade::in_pieces`](super::WebSocketUpgrade::in_pieces), messages come in pieces as
    /// they arrive; otherwise each is one piece.
    pub fn recv_piece(&mut self) -> impl Future<Output = Option<WebSocketPiece>> + Send + Unpin + use<'_> {
        poll_fn(|cx| self.poll_recv_piece(cx))
    }

    /// Receives the next piece of a message, if it is there.
    pub fn poll_recv_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<WebSocketPiece>> {
        let received = self.shared.poll_receive(cx);
        received.map(|piece| piece.map(|(payload, is_last)| WebSocketPiece { payload, is_last }))
    }

    /// Sends a message; see [`WebSocketSender::send`].
    ///
    /// # Errors
    /// [`WebSocketClosed`] if the connection closes.
    pub fn send<M: Into<WebSocketMessage>>(
        &self,
        message: M,
    ) -> impl Future<Output = Result<(), WebSocketClosed>> + Send + Unpin + use<'_, M> {
        send(&self.shared, message.into())
    }

    /// Sends a piece of a message; see [`WebSocketSender::send_piece`].
    ///
    /// # Errors
    /// [`WebSocketSendError::OtherKind`] if the pieces differ in kind; [`WebSocketSendError::Closed`] if the
    /// connection closes.
    pub fn send_piece<M: Into<WebSocketMessage>>(
        &self,
        piece: M,
        is_last: bool,
    ) -> impl Future<Output = Result<(), WebSocketSendError>> + Send + Unpin + use<'_, M> {
        send_piece(&self.shared, piece.into(), is_last)
    }

    /// Sends a Ping; see [`WebSocketSender::ping`].
    pub fn ping(&self, payload: &[u8]) {
        self.sender().ping(payload);
    }

    /// Begins to close the connection; see [`WebSocketSender::close`].
    pub fn close(&self, code: u16, reason: &str) {
        self.sender().close(code, reason);
    }

    /// Waits until the connection closes. Messages that come meanwhile are dropped.
    pub async fn closed(mut self) -> Option<Close> {
        while self.recv_piece().await.is_some() {}
        self.close_reason()
    }

    /// Returns a handle that sends from any thread.
    pub fn sender(&self) -> WebSocketSender {
        WebSocketSender::new(Arc::clone(&self.shared))
    }

    /// Returns a handle that sends, and this connection to receive from.
    pub fn split(self) -> (WebSocketSender, Self) {
        (self.sender(), self)
    }

    /// Returns how the connection ended: with the code and the reason of the peer's Close, with those
    /// of the server's if the peer broke a rule or a limit, or with 1006 if the connection was lost.
    /// `None` while messages may come.
    pub fn close_reason(&self) -> Option<Close> {
        self.shared.lock().closed.as_deref().cloned()
    }

    /// Returns the subprotocol that was chosen.
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.subprotocol.as_deref()
    }

    /// Returns `true` if messages are compressed (RFC 7692).
    pub fn is_compressed(&self) -> bool {
        self.shared.deflate.is_some()
    }

    /// Returns the address of the client.
    pub fn peer(&self) -> Peer {
        self.shared.peer
    }

    /// Returns a future that is ready when the server begins to stop. The connection is then closed by
    /// itself; a handler needs this to leave a wait for something else.
    pub fn stopping(&self) -> Stopping {
        self.shared.stopping.clone()
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.shared.change(super::state::State::drop_receiver);
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("peer", &self.shared.peer)
            .field("sender", &self.sender())
            .finish_non_exhaustive()
    }
}
