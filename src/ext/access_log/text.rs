//! Text in a log line: what a client sends is escaped, so that it forges neither a field nor a line.

use std::net::IpAddr;

use itoa::Integer;

/// Returns `true` if every byte is printable ASCII other than `"` and `\`.
fn is_plain(bytes: &[u8]) -> bool {
    // Without a branch for each byte, as most fields are plain to their end.
    let kinds = bytes.iter().fold(0, |kinds, byte| {
        let beyond = u8::from(byte.wrapping_sub(b' ') > b'~' - b' ');
        kinds | beyond | u8::from(*byte == b'"') | u8::from(*byte == b'\\')
    });
    kinds == 0
}

fn is_plain_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~')
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
pub(super) fn push_digits<const N: usize>(line: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        // A remainder by ten is one digit.
        *digit += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    line.extend_from_slice(&digits);
}

/// Adds an IP address.
pub(super) fn push_ip(line: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let [first, rest @ ..] = ip.octets();
            push_number(line, first);
            for octet in rest {
                line.push(b'.');
                push_number(line, octet);
            }
        }
        IpAddr::V6(ip) => line.extend_from_slice(ip.to_string().as_bytes()),
    }
}

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
    fn numbers_and_addresses_are_as_usual() {
        assert_eq!(text(|line| push_digits::<3>(line, 7)), "007");
        for ip in ["192.0.2.10", "0.0.0.0", "2001:db8::1"] {
            assert_eq!(text(|line| push_ip(line, ip.parse().unwrap())), ip);
        }
    }
}
