//! The settings of connections, which all connections of a route share.

use std::time::Duration;

use crate::websocket::{Origins, Sizes};

/// The settings of WebSocket connections.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub sizes: Sizes,
    /// The least bytes of a message that come in a second; 0 counts any byte as enough.
    pub message_rate: u32,
    /// How long a message may come more slowly than that.
    pub message_timeout: Option<Duration>,
    /// Bytes that wait to be sent before a sender must wait.
    pub queue: usize,
    pub in_pieces: bool,
    pub subprotocols: Vec<String>,
    pub origins: Origins,
    /// `None` without compression; true if windows may be kept.
    pub deflate: Option<bool>,
    /// Bytes of the shortest message that is compressed.
    pub compress_from: usize,
    /// The silence after which a Ping is sent.
    pub ping_interval: Option<Duration>,
    /// How long the silence may last after that.
    pub ping_timeout: Duration,
    /// From the first Close frame to the second one, and for the last frames to be written.
    pub close_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sizes: Sizes { frame: 16 << 20, message: 1 << 20 },
            message_rate: 500,
            message_timeout: Some(Duration::from_secs(30)),
            queue: 256 << 10,
            in_pieces: false,
            subprotocols: Vec::new(),
            origins: Origins::OwnHost,
            deflate: Some(false),
            compress_from: 64,
            ping_interval: Some(Duration::from_secs(30)),
            ping_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
        }
    }
}
