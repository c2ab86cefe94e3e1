//! Header and trailer fields (RFC 9110 5): their form, their order, and the names that the server
//! treats in a special way. No I/O, no clock, no threads.

mod field;
mod forwarded;
mod headers;
mod reserved;

pub use field::InvalidHeader;
pub use headers::Headers;

pub(crate) use field::{content_length, is_token, tokens};
pub(crate) use forwarded::{Family, walk};
pub(crate) use headers::Field;
pub(crate) use reserved::{is_reserved, unsent};
