//! The differences between Unix and Windows: sockets, files, the numbers of the standard streams. It
//! knows nothing of HTTP.
//!
//! The two files have the same items. What only Linux has is told apart where it is used.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
