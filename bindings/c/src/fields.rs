//! Header fields that the host gives.

use transom::{Headers, InvalidHeader};

use crate::bytes::{array, given, transom_field};
use crate::error::transom_error;

/// Returns the fields, each of which is well formed.
///
/// # Safety
/// `fields` is NULL or points to `count` elements, whose bytes are valid.
pub(crate) unsafe fn headers(fields: *const transom_field, count: usize) -> Result<Headers, transom_error> {
    let mut headers = Headers::new();
    // SAFETY: the caller promises it.
    for field in unsafe { array(fields, count) }? {
        // SAFETY: as above.
        let (name, value) = unsafe { (given(field.name)?, given(field.value)?) };
        // A name that is not UTF-8 is none: what stands for its bytes is refused.
        let name = String::from_utf8_lossy(name);
        headers.append(&name, value).map_err(|error| bad_header(&error))?;
    }
    Ok(headers)
}

/// Logs why a header field cannot be sent, and returns the error.
pub(crate) fn bad_header(error: &InvalidHeader) -> transom_error {
    log::error!(target: "transom", "an answer was refused: {error}");
    transom_error::bad_header(error)
}
