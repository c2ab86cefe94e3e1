//! Files as responses.

use std::fs::File;
use std::io;

use transom::Body;

use crate::bytes::transom_field;
use crate::error::{report, transom_error};
use crate::exchange;
use crate::responder::{handle, head, transom_responder};
use crate::status::transom_status;
use crate::system::{take_file, transom_descriptor};

/// `TRANSOM_TO_END`: the part reaches to the end of the file.
const TO_END: u64 = u64::MAX;

/// Like transom_responder_send, but the body is a part of a regular file: `length` bytes from
/// `offset` on, or with TRANSOM_TO_END all that follow `offset`. The kernel sends the bytes
/// from its cache, without a copy. (A file of /proc or /sys does not tell its size: with
/// offset 0 and TRANSOM_TO_END, up to 4 MiB of it are sent.)
///
/// The descriptor `fd` belongs to the library from this call on, also after an error. It is
/// closed when the file was sent or cannot be sent. The file position is neither used nor
/// changed. If the file is found to be shorter while it is sent, the connection is closed
/// before the announced length. On Windows `fd` is a HANDLE, whose file position is changed.
///
/// Errors: as transom_responder_send; TRANSOM_INVALID_ARGUMENT if `fd` is not an open
/// descriptor of a regular file or the file ends before the part does; TRANSOM_IO. After the
/// last two the responder can still be used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_responder_send_file(
    responder: *mut transom_responder,
    status_code: u16,
    fields: *const transom_field,
    field_count: usize,
    fd: transom_descriptor,
    offset: u64,
    length: u64,
    error: *mut *mut transom_error,
) -> transom_status {
    let body = || {
        // SAFETY: the host gives the descriptor up, by the contract.
        let file = unsafe { take_file(fd) }.ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        let handle = handle(responder)?;
        // SAFETY: NULL or valid, by the contract.
        let head = unsafe { head(status_code, fields, field_count) }?;
        let body = part(file, offset, length).map_err(|error| transom_error::bad_file(&error))?;
        exchange::take(handle)?.send(head.body(body))?;
        Ok(())
    };
    // SAFETY: NULL or valid, by the contract.
    unsafe { report(error, body) }
}

/// Returns the part of the file as a body.
fn part(file: File, offset: u64, length: u64) -> io::Result<Body> {
    let end = match length {
        TO_END if offset == 0 => return Body::file(file),
        TO_END => file.metadata()?.len().max(offset),
        _ => offset.saturating_add(length),
    };
    Body::file_range(file, offset..end)
}
