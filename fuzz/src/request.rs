//! A strict reader of requests. It reads the whole buffer at once, line by line.

use transom::Limits;

use crate::{find, host, is_text, is_token, trim};

/// A valid request head.
#[derive(Debug)]
pub struct Head {
    pub method: String,
    pub target: String,
    pub is_11: bool,
    pub fields: Vec<(String, Vec<u8>)>,
    pub framing: Framing,
    /// True if the connection may persist.
    pub persistent: bool,
    /// True if the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// The protocols that the client offers in Upgrade.
    pub offers: Vec<Vec<u8>>,
    pub end: usize,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
}

/// The result of a reader.
#[derive(Debug)]
pub enum Found<T> {
    Whole(T),
    /// More bytes are needed, or the start is hopeless already.
    Partial,
    /// The input breaks this rule.
    Bad(&'static str),
}

/// The part of a body that has arrived.
#[derive(Debug)]
pub struct Body {
    pub data: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
    /// The position after its end; nothing if it has no end.
    pub end: Found<usize>,
}

impl Head {
    /// Returns every value of that field.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        values(&self.fields, name)
    }

    /// Returns the host and port of a target in absolute form.
    pub fn authority(&self) -> Option<&str> {
        authority(&self.target)
    }

    /// Returns the path as routes see it: decoded, except for `/` and `%`.
    pub fn path(&self) -> Vec<u8> {
        let authority = self.authority().map_or(0, |authority| {
            self.target.len() - after_scheme(&self.target).map_or(0, str::len) + authority.len()
        });
        let text = self.target[authority..].split('?').next().unwrap_or_default();
        let mut path = Vec::new();
        let mut rest = if text.is_empty() { b"/" } else { text.as_bytes() };
        while let Some((&b, behind)) = rest.split_first() {
            let escaped = behind.get(..2).filter(|hex| b == b'%' && hex.iter().all(u8::is_ascii_hexdigit));
            let escaped = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
            match escaped {
                Some(escaped) if escaped != b'/' && escaped != b'%' => {
                    path.push(escaped);
                    rest = &behind[2..];
                }
                _ => {
                    path.push(b);
                    rest = behind;
                }
            }
        }
        path
    }
}

/// Returns `true` if the first request is a HEAD, even if the rest is malformed.
pub fn is_to_head(bytes: &[u8]) -> bool {
    (0..=4).any(|lines| {
        bytes.strip_prefix("\r\n".repeat(lines).as_bytes()).is_some_and(|rest| rest.starts_with(b"HEAD "))
    })
}

/// Reads a head from the start.
pub fn head(bytes: &[u8], limits: &Limits) -> Found<Head> {
    let mut start = 0;
    for _ in 0..4 {
        if bytes[start..].starts_with(b"\r\n") {
            start += 2;
        }
    }
    if bytes[start..].starts_with(b"\r\n") {
        return Found::Bad("too many empty lines");
    }
    let Some(length) = find(&bytes[start..], b"\r\n\r\n") else { return Found::Partial };
    if length + 4 > limits.head {
        return Found::Bad("head too large");
    }
    let text = &bytes[start..start + length];
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    match read(&lines, limits) {
        Ok(head) => Found::Whole(Head { end: start + length + 4, ..head }),
        Err(rule) => Found::Bad(rule),
    }
}

fn read(lines: &[&[u8]], limits: &Limits) -> Result<Head, &'static str> {
    let words: Vec<_> = lines[0].split(|&b| b == b' ').collect();
    let [method, target, version] = words[..] else { return Err("request line") };
    if !is_token(method) || method.len() > 32 || method == b"CONNECT" {
        return Err("method");
    }
    let is_11 = match version {
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => true,
        _ => return Err("version"),
    };
    let is_visible = target.iter().all(|b| (b.is_ascii_graphic() && *b != b'#') || !b.is_ascii());
    let sent = std::str::from_utf8(target).map_err(|_| "target")?;
    if !is_visible || sent.len() > limits.target || !authority(sent).unwrap_or_default().is_ascii() {
        return Err("target");
    }
    let target = encoded(sent);
    let is_asterisk = target == "*" && method == b"OPTIONS";
    if !target.starts_with('/') && after_scheme(&target).is_none() && !is_asterisk {
        return Err("form of the target");
    }
    let mut fields = Vec::new();
    for line in &lines[1..] {
        fields.push(field(line).ok_or("field line")?);
    }
    if fields.len() > limits.headers {
        return Err("number of fields");
    }
    let hosts: Vec<_> = values(&fields, "host").collect();
    if hosts.len() > 1 || (hosts.is_empty() && is_11) || !hosts.iter().all(|value| host::is_valid(value)) {
        return Err("host");
    }
    if authority(&target)
        .is_some_and(|authority| authority.is_empty() || !host::is_valid(authority.as_bytes()))
    {
        return Err("authority");
    }
    let expectations = members(&fields, "expect");
    if is_11 && expectations.iter().any(|member| !member.eq_ignore_ascii_case(b"100-continue")) {
        return Err("expectation");
    }
    let framing = framing(&fields, is_11)?;
    let connection = members(&fields, "connection");
    let says = |option: &str| connection.iter().any(|member| member.eq_ignore_ascii_case(option.as_bytes()));
    let offers = if is_11 && says("upgrade") { members(&fields, "upgrade") } else { Vec::new() };
    Ok(Head {
        method: String::from_utf8_lossy(method).into_owned(),
        persistent: !says("close") && (is_11 || says("keep-alive")),
        expects_continue: is_11 && !expectations.is_empty() && framing != Framing::Length(0),
        target,
        is_11,
        framing,
        offers,
        fields,
        end: 0,
    })
}

