//! Bytes, texts and places for results: the conversions between C pointers and Rust, and the
//! checks of what the host passes in.

use std::ffi::{CStr, c_char, c_void};
use std::path::PathBuf;
use std::ptr;
use std::slice;

use transom::{Body, Bytes};

use crate::status::transom_status;
use crate::system::os_text;

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

/// A name and a value, such as a header field. When you pass one in, the lengths may be
/// TRANSOM_NUL_TERMINATED: see TRANSOM_FIELD.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct transom_field {
    /// The name, such as "content-type".
    pub name: transom_bytes,
    /// The value, such as "text/html".
    pub value: transom_bytes,
}

impl transom_field {
    pub(crate) fn of(found: Option<(&str, &[u8])>) -> Self {
        let (name, value) = found.unzip();
        Self { name: name.map(str::as_bytes).into(), value: value.into() }
    }
}

/// `TRANSOM_NUL_TERMINATED`: the length is up to the first NUL.
const NUL_TERMINATED: usize = usize::MAX;

/// Returns the bytes that the host passed as a pointer and a length. If the length is 0, the
/// pointer is ignored.
///
/// # Safety
/// `data` is NULL or points to `len` readable bytes (to a NUL-terminated text if `len` is
/// `NUL_TERMINATED`) that do not change during `'a`.
pub(crate) unsafe fn input<'a>(data: *const c_void, len: usize) -> Result<&'a [u8], transom_status> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(transom_status::TRANSOM_NULL_ARGUMENT);
    }
    if len == NUL_TERMINATED {
        // SAFETY: not NULL, and NUL-terminated as the caller promises.
        return Ok(unsafe { CStr::from_ptr(data.cast()) }.to_bytes());
    }
    // SAFETY: the length is not NUL_TERMINATED; the caller promises the rest.
    unsafe { array(data.cast(), len) }
}

/// Returns the bytes that the host passed as one value. The length may be `NUL_TERMINATED`.
///
/// # Safety
/// As for `input`.
pub(crate) unsafe fn given<'a>(bytes: transom_bytes) -> Result<&'a [u8], transom_status> {
    // SAFETY: the caller promises it.
    unsafe { input(bytes.data.cast(), bytes.len) }
}

/// Returns true if the bytes are those of `text`, which is NUL-terminated. Absent bytes equal no
/// text, not even "", and nothing equals NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_bytes_equal(bytes: transom_bytes, text: *const c_char) -> bool {
    // SAFETY: each NULL or valid, by the contract.
    unsafe { compare(bytes, text, |bytes, text| bytes == text) }
}

/// Like transom_bytes_equal, but the case of the letters A to Z does not matter, as in the values
/// of many header fields.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_bytes_equal_ignore_case(bytes: transom_bytes, text: *const c_char) -> bool {
    // SAFETY: each NULL or valid, by the contract.
    unsafe { compare(bytes, text, <[u8]>::eq_ignore_ascii_case) }
}

/// Compares bytes with a text.
///
/// # Safety
/// The pointers are NULL or valid, and the text is NUL-terminated.
unsafe fn compare(
    bytes: transom_bytes,
    text: *const c_char,
    are_equal: impl FnOnce(&[u8], &[u8]) -> bool,
) -> bool {
    // SAFETY: the caller promises it.
    match unsafe { (given(bytes), input(text.cast(), NUL_TERMINATED)) } {
        (Ok(given), Ok(text)) if !bytes.data.is_null() => are_equal(given, text),
        _ => false,
    }
}

/// Returns a copy of the bytes, or `TRANSOM_NO_MEMORY`.
pub(crate) fn copied(bytes: &[u8]) -> Result<Bytes, transom_status> {
    Body::try_copy(bytes).map_err(|_| transom_status::TRANSOM_NO_MEMORY)
}

/// Returns the elements that the host passed as a pointer and a count. If the count is 0, the
/// pointer is ignored.
///
/// # Safety
/// `data` is NULL or points to `count` readable elements that do not change during `'a`.
pub(crate) unsafe fn array<'a, T>(data: *const T, count: usize) -> Result<&'a [T], transom_status> {
    if count == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(transom_status::TRANSOM_NULL_ARGUMENT);
    }
    check_size::<T>(count)?;
    // SAFETY: not NULL, no larger than an object can be, and readable as the caller promises.
    Ok(unsafe { slice::from_raw_parts(data, count) })
}

/// Returns the buffer that the host passed as a pointer and a count. If the count is 0, the
/// pointer is ignored.
///
/// # Safety
/// `data` is NULL or points to `count` elements that nobody else uses during `'a`. They are
/// initialized, or of a type that may hold any bits.
pub(crate) unsafe fn room<'a, T>(data: *mut T, count: usize) -> Result<&'a mut [T], transom_status> {
    if count == 0 {
        return Ok(&mut []);
    }
    if data.is_null() {
        return Err(transom_status::TRANSOM_NULL_ARGUMENT);
    }
    check_size::<T>(count)?;
    // SAFETY: not NULL, no larger than an object can be, and used by nobody else as the caller promises.
    Ok(unsafe { slice::from_raw_parts_mut(data, count) })
}

