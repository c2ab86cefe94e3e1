//! A descriptor for poll(2) that can be made readable and unreadable.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An eventfd (see eventfd(2)), closed when it is dropped.
pub(crate) struct Bell(File);

impl Bell {
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just opened, and nothing else has it.
        let event = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // If the host has closed a standard stream, the descriptor may have its number, and
        // would get what the host prints. A copy gets a higher number.
        let event = if descriptor > libc::STDERR_FILENO { event } else { event.try_clone()? };
        Ok(Self(event.into()))
    }

    /// Makes the descriptor readable.
    pub fn ring(&self) {
        // Fails only if the counter is full, and the descriptor is then readable already.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable.
    pub fn silence(&self) {
        // Fails only if the counter is 0, and the descriptor is then unreadable already.
        let _ = (&self.0).read(&mut [0; size_of::<u64>()]);
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
