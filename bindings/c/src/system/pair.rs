//! Unix without eventfd(2): a descriptor for poll(2) that can be made readable and unreadable.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

use super::unix::{apart, transom_descriptor};

/// Two connected sockets. The host polls one; what is written to the other makes it readable. Both are
/// closed when the bell is dropped.
pub(crate) struct Bell {
    heard: UnixStream,
    rung: UnixStream,
}

impl Bell {
    pub fn new() -> io::Result<Self> {
        let (heard, rung) = UnixStream::pair()?;
        let bell = Self { heard: apart(heard.into())?.into(), rung: apart(rung.into())?.into() };
        bell.heard.set_nonblocking(true)?;
        bell.rung.set_nonblocking(true)?;
        Ok(bell)
    }

    /// Makes the descriptor readable.
    pub fn ring(&self) {
        // Fails only if there is no room, and the descriptor is then readable already.
        let _ = (&self.rung).write(&[1]);
    }

    /// Makes the descriptor unreadable. Returns `true` if it is known that it was readable.
    pub fn silence(&self) -> bool {
        let (mut bytes, mut was_rung) = ([0; 256], false);
        // Whatever fails, nothing is left to read: a descriptor that is unreadable already would block.
        while let Ok(length @ 1..) = (&self.heard).read(&mut bytes) {
            was_rung = true;
            if length < bytes.len() {
                break;
            }
        }
        was_rung
    }

    pub fn descriptor(&self) -> transom_descriptor {
        self.heard.as_raw_fd()
    }
}