/// Writes a text as snprintf does: at most `cap` bytes to `buf`, the last of which is a NUL. Returns the
/// length of the whole text.
///
/// # Safety
/// As for `room`.
pub(crate) unsafe fn print(text: &str, buf: *mut c_char, cap: usize) -> usize {
    // SAFETY: the caller promises it; bytes may have any value.
    if let Ok([room @ .., last]) = unsafe { room(buf.cast::<u8>(), cap) } {
        let length = text.len().min(room.len());
        room[..length].copy_from_slice(&text.as_bytes()[..length]);
        *room.get_mut(length).unwrap_or(last) = 0;
    }
    text.len()
}

/// Refuses an array that is larger than an object can be.
fn check_size<T>(count: usize) -> Result<(), transom_status> {
    let size = count.checked_mul(size_of::<T>()).and_then(|size| isize::try_from(size).ok());
    size.map(drop).ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)
}

/// Stores pairs while there is room, and returns the number of all.
pub(crate) fn store_fields<'a>(
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    out: &mut [transom_field],
) -> usize {
    let mut room = out.iter_mut();
    pairs.fold(0, |count, (name, value)| {
        if let Some(field) = room.next() {
            *field = transom_field { name: transom_bytes::of(name), value: transom_bytes::of(value) };
        }
        count + 1
    })
}

/// Returns a NUL-terminated text, which must be UTF-8.
///
/// # Safety
/// `text` is NULL or NUL-terminated, and does not change during `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, transom_status> {
    // SAFETY: the caller promises it.
    let bytes = unsafe { input(text.cast(), NUL_TERMINATED) }?;
    std::str::from_utf8(bytes).map_err(|_| transom_status::TRANSOM_NOT_UTF8)
}

/// Returns the name of a file, which may have any bytes; on Windows it is UTF-8.
///
/// # Safety
/// `path` is NULL or NUL-terminated.
pub(crate) unsafe fn file_name(path: *const c_char) -> Result<PathBuf, transom_status> {
    // SAFETY: the caller promises it.
    let bytes = unsafe { input(path.cast(), NUL_TERMINATED) }?;
    os_text(bytes).map(Into::into).ok_or(transom_status::TRANSOM_NOT_UTF8)
}

/// Returns a reference from a pointer that must not be NULL.
///
/// # Safety
/// `pointer` is NULL or valid during `'a`, and nobody writes through it.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T) -> Result<&'a T, transom_status> {
    // SAFETY: the caller promises it.
    unsafe { pointer.as_ref() }.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)
}

/// Returns the place for a result, which must not be NULL.
///
/// # Safety
/// `pointer` is NULL or valid for writes during `'a`, and nobody else uses it.
pub(crate) unsafe fn place<'a, T>(pointer: *mut T) -> Result<&'a mut T, transom_status> {
    // SAFETY: the caller promises it.
    unsafe { pointer.as_mut() }.ok_or(transom_status::TRANSOM_NULL_ARGUMENT)
}

/// A structure that may grow in later versions of the library. Its first member is `size`.
pub(crate) trait Growing: Copy {
    /// The size of the structure in the first version of the binary interface that has it.
    const LEAST: usize;
}

/// Stores a structure that may grow. Its first member tells how large the host's is: a host that was compiled
/// with an older header has a smaller one and gets its beginning.
///
/// # Safety
/// `pointer` is NULL or points to a structure of the host, whose first member is its size.
pub(crate) unsafe fn store_growing<T: Growing>(pointer: *mut T, value: T) -> Result<(), transom_status> {
    // SAFETY: as the caller promises.
    let size = *unsafe { borrow(pointer.cast::<usize>()) }?;
    let first = size_of::<usize>();
    if size < T::LEAST {
        return Err(transom_status::TRANSOM_INVALID_ARGUMENT);
    }
    let count = size.min(size_of::<T>()) - first;
    // SAFETY: both have at least `first + count` bytes, and the host's memory is not ours.
    unsafe {
        let (from, to) = ((&raw const value).cast::<u8>(), pointer.cast::<u8>());
        ptr::copy_nonoverlapping(from.add(first), to.add(first), count);
    }
    Ok(())
}

/// Stores a result. With NULL, the host does not want the result.
///
/// # Safety
/// `pointer` is NULL or valid for writes.
pub(crate) unsafe fn store<T>(pointer: *mut T, value: T) {
    if !pointer.is_null() {
        // SAFETY: not NULL; the caller promises the rest.
        unsafe { pointer.write(value) }
    }
}
