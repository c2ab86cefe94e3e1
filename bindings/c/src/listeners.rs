//! Inherited sockets: from a descriptor of the host to a listener.

use std::io;
use std::net::TcpListener;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::ptr;

use transom::Listener;

use crate::error::transom_error;

/// Takes over a listening socket. If it is not one, it stays the caller's.
///
/// # Safety
/// If `descriptor` is open, the caller gives it up.
pub(crate) unsafe fn inherit(descriptor: RawFd) -> Result<Listener, transom_error> {
    let family = check(descriptor).map_err(|error| transom_error::bad_descriptor(descriptor, &error))?;
    // SAFETY: `check` has shown that it is open, and the borrow ends in this function.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    // A copy, so that the descriptor stays the caller's if a later step fails.
    let copy = borrowed.try_clone_to_owned().map_err(transom::Error::Io)?;
    let listener = if family == libc::AF_UNIX {
        Listener::try_from(UnixListener::from(copy))
    } else {
        Listener::try_from(TcpListener::from(copy))
    }?;
    // SAFETY: the caller gives it up, and nobody uses it any more.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    Ok(listener)
}

/// Returns the address family of a listening TCP or Unix stream socket, and sets its
/// close-on-exec flag.
fn check(descriptor: RawFd) -> io::Result<i32> {
    if socket_option(descriptor, libc::SO_ACCEPTCONN)? == 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // Unix sockets for packets, and SCTP sockets, can listen too.
    if socket_option(descriptor, libc::SO_TYPE)? != libc::SOCK_STREAM {
        return Err(io::Error::from_raw_os_error(libc::EPROTOTYPE));
    }
    let family = socket_option(descriptor, libc::SO_DOMAIN)?;
    if ![libc::AF_INET, libc::AF_INET6, libc::AF_UNIX].contains(&family) {
        return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
    }
    // SAFETY: the call takes no pointers, and a bad descriptor is an error.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(family)
}

/// Returns an integer option of a socket.
fn socket_option(descriptor: RawFd, option: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    let mut size = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    // SAFETY: the pointers are to local variables, and `size` is the size of `value`; a bad
    // descriptor is an error.
    let result = unsafe {
        libc::getsockopt(
            descriptor,
            libc::SOL_SOCKET,
            option,
            ptr::from_mut(&mut value).cast(),
            &raw mut size,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
