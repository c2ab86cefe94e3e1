//! One request of a script, and the answer that it must get.

use std::fmt;

use super::random::Random;

#[derive(Clone)]
pub struct Request {
    pub method: &'static str,
    pub bytes: Vec<u8>,
    pub expected: Expected,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Expected {
    /// This status and body, and then the next request is served.
    Answer(u16, Vec<u8>),
    /// The same, and then the connection closes.
    Last(u16, Vec<u8>),
    /// A refusal with a 4xx or 5xx, and then the connection closes.
    Refused,
    /// A body that is cut off after a proper head.
    CutOff,
}

impl Expected {
    /// Returns the 404 of the router, or another of its plain answers.
    pub fn plain(status: u16, reason: &str) -> Self {
        Self::Answer(status, format!("{status} {reason}\n").into_bytes())
    }

    /// Returns the same answer as the last one of the connection.
    pub fn and_close(self) -> Self {
        match self {
            Self::Answer(status, body) => Self::Last(status, body),
            other => other,
        }
    }
}

/// Shows the start of some bytes to a person.
pub fn shown(bytes: &[u8]) -> String {
    let more = if bytes.len() > 200 { format!(" and so on, {} in all", bytes.len()) } else { String::new() };
    format!("\"{}\"{more}", bytes[..bytes.len().min(200)].escape_ascii())
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {:?}", shown(&self.bytes), self.expected)
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(status, body) => write!(f, "{status} with {} bytes", body.len()),
            Self::Last(status, body) => write!(f, "{status} with {} bytes, and a close", body.len()),
            Self::Refused => f.write_str("a refusal, and a close"),
            Self::CutOff => f.write_str("an answer that breaks off"),
        }
    }
}

impl Request {
    /// Returns a request without a body.
    pub fn simple(method: &'static str, path: &str, number: usize, expected: Expected) -> Self {
        let head = format!("{method} {path}?{number} HTTP/1.1\r\nHost: h\r\nX-Number: {number}\r\n\r\n");
        Self { method, bytes: head.into_bytes(), expected }
    }

    /// Returns the head of a request with a body, and of its framing field.
    pub fn head(method: &'static str, path: &str, framing: &str, expected: Expected) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n");
        Self { method, bytes: head.into_bytes(), expected }
    }

    /// Returns the same request with `bytes` appended.
    pub fn with(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Returns the same request with `Connection: close`.
    pub fn that_closes(mut self) -> Self {
        self.bytes.truncate(self.bytes.len() - 2);
        self.expected = self.expected.and_close();
        self.with(b"Connection: close\r\n\r\n")
    }

    pub fn asks_for_close(&self) -> bool {
        let field = b"\r\nConnection: close\r\n";
        self.bytes.windows(field.len()).any(|window| window == field)
    }

    /// Returns an ordinary request.
    pub fn of(random: &mut Random, number: usize) -> Self {
        let simple = |method, path, expected| Self::simple(method, path, number, expected);
        let text = |what: &str| Expected::Answer(200, format!("{what} {number}").into_bytes());
        let body = body(random.of(&[0, 1, 100, 5000, 70_000]), number);
        let echoed = Expected::Answer(200, body.clone());
        match random.below(17) {
            0 | 1 => simple("GET", "/plain", text("plain")),
            2 => simple("HEAD", "/plain", Expected::Answer(200, Vec::new())),
            3 => simple("GET", "/sleep", text("slept")),
            4 => simple("GET", "/nowhere", Expected::plain(404, "Not Found")),
            5 => simple("GET", "/panic", Expected::plain(500, "Internal Server Error")),
            6 => simple("GET", "/never", Expected::Refused),
            7 => simple("GET", "/stream", Expected::Answer(200, super::app::stream_text())),
            8 => simple("GET", "/broken", Expected::CutOff),
            9 | 10 => sized("/echo", number, &body, echoed),
            11 => chunked(random, "/echo", number, &body, echoed),
            12 => chunked(random, "/through", number, &body, echoed),
            13 => simple("GET", "/plain", text("plain")).that_closes(),
            14 => {
                let faults: [&[u8]; 6] = [
                    b"GET / HTTP/1.1\r\n\r\n",
                    b"GET /\r\n\r\n",
                    b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                    b"GET / HTTP/2.0\r\n\r\n",
                    b"\x16\x03\x01\x00\x00",
                    b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
                ];
                Self { method: "GET", bytes: random.of(&faults).to_vec(), expected: Expected::Refused }
            }
            // Bodies that no handler reads.
            15 => chunked(random, "/unread", number, &body, Expected::Answer(200, super::app::stream_text())),
            _ => sized("/nowhere", number, &body, Expected::plain(404, "Not Found")),
        }
    }
}

/// Returns a body of that size. Its text differs from request to request.
pub fn body(size: usize, number: usize) -> Vec<u8> {
    (0..size).map(|at| b"abcdefgh\r\n"[(at + number) % 10]).collect()
}

/// Returns a request with a body and its Content-Length.
pub fn sized(path: &str, number: usize, body: &[u8], expected: Expected) -> Request {
    let framing = format!("Content-Length: {}", body.len());
    Request::head("POST", &format!("{path}?{number}"), &framing, expected).with(body)
}

fn chunked(random: &mut Random, path: &str, number: usize, body: &[u8], expected: Expected) -> Request {
    let mut request =
        Request::head("POST", &format!("{path}?{number}"), "Transfer-Encoding: chunked", expected);
    let mut rest = body;
    while !rest.is_empty() {
        let length = (1 + random.below(9000)).min(rest.len());
        request = request.with(format!("{length:x}\r\n").as_bytes()).with(&rest[..length]).with(b"\r\n");
        rest = &rest[length..];
    }
    request.with(b"0\r\nX-Trailer: t\r\n\r\n")
}
