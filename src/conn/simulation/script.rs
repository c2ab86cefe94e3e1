//! What the client does in a seed.

use std::fmt;
use std::time::Duration;

/// A small generator of numbers (`SplitMix64`), enough to be unpredictable.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// One request and what must become of it.
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
    /// Refused with a 4xx or 5xx, and then the connection closes.
    Refused,
    /// A body that is cut off after a proper head.
    CutOff,
}

/// A step of the client's.
#[derive(Clone)]
pub struct Piece {
    pub wait: Duration,
    pub bytes: Vec<u8>,
}

/// The start of some bytes, for a person to read.
pub fn shown(bytes: &[u8]) -> String {
    let more = if bytes.len() > 200 { format!(" and so on, {} in all", bytes.len()) } else { String::new() };
    format!("\"{}\"{more}", bytes[..bytes.len().min(200)].escape_ascii())
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {:?}", shown(&self.bytes), self.expected)
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:?} {}", self.wait, shown(&self.bytes))
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

/// How the client ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It waits for the server to close.
    Wait,
    /// It closes its sending side.
    HalfClose,
    /// It breaks the connection.
    Reset,
}

#[derive(Clone, Debug)]
pub struct Script {
    pub seed: u64,
    pub requests: Vec<Request>,
    pub pieces: Vec<Piece>,
    pub end: End,
    /// How long after the last piece the end comes.
    pub end_wait: Duration,
    /// The client never sends what comes after this place in the stream.
    pub sent: usize,
    /// It waits longer somewhere than any deadline allows.
    pub stalls: bool,
    /// Bytes it takes at a time, and how long it waits in between.
    pub reads: usize,
    pub read_wait: Duration,
    /// It stops reading for good after so many bytes.
    pub reads_until: usize,
}

impl Script {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 1 + random.below(6);
        let requests: Vec<_> = (0..count).map(|number| request(&mut random, number)).collect();
        let stream: Vec<u8> = requests.iter().flat_map(|request| request.bytes.clone()).collect();
        let end = match random.below(4) {
            0 => End::HalfClose,
            1 => End::Reset,
            _ => End::Wait,
        };
        // Now and then the client stops in the middle.
        let sent = if random.once_in(4) { random.below(stream.len() + 1) } else { stream.len() };
        let mut stalls = false;
        let mut pieces = Vec::new();
        let mut rest = &stream[..sent];
        let largest = [1, 7, 100, 5000, 100_000][random.below(5)];
        while !rest.is_empty() {
            let length = (1 + random.below(largest)).min(rest.len());
            let wait = match random.below(400) {
                0 => {
                    stalls = true;
                    Duration::from_secs(3600)
                }
                1..=60 => Duration::from_millis(random.next() % 8),
                _ => Duration::ZERO,
            };
            pieces.push(Piece { wait, bytes: rest[..length].to_vec() });
            rest = &rest[length..];
        }
        let slow = random.once_in(4);
        Self {
            seed,
            requests,
            pieces,
            end,
            end_wait: Duration::from_millis(if end == End::Reset { random.next() % 2000 } else { 0 }),
            sent,
            stalls,
            reads: if slow { 1 + random.below(3000) } else { usize::MAX },
            read_wait: if slow { Duration::from_millis(1 + random.next() % 50) } else { Duration::ZERO },
            reads_until: if random.once_in(8) { random.below(20_000) } else { usize::MAX },
        }
    }

    /// How long the client takes to send it all.
    pub fn length(&self) -> Duration {
        self.pieces.iter().map(|piece| piece.wait).sum::<Duration>() + self.end_wait
    }

    /// Whether every request comes whole and in time, and every answer is read.
    pub fn is_peaceful(&self) -> bool {
        let all: usize = self.requests.iter().map(|request| request.bytes.len()).sum();
        self.sent == all && !self.stalls && self.end != End::Reset && self.reads_until == usize::MAX
    }

    /// How many bytes of that request come.
    pub fn sent_of(&self, number: usize) -> usize {
        let before: usize = self.requests[..number].iter().map(|request| request.bytes.len()).sum();
        self.sent.saturating_sub(before)
    }

    /// How many requests come whole.
    pub fn whole(&self) -> usize {
        let mut end = 0;
        self.requests
            .iter()
            .take_while(|request| {
                end += request.bytes.len();
                end <= self.sent
            })
            .count()
    }
}

fn request(random: &mut Random, number: usize) -> Request {
    let simple = |method, path: &str, expected| Request {
        method,
        bytes: format!("{method} {path}?{number} HTTP/1.1\r\nHost: h\r\nX-Number: {number}\r\n\r\n")
            .into_bytes(),
        expected,
    };
    let text = |what: &str| format!("{what} {number}").into_bytes();
    let size = [0, 1, 100, 5000, 70_000][random.below(5)];
    let body: Vec<u8> = (0..size).map(|at| b"abcdefgh\r\n"[(at + number) % 10]).collect();
    match random.below(16) {
        0 | 1 => simple("GET", "/plain", Expected::Answer(200, text("plain"))),
        2 => simple("HEAD", "/plain", Expected::Answer(200, Vec::new())),
        3 => simple("GET", "/sleep", Expected::Answer(200, text("slept"))),
        4 => simple("GET", "/nowhere", Expected::Answer(404, b"404 Not Found\n".to_vec())),
        5 => simple("GET", "/panic", Expected::Answer(500, b"500 Internal Server Error\n".to_vec())),
        6 => simple("GET", "/never", Expected::Refused),
        7 => simple("GET", "/stream", Expected::Answer(200, super::app::stream_text())),
        8 => simple("GET", "/broken", Expected::CutOff),
        9 | 10 => sized("/echo", &body, number, Expected::Answer(200, body.clone())),
        11 => chunked(random, "/echo", &body, number, Expected::Answer(200, body.clone())),
        12 => chunked(random, "/through", &body, number, Expected::Answer(200, body.clone())),
        13 => {
            let mut request = simple("GET", "/plain", Expected::Last(200, text("plain")));
            let close = b"Connection: close\r\n\r\n";
            request.bytes.truncate(request.bytes.len() - 2);
            request.bytes.extend_from_slice(close);
            request
        }
        14 => {
            let faults: [&[u8]; 6] = [
                b"GET / HTTP/1.1\r\n\r\n",
                b"GET /\r\n\r\n",
                b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"GET / HTTP/2.0\r\n\r\n",
                b"\x16\x03\x01\x00\x00",
                b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
            ];
            Request { method: "GET", bytes: faults[random.below(6)].to_vec(), expected: Expected::Refused }
        }
        // A body that nobody reads.
        _ => sized("/nowhere", &body, number, Expected::Answer(404, b"404 Not Found\n".to_vec())),
    }
}

fn sized(path: &str, body: &[u8], number: usize, expected: Expected) -> Request {
    let mut bytes =
        format!("POST {path}?{number} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    Request { method: "POST", bytes, expected }
}

fn chunked(random: &mut Random, path: &str, body: &[u8], number: usize, expected: Expected) -> Request {
    let mut bytes = format!("POST {path}?{number} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        .into_bytes();
    let mut rest = body;
    while !rest.is_empty() {
        let length = (1 + random.below(9000)).min(rest.len());
        bytes.extend_from_slice(format!("{length:x}\r\n").as_bytes());
        bytes.extend_from_slice(&rest[..length]);
        bytes.extend_from_slice(b"\r\n");
        rest = &rest[length..];
    }
    bytes.extend_from_slice(b"0\r\nX-Trailer: t\r\n\r\n");
    Request { method: "POST", bytes, expected }
}
