//! Text in a log line: what a client sends is escaped, so that it forges neither a field nor a line.

use std::net::{IpAddr, Ipv4Addr};

use itoa::Integer;

/// The bytes that are looked at together.
const WORD: usize = size_of::<u64>();
/// A word of bytes that are all 1.
const ONES: u64 = u64::from_ne_bytes([1; WORD]);
/// The upper bit of each byte of a word.
const UPPER: u64 = ONES << 7;

/// Returns `true` if every byte is printable ASCII other than `"` and `\`. Looking at eight bytes at a
/// time saves 230 instructions of a line in the combined format (replay, 2026-11).
fn is_plain(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<WORD>();
    let special = words.iter().fold(0, |special, word| special | special_bytes(u64::from_ne_bytes(*word)));
    if special != 0 {
        return false;
    }
    match bytes.last_chunk::<WORD>() {
        Some(last) => rest.is_empty() || special_bytes(u64::from_ne_bytes(*last)) == 0,
        None => rest.iter().all(|byte| is_plain_byte(*byte)),
    }
}

/// Returns 0 if every byte of a word is plain.
fn special_bytes(word: u64) -> u64 {
    // Subtracting from each byte borrows from the byte above, which matters only after a byte that is
    // not plain (Bit Twiddling Hacks: "Determine if a word has a byte less than n").
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let below_space = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = has_zero(word ^ (ONES * 0x7f));
    let quote = has_zero(word ^ (ONES * u64::from(b'"')));
    let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
    (word | below_space | delete | quote | backslash) & UPPER
}

fn is_plain_byte(byte: u8) -> bool {
    /// A table, because the comparisons take more instructions.
    const PLAIN: [bool; 256] = {
        let mut plain = [false; 256];
        let mut byte = b' ';
        while byte <= b'~' {
            plain[byte as usize] = byte != b'"' && byte != b'\\';
            byte += 1;
        }
        plain
    };
    PLAIN[usize::from(byte)]
}

/// Adds bytes in which all but plain ones are `\xhh`, as nginx writes them.
pub(super) fn push_escaped(line: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) {
        return line.extend_from_slice(bytes);
    }
    for byte in bytes {
        if is_plain_byte(*byte) { line.push(*byte) } else { push_hex(line, *byte) }
    }
}

/// Adds bytes in which control bytes, other than tabs, are `\xhh`.
pub(super) fn push_in_one_line(line: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_control() && *byte != b'\t' { push_hex(line, *byte) } else { line.push(*byte) }
    }
}

/// Adds a string of JSON (RFC 8259 7) in ASCII. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn push_json(line: &mut Vec<u8>, bytes: &[u8]) {
    line.push(b'"');
    if is_plain(bytes) {
        line.extend_from_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            chunk.valid().chars().for_each(|character| push_json_character(line, character));
            if !chunk.invalid().is_empty() {
                push_json_character(line, char::REPLACEMENT_CHARACTER);
            }
        }
    }
    line.push(b'"');
}

fn push_json_character(line: &mut Vec<u8>, character: char) {
    match character {
        ' '..='~' if character != '"' && character != '\\' => line.push(character as u8),
        '"' | '\\' => line.extend([b'\\', character as u8]),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                line.extend_from_slice(b"\\u");
                for shift in [12, 8, 4, 0] {
                    line.push(hex_digit(*unit >> shift));
                }
            }
        }
    }
}

fn push_hex(line: &mut Vec<u8>, byte: u8) {
    line.extend([b'\\', b'x', hex_digit(byte >> 4), hex_digit(byte)]);
}

/// Returns the digit for the lowest four bits.
fn hex_digit(value: impl Into<u16>) -> u8 {
    b"0123456789abcdef"[usize::from(value.into() & 15)]
}

/// Adds a number.
pub(super) fn push_number(line: &mut Vec<u8>, number: impl Integer) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Adds the last `N` digits of a number, with leading zeros.
pub(super) fn push_digits<const N: usize>(line: &mut Vec<u8>, number: u64) {
    line.extend_from_slice(&digits::<N>(number));
}

/// Returns the last `N` digits of a number, with leading zeros.
pub(super) fn digits<const N: usize>(mut number: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        // A remainder by ten is one digit.
        *digit += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    digits
}

/// Adds an IP address.
pub(super) fn push_ip(line: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => push_ipv4(line, ip),
        IpAddr::V6(ip) => line.extend_from_slice(ip.to_string().as_bytes()),
    }
}

/// Adds an IPv4 address.
#[inline]
pub(super) fn push_ipv4(line: &mut Vec<u8>, ip: Ipv4Addr) {
    // In its full width first: bytes of a fixed number are copied without a call of `memcpy`.
    let (mut text, mut end) = ([0; "255.255.255.255.".len()], 0);
    for octet in ip.octets() {
        text[end..end + 4].copy_from_slice(&OCTETS[usize::from(octet)]);
        end += 2 + usize::from(octet > 9) + usize::from(octet > 99);
    }
    let length = line.len();
    line.extend_from_slice(&text);
    line.truncate(length + end - 1);
}

/// The digits of each number of an IPv4 address, and a dot after them.
const OCTETS: [[u8; 4]; 256] = {
    let mut octets = [[b'.'; 4]; 256];
    let mut octet = 0;
    while octet < 256 {
        let (mut length, mut rest) = (
            if octet > 99 {
                3
            } else if octet > 9 {
                2
            } else {
                1
            },
            octet,
        );
        while length > 0 {
            length -= 1;
            octets[octet][length] = b"0123456789"[rest % 10];
            rest /= 10;
        }
        octet += 1;
    }
    octets
};

#[cfg(test)]
mod tests {
    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        push(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn what_could_forge_a_line_or_a_field_is_escaped() {
        let bytes = "a\"b\\c\n\u{7f}é \t".as_bytes();
        assert_eq!(text(|line| push_escaped(line, bytes)), r"a\x22b\x5cc\x0a\x7f\xc3\xa9 \x09");
        assert_eq!(text(|line| push_in_one_line(line, bytes)), "a\"b\\c\\x0a\\x7fé \t");
        assert_eq!(text(|line| push_json(line, bytes)), r#""a\"b\\c\u000a\u007f\u00e9 \u0009""#);
        assert_eq!(text(|line| push_json(line, b"\xf0\x9f\x98\x80\xff.")), r#""\ud83d\ude00\ufffd.""#);
    }

    #[test]
    fn a_byte_is_plain_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let plain = matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
            for length in 1..20 {
                for at in 0..length {
                    for beside in [b'a', b' ', b'~'] {
                        let mut bytes = vec![beside; length];
                        bytes[at] = byte;
                        assert_eq!(is_plain(&bytes), plain, "{byte:#x} at {at} of {length}");
                    }
                }
            }
        }
        assert!(is_plain(b""));
    }

    #[test]
    fn numbers_and_addresses_are_as_usual() {
        assert_eq!(text(|line| push_digits::<3>(line, 7)), "007");
        for octet in 0..=255 {
            let ip = format!("{octet}.0.{octet}.{octet}");
            assert_eq!(text(|line| push_ip(line, ip.parse().unwrap())), ip);
        }
        for ip in ["192.0.2.10", "0.0.0.0", "2001:db8::1"] {
            assert_eq!(text(|line| push_ip(line, ip.parse().unwrap())), ip);
        }
    }
}
