//! The WebSocket protocol (RFC 6455) with compression (RFC 7692): functions over bytes. No I/O, no
//! clock, no threads.

mod base64;
mod close;
mod data;
mod deflate;
mod failure;
mod frame;
mod handshake;
mod list;
mod mask;
mod offer;
mod reader;
#[cfg(test)]
mod round_trip;
mod sha1;
mod utf8;

pub use close::WebSocketClose;
pub(crate) use close::WebSocketClose as Close;
pub(crate) use close::is_sendable;
pub(crate) use data::Data;
pub(crate) use deflate::{Deflater, with_deflater};
pub(crate) use failure::Failure;
pub(crate) use frame::{MAX_CONTROL, Opcode, encode, put_header};
pub(crate) use handshake::{Accepted, Asked, Origins, Refusal, Wanted, check};
pub(crate) use offer::Deflation;
pub(crate) use reader::{Event, Reader, Sizes};
