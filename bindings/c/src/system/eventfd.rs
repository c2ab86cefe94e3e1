//! Linux: a descriptor for poll(2) that can be made readable and unreadable.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use super::unix::{apart, transom_descriptor};

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
        Ok(Self(apart(event)?.into()))
    }

    /// Makes the descriptor readable.
    pub fn ring(&self) {
        // Fails only if the counter is full, and the descriptor is then readable already.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable. Returns `true` if it is known that it was readable.
    pub fn silence(&self) -> bool {
        // Fails only if the counter is 0, and the descriptor is then unreadable already.
        (&self.0).read(&mut [0; size_of::<u64>()]).is_ok()
    }

    pub fn descriptor(&self) -> transom_descriptor {
        self.0.as_raw_fd()
    }
}
