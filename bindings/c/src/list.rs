//! Lists of structures that the library stores in memory of the host, and texts inside them.

use std::ffi::c_char;
use std::ptr;

use crate::bytes::{place, room};
use crate::status::transom_status;

/// A structure in a list. Later versions of the library may add members at its end.
pub(crate) trait Listed: Copy {
    /// The size of the structure in the first version of the binary interface that has it.
    const LEAST: usize;
}

/// The host's room for a list, and for the number of all that there are.
pub(crate) struct List<'a> {
    out: &'a mut [u8],
    /// The size of the host's structure.
    size: usize,
    count: &'a mut usize,
}

impl List<'_> {
    /// Returns the room for a list of `T`.
    ///
    /// # Safety
    /// `out` is NULL or has room for `capacity` structures of `size` bytes, and `count` is NULL or
    /// valid for writes. Nobody else uses them meanwhile.
    pub unsafe fn new<T: Listed>(
        out: *mut T,
        size: usize,
        capacity: usize,
        count: *mut usize,
    ) -> Result<Self, transom_status> {
        // SAFETY: the caller promises it.
        let count = unsafe { place(count) }?;
        let bytes = size.checked_mul(capacity).filter(|_| size >= T::LEAST);
        let bytes = bytes.ok_or(transom_status::TRANSOM_INVALID_ARGUMENT)?;
        // SAFETY: the caller promises that many bytes, and any bits are bytes.
        let out = unsafe { room(out.cast::<u8>(), bytes) }?;
        Ok(Self { out, size, count })
    }

    /// Stores as many structures as there is room for, and the number of all. A host that was compiled
    /// with an older header gets the beginning of each; the end of a larger one is 0.
    pub fn store<T: Listed>(self, all: impl ExactSizeIterator<Item = T>) {
        *self.count = all.len();
        let known = self.size.min(size_of::<T>());
        for (info, out) in all.zip(self.out.chunks_exact_mut(self.size)) {
            out.fill(0);
            // SAFETY: both have `known` bytes, and the host's memory is not ours.
            unsafe { ptr::copy_nonoverlapping((&raw const info).cast::<u8>(), out.as_mut_ptr(), known) }
        }
    }
}

/// Returns a text with a NUL at its end. A text that is too long loses whole characters.
pub(crate) fn cut<const ROOM: usize>(text: &str) -> [c_char; ROOM] {
    let mut out = [0; ROOM];
    let mut end = text.len().min(ROOM - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    for (to, from) in out.iter_mut().zip(&text.as_bytes()[..end]) {
        *to = from.cast_signed() as c_char;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_loses_whole_characters() {
        let expect = |text: &str, shown: &[u8; 6]| {
            assert_eq!(cut::<6>(text).map(i32::from), shown.map(i32::from), "{text}");
        };
        expect("abc", b"abc\0\0\0");
        expect("abcdefg", b"abcde\0");
        expect("abcd\u{e4}", b"abcd\0\0");
    }
}
