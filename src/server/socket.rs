//! A listening socket: its descriptor, the file of a Unix socket, and who else has it.

use std::io;
use std::net::{Shutdown, TcpListener};
use std::path::PathBuf;
#[cfg(target_os = "linux")]
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use socket2::SockRef;

use crate::system::{OwnedSocket, UnixListener, borrow, copy, file_id, has_socket};

#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener),
}

has_socket!(Bound, |bound| match bound {
    Self::Tcp(socket) => borrow(socket),
    Self::Unix(socket) => borrow(socket),
});

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

/// Who else may listen on the socket.
#[derive(Debug, Default)]
struct State {
    /// Others may listen on the socket: a copy was given away, or a predecessor has not left it yet.
    is_given: bool,
    /// The number of loans in progress.
    lent: usize,
    /// The server accepts no more.
    has_ended: bool,
}

impl State {
    fn check_open(&self) -> io::Result<()> {
        if self.has_ended { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }
}

impl ListeningSocket {
    /// Returns a socket that was passed to this process.
    pub fn passed(bound: Bound) -> Self {
        Self { bound, binder: None, file: None, state: Mutex::default() }
    }

    /// Returns the socket as one that this process bound, with its file.
    pub fn bound_here(mut self, file: Option<SocketFile>) -> Self {
        (self.binder, self.file) = (Some(std::process::id()), file);
        self
    }

    /// Returns the socket with a file that another process leaves to this one once it serves.
    #[cfg(target_os = "linux")]
    pub fn with_file(mut self, file: SocketFile) -> Self {
        self.file = Some(file);
        self.state().is_given = true;
        self
    }

    /// Takes the file over: from now on it is removed with the socket.
    #[cfg(target_os = "linux")]
    pub fn take_file_over(&self) {
        self.state().is_given = false;
    }

    pub fn bound(&self) -> &Bound {
        &self.bound
    }

    pub fn file(&self) -> Option<&SocketFile> {
        self.file.as_ref()
    }

    /// Returns a copy of the descriptor for another server. From now on the end of this one leaves
    /// the socket and its file alone.
    pub fn share(&self) -> io::Result<OwnedSocket> {
        // Held until the copy exists: the socket is not shut meanwhile.
        let mut state = self.state();
        state.check_open()?;
        let copy = copy(&self.bound)?;
        state.is_given = true;
        Ok(copy)
    }

    /// Lends the socket to a successor that may fail. Until the loan ends, the end of this server
    /// leaves the socket and its file alone.
    #[cfg(target_os = "linux")]
    pub fn lend(self: Arc<Self>) -> io::Result<Loan> {
        let mut state = self.state();
        state.check_open()?;
        state.lent += 1;
        let file = if state.is_given { None } else { self.file.as_ref().and_then(|file| file.id) };
        drop(state);
        Ok(Loan { socket: self, file, is_given: false })
    }

    /// Ends listening in every process that has the descriptor. A forked child keeps it open,
    /// and without this clients would connect to a socket on which nobody accepts.
    ///
    /// A socket that was passed to this process or given away is left alone: others may listen on
    /// it.
    pub fn end(&self) {
        let mut state = self.state();
        state.has_ended = true;
        self.shut(&state);
    }

    /// Shuts the socket if it has ended and nobody else may listen on it.
    fn shut(&self, state: &State) {
        let is_own = !state.is_given && state.lent == 0 && self.binder == Some(std::process::id());
        if state.has_ended && is_own {
            // An error means that the socket no longer listens.
            let _ = SockRef::from(&self.bound).shutdown(Shutdown::Both);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listening socket that is lent to a successor. Dropped, the socket is this server's alone again.
#[cfg(target_os = "linux")]
pub(super) struct Loan {
    socket: Arc<ListeningSocket>,
    /// The device and the inode of the file that the successor is to remove in the end.
    pub file: Option<(u64, u64)>,
    is_given: bool,
}

#[cfg(target_os = "linux")]
impl Loan {
    /// Leaves the socket and its file to the successor.
    pub fn give(mut self) {
        self.is_given = true;
    }
}

#[cfg(target_os = "linux")]
has_socket!(Loan, |loan| borrow(&loan.socket));

#[cfg(target_os = "linux")]
impl Drop for Loan {
    fn drop(&mut self) {
        let mut state = self.socket.state();
        state.lent -= 1;
        state.is_given |= self.is_given;
        // The server may have stopped meanwhile.
        self.socket.shut(&state);
    }
}

has_socket!(ListeningSocket, |socket| borrow(&socket.bound));

impl Drop for ListeningSocket {
    fn drop(&mut self) {
        let is_given = self.state().is_given;
        if let (true, Some(file)) = (is_given, &mut self.file) {
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
        let id = file_id(&path);
        Self { path, id, maker: std::process::id() }
    }

    /// Returns a file that another process made and has left to this one.
    #[cfg(target_os = "linux")]
    pub fn left_to_us(path: PathBuf, id: (u64, u64)) -> Self {
        Self { path, id: Some(id), maker: std::process::id() }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.maker == std::process::id() && self.id.is_some() && file_id(&self.path) == self.id {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
