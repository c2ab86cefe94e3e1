//! The answers of a server, parsed as they arrive. Knows bytes only: no sockets, no time.

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Status};

const FIELDS: usize = 64;
/// A head or a line of a chunked body that is longer is refused.
const LONGEST: usize = 64 * 1024;

/// An answer that has arrived whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole {
    pub status: u16,
    /// Bytes of body, decoded.
    pub length: u64,
    /// Whether the connection stays open.
    pub keep: bool,
}

/// What is wrong with an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not an answer of HTTP/1.
    Malformed,
    /// The connection has ended before the answer was whole.
    Cut,
}

/// Where the parser of one connection stands.
#[derive(Default)]
pub struct Answer {
    state: State,
    /// The start of a head, or of a line of a chunked body, whose end has not arrived.
    line: Vec<u8>,
    status: u16,
    length: u64,
    keep: bool,
    body: Option<Vec<u8>>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
}

impl Answer {
    /// A parser that keeps the bodies.
    pub fn keeping() -> Self {
        Self { body: Some(Vec::new()), ..Self::default() }
    }

    /// The bytes of bodies that were kept, to take from. A parser that keeps none adds none.
    pub fn kept(&mut self) -> &mut Vec<u8> {
        self.body.get_or_insert_default()
    }

    /// The bodies that were kept.
    pub fn into_body(self) -> Vec<u8> {
        self.body.unwrap_or_default()
    }

    /// Takes bytes from the front of `input`, until an answer is whole or the input is used up.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Whole>, Fault> {
        while !input.is_empty() {
            match self.state {
                State::Head => {
                    if !self.head(input)? {
                        return Ok(None);
                    }
                }
                State::UntilClose => {
                    self.take(u64::MAX, input);
                    return Ok(None);
                }
                State::Length(left) => self.state = State::Length(self.take(left, input)),
                State::ChunkData(left) => {
                    let left = self.take(left, input);
                    self.state = if left == 0 { State::ChunkEnd } else { State::ChunkData(left) };
                }
                State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    if !self.chunk_line(input)? {
                        return Ok(None);
                    }
                }
            }
            if self.state == State::Length(0) {
                self.state = State::Head;
                return Ok(Some(Whole { status: self.status, length: self.length, keep: self.keep }));
            }
        }
        Ok(None)
    }

    /// The connection has ended. `None` is fine: nothing was under way.
    pub fn end(&mut self) -> Result<Option<Whole>, Fault> {
        let state = std::mem::take(&mut self.state);
        match state {
            State::UntilClose => Ok(Some(Whole { status: self.status, length: self.length, keep: false })),
            State::Head if self.line.is_empty() => Ok(None),
            _ => Err(Fault::Cut),
        }
    }

    fn take(&mut self, left: u64, input: &mut &[u8]) -> u64 {
        let taken = left.min(input.len() as u64);
        if let Some(body) = &mut self.body {
            body.extend_from_slice(&input[..taken as usize]);
        }
        *input = &input[taken as usize..];
        self.length += taken;
        left - taken
    }

    /// True when a head has been read and the state is set to what follows it.
    fn head(&mut self, input: &mut &[u8]) -> Result<bool, Fault> {
        let before = self.line.len();
        let head = if before == 0 {
            parse(input)?
        } else {
            self.line.extend_from_slice(input);
            parse(&self.line)?
        };
        let Some(head) = head else {
            if before == 0 {
                self.line.extend_from_slice(input);
            }
            *input = &[];
            return if self.line.len() > LONGEST { Err(Fault::Malformed) } else { Ok(false) };
        };
        *input = &input[head.size - before..];
        self.line.clear();
        if head.status >= 200 {
            (self.status, self.length, self.keep) = (head.status, 0, head.keep);
            self.state = head.framing;
        }
        Ok(true)
    }

    /// True when a line of a chunked body has been read.
    fn chunk_line(&mut self, input: &mut &[u8]) -> Result<bool, Fault> {
        let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
            self.line.extend_from_slice(input);
            *input = &[];
            return if self.line.len() > LONGEST { Err(Fault::Malformed) } else { Ok(false) };
        };
        self.line.extend_from_slice(&input[..end]);
        *input = &input[end + 1..];
        let line = self.line.strip_suffix(b"\r").ok_or(Fault::Malformed)?;
        self.state = match self.state {
            State::ChunkSize => {
                let digits = line.split(|&byte| byte == b';' || byte == b' ').next().unwrap_or_default();
                let digits = str::from_utf8(digits).map_err(|_| Fault::Malformed)?;
                match u64::from_str_radix(digits, 16).map_err(|_| Fault::Malformed)? {
                    0 => State::Trailers,
                    size => State::ChunkData(size),
                }
            }
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailers if line.is_empty() => State::Length(0),
            State::Trailers => State::Trailers,
            _ => return Err(Fault::Malformed),
        };
        self.line.clear();
        Ok(true)
    }
}

