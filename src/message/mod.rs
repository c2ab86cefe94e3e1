//! The vocabulary: what a request and a response are.
//!
//! No I/O but reading a body that is a file, no executor, and nothing about how a message
//! looks on the wire beyond the form of a single field line. No clock either, but for one
//! that measures how long the writer of a body waits: `writer` and `pipe` read it.

mod body;
mod client;
mod date;
mod driving;
mod field;
mod file;
mod head;
mod headers;
mod params;
mod pipe;
mod reason;
mod request;
mod reserved;
mod response;
mod target;
mod upgrade;
mod writer;

pub use body::Body;
pub use client::Peer;
pub use field::InvalidHeader;
pub use headers::Headers;
pub use params::Params;
pub use request::Request;
pub use response::{IntoResponse, Response};
pub use target::Target;
pub use upgrade::Upgraded;
pub use writer::{BodyWriter, WriteError};

pub(crate) use client::Client;
pub(crate) use date::DateLine;
pub(crate) use driving::{blocking, driving, is_held};
pub(crate) use field::{content_length, is_token, tokens};
pub(crate) use file::FilePart;
pub(crate) use head::{HeadParts, LONGEST_METHOD, RequestHead};
pub(crate) use headers::Field;
pub(crate) use pipe::{PipeFeed, Space, pipe};
pub(crate) use reason::reason;
pub(crate) use reserved::is_reserved;
pub(crate) use upgrade::Upgrade;
