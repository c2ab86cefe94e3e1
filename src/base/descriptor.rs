//! Descriptors with other numbers than those of standard input, output and error.
//!
//! Where a host has closed one of those, the system gives its number to whatever is
//! opened next (open(2)). A socket with the number of standard error would get what the
//! host prints.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// The first number that is not one of a standard stream's.
const FIRST: i32 = 3;

/// Moves a descriptor that has the number of a standard stream; any other stays.
pub(crate) fn apart<T: AsRawFd + From<OwnedFd> + Into<OwnedFd>>(opened: T) -> io::Result<T> {
    if opened.as_raw_fd() >= FIRST {
        return Ok(opened);
    }
    // The copy's number is 3 or above (F_DUPFD_CLOEXEC, see fcntl(2)).
    let low: OwnedFd = opened.into();
    Ok(low.try_clone()?.into())
}

/// Holds the numbers of standard streams that are closed, until dropped: for what opens
/// descriptors of its own.
#[must_use]
pub(crate) fn hold_standard() -> Vec<File> {
    let held = std::iter::from_fn(|| File::open("/dev/null").ok());
    held.take_while(|file| file.as_raw_fd() < FIRST).collect()
}
