//! The heads of frames (RFC 6455 5.2).

use super::Failure;

/// The longest payload of a control frame.
pub(crate) const MAX_CONTROL: usize = 125;
/// The longest head of a client's frame.
pub(super) const LONGEST: usize = 14;

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const RESERVED: u8 = 0x30;
const MASKED: u8 = 0x80;

/// The kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn parse(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    pub fn is_control(self) -> bool {
        self as u8 >= Self::Close as u8
    }
}

/// The head of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub is_final: bool,
    pub is_compressed: bool,
    pub opcode: Opcode,
    pub key: [u8; 4],
    pub length: u64,
}

/// Reads the head of a client's frame, and returns it with its length. `None` if it is not whole. A
/// broken rule is told as soon as the byte has come that breaks it.
pub(super) fn parse(bytes: &[u8], may_compress: bool) -> Result<Option<(Header, usize)>, Failure> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let opcode = Opcode::parse(first & 0x0f).ok_or(Failure::UnknownOpcode)?;
    let (is_final, is_compressed) = (first & FINAL != 0, first & COMPRESSED != 0);
    // The bit of a message is in its first frame (RFC 7692 6.1).
    let may_be = may_compress && matches!(opcode, Opcode::Text | Opcode::Binary);
    if first & RESERVED != 0 || (is_compressed && !may_be) {
        return Err(Failure::ReservedBit);
    }
    if opcode.is_control() && !is_final {
        return Err(Failure::FragmentedControl);
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if second & MASKED == 0 {
        return Err(Failure::Unmasked);
    }
    let short = second & !MASKED;
    if opcode.is_control() && usize::from(short) > MAX_CONTROL {
        return Err(Failure::LongControl);
    }
    let (length, rest) = match short {
        126 => {
            let Some((length, rest)) = bytes[2..].split_first_chunk::<2>() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let Some((length, rest)) = bytes[2..].split_first_chunk::<8>() else { return Ok(None) };
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(short), &bytes[2..]),
    };
    // The shortest form is demanded.
    let least = match short {
        126 => 126,
        127 => 1 << 16,
        _ => 0,
    };
    if length < least || length > i64::MAX as u64 {
        return Err(Failure::BadLength);
    }
    let Some((key, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    let header = Header { is_final, is_compressed, opcode, key: *key, length };
    Ok(Some((header, bytes.len() - rest.len())))
}

/// Puts the head of a server's frame.
pub(crate) fn put_header(
    out: &mut Vec<u8>,
    opcode: Opcode,
    is_final: bool,
    is_compressed: bool,
    length: usize,
) {
    let bits = if is_final { FINAL } else { 0 } | if is_compressed { COMPRESSED } else { 0 };
    out.push(bits | opcode as u8);
    if let Ok(length @ ..126) = u8::try_from(length) {
        out.push(length);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Puts a server's frame that is a message of its own, not compressed.
pub(crate) fn encode(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    put_header(out, opcode, true, false, payload.len());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_5_7_examples() {
        let mut out = Vec::new();
        encode(&mut out, Opcode::Text, b"Hello");
        assert_eq!(out, b"\x81\x05Hello");
        let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        let (header, length) = parse(masked, false).unwrap().unwrap();
        assert_eq!((header.opcode, header.length, length, header.is_final), (Opcode::Text, 5, 6, true));
        out.clear();
        put_header(&mut out, Opcode::Binary, true, false, 256);
        assert_eq!(out, b"\x82\x7e\x01\x00");
        out.clear();
        put_header(&mut out, Opcode::Binary, true, false, 65536);
        assert_eq!(out, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00");
    }

    #[test]
    fn a_head_that_is_not_whole_is_waited_for() {
        let head = b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00keys";
        for length in 0..head.len() {
            assert_eq!(parse(&head[..length], false), Ok(None), "{length} bytes");
        }
        assert_eq!(parse(head, false).unwrap().unwrap().1, LONGEST);
    }

    #[test]
    fn what_breaks_a_rule_is_told_at_once() {
        for (bytes, failure) in [
            (&b"\x83"[..], Failure::UnknownOpcode),
            (b"\x8b", Failure::UnknownOpcode),
            (b"\xc1", Failure::ReservedBit),
            (b"\xa1", Failure::ReservedBit),
            (b"\x91", Failure::ReservedBit),
            (b"\x09", Failure::FragmentedControl),
            (b"\x81\x05", Failure::Unmasked),
            (b"\x89\xfe", Failure::LongControl),
            (b"\x81\xfe\x00\x7d", Failure::BadLength),
            (b"\x81\xff\x00\x00\x00\x00\x00\x00\xff\xff", Failure::BadLength),
            (b"\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00", Failure::BadLength),
        ] {
            assert_eq!(parse(bytes, false), Err(failure), "{bytes:x?}");
        }
        assert_eq!(parse(b"\xc1", true), Ok(None), "compressed");
        assert_eq!(parse(b"\xc0", true), Err(Failure::ReservedBit), "only the first frame says so");
        assert_eq!(parse(b"\xc9", true), Err(Failure::ReservedBit), "control frames are not compressed");
    }
}
