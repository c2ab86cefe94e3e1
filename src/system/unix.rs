//! Unix: sockets are descriptors, and some sockets have a file.
//!
//! If the host has closed standard input, output or error, the system gives that number to the next
//! descriptor that is opened (open(2)). A socket with the number of standard error would receive what
//! the host prints. [`apart`] and [`hold_standard`] keep the crate's descriptors off these numbers.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
pub(crate) use std::os::fd::{AsFd as AsSocket, BorrowedFd as BorrowedSocket, OwnedFd as OwnedSocket};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{SocketAddr, UnixDatagram};
pub(crate) use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

/// The first number that belongs to no standard stream.
const FIRST: i32 = 3;

/// Moves a descriptor off the number of a standard stream. Any other descriptor stays as it is.
pub(crate) fn apart<T: AsRawFd + From<OwnedSocket> + Into<OwnedSocket>>(opened: T) -> io::Result<T> {
    if opened.as_raw_fd() >= FIRST {
        return Ok(opened);
    }
    // The copy's number is 3 or above (F_DUPFD_CLOEXEC, see fcntl(2)).
    let low: OwnedSocket = opened.into();
    Ok(low.try_clone()?.into())
}

/// Occupies the numbers of closed standard streams until the result is dropped. The caller
/// meanwhile runs code that opens descriptors of its own.
#[must_use]
pub(crate) fn hold_standard() -> Vec<File> {
    let held = std::iter::from_fn(|| File::open("/dev/null").ok());
    held.take_while(|file| file.as_raw_fd() < FIRST).collect()
}

/// Implements the trait of the system for values with a socket: `has_socket!(Type, |value| borrowed)`.
macro_rules! has_socket {
    ($type:ty, |$value:ident| $borrowed:expr) => {
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                let $value = self;
                $borrowed
            }
        }
    };
}
pub(crate) use has_socket;

/// Borrows a socket.
pub(crate) fn borrow(socket: &impl AsSocket) -> BorrowedSocket<'_> {
    socket.as_fd()
}

/// Returns a second descriptor of the same socket.
pub(crate) fn copy(socket: &impl AsSocket) -> io::Result<OwnedSocket> {
    apart(socket.as_fd().try_clone_to_owned()?)
}

/// Lets a restarted server bind while old connections are in `TIME_WAIT` (socket(7)).
pub(crate) fn prepare_to_bind(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// Lets other sockets with this option listen on the same address.
pub(crate) fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

/// Lets no write to the socket raise SIGPIPE, where that is an option of the socket.
#[cfg(not(target_os = "linux"))]
#[cfg_attr(
    not(target_vendor = "apple"),
    expect(clippy::unnecessary_wraps, reason = "the socket has no such option")
)]
pub(crate) fn quiet(socket: &impl AsSocket) -> io::Result<()> {
    #[cfg(target_vendor = "apple")]
    socket2::SockRef::from(socket).set_nosigpipe(true)?;
    let _ = socket;
    Ok(())
}

/// Reads from a position of a file. The file's own position is not used.
pub(crate) fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.read_at(bytes, at)
}

/// Reads exactly as many bytes from a position of a file. The file's own position is not used.
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    file.read_exact_at(bytes, at)
}

/// Returns the device and inode of the file that exists at a path. A link is not followed.
pub(crate) fn file_id(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// Returns the path that the bytes name.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(bytes)).to_owned()
}

/// Sets who may connect to the Unix socket with this file.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Returns the name of a Unix socket in the abstract namespace (unix(7)).
pub(crate) fn abstract_name(address: &SockAddr) -> Option<&[u8]> {
    address.as_abstract_namespace()
}

/// Returns the path of a Unix socket, if it has one.
pub(crate) fn pathname(address: &SockAddr) -> Option<&Path> {
    address.as_pathname()
}

/// Listens on an abstract name. In the system call the name begins with NUL (unix(7)).
pub(crate) fn bind_abstract(name: &str, backlog: i32) -> io::Result<UnixListener> {
    if cfg!(not(target_os = "linux")) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "only Linux has abstract names"));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(format!("\0{name}"))?)?;
    socket.listen(backlog)?;
    Ok(OwnedSocket::from(socket).into())
}

/// Returns `true` if the path leads to the file of a socket.
pub(super) fn is_socket(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

/// The socket of a service manager, to which a process sends messages (`sd_notify(3)`).
pub(crate) struct NotifySocket {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl NotifySocket {
    /// Returns the socket with that name: a path, or `@` and an abstract name.
    pub fn open(name: &str, patience: Duration) -> io::Result<Self> {
        let address = notify_address(name)?;
        let socket = apart(UnixDatagram::unbound()?)?;
        socket.set_write_timeout(Some(patience))?;
        Ok(Self { socket, address })
    }

    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        self.socket.send_to_addr(message, &self.address).map(drop)
    }
}

fn notify_address(name: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    if !name.starts_with('/') {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "it is no Unix socket"));
    }
    SocketAddr::from_pathname(name)
}
