//! Windows: files, events and sockets have handles of their own kinds; no process forks, and no thread
//! has a signal mask.

use std::ffi::{OsStr, c_int, c_void};
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::windows::io::{
    AsRawHandle as _, BorrowedHandle, BorrowedSocket, FromRawHandle as _, FromRawSocket as _,
    IntoRawSocket as _, OwnedHandle, OwnedSocket, RawHandle, RawSocket,
};
use std::ptr;

use transom::Listener;

/// `transom_descriptor` in the header: a `HANDLE` or a `SOCKET`.
pub type transom_descriptor = isize;

/// No descriptor: `INVALID_HANDLE_VALUE` and `INVALID_SOCKET`.
pub(crate) const NO_DESCRIPTOR: transom_descriptor = -1;

#[link(name = "kernel32")]
unsafe extern "system" {
    fn CreateEventW(attributes: *const c_void, manual_reset: i32, is_set: i32, name: *const u16)
    -> RawHandle;
    fn SetEvent(event: RawHandle) -> i32;
    fn ResetEvent(event: RawHandle) -> i32;
    fn GetFileType(file: RawHandle) -> u32;
    fn GetHandleInformation(handle: RawHandle, flags: *mut u32) -> i32;
    fn SetHandleInformation(handle: RawHandle, mask: u32, flags: u32) -> i32;
    fn GetModuleHandleExW(flags: u32, name: *const c_void, module: *mut RawHandle) -> i32;
}

#[link(name = "ws2_32")]
unsafe extern "system" {
    fn getsockopt(socket: RawSocket, level: i32, name: i32, value: *mut u8, size: *mut i32) -> i32;
}

const ERROR_INVALID_HANDLE: i32 = 6;
const FILE_TYPE_DISK: u32 = 1;
const HANDLE_FLAG_INHERIT: u32 = 1;
const GET_MODULE_HANDLE_EX_FLAG_PIN: u32 = 1;
const GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS: u32 = 4;
const SOL_SOCKET: i32 = 0xffff;
const SO_ACCEPTCONN: i32 = 2;
const SO_TYPE: i32 = 0x1008;
const SOCK_STREAM: i32 = 1;
const WSAEINVAL: i32 = 10022;
const WSAEPROTOTYPE: i32 = 10041;

/// An event that can be set and reset, which stays set until then. Its handle is closed when it is
/// dropped.
pub(crate) struct Bell(OwnedHandle);

impl Bell {
    pub fn new() -> io::Result<Self> {
        // SAFETY: without attributes and without a name, the event is this process's alone.
        let event = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
        if event.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was just made, and nothing else has it.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(event) }))
    }

    /// Sets the event.
    pub fn ring(&self) {
        // SAFETY: the handle is open, and that of an event.
        unsafe { SetEvent(self.0.as_raw_handle()) };
    }

    /// Resets the event. Returns `true` if it is known that it was set: Windows does not tell.
    pub fn silence(&self) -> bool {
        // SAFETY: the handle is open, and that of an event.
        unsafe { ResetEvent(self.0.as_raw_handle()) };
        false
    }

    pub fn descriptor(&self) -> transom_descriptor {
        self.0.as_raw_handle() as transom_descriptor
    }
}

/// Returns the text of a program: a name of a file, or an argument. It is UTF-8.
pub(crate) fn os_text(bytes: &[u8]) -> Option<&OsStr> {
    std::str::from_utf8(bytes).ok().map(OsStr::new)
}

/// Returns the handle of a descriptor, if it is open.
fn handle(descriptor: transom_descriptor) -> Option<RawHandle> {
    let handle = ptr::without_provenance_mut(descriptor.cast_unsigned());
    let mut flags = 0;
    // The pseudo-handles of the process and of its threads, such as -1, are no files.
    // SAFETY: the pointer is to a local variable, and a bad handle is an error.
    (descriptor > 0 && unsafe { GetHandleInformation(handle, &raw mut flags) } != 0).then_some(handle)
}

/// Takes a handle over as a file. `None` if it is not open; if it is no file, it is closed.
///
/// # Safety
/// If `descriptor` is open, the caller gives it up.
pub(crate) unsafe fn take_file(descriptor: transom_descriptor) -> Option<File> {
    // SAFETY: it is open, and the caller gives it up.
    let file = handle(descriptor).map(|handle| unsafe { File::from_raw_handle(handle) })?;
    // What is asked about a pipe is an error of the system, so it ends here.
    // SAFETY: the handle is open.
    (unsafe { GetFileType(file.as_raw_handle()) } == FILE_TYPE_DISK).then_some(file)
}

