//! Cookies (RFC 6265bis): those that a client sends, those that a response sets, and signed ones.

mod bad_cookie;
mod received;
mod set_cookie;
mod signing;

pub use bad_cookie::BadCookie;
pub use received::Cookies;
pub use set_cookie::{SameSite, SetCookie};
pub use signing::SigningKeys;
