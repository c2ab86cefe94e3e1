//! The base64 alphabet of a handshake (RFC 4648 4).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes bytes, with padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place > group.len() { '=' } else { char::from(ALPHABET[index]) });
        }
    }
    text
}

/// Returns `true` if the text encodes 16 bytes, as a key of a handshake does.
pub(super) fn is_key(text: &[u8]) -> bool {
    // 16 bytes are 21 characters, and one of which only two bits count.
    let Some((digits, b"==")) = text.split_at_checked(22) else { return false };
    let is_last_short = matches!(digits[21], b'A' | b'Q' | b'g' | b'w');
    is_last_short && digits.iter().all(|digit| ALPHABET.contains(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4648_10_vectors() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_key_encodes_16_bytes() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(is_key(encode(&[255; 16]).as_bytes()) && is_key(encode(&[0; 16]).as_bytes()));
        for bad in [
            "",
            "==",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZR==",
            "dGhlIHNhbXBsZSBub25j\u{e9}==",
            "dGhlIHNhbXBsZSBub25jZQ==dGhl",
            "dGhlIHNhbXBsZSBub25jZWE=",
        ] {
            assert!(!is_key(bad.as_bytes()), "{bad}");
        }
    }
}
