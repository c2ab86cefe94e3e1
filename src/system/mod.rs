//! The differences between Unix and Windows: sockets, files, the numbers of the standard streams. It
//! knows nothing of HTTP.
//!
//! `unix` and `windows` have the same items. What only Linux has is told apart where it is used.

#[cfg(unix)]
mod unix;
mod unix_socket;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
pub(crate) use unix_socket::bind_unix;
#[cfg(windows)]
pub(crate) use windows::*;
