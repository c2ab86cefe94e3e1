//! A message, and a piece of one.

use bytes::Bytes;

/// A message of a WebSocket connection: a text or bytes.
///
/// ```
/// use transom::WebSocketMessage;
///
/// assert_eq!(WebSocketMessage::from("hello").as_text(), Some("hello"));
/// assert_eq!(WebSocketMessage::from(vec![1, 2]).as_bytes(), [1, 2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebSocketMessage {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

/// A piece of a message; see [`WebSocket::recv_piece`](super::WebSocket::recv_piece).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketPiece {
    /// The payload of the piece. A text has whole characters.
    pub payload: WebSocketMessage,
    /// True for the last piece of its message.
    pub is_last: bool,
}

impl WebSocketMessage {
    /// Returns the text, or `None` if the message has bytes.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Returns the bytes of the message; those of a text are UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Returns the bytes of the message; those of a text are UTF-8.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Returns `true` if the message has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<String> for WebSocketMessage {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for WebSocketMessage {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for WebSocketMessage {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<&[u8]> for WebSocketMessage {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(Bytes::copy_from_slice(bytes))
    }
}

impl From<Bytes> for WebSocketMessage {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}