/// Returns a copy of a handle as a file.
pub(crate) fn copy_file(descriptor: transom_descriptor) -> io::Result<File> {
    let handle = handle(descriptor).ok_or_else(|| io::Error::from_raw_os_error(ERROR_INVALID_HANDLE))?;
    // SAFETY: it is open, and the borrow ends in this function.
    Ok(unsafe { BorrowedHandle::borrow_raw(handle) }.try_clone_to_owned()?.into())
}

/// Gives a socket to the host, which closes it.
pub(crate) fn give_socket(socket: OwnedSocket) -> transom_descriptor {
    transom_descriptor::try_from(socket.into_raw_socket()).unwrap_or(NO_DESCRIPTOR)
}

/// Closes a socket.
///
/// # Safety
/// It is open, and nobody uses it any more.
pub(crate) unsafe fn close_socket(descriptor: transom_descriptor) {
    // SAFETY: the caller promises it.
    drop(unsafe { OwnedSocket::from_raw_socket(socket(descriptor)) });
}

fn socket(descriptor: transom_descriptor) -> RawSocket {
    descriptor.cast_unsigned() as RawSocket
}

/// Returns a listener on a copy of a socket.
///
/// # Safety
/// The descriptor is that of an open socket.
pub(crate) unsafe fn listener(descriptor: transom_descriptor, _family: i32) -> transom::Result<Listener> {
    // SAFETY: it is open, as the caller promises, and the borrow ends in this function.
    let borrowed = unsafe { BorrowedSocket::borrow_raw(socket(descriptor)) };
    let copy = TcpListener::from(borrowed.try_clone_to_owned().map_err(transom::Error::Io)?);
    Listener::try_from(copy)
}

/// Checks that a socket listens, and keeps the programs that this process starts from inheriting it.
pub(crate) fn listening_family(descriptor: transom_descriptor) -> io::Result<i32> {
    if descriptor == NO_DESCRIPTOR || socket_option(descriptor, SO_ACCEPTCONN)? == 0 {
        return Err(io::Error::from_raw_os_error(WSAEINVAL));
    }
    if socket_option(descriptor, SO_TYPE)? != SOCK_STREAM {
        return Err(io::Error::from_raw_os_error(WSAEPROTOTYPE));
    }
    if let Some(handle) = handle(descriptor) {
        // SAFETY: the handle is open. Not every provider's sockets have such flags.
        unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0) };
    }
    Ok(0)
}

/// Returns an integer option of a socket.
fn socket_option(descriptor: transom_descriptor, option: i32) -> io::Result<i32> {
    let mut value = 0_i32;
    let mut size = i32::try_from(size_of_val(&value)).unwrap_or_default();
    // SAFETY: the pointers are to local variables, and `size` is the size of `value`; a bad
    // socket is an error.
    let result = unsafe {
        getsockopt(socket(descriptor), SOL_SOCKET, option, ptr::from_mut(&mut value).cast(), &raw mut size)
    };
    // The error of the last call on this thread, of sockets too.
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Returns the error that a function of the host has returned as an errno, which is not one of the
/// system's here.
pub(crate) fn host_error(errno: c_int) -> io::Error {
    io::Error::other(format!("the function has returned {errno}"))
}

/// Keeps the library loaded: its threads would run code that is gone. There are no forks.
///
/// # Safety
/// None is needed; on Unix it is.
pub(crate) unsafe fn on_fork(run: unsafe extern "C" fn()) {
    let flags = GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS;
    let mut module = ptr::null_mut();
    // SAFETY: the address is that of a function of this library. If the call fails, the library
    // is unloaded when the host says so.
    unsafe { GetModuleHandleExW(flags, run as *const c_void, &raw mut module) };
}

/// The signals that a thread blocks. Windows has none.
pub(crate) struct SignalMask(());

impl SignalMask {
    /// Does nothing.
    pub fn block_all() -> Self {
        Self(())
    }

    /// Does nothing.
    #[expect(clippy::unused_self, reason = "on Unix there is a mask")]
    pub fn restore(&self) {}
}
