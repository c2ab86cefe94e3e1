//! WebSocket connections in handlers (RFC 6455).

mod broadcast;
#[cfg(feature = "metrics")]
mod counts;
mod driver;
mod encoded;
mod message;
mod outbox;
mod pace;
mod receiving;
mod refusal;
mod scratch;
mod sender;
mod settings;
mod shared;
mod socket;
mod state;
mod times;
mod upgrade;

pub use broadcast::Broadcast;
#[cfg(feature = "metrics")]
pub use counts::websocket_metrics;
pub use message::{WebSocketMessage, WebSocketPiece};
pub use refusal::WebSocketRefusal;
pub use sender::{WebSocketClosed, WebSocketSendError, WebSocketSender};
pub use socket::WebSocket;
pub use upgrade::{WebSocketOutcome, WebSocketUpgrade};
