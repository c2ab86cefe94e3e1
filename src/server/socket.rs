//! A listening socket: its descriptor, the file of a Unix socket, and who else has it.

use std::io;
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::SockRef;

use crate::base::descriptor::apart;

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

/// A listening socket, shared by the threads that accept from it and the handle of the server.
#[derive(Debug)]
pub(super) struct ListeningSocket {
    bound: Bound,
    /// The process that bound the socket; `None` if the socket was passed to this process.
    binder: Option<u32>,
    /// Removed with the socket.
    file: Option<SocketFile>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Nobody else was given the socket.
    Own,
    /// A copy was given away: others may listen on the socket.
    Shared,
    /// The server accepts no more.
    Ended,
}

impl ListeningSocket {
    /// Returns a socket that was passed to this process.
    pub fn passed(bound: Bound) -> Self {
        Self { bound, binder: None, file: None, state: Mutex::new(State::Own) }
    }

    /// Returns the socket as one that this process bound, with its file.
    pub fn bound_here(mut self, file: Option<SocketFile>) -> Self {
        (self.binder, self.file) = (Some(std::process::id()), file);
        self
    }

    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    pub fn file(&self) -> Option<&SocketFile> {
        self.file.as_ref()
    }

    /// Returns a copy of the descriptor for another server. From now on the end of this one leaves
    /// the socket and its file alone.
    pub fn share(&self) -> io::Result<OwnedFd> {
        // Held until the copy exists: the socket is not shut meanwhile.
        let mut state = self.state();
        if matches!(*state, State::Ended) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let copy = apart(self.bound.as_fd().try_clone_to_owned()?)?;
        *state = State::Shared;
        Ok(copy)
    }

    /// Ends listening in every process that has the descriptor. A forked child keeps it open,
    /// and without this clients would connect to a socket on which nobody accepts.
    ///
    /// A socket that was passed to this process or given away is left alone: others may listen on
    /// it.
    pub fn end(&self) {
        let mut state = self.state();
        if matches!(*state, State::Own) {
            *state = State::Ended;
            if self.binder == Some(std::process::id()) {
                // An error means that the socket no longer listens.
                let _ = SockRef::from(&self.bound).shutdown(Shutdown::Both);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bound.as_fd()
    }
}

impl Drop for ListeningSocket {
    fn drop(&mut self) {
        let is_shared = matches!(*self.state(), State::Shared);
        if let (true, Some(file)) = (is_shared, &mut self.file) {
            file.id = None;
        }
    }
}

/// The file of a Unix socket. Dropping it removes the file, if this process made it and no
/// other file has replaced it since.
#[derive(Debug)]
pub(super) struct SocketFile {
    pub path: PathBuf,
    /// The device and the inode; `None` if the file stays.
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
