//! Status codes: the result of every function that can fail.

use std::ffi::{CStr, c_char};

/// The result of a function. 0 is success, errors are negative. The meaning of a number
/// never changes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_status {
    /// The call succeeded.
    TRANSOM_OK = 0,
    /// A pointer that must not be NULL is NULL.
    TRANSOM_NULL_ARGUMENT = -1,
    /// An argument has a value that the function does not accept.
    TRANSOM_INVALID_ARGUMENT = -2,
    /// The server cannot listen on the address: it is malformed, unknown, or not of this machine.
    TRANSOM_BAD_ADDRESS = -3,
    /// Another socket listens on the address.
    TRANSOM_ADDRESS_IN_USE = -4,
    /// The process is not permitted to do this.
    TRANSOM_PERMISSION_DENIED = -5,
    /// The system refused a thread, a descriptor or a socket operation.
    TRANSOM_IO = -6,
    /// The pattern is malformed, conflicts with another, or already has a handler for the method.
    TRANSOM_BAD_ROUTE = -7,
    /// A header field is malformed, or only the server may set it.
    TRANSOM_BAD_HEADER = -8,
    /// The status code of the response is not from 200 to 599.
    TRANSOM_BAD_STATUS_CODE = -9,
    /// The call is only allowed before the server is started, or only once.
    TRANSOM_ALREADY_STARTED = -10,
    /// The call is only allowed after the server is started.
    TRANSOM_NOT_STARTED = -11,
    /// Nobody waits for this any more: client gone, deadline passed, or server stopped.
    TRANSOM_GONE = -12,
    /// The handle is used up: the request has its response, or the writer has ended.
    TRANSOM_ALREADY_ANSWERED = -13,
    /// There is no room for the bytes now, and the call was told not to wait.
    TRANSOM_WOULD_BLOCK = -14,
    /// The call would wait for the thread that it runs on.
    TRANSOM_WOULD_DEADLOCK = -15,
    /// The timeout of the call has passed.
    TRANSOM_TIMEOUT = -16,
    /// The server has stopped, or the event queue was closed: nothing more will come.
    TRANSOM_STOPPED = -17,
    /// The buffer is too small for the first item.
    TRANSOM_BUFFER_TOO_SMALL = -18,
    /// The server runs in another process, of which this one is a fork.
    TRANSOM_FORKED = -19,
    /// The library has a defect, which was caught before it did harm. Please report it.
    TRANSOM_PANIC = -20,
    /// There is no element with this index.
    TRANSOM_OUT_OF_RANGE = -21,
    /// A packed record does not have the documented layout.
    TRANSOM_MALFORMED = -22,
    /// A text is not UTF-8.
    TRANSOM_NOT_UTF8 = -23,
    /// The bytes go beyond the Content-Length of the response.
    TRANSOM_BODY_TOO_LONG = -24,
    /// The body ended before the Content-Length of the response.
    TRANSOM_BODY_TOO_SHORT = -25,
    /// There is no memory for a copy of the bytes.
    TRANSOM_NO_MEMORY = -26,
    /// The request body is larger than the limit.
    TRANSOM_BODY_TOO_LARGE = -27,
    /// The request body is malformed.
    TRANSOM_BAD_BODY = -28,
    /// The client sends the request body more slowly than the server allows.
    TRANSOM_TOO_SLOW = -29,
    /// A certificate, a key or another setting of TLS cannot be used.
    TRANSOM_BAD_TLS = -30,
    /// The request asks for no WebSocket connection that the server accepts: the client was refused.
    TRANSOM_BAD_HANDSHAKE = -31,
}

/// The texts, indexed by the number without its sign.
const TEXTS: [&CStr; 32] = [
    c"success",
    c"an argument is NULL",
    c"invalid argument",
    c"bad address",
    c"address in use",
    c"permission denied",
    c"system error",
    c"bad route",
    c"bad header field",
    c"bad status code",
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
    c"the request body is larger than the limit",
    c"the request body is malformed",
    c"the client sends too slowly",
    c"bad certificate, key or setting of TLS",
    c"bad WebSocket handshake",
];

/// Returns the meaning of a status in a few English words, for messages and logs. `status`
/// may be any number. The text is static, do not free it; it is never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn transom_status_text(status: i32) -> *const c_char {
    text(status).as_ptr()
}

/// Returns the text of a status; `status` may be any number.
pub(crate) fn text(status: i32) -> &'static CStr {
    let index = status.checked_neg().and_then(|number| usize::try_from(number).ok());
    index.and_then(|index| TEXTS.get(index).copied()).unwrap_or(c"unknown status")
}

#[cfg(test)]
mod tests {
    use super::*;
    use transom::WriteError;

    #[test]
    fn a_text_that_the_core_has_too_is_the_same() {
        for (status, error) in [
            (transom_status::TRANSOM_BODY_TOO_LONG, WriteError::TooLong),
            (transom_status::TRANSOM_BODY_TOO_SHORT, WriteError::TooShort),
        ] {
            assert_eq!(text(status as i32).to_str(), Ok(&*error.to_string()));
        }
    }
}
