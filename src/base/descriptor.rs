//! Keeps the crate's descriptors off the numbers of standard input, output and error.
//!
//! If the host has closed one of those three, the system gives its number to the next descriptor
//! that is opened (open(2)). A socket with the number of standard error would receive what the host
//! prints.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// The first number that belongs to no standard stream.
const FIRST: i32 = 3;

/// Moves a descriptor off the number of a standard stream. Any other descriptor stays as it is.
pub(crate) fn apart<T: AsRawFd + From<OwnedFd> + Into<OwnedFd>>(opened: T) -> io::Result<T> {
    if opened.as_raw_fd() >= FIRST {
        return Ok(opened);
    }
    // The copy's number is 3 or above (F_DUPFD_CLOEXEC, see fcntl(2)).
    let low: OwnedFd = opened.into();
    Ok(low.try_clone()?.into())
}

/// Occupies the numbers of closed standard streams until the result is dropped. The caller
/// meanwhile runs code that opens descriptors of its own.
#[must_use]
pub(crate) fn hold_standard() -> Vec<File> {
    let held = std::iter::from_fn(|| File::open("/dev/null").ok());
    held.take_while(|file| file.as_raw_fd() < FIRST).collect()
}
