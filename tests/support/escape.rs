//! Converts bytes to text and back, as the corpus writes the bytes on the wire.
//!
//! `\r`, `\n`, `\t`, `\\`, `\{`, `\}` and `\xHH` are bytes. `{text*8192}` is a text repeated that
//! many times. `{date}` is the date of an answer.

use std::fmt::Write as _;

/// The placeholder for the date in an answer.
pub const DATE: &str = "{date}";
/// A run of at least this many equal bytes is written as a repetition.
const RUN: usize = 32;

/// Returns the bytes that a text stands for.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '{', '}']) {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix(DATE) {
            bytes.extend_from_slice(DATE.as_bytes());
            rest = behind;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = closing(inner).ok_or_else(|| format!("a brace is not closed in {text:?}"))?;
            let repetition = inner[..end].rsplit_once('*');
            let (unit, times) = repetition.ok_or_else(|| format!("no `*` between the braces of {text:?}"))?;
            let times = times.parse().map_err(|_| format!("{times:?} is no number of times"))?;
            bytes.extend(unescape(unit)?.repeat(times));
            rest = &inner[end + 1..];
        } else {
            let (byte, length) = escaped(rest).ok_or_else(|| format!("bad escape in {text:?}: {rest:.4}"))?;
            bytes.push(byte);
            rest = &rest[length..];
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Returns the position of the brace that closes the one before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let closes = b == b'}' && !escaped;
        escaped = b == b'\\' && !escaped;
        closes
    })
}

/// Returns the byte of the escape at the start of the text, and the escape's length.
fn escaped(text: &str) -> Option<(u8, usize)> {
    let byte = match text.as_bytes().get(..2)? {
        b"\\r" => b'\r',
        b"\\n" => b'\n',
        b"\\t" => b'\t',
        [b'\\', b @ (b'\\' | b'{' | b'}')] => *b,
        b"\\x" => return Some((u8::from_str_radix(text.get(2..4)?, 16).ok()?, 4)),
        _ => return None,
    };
    Some((byte, 2))
}

/// Returns bytes as lines of text, each ending after an LF.
pub fn escape(bytes: &[u8]) -> Vec<String> {
    bytes.split_inclusive(|&b| b == b'\n').map(escape_line).collect()
}

fn escape_line(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let Some(&b) = rest.first() {
        let run = rest.iter().take_while(|&&other| other == b).count();
        if let Some(behind) = rest.strip_prefix(DATE.as_bytes()) {
            text.push_str(DATE);
            rest = behind;
        } else if run >= RUN {
            let _ = write!(text, "{{{}*{run}}}", escape_byte(b));
            rest = &rest[run..];
        } else {
            text.push_str(&escape_byte(b));
            rest = &rest[1..];
        }
    }
    // Editors remove spaces at the end of a line.
    match text.strip_suffix(' ') {
        Some(before) => format!("{before}\\x20"),
        None => text,
    }
}

fn escape_byte(b: u8) -> String {
    match b {
        b'\r' => "\\r".into(),
        b'\n' => "\\n".into(),
        b'\t' => "\\t".into(),
        b'\\' | b'{' | b'}' => format!("\\{}", char::from(b)),
        0x20..=0x7e => char::from(b).into(),
        _ => format!("\\x{b:02x}"),
    }
}

#[test]
fn text_and_bytes_agree() {
    let text = "a\\r\\n\\t\\\\\\{\\}\\x00\\xff{date}";
    let bytes = b"a\r\n\t\\{}\0\xff{date}";
    assert_eq!(unescape(text).unwrap(), bytes);
    assert_eq!(unescape(&escape(bytes).concat()).unwrap(), bytes);
    assert_eq!(unescape("{a\\r\\n*3}b{\\}*2}").unwrap(), b"a\r\na\r\na\r\nb}}");
    assert_eq!(escape(&[b'x'; 40]), ["{x*40}"]);
    assert_eq!(unescape(&escape(b"two  \n ").concat()).unwrap(), b"two  \n ");
    for bad in ["\\q", "\\x1", "\\xgg", "{a}", "{a*b}", "{a*2", "}", "\\"] {
        assert!(unescape(bad).is_err(), "{bad}");
    }
}
