//! Server-sent events (WHATWG HTML 9.2): responses that send events as they come.

mod broadcast;
mod event;
mod feed;
mod history;
mod queue;
mod response;
mod sender;

pub use broadcast::EventBroadcast;
pub use event::{InvalidEvent, ServerSentEvent};
pub use response::ServerSentEvents;
pub use sender::{EventSendError, EventSender};
