//! Responses that the host reads and changes in a callback, before they are sent.

use std::ffi::{c_char, c_void};
use std::mem;

use transom::{Response, StatusCode};

use crate::bytes::{borrow, copied, input, place, text, transom_bytes, transom_field};
use crate::error::{report, transom_error};
use crate::responder;
use crate::status::transom_status;

/// A response that is about to be sent. A callback gets it to read and to change. It belongs
/// to the library and is valid during that call only. The bytes that the functions return are
/// valid until the response is changed.
pub struct transom_response {
    response: Response,
}

impl transom_response {
    pub(crate) fn new(response: Response) -> Self {
        Self { response }
    }

    pub(crate) fn into_inner(self) -> Response {
        self.response
    }

    /// Replaces the response by what `change` makes of it.
    fn change(&mut self, change: impl FnOnce(Response) -> Response) {
        let before = mem::replace(&mut self.response, Response::new(StatusCode::OK));
        self.response = change(before);
    }

    /// Sets or adds a field, after checking it.
    fn put(&mut self, name: &str, value: &[u8], keep: bool) -> Result<(), transom_error> {
        // Checked apart from the other fields, which were checked before.
        let mut alone = Response::new(self.response.status_code());
        let headers = alone.headers_mut();
        headers.append(name, value).map_err(|error| transom_error::bad_header(&error))?;
        alone.check_headers().map_err(|error| transom_error::bad_header(&error))?;
        self.change(|it| if keep { it.append_header(name, value) } else { set(it, name, value) });
        Ok(())
    }
}

/// Sets a field in place of all others of that name, also of cookies.
fn set(mut response: Response, name: &str, value: &[u8]) -> Response {
    response.headers_mut().remove(name);
    response.append_header(name, value)
}

/// Returns the status code of a response.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_response_status_code(response: *const transom_response) -> u16 {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        unsafe { borrow(response) }.map_or(0, |it| it.response.status_code().as_u16())
    })
}

/// Sets the status code of a response, from 200 to 599.
///
/// Errors: TRANSOM_BAD_STATUS_CODE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_response_set_status_code(
    response: *mut transom_response,
    status_code: u16,
) -> transom_status {
    checked!({
        // SAFETY: NULL or valid, by the contract.
        let response = unsafe { place(response) }?;
        let code = responder::status_code(status_code)?;
        response.change(|it| it.status(code));
    })
}

/// Returns the value of the first header field with this name, whose case does not matter.
/// Absent if there is no such field. The fields that the server adds when it sends the
/// response, such as Date and Content-Length, are not there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_response_header(
    response: *const transom_response,
    name: *const c_char,
) -> transom_bytes {
    guard!(transom_bytes::ABSENT, {
        // SAFETY: each NULL or valid, by the contract.
        match unsafe { (borrow(response), text(name)) } {
            (Ok(it), Ok(name)) => it.response.headers().get_bytes(name).into(),
            _ => transom_bytes::ABSENT,
        }
    })
}

/// Returns the number of header fields. A name that is repeated counts each time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_response_header_count(response: *const transom_response) -> usize {
    guard!(0, {
        // SAFETY: NULL or valid, by the contract.
        unsafe { borrow(response) }.map_or(0, |it| it.response.headers().len())
    })
}

/// Stores one header field in `*field`. `index` counts from 0.
///
/// Errors: TRANSOM_OUT_OF_RANGE if there is no such field; name and value are then absent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_response_header_at(
    response: *const transom_response,
    index: usize,
    field: *mut transom_field,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (response, field) = unsafe { (borrow(response)?, place(field)?) };
        let found = response.response.headers().nth(index);
        *field = transom_field::of(found);
        found.ok_or(transom_status::TRANSOM_OUT_OF_RANGE)?;
    })
}

/// Sets a header field in place of all others of that name. `len` may be
/// TRANSOM_NUL_TERMINATED.
///
/// Errors: TRANSOM_BAD_HEADER if the field is malformed or only the server may set it (see
/// transom_responder_send). The response is then unchanged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_response_set_header(
    response: *mut transom_response,
    name: *const c_char,
    value: *const c_void,
    len: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: each NULL or valid, by the contract.
        let (response, name, value) = unsafe { (place(response)?, text(name)?, input(value, len)?) };
        response.put(name, value, false)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Adds a header field and keeps the others of that name. Otherwise as
/// transom_response_set_header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_response_add_header(
    response: *mut transom_response,
    name: *const c_char,
    value: *const c_void,
    len: usize,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: each NULL or valid, by the contract.
        let (response, name, value) = unsafe { (place(response)?, text(name)?, input(value, len)?) };
        response.put(name, value, true)
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Removes all header fields with this name. Does nothing if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_response_remove_header(
    response: *mut transom_response,
    name: *const c_char,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (response, name) = unsafe { (place(response)?, text(name)?) };
        response.response.headers_mut().remove(name);
    })
}

/// Returns the body of a response. Absent if the body is not in memory: if it is a file, or
/// written piece by piece.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_response_body(response: *const transom_response) -> transom_bytes {
    guard!(transom_bytes::ABSENT, {
        // SAFETY: NULL or valid, by the contract.
        unsafe { borrow(response) }
            .map_or(transom_bytes::ABSENT, |it| it.response.body_ref().as_bytes().into())
    })
}

/// Sets the body of a response to `len` bytes, which are copied. `len` may be
/// TRANSOM_NUL_TERMINATED. The body that was there is dropped: a file is not sent, and a
/// writer gets TRANSOM_GONE. A Content-Length that the handler gave is removed; the other
/// fields stay, so set "content-type" too.
///
/// Errors: TRANSOM_NO_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_response_set_body(
    response: *mut transom_response,
    body: *const c_void,
    len: usize,
) -> transom_status {
    checked!({
        // SAFETY: each NULL or valid, by the contract.
        let (response, body) = unsafe { (place(response)?, input(body, len)?) };
        let body = copied(body)?;
        response.change(|it| it.body(body));
        response.response.headers_mut().remove("content-length");
    })
}
