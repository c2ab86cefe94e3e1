//! The hash of the handshake (FIPS 180-4, SHA-1). It proves that the server speaks WebSocket, and keeps no secret.

/// The bytes that are hashed at once.
const BLOCK: usize = 64;

/// Returns the hash of some bytes.
pub(super) fn hash(bytes: &[u8]) -> [u8; 20] {
    let mut padded = bytes.to_vec();
    padded.push(0x80);
    // The length in bits ends the last block.
    padded.resize((padded.len() + 8).next_multiple_of(BLOCK) - 8, 0);
    padded.extend((bytes.len() as u64 * 8).to_be_bytes());
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    padded.as_chunks::<BLOCK>().0.iter().for_each(|block| add(&mut state, block));
    let mut hash = [0; 20];
    for (place, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *place = word.to_be_bytes();
    }
    hash
}

/// Adds a block to the state.
fn add(state: &mut [u32; 5], block: &[u8; BLOCK]) {
    let mut words = [0; 80];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    for at in 16..words.len() {
        words[at] = (words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1);
    }
    let mut mixed = *state;
    for (round, word) in words.into_iter().enumerate() {
        let [first, b, c, d, last] = mixed;
        let (chosen, constant) = match round {
            0..20 => ((b & c) | (!b & d), 0x5a82_7999),
            20..40 => (b ^ c ^ d, 0x6ed9_eba1),
            40..60 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let next = [chosen, last, constant, word].into_iter().fold(first.rotate_left(5), u32::wrapping_add);
        mixed = [next, first, b.rotate_left(30), c, d];
    }
    for (sum, word) in state.iter_mut().zip(mixed) {
        *sum = sum.wrapping_add(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        hash(bytes)
            .iter()
            .flat_map(|byte| {
                [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
            })
            .collect()
    }

    #[test]
    fn the_examples_of_rfc3174_and_each_length_around_a_block() {
        assert_eq!(hex(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        assert_eq!(hex(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let two = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex(two), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
        assert_eq!(hex(&vec![b'a'; 1_000_000]), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
        let all: Vec<u8> = (0..130).flat_map(|length| hash(&vec![b'a'; length])).collect();
        assert_eq!(hex(&all), "f4def80e0e53c803b671aed255f87d83c3a1fe29");
    }
}
