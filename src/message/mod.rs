//! Requests and responses, as a program sees them and not as bytes on the wire. No I/O, no clock,
//! no threads.

mod address;
mod arrival;
mod client;
mod facts;
mod failure;
mod head;
mod network;
mod origin;
mod params;
mod peer;
mod reason;
mod request;
mod response;
mod target;
mod tls;
mod upgrade;

pub use address::Address;
pub use facts::Credentials;
pub use network::Network;
pub use params::Params;
pub use peer::Peer;
pub use request::Request;
pub use response::{IntoResponse, Response};
pub use target::Target;
pub use tls::TlsInfo;
pub use upgrade::Upgraded;

pub(crate) use arrival::Arrival;
pub(crate) use client::Client;
pub(crate) use facts::ConnectionFacts;
pub(crate) use failure::{BoxError, Failure};
pub(crate) use head::{HeadParts, LONGEST_METHOD, RequestHead};
pub(crate) use origin::Origin;
pub(crate) use reason::reason;
pub(crate) use upgrade::{ByteStream, Upgrade};
