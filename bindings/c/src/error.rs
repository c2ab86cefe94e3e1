//! Errors with details: a status, a sentence and an errno.

use std::ffi::{CString, c_char};
use std::io;
use std::ptr;

use transom::{Error, InvalidHeader, WebSocketRefusal};

use crate::bytes::{borrow, store};
use crate::status::{self, transom_status};
use crate::system::transom_descriptor;

/// The details of an error: a status, a sentence and an errno. A function that takes a
/// transom_error ** stores an error there when it fails, and NULL when it succeeds; pass
/// NULL if you do not want the error. The error belongs to you: free it with
/// transom_error_free. Any thread may read it.
#[derive(Debug)]
pub struct transom_error {
    code: transom_status,
    message: CString,
    errno: i32,
}

impl transom_error {
    /// Makes an error without an errno.
    fn bare(code: transom_status, message: &str) -> Self {
        // A message quotes the host's texts escaped, so it has no NUL of theirs.
        let message = CString::new(message.replace('\0', "\\0")).unwrap_or_default();
        Self { code, message, errno: 0 }
    }

    /// The error of a descriptor that cannot be listened on.
    pub fn bad_descriptor(descriptor: transom_descriptor, error: &io::Error) -> Self {
        let message = format!("descriptor {descriptor} is not a listening TCP or Unix socket: {error}");
        let bare = Self::bare(transom_status::TRANSOM_INVALID_ARGUMENT, &message);
        Self { errno: error.raw_os_error().unwrap_or(0), ..bare }
    }

    /// The error of a route whose method is not a token.
    pub fn bad_method(method: &str, pattern: &str) -> Self {
        let reason = "the method is not a token (RFC 9110 9.1)".to_owned();
        Error::BadRoute { method: method.escape_debug().to_string(), pattern: pattern.to_owned(), reason }
            .into()
    }

    /// The error of a status code that no response can have.
    pub fn bad_status_code(status_code: u16) -> Self {
        let message = format!("the status code of a response is 200 to 599, got {status_code}");
        Self::bare(transom_status::TRANSOM_BAD_STATUS_CODE, &message)
    }

    /// The error of a status code that no answer of the server's own has.
    pub fn bad_own_status(status_code: u16) -> Self {
        let message = format!("the status code of an own answer is 400 to 599, got {status_code}");
        Self::bare(transom_status::TRANSOM_BAD_STATUS_CODE, &message)
    }

    /// The error of a header field that cannot be sent.
    pub fn bad_header(error: &InvalidHeader) -> Self {
        Self::bare(transom_status::TRANSOM_BAD_HEADER, &error.to_string())
    }

    /// The error of a Content-Length beside a length that is known.
    pub fn second_length() -> Self {
        let message = "header \"content-length\" is not needed: the length of the body was given";
        Self::bare(transom_status::TRANSOM_BAD_HEADER, message)
    }

    /// The error of a WebSocket handshake that was refused.
    pub fn bad_handshake(refusal: WebSocketRefusal) -> Self {
        let message = format!("the client got a {}: {refusal}", refusal.status().as_u16());
        Self::bare(transom_status::TRANSOM_BAD_HANDSHAKE, &message)
    }

    /// The error of a part of a file that cannot be sent.
    pub fn bad_file(error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::InvalidInput => transom_status::TRANSOM_INVALID_ARGUMENT,
            _ => transom_status::TRANSOM_IO,
        };
        Self { errno: error.raw_os_error().unwrap_or(0), ..Self::bare(code, &error.to_string()) }
    }

    /// The error of a folder that cannot be opened. Its message has the path.
    pub fn bad_folder(error: &io::Error) -> Self {
        Self::bare(transom_status::TRANSOM_IO, &error.to_string())
    }

    /// The error of a setting that does not exist or has an impossible value.
    pub fn bad_setting(message: &str) -> Self {
        Self::bare(transom_status::TRANSOM_INVALID_ARGUMENT, message)
    }

    /// The error of an address that no client has.
    pub fn bad_peer(peer: &str) -> Self {
        let message = format!(
            "a peer is an IP address with a port, such as '127.0.0.1:50000', got '{}'",
            peer.escape_debug()
        );
        Self::bare(transom_status::TRANSOM_BAD_ADDRESS, &message)
    }

    pub fn code(&self) -> transom_status {
        self.code
    }

    /// Returns `true` if the program would have to be changed to avoid the error.
    fn is_mistake(&self) -> bool {
        matches!(
            self.code,
            transom_status::TRANSOM_BAD_ROUTE
                | transom_status::TRANSOM_INVALID_ARGUMENT
                | transom_status::TRANSOM_BAD_HEADER
                | transom_status::TRANSOM_BAD_STATUS_CODE
                | transom_status::TRANSOM_ALREADY_STARTED
        )
    }
}

