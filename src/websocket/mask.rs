//! The mask of a client's frames (RFC 6455 5.3).

/// Applies a mask to bytes, in place. The first byte meets the first byte of the key.
pub(super) fn apply(bytes: &mut [u8], key: [u8; 4]) {
    let narrow = u32::from_ne_bytes(key);
    let wide = u64::from(narrow) << 32 | u64::from(narrow);
    // The compiler makes vector instructions of this loop.
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Returns the key for the bytes that follow after `length` bytes.
pub(super) fn after(mut key: [u8; 4], length: usize) -> [u8; 4] {
    key.rotate_left(length % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_5_3_each_byte_meets_its_byte_of_the_key() {
        let key = [1, 20, 133, 7];
        for length in 0..70 {
            let plain: Vec<u8> = (0..length).collect();
            let expected: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b).collect();
            for cut in 0..=plain.len() {
                let mut masked = plain.clone();
                let (first, second) = masked.split_at_mut(cut);
                apply(first, key);
                apply(second, after(key, cut));
                assert_eq!(masked, expected, "{length} bytes cut at {cut}");
            }
        }
    }
}
