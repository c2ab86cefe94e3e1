//! Windows: sockets are no files, and the standard library has no Unix sockets there.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::windows::fs::{FileExt as _, MetadataExt as _};
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

const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x400;

/// Returns when the file that exists at a path was made and last written, in units of 100 ns. A link is not
/// followed. The first time alone would not tell two files apart: Windows may give a new file the one of an
/// older file with its name.
pub(crate) fn file_id(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::symlink_metadata(path).ok()?;
    Some((file.creation_time(), file.last_write_time()))
}

/// Returns `true` if the path may be that of a socket: of a reparse point that is neither a folder nor a link.
/// The standard library does not tell of which kind it is.
pub(super) fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|file| {
        let is_plain = file.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT == 0;
        !is_plain && !file.is_dir() && !file.is_symlink()
    })
}

/// Returns the path that the bytes name, if they are UTF-8. A byte that is not becomes U+FFFD.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Fails: Windows has no modes. The rights of the folder say who may connect.
pub(crate) fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    let message = "files have no mode on Windows: the rights of the folder say who may connect";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// Returns nothing: Windows has no abstract names.
pub(crate) fn abstract_name(_address: &SockAddr) -> Option<&[u8]> {
    None
}

/// Returns nothing: socket2 does not read the path of an address there.
pub(crate) fn pathname(_address: &SockAddr) -> Option<&Path> {
    None
}

/// A listening Unix socket.
#[derive(Debug)]
pub(crate) struct UnixListener(Socket);

/// A connection over a Unix socket.
#[derive(Debug)]
pub(crate) struct UnixStream(Socket);

impl UnixListener {
    pub fn accept(&self) -> io::Result<(UnixStream, SockAddr)> {
        let (socket, peer) = self.0.accept()?;
        Ok((UnixStream(socket), peer))
    }

    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking)
    }
}

impl UnixStream {
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking)
    }
}

impl From<OwnedSocket> for UnixListener {
    fn from(socket: OwnedSocket) -> Self {
        Self(socket.into())
    }
}

impl From<UnixStream> for OwnedSocket {
    fn from(stream: UnixStream) -> Self {
        stream.0.into()
    }
}

has_socket!(UnixListener, |listener| listener.0.as_socket());

has_socket!(UnixStream, |stream| stream.0.as_socket());

/// Fails: Windows has no abstract names.
pub(crate) fn bind_abstract(_name: &str, _backlog: i32) -> io::Result<UnixListener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has abstract names"))
}

/// The socket of a service manager. There is none.
pub(crate) struct NotifySocket(Infallible);

impl NotifySocket {
    /// Fails: Windows has no sockets for datagrams with a file, and no systemd.
    pub fn open(_name: &str, _patience: Duration) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "Windows has no service manager with a socket"))
    }

    pub fn send(&self, _message: &[u8]) -> io::Result<()> {
        match self.0 {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir, remove_dir, remove_file, write};
    use std::time::Instant;

    #[test]
    fn a_file_that_replaces_another_is_not_taken_for_it() {
        let path = std::env::temp_dir().join(format!("transom-id-{}", std::process::id()));
        assert_eq!(file_id(&path), None);
        write(&path, "one").unwrap();
        let first = file_id(&path);
        assert!(first.is_some() && file_id(&path) == first);
        // The clock of a file system may be coarse.
        let end = Instant::now() + Duration::from_secs(10);
        while file_id(&path) == first {
            assert!(Instant::now() < end, "it is taken for the first file");
            remove_file(&path).unwrap();
            write(&path, "two").unwrap();
        }
        remove_file(&path).unwrap();
    }

    #[test]
    fn files_and_folders_are_no_sockets() {
        let path = std::env::temp_dir().join(format!("transom-socket-{}", std::process::id()));
        assert!(!is_socket(&path));
        write(&path, "").unwrap();
        assert!(!is_socket(&path));
        remove_file(&path).unwrap();
        create_dir(&path).unwrap();
        assert!(!is_socket(&path));
        remove_dir(&path).unwrap();
    }
}