impl From<transom_status> for transom_error {
    fn from(status: transom_status) -> Self {
        Self { code: status, message: status::text(status as i32).to_owned(), errno: 0 }
    }
}

impl From<Error> for transom_error {
    fn from(error: Error) -> Self {
        let source = match &error {
            Error::Bind { source, .. }
            | Error::File { source, .. }
            | Error::Thread(source)
            | Error::Io(source) => source.raw_os_error(),
            _ => None,
        };
        Self { errno: source.unwrap_or(0), ..Self::bare(status_of(&error), &error.to_string()) }
    }
}

/// Returns the status for an error of the core.
pub(crate) fn status_of(error: &Error) -> transom_status {
    match error {
        Error::BadAddress { .. } => transom_status::TRANSOM_BAD_ADDRESS,
        Error::Bind { source, .. }
        | Error::File { source, .. }
        | Error::Thread(source)
        | Error::Io(source) => io_status(source),
        Error::HandOver { .. } => transom_status::TRANSOM_IO,
        Error::Tls { .. } => transom_status::TRANSOM_BAD_TLS,
        Error::BadRoute { .. } => transom_status::TRANSOM_BAD_ROUTE,
        Error::WouldDeadlock => transom_status::TRANSOM_WOULD_DEADLOCK,
        _ => transom_status::TRANSOM_INVALID_ARGUMENT,
    }
}

fn io_status(error: &io::Error) -> transom_status {
    match error.kind() {
        io::ErrorKind::AddrInUse => transom_status::TRANSOM_ADDRESS_IN_USE,
        io::ErrorKind::AddrNotAvailable => transom_status::TRANSOM_BAD_ADDRESS,
        io::ErrorKind::PermissionDenied => transom_status::TRANSOM_PERMISSION_DENIED,
        _ => transom_status::TRANSOM_IO,
    }
}

/// Runs the body of a function that takes a `transom_error **`: stores its error there, and
/// returns the status. With no place for it, the log gets a mistake of the program: who passes
/// NULL often ignores the status too, and a route would be missing without a word. A panic becomes `TRANSOM_PANIC`, as with `checked!`.
///
/// # Safety
/// `place` is NULL or valid for writes.
pub(crate) unsafe fn report(
    place: *mut *mut transom_error,
    body: impl FnOnce() -> Result<(), transom_error>,
) -> transom_status {
    let result = guard!(Err(transom_status::TRANSOM_PANIC.into()), { body() });
    let (status, error) = match result {
        Ok(()) => (transom_status::TRANSOM_OK, ptr::null_mut()),
        Err(error) if place.is_null() => {
            if error.is_mistake() {
                log::warn!(target: "transom", "a call was refused: {}", error.message.to_string_lossy());
            }
            (error.code(), ptr::null_mut())
        }
        Err(error) => (error.code(), Box::into_raw(Box::new(error))),
    };
    // SAFETY: the caller promises it.
    unsafe { store(place, error) };
    status
}

/// Returns the status of an error: the one that the failed function returned. Returns
/// TRANSOM_OK for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_error_code(error: *const transom_error) -> transom_status {
    // SAFETY: NULL or valid, by the contract.
    unsafe { borrow(error) }.map_or(transom_status::TRANSOM_OK, transom_error::code)
}

/// Returns the message of an error: one English sentence that quotes the address, pattern or
/// setting. The text is valid until the error is freed. Returns "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_error_message(error: *const transom_error) -> *const c_char {
    // SAFETY: NULL or valid, by the contract.
    unsafe { borrow(error) }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// Returns the errno of the system call that failed, or 0 if none did.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_error_errno(error: *const transom_error) -> i32 {
    // SAFETY: NULL or valid, by the contract.
    unsafe { borrow(error) }.map_or(0, |error| error.errno)
}

/// Frees an error. Does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_error_free(error: *mut transom_error) {
    if !error.is_null() {
        // SAFETY: it comes from a function of the library and is freed once, by the contract.
        drop(unsafe { Box::from_raw(error) });
    }
}
