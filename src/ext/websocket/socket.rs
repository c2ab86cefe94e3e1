//! A connection, as its handler has it.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::message::{WebSocketMessage, WebSocketPiece};
use super::sender::{WebSocketClosed, WebSocketSender};
use super::shared::Shared;
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
    shared: Arc<Shared>,
    sender: WebSocketSender,
    stopping: Stopping,
    peer: Peer,
}

impl WebSocket {
    pub(super) fn new(shared: &Arc<Shared>, stopping: Stopping, peer: Peer) -> Self {
        let sender = WebSocketSender::new(Arc::clone(shared));
        Self { shared: Arc::clone(shared), sender, stopping, peer }
    }

    /// Receives the next message. `None` once the connection closes: [`close_reason`](Self::close_reason)
    /// says why.
    pub async fn recv(&mut self) -> Option<WebSocketMessage> {
        let first = self.recv_piece().await?;
        if first.is_last {
            return Some(first.payload);
        }
        let (is_text, mut bytes) = (first.payload.as_text().is_some(), Vec::from(first.payload.into_bytes()));
        loop {
            let next = self.recv_piece().await?;
            bytes.extend_from_slice(next.payload.as_bytes());
            if next.is_last {
                break;
            }
        }
        Some(if is_text {
            WebSocketMessage::Text(String::from_utf8(bytes).unwrap_or_default())
        } else {
            bytes.into()
        })
    }

    /// Receives the next piece of a message. With
    /// [`WebSocketUpgrade::in_pieces`](super::WebSocketUpgrade::in_pieces), messages come in pieces as
    /// they arrive; otherwise each is one piece.
    pub async fn recv_piece(&mut self) -> Option<WebSocketPiece> {
        poll_fn(|cx| self.poll_recv_piece(cx)).await
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
    pub async fn send(&self, message: impl Into<WebSocketMessage>) -> Result<(), WebSocketClosed> {
        self.sender.send(message).await
    }

    /// Sends a Ping; see [`WebSocketSender::ping`].
    pub fn ping(&self, payload: &[u8]) {
        self.sender.ping(payload);
    }

    /// Begins to close the connection; see [`WebSocketSender::close`].
    pub fn close(&self, code: u16, reason: &str) {
        self.sender.close(code, reason);
    }

    /// Waits until the connection closes. Messages that come meanwhile are dropped.
    pub async fn closed(mut self) -> Option<Close> {
        while self.recv_piece().await.is_some() {}
        self.close_reason()
    }

    /// Returns a handle that sends from any thread.
    pub fn sender(&self) -> WebSocketSender {
        self.sender.clone()
    }

    /// Returns a handle that sends, and this connection to receive from.
    pub fn split(self) -> (WebSocketSender, Self) {
        (self.sender.clone(), self)
    }

    /// Returns how the connection ended: with the code and the reason of the peer's Close, with those
    /// of the server's if the peer broke a rule or a limit, or with 1006 if the connection was lost.
    /// `None` while messages may come.
    pub fn close_reason(&self) -> Option<Close> {
        self.shared.lock().closed.clone()
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
        self.peer
    }

    /// Returns a future that is ready when the server begins to stop. The connection is then closed by
    /// itself; a handler needs this to leave a wait for something else.
    pub fn stopping(&self) -> Stopping {
        self.stopping.clone()
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.shared.change(super::shared::State::drop_receiver);
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("peer", &self.peer)
            .field("sender", &self.sender)
            .finish_non_exhaustive()
    }
}
