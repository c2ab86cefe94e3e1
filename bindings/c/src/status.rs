//! Status codes: what every fallible function returns.

use std::ffi::{CStr, c_char};

/// What a function returns. 0 is success, errors are negative, and a number is
/// never used for anything else.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_status {
    /// Done.
    TRANSOM_OK = 0,
    /// A pointer that must not be NULL was.
    TRANSOM_NULL_ARGUMENT = -1,
    /// An argument has a value that makes no sense here.
    TRANSOM_INVALID_ARGUMENT = -2,
    /// The address cannot be listened on: malformed, unknown, not of this host.
    TRANSOM_BAD_ADDRESS = -3,
    /// Somebody listens on the address already.
    TRANSOM_ADDRESS_IN_USE = -4,
    /// The system does not let this process do that.
    TRANSOM_PERMISSION_DENIED = -5,
    /// The system refused a thread, a descriptor or a socket operation.
    TRANSOM_IO = -6,
    /// The pattern is malformed, stands in the way of another, or has a handler for this method.
    TRANSOM_BAD_ROUTE = -7,
    /// A header field has a name or a value that must not go on the wire, or is the server's to set.
    TRANSOM_BAD_HEADER = -8,
    /// The response status is not 200 to 599.
    TRANSOM_BAD_STATUS_CODE = -9,
    /// Only possible before the server is started, or only once.
    TRANSOM_ALREADY_STARTED = -10,
    /// Only possible once the server is started.
    TRANSOM_NOT_STARTED = -11,
    /// Nobody waits for this any more: the client left, a deadline passed, or the server was stopped.
    TRANSOM_GONE = -12,
    /// The handle was used up before: the request has its answer, the writer its end.
    TRANSOM_ALREADY_ANSWERED = -13,
    /// No room for the bytes now, and the call was told not to wait.
    TRANSOM_WOULD_BLOCK = -14,
    /// Waiting here would wait for this very thread.
    TRANSOM_WOULD_DEADLOCK = -15,
    /// The time was over first.
    TRANSOM_TIMEOUT = -16,
    /// The server has stopped; there will be no more.
    TRANSOM_STOPPED = -17,
    /// The buffer is too small for even one.
    TRANSOM_BUFFER_TOO_SMALL = -18,
    /// This process is a fork of the one that the server runs in.
    TRANSOM_FORKED = -19,
    /// A defect in the library, caught before it did harm. Please report it.
    TRANSOM_PANIC = -20,
    /// There is no element of that index.
    TRANSOM_OUT_OF_RANGE = -21,
    /// A packed record breaks the packing.
    TRANSOM_MALFORMED = -22,
    /// A text is not UTF-8.
    TRANSOM_NOT_UTF8 = -23,
    /// The piece goes beyond the length of the body that the header field Content-Length said.
    TRANSOM_BODY_TOO_LONG = -24,
    /// The body ended before the length that the header field Content-Length said.
    TRANSOM_BODY_TOO_SHORT = -25,
    /// There is no memory for a copy of the bytes.
    TRANSOM_NO_MEMORY = -26,
}

/// By the number without its sign.
const TEXTS: [&CStr; 27] = [
    c"success",
    c"an argument is NULL",
    c"invalid argument",
    c"bad address",
    c"address in use",
    c"permission denied",
    c"system error",
    c"bad route",
    c"bad header field",
    c"bad response status",
    c"already started",
    c"not started",
    c"nobody waits for this any more",
    c"already answered",
    c"would block",
    c"would wait for its own thread",
    c"timed out",
    c"the server has stopped",
    c"buffer too small",
    c"not available in a forked child",
    c"defect in the library",
    c"index out of range",
    c"malformed record",
    c"not UTF-8",
    c"more than the length of the body",
    c"less than the length of the body",
    c"out of memory",
];

/// The meaning of a status in a few English words, for messages and logs.
/// Takes any number; never NULL. The text is static: do not free it.
#[unsafe(no_mangle)]
pub extern "C" fn transom_status_text(status: i32) -> *const c_char {
    let text = status.checked_neg().and_then(|number| usize::try_from(number).ok());
    text.and_then(|number| TEXTS.get(number)).unwrap_or(&c"unknown status").as_ptr()
}
