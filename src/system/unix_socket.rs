//! Unix sockets with a file. Windows 10 has them too, since version 1803.

use std::io;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::{OwnedSocket, UnixListener, is_socket, set_mode};

/// How long a process may take to refuse a connection. On most systems the kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Listens on a Unix socket with a file. A file that is left of a process that has ended is replaced.
pub(crate) fn bind_unix(path: &Path, mode: Option<u32>, backlog: i32) -> io::Result<UnixListener> {
    match listen(path, mode, backlog) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            std::fs::remove_file(path)?;
            listen(path, mode, backlog)
        }
        bound => bound,
    }
}

fn listen(path: &Path, mode: Option<u32>, backlog: i32) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // No client can connect before the socket listens, so the mode is set in time.
    if let Some(mode) = mode {
        set_mode(path, mode).inspect_err(|_| drop(std::fs::remove_file(path)))?;
    }
    socket.listen(backlog)?;
    Ok(OwnedSocket::from(socket).into())
}

/// Returns `true` if the file is a socket on which no process listens.
fn is_stale(path: &Path) -> bool {
    let connect = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Does not wait for a server with a full backlog.
        socket.connect_timeout(&SockAddr::unix(path)?, PATIENCE)
    };
    is_socket(path) && connect().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
