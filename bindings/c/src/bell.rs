//! A descriptor that is readable from when it is rung until it is silenced.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::{io, ptr};

/// An eventfd (eventfd(2)); closed when dropped.
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are involved.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else's.
        let event = unsafe { OwnedFd::from_raw_fd(descriptor) };
        // One with the number of a standard stream would get what the host prints. The
        // copy's number is above those.
        Ok(Self(if descriptor > libc::STDERR_FILENO { event } else { event.try_clone()? }))
    }

    /// Makes the descriptor readable.
    pub fn ring(&self) {
        let one = 1_u64;
        // SAFETY: eight bytes that are there; if the counter is full, it is readable already.
        unsafe { libc::write(self.0.as_raw_fd(), ptr::from_ref(&one).cast(), size_of_val(&one)) };
    }

    /// Makes it unreadable.
    pub fn silence(&self) {
        let mut count = 0_u64;
        // SAFETY: room for eight bytes; if it was not rung there is nothing to read, and that is fine.
        unsafe { libc::read(self.0.as_raw_fd(), ptr::from_mut(&mut count).cast(), size_of_val(&count)) };
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