struct Head {
    size: usize,
    status: u16,
    keep: bool,
    framing: State,
}

fn parse(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut head = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut head, bytes, &mut fields);
    let Status::Complete(size) = parsed.map_err(|_| Fault::Malformed)? else { return Ok(None) };
    let status = head.code.ok_or(Fault::Malformed)?;
    let mut keep = head.version == Some(1);
    let mut length = None;
    let mut chunked = false;
    for field in head.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            let digits = str::from_utf8(field.value).map_err(|_| Fault::Malformed)?;
            length = Some(digits.parse().map_err(|_| Fault::Malformed)?);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = field.value.eq_ignore_ascii_case(b"chunked");
        } else if field.name.eq_ignore_ascii_case("connection") {
            keep = keep && !field.value.eq_ignore_ascii_case(b"close")
                || field.value.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    let framing = match (status, chunked, length) {
        (204 | 304, ..) => State::Length(0),
        (_, true, _) => State::ChunkSize,
        (_, false, Some(length)) => State::Length(length),
        (_, false, None) => State::UntilClose,
    };
    Ok(Some(Head { size, status, keep: keep && framing != State::UntilClose, framing }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(status: u16, length: u64, keep: bool) -> Whole {
        Whole { status, length, keep }
    }

    /// Feeds pieces of `size` bytes; all answers that come out.
    fn answers(bytes: &[u8], size: usize) -> Result<Vec<Whole>, Fault> {
        let mut parser = Answer::default();
        let mut found = Vec::new();
        for mut piece in bytes.chunks(size) {
            while !piece.is_empty() {
                found.extend(parser.feed(&mut piece)?);
            }
        }
        found.extend(parser.end()?);
        Ok(found)
    }

    #[test]
    fn each_framing_at_every_split() {
        let cases: [(&[u8], Vec<Whole>); 6] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", vec![whole(200, 5, true)]),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
                vec![whole(200, 15, true)],
            ),
            (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", vec![whole(200, 13, false)]),
            (b"HTTP/1.1 404 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", vec![whole(404, 0, false)]),
            (
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nConnection: keep-alive\r\ncontent-length: 1\r\n\r\nx",
                vec![whole(200, 1, true)],
            ),
            (
                b"HTTP/1.1 204 \r\n\r\nHTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
                vec![whole(204, 0, true), whole(200, 0, false)],
            ),
        ];
        for (bytes, expected) in cases {
            for size in 1..=bytes.len() {
                assert_eq!(answers(bytes, size).as_ref(), Ok(&expected), "pieces of {size}");
            }
        }
    }

    #[test]
    fn faults() {
        assert_eq!(answers(b"SSH-2.0\r\n\r\n", 99), Err(Fault::Malformed));
        assert_eq!(answers(b"HTTP/1.1 200 OK\r\nContent-Length: no\r\n\r\n", 99), Err(Fault::Malformed));
        assert_eq!(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", 99), Err(Fault::Cut));
        assert_eq!(answers(b"HTTP/1.1 200 OK\r\nContent-Le", 99), Err(Fault::Cut));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n";
        assert_eq!(answers(chunked, 99), Err(Fault::Malformed));
    }
}
