//! Bytes across the border: what goes out as pointer and length, and the one
//! place where what comes in that way is checked.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::slice;

use transom::Bytes;

use crate::status::transom_status;

/// Bytes that the library owns, to be read. They are not NUL-terminated. Absent bytes are
/// {NULL, 0}; empty bytes have a `data` that is not NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_bytes {
    /// The first byte, or NULL if the bytes are absent.
    pub data: *const u8,
    /// The number of bytes.
    pub len: usize,
}

impl transom_bytes {
    pub(crate) const ABSENT: Self = Self { data: ptr::null(), len: 0 };

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len() }
    }
}

impl From<Option<&[u8]>> for transom_bytes {
    fn from(bytes: Option<&[u8]>) -> Self {
        bytes.map_or(Self::ABSENT, Self::of)
    }
}

/// The length that says "up to the NUL".
const NUL_TERMINATED: usize = usize::MAX;

/// Bytes that came in as pointer and length. Without length the pointer does
/// not matter.
///
/// # Safety
/// `data` is NULL or points to `len` readable bytes, or to a NUL-terminated
/// text if `len` is `NUL_TERMINATED`, that stay as they are during `'a`.
pub(crate) unsafe fn input<'a>(data: *const u8, len: usize) -> Result<&'a [u8], transom_status> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(transom_status::TRANSOM_NULL_ARGUMENT);
    }
    if len == NUL_TERMINATED {
        // SAFETY: not NULL, and NUL-terminated as the caller says.
        return Ok(unsafe { CStr::from_ptr(data.cast()) }.to_bytes());
    }
    // SAFETY: for the length; the rest is the caller's word.
    unsafe { array(data, len) }
}

/// A copy, unless there is no memory for it.
pub(crate) fn copied(bytes: &[u8]) -> Result<Bytes, transom_status> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| transom_status::TRANSOM_NO_MEMORY)?;
    copy.extend_from_slice(bytes);
    Ok(copy.into())
}

/// Elements that came in as pointer and count, under the same rule.
///
/// # Safety
/// `data` is NULL or points to `count` readable elements that stay as they are
/// during `'a`.
pub(crate) unsafe fn array<'a, T>(data: *const T, count: usize) -> Result<&'a [T], transom_status> {
    if count == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(transom_status::TRANSOM_NULL_ARGUMENT);
    }
    check_size::<T>(count)?;
    // SAFETY: not NULL, no larger than an object can be, readable as the caller says.
    Ok(unsafe { slice::from_raw_parts(data, count) })
}

/// Room to write to, under the same rule.
///
/// # Safety
/// `data` is NULL or points to `count` elements, initialized or of a type for
/// which that does not matter, that nobody else touches during `'a`.
pub(crate) unsafe fn room<'a, T>(data: *mut T, count: usize) -> Result<&'a mut [T], transom_status> {
    if count == 0 {
        return Ok(&mut []);
    }
    if data.is_null() {
        return Err(transom_status::TRANSOM_NULL_ARGUMENT);
    }
    check_size::<T>(count)?;
    // SAFETY: not NULL, no larger than an object can be, ours alone as the caller says.
    Ok(unsafe { slice::from_raw_parts_mut(data, count) })
}

fn check_size<T>(count: usize) -> Result<(), transom_status> {
    let size = count.checked_mul(size_of::<T>()).and_then(|size| isize::try_from(size).ok());
    size.map(drop).ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)
}

/// A NUL-terminated text that must be UTF-8.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and stays as it is during `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, transom_status> {
    // SAFETY: passed on.
    let bytes = unsafe { input(text.cast(), NUL_TERMINATED) }?;
    std::str::from_utf8(bytes).map_err(|_| transom_status::TRANSOM_NOT_UTF8)
}

/// A reference from a pointer that must not be NULL.
///
/// # Safety
/// `pointer` is NULL or valid during `'a`, and read only by others.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T) -> Result<&'a T, transom_status> {
    // SAFETY: passed on.
    unsafe { pointer.as_ref() }.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)
}

/// The place for a result.
///
/// # Safety
/// `pointer` is NULL or valid for writes during `'a`, and nobody else's.
pub(crate) unsafe fn place<'a, T>(pointer: *mut T) -> Result<&'a mut T, transom_status> {
    // SAFETY: passed on.
    unsafe { pointer.as_mut() }.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)
}

/// Stores a result, unless the host does not want it.
///
/// # Safety
/// `pointer` is NULL or valid for writes.
pub(crate) unsafe fn store<T>(pointer: *mut T, value: T) {
    if !pointer.is_null() {
        // SAFETY: not NULL; the caller promises the rest.
        unsafe { pointer.write(value) }
    }
}
