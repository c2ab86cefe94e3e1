//! A listening socket, and the file of a Unix socket.

use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::SockRef;

#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Bound {
    /// Ends listening in every process that has the descriptor. A forked child keeps it open,
    /// and without this clients would connect to a socket on which nobody accepts.
    ///
    /// A listener that was passed to this process is left alone: others may listen on it.
    pub fn shut(&self, binder: Option<u32>) {
        if binder == Some(std::process::id()) {
            // An error means that the socket no longer listens.
            let _ = SockRef::from(self).shutdown(Shutdown::Both);
        }
    }
}

/// The file of a Unix socket. Dropping it removes the file, if this process made it and no
/// other file has replaced it since.
#[derive(Debug)]
pub(super) struct SocketFile {
    pub path: PathBuf,
    id: Option<(u64, u64)>,
    maker: u32,
}

impl SocketFile {
    pub fn new(path: PathBuf) -> Self {
        let id = Self::id(&path);
        Self { path, id, maker: std::process::id() }
    }

    /// Returns the device and inode of the file that exists at a path.
    fn id(path: &Path) -> Option<(u64, u64)> {
        let file = std::fs::symlink_metadata(path).ok()?;
        Some((file.dev(), file.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.maker == std::process::id() && self.id.is_some() && Self::id(&self.path) == self.id {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
