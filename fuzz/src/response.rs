//! A strict reader of responses. Anything that breaks a rule is an error.

use crate::{find, is_text, is_token, shown};

/// A valid response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The fields, without Date.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Body,
    /// True if the response says that the connection closes.
    pub closes: bool,
    pub end: usize,
}

/// A body, and whether it is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The response cannot have a body.
    None,
    Whole(Vec<u8>),
    Chunked(Vec<u8>, Vec<(String, Vec<u8>)>),
    /// The body ends with the connection.
    UntilClose(Vec<u8>),
    Cut(Vec<u8>),
}

impl Body {
    /// Returns the data of the body.
    pub fn data(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Whole(data) | Self::Chunked(data, _) | Self::UntilClose(data) | Self::Cut(data) => data,
        }
    }
}

impl Response {
    /// Returns every value of that field.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
    }

    /// Returns the value of a field that must not be repeated.
    fn only(&self, name: &str) -> Result<Option<&[u8]>, String> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() { Err(format!("{name} is repeated")) } else { Ok(first) }
    }
}

/// Reads one response, interim or final, from the start of the bytes.
pub fn read(bytes: &[u8], to_head: bool) -> Result<Response, String> {
    let length = find(bytes, b"\r\n\r\n").ok_or("a head without an end")?;
    let mut lines = lines(&bytes[..length])?.into_iter();
    let status = status(lines.next().unwrap_or_default())?;
    let mut fields = Vec::new();
    for line in lines {
        fields.push(field(line)?);
    }
    let dates = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("date")).count();
    if dates == 0 && status >= 200 {
        return Err("no Date".into());
    }
    fields.retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
    let mut response = Response { status, fields, body: Body::None, closes: false, end: length + 4 };
    response.closes = match response.only("connection")? {
        None => false,
        Some(b"close") => true,
        Some(b"keep-alive") => false,
        Some(b"upgrade") if status == 101 => false,
        Some(other) => return Err(format!("Connection: {}", shown(other))),
    };
    (response.body, response.end) = body(bytes, &response, to_head)?;
    Ok(response)
}

fn body(bytes: &[u8], response: &Response, to_head: bool) -> Result<(Body, usize), String> {
    let start = response.end;
    let bytes = &bytes[start..];
    let length = response.only("content-length")?;
    let coding = response.only("transfer-encoding")?;
    let status = response.status;
    if status < 200 || status == 204 {
        return match (length, coding) {
            (None, None) => Ok((Body::None, start)),
            _ => Err(format!("framing in a {status}")),
        };
    }
    let length = length.map(number).transpose()?;
    match (length, coding) {
        (Some(_), Some(_)) => Err("both framings".into()),
        (_, None) if to_head || status == 304 => Ok((Body::None, start)),
        (Some(length), None) if status == 205 && length != 0 => Err("a 205 with a body".into()),
        (Some(length), None) => match bytes.get(..length) {
            Some(data) => Ok((Body::Whole(data.into()), start + length)),
            None => Ok((Body::Cut(bytes.into()), start + bytes.len())),
        },
        (None, Some(b"chunked")) if !to_head && status != 304 => {
            chunks(bytes).map(|(body, length)| (body, start + length))
        }
        (None, Some(other)) => Err(format!("Transfer-Encoding: {}", shown(other))),
        (None, None) if response.closes => Ok((Body::UntilClose(bytes.into()), start + bytes.len())),
        (None, None) => Err("a body without an end".into()),
    }
}

fn chunks(bytes: &[u8]) -> Result<(Body, usize), String> {
    let (mut at, mut data) = (0, Vec::new());
    let cut = |data: Vec<u8>| Ok((Body::Cut(data), bytes.len()));
    loop {
        let Some(length) = find(&bytes[at..], b"\r\n") else {
            let part = &bytes[at..];
            let is_size = part.iter().all(|b| b.is_ascii_hexdigit() || *b == b'\r');
            return if is_size { cut(data) } else { Err(format!("a chunk begins {}", shown(part))) };
        };
        let text = &bytes[at..at + length];
        let is_size = !text.is_empty() && text.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(text).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.filter(|_| is_size).ok_or_else(|| format!("chunk size {}", shown(text)))?;
        at += length + 2;
        if size == 0 {
            break;
        }
        let there = size.min(bytes.len() - at);
        data.extend_from_slice(&bytes[at..at + there]);
        at += there;
        match &bytes[at..] {
            [b'\r', b'\n', ..] if there == size => at += 2,
            [] | [b'\r'] => return cut(data),
            other => return Err(format!("behind a chunk {}", shown(other))),
        }
    }
    let mut trailers = Vec::new();
    loop {
        let Some(length) = find(&bytes[at..], b"\r\n") else { return cut(data) };
        if length == 0 {
            return Ok((Body::Chunked(data, trailers), at + 2));
        }
        trailers.push(field(&bytes[at..at + length])?);
        at += length + 2;
    }
}

/// Returns lines that end in CRLF, with no CR, LF or NUL elsewhere.
fn lines(text: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        let (line, behind) = match find(rest, b"\r\n") {
            Some(end) => (&rest[..end], Some(&rest[end + 2..])),
            None => (rest, None),
        };
        if line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(format!("in a line of the head: {}", shown(line)));
        }
        lines.push(line);
        let Some(behind) = behind else { return Ok(lines) };
        rest = behind;
    }
}

fn status(line: &[u8]) -> Result<u16, String> {
    let parsed = match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', a, b, c, b' ', reason @ ..]
            if is_text(reason) =>
        {
            std::str::from_utf8(&[*a, *b, *c]).ok().and_then(|text| text.parse().ok())
        }
        _ => None,
    };
    parsed.ok_or_else(|| format!("status line {}", shown(line)))
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let colon = find(line, b": ").ok_or_else(|| format!("field line {}", shown(line)))?;
    let (name, value) = (&line[..colon], &line[colon + 2..]);
    if !is_token(name) || !is_text(value) || crate::trim(value) != value {
        return Err(format!("field line {}", shown(line)));
    }
    Ok((String::from_utf8_lossy(name).into_owned(), value.into()))
}

fn number(text: &[u8]) -> Result<usize, String> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
    let number = number.filter(|_| is_number).ok_or_else(|| format!("Content-Length: {}", shown(text)))?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}
