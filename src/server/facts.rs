//! The facts of a connection that its socket knows.

use std::io;
use std::path::Path;

use socket2::SockRef;

use crate::message::{Address, Credentials};
use crate::system::{AsSocket, abstract_name, pathname};

/// Returns the address to which a socket is bound (getsockname(2)).
pub(super) fn local_addr(socket: &impl AsSocket) -> io::Result<Address> {
    let local = SockRef::from(socket).local_addr()?;
    Ok(match (local.as_socket(), abstract_name(&local)) {
        (Some(address), _) => Address::Tcp(address),
        (None, Some(name)) => Address::Abstract(name.to_owned()),
        (None, None) => Address::Unix(pathname(&local).map(Path::to_owned).unwrap_or_default()),
    })
}

/// Returns the process at the other end of a Unix socket.
#[cfg(target_os = "linux")]
pub(super) fn peer_credentials(socket: &impl AsSocket) -> Option<Credentials> {
    // TCP sockets answer too, with no process, user -1 and group -1.
    SockRef::from(socket).local_addr().ok()?.is_unix().then_some(())?;
    let found = rustix::net::sockopt::socket_peercred(socket).ok()?;
    // The kernel returns 0 for a process in a PID namespace that is not visible here. The type of
    // `pid` excludes 0, so the compiler must not see where the number comes from.
    let pid = std::hint::black_box(found.pid.as_raw_pid()).unsigned_abs();
    Some(Credentials::new(pid, found.uid.as_raw(), found.gid.as_raw()))
}

/// Other systems have no `SO_PEERCRED`.
#[cfg(not(target_os = "linux"))]
pub(super) fn peer_credentials(_socket: &impl AsSocket) -> Option<Credentials> {
    None
}
