//! Unix: files and sockets have descriptors, processes fork, and threads have signal masks.

use std::ffi::{OsStr, c_int};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixListener;
use std::ptr;

use transom::Listener;

/// `transom_descriptor` in the header.
pub type transom_descriptor = c_int;

/// No descriptor.
pub(crate) const NO_DESCRIPTOR: transom_descriptor = -1;

/// Moves a descriptor off the numbers of the standard streams. If the host has closed one, the
/// descriptor may have its number, and would get what the host prints. A copy gets a higher number.
pub(super) fn apart(opened: OwnedFd) -> io::Result<OwnedFd> {
    if opened.as_raw_fd() > libc::STDERR_FILENO { Ok(opened) } else { opened.try_clone() }
}

/// Returns the text of a program: a name of a file, or an argument. It may have any bytes.
#[expect(clippy::unnecessary_wraps, reason = "on Windows this may fail")]
pub(crate) fn os_text(bytes: &[u8]) -> Option<&OsStr> {
    Some(OsStr::from_bytes(bytes))
}

/// Takes a descriptor over as a file. `None` if it is not open.
///
/// # Safety
/// If `descriptor` is open, the caller gives it up.
pub(crate) unsafe fn take_file(descriptor: transom_descriptor) -> Option<File> {
    // SAFETY: the call takes no pointers, and a bad descriptor is an error.
    if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: it is open, and the caller gives it up.
    Some(unsafe { File::from_raw_fd(descriptor) })
}

/// Returns a copy of a descriptor as a file.
pub(crate) fn copy_file(descriptor: transom_descriptor) -> io::Result<File> {
    // SAFETY: the call takes no pointers, and a bad descriptor is an error.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nobody else has it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(copy) }))
}

/// Gives a socket to the host, which closes it.
pub(crate) fn give_socket(socket: OwnedFd) -> transom_descriptor {
    socket.into_raw_fd()
}

/// Closes the descriptor of a socket.
///
/// # Safety
/// It is open, and nobody uses it any more.
pub(crate) unsafe fn close_socket(descriptor: transom_descriptor) {
    // SAFETY: the caller promises it.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
}

/// Returns a listener on a copy of a socket of the family that [`listening_family`] has told.
///
/// # Safety
/// The descriptor is that of an open socket.
pub(crate) unsafe fn listener(descriptor: transom_descriptor, family: i32) -> transom::Result<Listener> {
    // SAFETY: it is open, as the caller promises, and the borrow ends in this function.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    let copy = borrowed.try_clone_to_owned().map_err(transom::Error::Io)?;
    if family == libc::AF_UNIX {
        Listener::try_from(UnixListener::from(copy))
    } else {
        Listener::try_from(TcpListener::from(copy))
    }
}

/// Returns the address family of a listening TCP or Unix stream socket, and sets its
/// close-on-exec flag.
pub(crate) fn listening_family(descriptor: transom_descriptor) -> io::Result<i32> {
    // macOS does not tell: a socket that does not listen fails there when the server accepts.
    if !cfg!(target_vendor = "apple") && socket_option(descriptor, libc::SO_ACCEPTCONN)? == 0 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // Unix sockets for packets, and SCTP sockets, can listen too.
    if socket_option(descriptor, libc::SO_TYPE)? != libc::SOCK_STREAM {
        return Err(io::Error::from_raw_os_error(libc::EPROTOTYPE));
    }
    let family = family(descriptor)?;
    if ![libc::AF_INET, libc::AF_INET6, libc::AF_UNIX].contains(&family) {
        return Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT));
    }
    // SAFETY: the call takes no pointers, and a bad descriptor is an error.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(family)
}

/// Returns the family of a socket's own address. (`SO_DOMAIN` is not on all systems.)
fn family(descriptor: transom_descriptor) -> io::Result<i32> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut size = libc::socklen_t::try_from(size_of_val(&address)).unwrap_or_default();
    // SAFETY: the pointers are to local variables, and `size` is the size of `address`; a bad
    // descriptor is an error.
    if unsafe { libc::getsockname(descriptor, address.as_mut_ptr().cast(), &raw mut size) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: each byte is initialized, and all of them may be 0.
    Ok(unsafe { address.assume_init() }.ss_family.into())
}

/// Returns an integer option of a socket.
fn socket_option(descriptor: transom_descriptor, option: i32) -> io::Result<i32> {
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

/// Returns the error that a function of the host has returned as an errno.
pub(crate) fn host_error(errno: c_int) -> io::Error {
    io::Error::from_raw_os_error(if errno > 0 { errno } else { libc::EIO })
}

/// Has a function run in the child of each fork, and keeps the library loaded. If there is no memory
/// for that, forks go unnoticed.
///
/// # Safety
/// The function does only what is allowed in the child of a fork, and the library is never unloaded.
pub(crate) unsafe fn on_fork(run: unsafe extern "C" fn()) {
    // SAFETY: the caller promises it.
    unsafe { libc::pthread_atfork(None, None, Some(run)) };
}

/// The signals that report a fault of the thread itself. If a thread blocks them, the system
/// ends the process and does not run the host's handler, which virtual machines and crash
/// reporters need.
const FAULTS: [i32; 6] =
    [libc::SIGILL, libc::SIGTRAP, libc::SIGBUS, libc::SIGFPE, libc::SIGSEGV, libc::SIGSYS];

/// The signals that a thread blocks.
pub(crate) struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// Blocks every signal on this thread except `FAULTS`, and returns the mask from before.
    pub fn block_all() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: `sigfillset` initializes `all`, and `sigemptyset` initializes `before`, which
        // stays empty if `pthread_sigmask` fails.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            for fault in FAULTS {
                libc::sigdelset(all.as_mut_ptr(), fault);
            }
            libc::sigemptyset(before.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self(before.assume_init())
        }
    }

    /// Gives this thread the mask back.
    pub fn restore(&self) {
        // SAFETY: the pointer is to the mask that this thread had.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}
