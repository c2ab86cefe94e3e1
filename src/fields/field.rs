//! A single field: which names and values are valid, and how a list is read (RFC 9110 5).

use std::fmt;

/// The error for a header field that cannot be set: its name is not a token (RFC 9110 5.6.2), its
/// value holds a byte that no field value may hold (RFC 9110 5.5), or a response does not send the
/// field ([`Response::check_headers`](crate::Response::check_headers)).
///
/// ```
/// let error = transom::Headers::new().append("x y", "1").unwrap_err();
/// assert_eq!(error.to_string(), "header name \"x y\": byte 0x20 at 1 is not allowed in a name");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidHeader {
    name: String,
    fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    EmptyName,
    NameByte { byte: u8, at: usize },
    ValueByte { byte: u8, at: usize },
    BlockLine { line: usize },
    Unsent { why: &'static str },
}

impl InvalidHeader {
    /// The error for a line of a block that is not a field.
    pub(super) fn line(number: usize, line: &[u8]) -> Self {
        let name = String::from_utf8_lossy(line).chars().take(40).collect();
        Self { name, fault: Fault::BlockLine { line: number } }
    }
}

impl InvalidHeader {
    /// The error for a valid field that a response does not send.
    pub(super) fn unsent(name: &[u8], why: &'static str) -> Self {
        let name = String::from_utf8_lossy(name).into_owned();
        Self { name, fault: Fault::Unsent { why } }
    }
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match self.fault {
            Fault::EmptyName => write!(f, "header name is empty"),
            Fault::NameByte { byte, at } => {
                write!(f, "header name {name:?}: byte {byte:#04x} at {at} is not allowed in a name")
            }
            Fault::ValueByte { byte, at } => {
                write!(f, "header {name:?}: byte {byte:#04x} at {at} of the value is not allowed")
            }
            Fault::BlockLine { line } => {
                write!(f, "header block, line {line}: {name:?} is not `name: value`")
            }
            Fault::Unsent { why } => write!(f, "header {name:?} is not sent: {why}"),
        }
    }
}

impl std::error::Error for InvalidHeader {}

/// Strips the optional white space around a value (RFC 9110 5.5).
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Returns the members of a list field's value (RFC 9110 5.6.1), without empty ones.
pub(crate) fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(trim).filter(|token| !token.is_empty())
}

/// Reads a Content-Length: digits only, or a list of equal members (RFC 9110 8.6).
pub(crate) fn content_length(value: &[u8]) -> Option<u64> {
    let mut all = value.split(|&b| b == b',').map(|member| digits(trim(member)));
    let first = all.next()??;
    all.all(|other| other == Some(first)).then_some(first)
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, &b| {
        b.is_ascii_digit().then_some(())?;
        sum.checked_mul(10)?.checked_add(u64::from(b - b'0'))
    })
}

/// Checks the name and the value of a field.
pub(super) fn check(name: &str, value: &[u8]) -> Result<(), InvalidHeader> {
    let fault = if name.is_empty() {
        Fault::EmptyName
    } else if let Some(at) = name.bytes().position(|b| !is_token(b)) {
        Fault::NameByte { byte: name.as_bytes()[at], at }
    } else {
        return check_value(name, value);
    };
    Err(InvalidHeader { name: name.chars().take(80).collect(), fault })
}

/// Checks the value of a field. The name is only for the error.
pub(super) fn check_value(name: &str, value: &[u8]) -> Result<(), InvalidHeader> {
    match value.iter().position(|&b| !VALUE_BYTES[b as usize]) {
        None => Ok(()),
        Some(at) => {
            let fault = Fault::ValueByte { byte: value[at], at };
            Err(InvalidHeader { name: name.chars().take(80).collect(), fault })
        }
    }
}

/// Returns `true` if the byte is a `tchar` of RFC 9110 5.6.2.
pub(crate) fn is_token(b: u8) -> bool {
    TOKEN_BYTES[b as usize]
}

/// The bytes of a token: `tchar` (RFC 9110 5.6.2).
static TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0_u8;
    while b < 128 {
        table[b as usize] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        b += 1;
    }
    table
};

/// The bytes of a field value: `field-vchar`, SP and HTAB (RFC 9110 5.5).
static VALUE_BYTES: [bool; 256] = {
    let mut table = [true; 256];
    let mut b = 0;
    while b < 0x20 {
        table[b] = b == b'\t' as usize;
        b += 1;
    }
    table[0x7f] = false;
    table
};
