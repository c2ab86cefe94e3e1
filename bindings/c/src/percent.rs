//! Percent-decoding (RFC 3986 2.1).

use std::ffi::{CStr, c_char, c_void};

/// Decodes the %XX of `len` bytes: writes the bytes that they stand for, at most `cap` - 1 of
/// them, and a NUL to `out`. Returns how many bytes the whole is without the NUL, so the text
/// was cut off if that is `cap` or more. The decoded bytes may contain a NUL themselves, and may
/// not be UTF-8. `len` may be TRANSOM_NUL_TERMINATED. `out` may be `data` itself, but must not
/// overlap with it otherwise; with NULL and 0, it only counts.
///
/// A '%' without two hexadecimal digits after it stays as it is, and so does a '+': it is a space
/// in queries and forms only (transom_request_query_value). Returns 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn transom_percent_decode(
    data: *const c_void,
    len: usize,
    out: *mut c_char,
    cap: usize,
) -> usize {
    let data = data.cast::<u8>();
    if data.is_null() || len == 0 {
        // SAFETY: as below.
        unsafe { put(out, cap, 0, 0) };
        return 0;
    }
    let len = match len {
        // SAFETY: not NULL, and NUL-terminated by the contract.
        usize::MAX => unsafe { CStr::from_ptr(data.cast()) }.count_bytes(),
        len => len,
    };
    let (mut read, mut written) = (0, 0);
    while read < len {
        // No reference is kept, because `out` may be the same memory: what is written there was
        // read before.
        // SAFETY: the index is below `len`, and `data` has that many bytes by the contract.
        let at = |index: usize| (index < len).then(|| unsafe { data.add(index).read() });
        let (byte, taken) = decoded(at(read).unwrap_or_default(), at(read + 1), at(read + 2));
        // SAFETY: `out` has room for `cap` bytes, by the contract; one is left for the NUL.
        unsafe { put(out, cap.saturating_sub(1), written, byte) };
        read += taken;
        written += 1;
    }
    // SAFETY: as above.
    unsafe { put(out, cap, written.min(cap.saturating_sub(1)), 0) };
    written
}

/// Stores a byte if it is within the room.
///
/// # Safety
/// `out` is NULL or has room for `cap` bytes.
unsafe fn put(out: *mut c_char, cap: usize, index: usize, byte: u8) {
    if !out.is_null() && index < cap {
        // SAFETY: the caller promises it.
        unsafe { out.cast::<u8>().add(index).write(byte) }
    }
}

/// Returns the byte that begins there, and how many bytes of the encoded text it takes.
fn decoded(byte: u8, first: Option<u8>, second: Option<u8>) -> (u8, usize) {
    let digit = |digit: Option<u8>| char::from(digit?).to_digit(16);
    let value = |high: u32, low: u32| u8::try_from(high << 4 | low).ok();
    match (byte, digit(first), digit(second)) {
        (b'%', Some(high), Some(low)) => value(high, low).map_or((byte, 1), |value| (value, 3)),
        _ => (byte, 1),
    }
}

/// Decodes a name or a value of a query or form: %XX, and '+' as a space. Returns the length of
/// the result, which `put` gets byte by byte.
pub(crate) fn decode_form(encoded: &[u8], mut put: impl FnMut(usize, u8)) -> usize {
    let (mut read, mut written) = (0, 0);
    while let Some(&byte) = encoded.get(read) {
        let (byte, taken) = match byte {
            b'+' => (b' ', 1),
            byte => decoded(byte, encoded.get(read + 1).copied(), encoded.get(read + 2).copied()),
        };
        put(written, byte);
        read += taken;
        written += 1;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_malformed_stays_as_it_is() {
        for (encoded, expected) in [
            ("", ""),
            ("a+b%20c", "a b c"),
            ("%41%4a%4A", "AJJ"),
            ("%", "%"),
            ("%4", "%4"),
            ("%%41", "%A"),
            ("%4g%g4%-1%+1", "%4g%g4%-1% 1"),
            ("100%", "100%"),
        ] {
            let mut bytes = Vec::new();
            let length = decode_form(encoded.as_bytes(), |at, byte| {
                assert_eq!(at, bytes.len());
                bytes.push(byte);
            });
            assert_eq!((length, bytes), (expected.len(), expected.as_bytes().to_vec()), "{encoded}");
        }
    }
}
