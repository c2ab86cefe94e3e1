//! Windows: sockets are no files, and the standard library has no Unix sockets there.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::windows::fs::FileExt as _;
pub(crate) use std::os::windows::io::{AsSocket, BorrowedSocket, OwnedSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{SockAddr, Socket};

/// Returns the socket or file as it is. No handle has the number of a standard stream by chance.
#[expect(clippy::unnecessary_wraps, reason = "on Unix this may fail")]
pub(crate) fn apart<T>(opened: T) -> io::Result<T> {
    Ok(opened)
}

/// Occupies nothing: see [`apart`].
#[must_use]
pub(crate) fn hold_standard() -> Vec<File> {
    Vec::new()
}

/// Implements the trait of the system for values with a socket: `has_socket!(Type, |value| borrowed)`.
macro_rules! has_socket {
    ($type:ty, |$value:ident| $borrowed:expr) => {
        impl std::os::windows::io::AsSocket for $type {
            fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
                let $value = self;
                $borrowed
            }
        }
    };
}
pub(crate) use has_socket;

/// Borrows a socket.
pub(crate) fn borrow(socket: &impl AsSocket) -> BorrowedSocket<'_> {
    socket.as_socket()
}

/// Returns a second handle of the same socket.
pub(crate) fn copy(socket: &impl AsSocket) -> io::Result<OwnedSocket> {
    socket.as_socket().try_clone_to_owned()
}

/// Does nothing: a restarted server can bind while old connections are in `TIME_WAIT`. `SO_REUSEADDR`
/// would let another program take the address of a server that runs.
#[expect(clippy::unnecessary_wraps, reason = "on Unix this may fail")]
pub(crate) fn prepare_to_bind(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Fails: Windows does not spread connections over the sockets of an address.
pub(crate) fn set_reuse_port(_socket: &Socket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "Windows has no SO_REUSEPORT"))
}

/// Does nothing: Windows has no SIGPIPE.
#[expect(clippy::unnecessary_wraps, reason = "on Unix this may fail")]
pub(crate) fn quiet(_socket: &impl AsSocket) -> io::Result<()> {
    Ok(())
}

/// Reads from a position of a file. The file's own position is moved and not used.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.seek_read(bytes, at)
}

/// Reads exactly as many bytes from a position of a file.
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        match read_at(file, &mut bytes[filled..], at + filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Returns nothing: no socket has a file.
pub(crate) fn file_id(_path: &Path) -> Option<(u64, u64)> {
    None
}

/// Returns the path that the bytes name, if they are UTF-8. A byte that is not becomes U+FFFD.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Fails: no socket has a file.
pub(crate) fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Err(no_unix_sockets())
}

/// Returns nothing: Windows has no abstract names.
pub(crate) fn abstract_name(_address: &SockAddr) -> Option<&[u8]> {
    None
}

/// Returns nothing: no socket has a file.
pub(crate) fn pathname(_address: &SockAddr) -> Option<&Path> {
    None
}

/// A listening Unix socket. There is none.
#[derive(Debug)]
pub(crate) struct UnixListener(Infallible);

/// A connection over a Unix socket. There is none.
#[derive(Debug)]
pub(crate) struct UnixStream(Infallible);

impl UnixListener {
    pub fn accept(&self) -> io::Result<(UnixStream, SockAddr)> {
        match self.0 {}
    }

    pub fn set_nonblocking(&self, _nonblocking: bool) -> io::Result<()> {
        match self.0 {}
    }
}

impl UnixStream {
    pub fn set_nonblocking(&self, _nonblocking: bool) -> io::Result<()> {
        match self.0 {}
    }

    /// Ends a path of the program that no connection takes.
    pub fn never(self) -> Infallible {
        self.0
    }
}

impl AsSocket for UnixStream {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        match self.0 {}
    }
}

impl AsSocket for UnixListener {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        match self.0 {}
    }
}

/// Fails: there are no Unix sockets.
pub(crate) fn bind_unix(_path: &Path, _mode: Option<u32>, _backlog: i32) -> io::Result<UnixListener> {
    Err(no_unix_sockets())
}

/// Fails: there are no Unix sockets.
pub(crate) fn bind_abstract(_name: &str, _backlog: i32) -> io::Result<UnixListener> {
    Err(no_unix_sockets())
}

fn no_unix_sockets() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "Unix sockets are not supported on Windows")
}

/// The socket of a service manager. There is none.
pub(crate) struct NotifySocket(Infallible);

impl NotifySocket {
    /// Fails: there are no Unix sockets.
    pub fn open(_name: &str, _patience: Duration) -> io::Result<Self> {
        Err(no_unix_sockets())
    }

    pub fn send(&self, _message: &[u8]) -> io::Result<()> {
        match self.0 {}
    }
}