fn framing(fields: &[(String, Vec<u8>)], is_11: bool) -> Result<Framing, &'static str> {
    let lengths: Vec<_> =
        values(fields, "content-length").flat_map(|value| value.split(|&b| b == b',')).collect();
    // `None` without a field line. An empty line lists nothing.
    let codings = values(fields, "transfer-encoding").next().map(|_| members(fields, "transfer-encoding"));
    match (lengths.split_first(), codings.as_deref()) {
        (None, None) => Ok(Framing::Length(0)),
        (None, Some([coding])) if is_11 && coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (None, _) => Err("transfer coding"),
        (Some((first, others)), None) => {
            let number = |text: &[u8]| {
                let text = trim(text);
                let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
                is_number.then(|| std::str::from_utf8(text).ok()?.parse::<u64>().ok()).flatten()
            };
            let length = number(first).ok_or("length")?;
            if others.iter().all(|other| number(other) == Some(length)) {
                Ok(Framing::Length(length))
            } else {
                Err("lengths")
            }
        }
        (Some(_), _) => Err("both framings"),
    }
}

/// Reads a body with that framing from the start, of at most `limit` octets.
pub fn body(bytes: &[u8], framing: Framing, limit: u64, limits: &Limits) -> Body {
    let mut body = Body { data: Vec::new(), trailers: Vec::new(), end: Found::Partial };
    match framing {
        Framing::Length(length) => {
            let there = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
            body.data = bytes[..there].to_vec();
            if there as u64 == length {
                body.end = Found::Whole(there);
            }
        }
        Framing::Chunked => {
            body.end = chunks(bytes, &mut body, limit, limits).unwrap_or_else(|found| found);
        }
    }
    body
}

fn chunks(bytes: &[u8], body: &mut Body, limit: u64, limits: &Limits) -> Result<Found<usize>, Found<usize>> {
    let bad = |rule| Err(Found::Bad(rule));
    let mut at = 0;
    let mut extensions = 0;
    loop {
        let line = line(&bytes[at..])?;
        at += line.len() + 2;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        if digits == 0 || digits > 16 {
            return bad("chunk size");
        }
        let behind = trim(extension);
        if !extension.is_empty() && !behind.starts_with(b";") || !is_text(extension) {
            return bad("chunk extension");
        }
        extensions += extension.len();
        if extensions > body.data.len() + limits.chunk_extensions {
            return bad("too many extensions");
        }
        let size = std::str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
        let size = size.unwrap_or_default();
        if size == 0 {
            break;
        }
        let there = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len() - at);
        body.data.extend_from_slice(&bytes[at..at + there]);
        at += there;
        if body.data.len() as u64 > limit {
            return bad("body too large");
        }
        if (there as u64) < size {
            return Err(Found::Partial);
        }
        match &bytes[at..] {
            [b'\r', b'\n', ..] => at += 2,
            [] | [b'\r'] => return Err(Found::Partial),
            _ => return bad("chunk without its end"),
        }
    }
    let section = at;
    loop {
        let line = line(&bytes[at..])?;
        if line.is_empty() {
            return Ok(Found::Whole(at + 2));
        }
        at += line.len() + 2;
        if at - section > limits.trailers {
            return bad("trailers too large");
        }
        match field(line) {
            Some(field) => body.trailers.push(field),
            None => return bad("trailer line"),
        }
    }
}

/// Returns the line up to its CRLF.
fn line(bytes: &[u8]) -> Result<&[u8], Found<usize>> {
    let end = find(bytes, b"\r\n").ok_or(Found::Partial)?;
    Ok(&bytes[..end])
}

fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|&b| b == b':')?;
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    let is_valid = is_token(name) && is_text(value);
    is_valid.then(|| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
}

fn values<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..])
}

/// Returns the members of a list, over all lines of that name.
fn members(fields: &[(String, Vec<u8>)], name: &str) -> Vec<Vec<u8>> {
    let members = values(fields, name).flat_map(|value| value.split(|&b| b == b','));
    members.map(|member| trim(member).to_vec()).filter(|member| !member.is_empty()).collect()
}

/// Returns a target with its non-ASCII characters percent-encoded.
fn encoded(target: &str) -> String {
    let encode = |byte: u8| if byte.is_ascii() { char::from(byte).into() } else { format!("%{byte:02X}") };
    target.bytes().map(encode).collect()
}

fn authority(target: &str) -> Option<&str> {
    let rest = after_scheme(target)?;
    Some(&rest[..rest.find(['/', '?']).unwrap_or(rest.len())])
}

fn after_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(rest)
}
