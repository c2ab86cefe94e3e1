//! The last move of an adversary: a request whose bytes never end.

use std::fmt;
use std::time::Duration;

use super::random::Random;
use super::requests::{self, Expected, Request, shown};

/// Bytes that a client sends for ever, one piece after another.
#[derive(Clone)]
pub struct Tail {
    pub bytes: Vec<u8>,
    pub every: Duration,
    /// The phase of the connection in which they are sent.
    pub phase: Phase,
}

/// A phase of a connection in which its client sets the pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The head of a request.
    Head,
    /// A body that the server reads.
    Body,
    /// An unread body. If it ends soon, the connection is kept.
    Drain,
    /// The end of the connection, after its last answer.
    Linger,
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "every {:?} {}, into {:?}", self.every, shown(&self.bytes), self.phase)
    }
}

/// Returns a last request, and the bytes that the client sends for ever after it.
pub fn last(random: &mut Random, number: usize) -> (Request, Tail) {
    match random.below(4) {
        0 => dribbled_head(random),
        1 => dribbled_body(random),
        2 => endless_upload(random),
        _ => dribbled_linger(random, number),
    }
}

/// Bytes that come after the last answer, one at a time.
fn dribbled_linger(random: &mut Random, number: usize) -> (Request, Tail) {
    let plain = Expected::Answer(200, format!("plain {number}").into_bytes());
    let large = "Content-Length: 1000000000000";
    let request = match random.below(4) {
        0 => Request::simple("GET", "/plain", number, plain).that_closes(),
        1 => Request { method: "GET", bytes: b"GET /\r\n\r\n".into(), expected: Expected::Refused },
        2 => Request::head("POST", "/echo", large, Expected::Refused),
        _ => Request::head("POST", "/nowhere", large, Expected::plain(404, "Not Found").and_close()),
    };
    (request, Tail { bytes: b"x".into(), every: slowly(random), phase: Phase::Linger })
}

/// Returns a time between two bytes: from 10 ms to 20 s.
fn slowly(random: &mut Random) -> Duration {
    let most = random.of(&[100, 1000, 4800, 20_000]);
    Duration::from_millis(10 + random.next() % most)
}

fn dribbled_head(random: &mut Random) -> (Request, Tail) {
    let starts: [&[u8]; 5] = [
        b"G",
        b"GET /pla",
        b"GET /plain HTTP/1.",
        b"GET /plain HTTP/1.1\r\nHost: h\r\nX-N",
        b"GET /plain HTTP/1.1\r\nHost: h\r\nX-A: ",
    ];
    let request = Request { method: "GET", bytes: random.of(&starts).to_vec(), expected: Expected::Refused };
    (request, Tail { bytes: b"a".into(), every: slowly(random), phase: Phase::Head })
}

/// A body that comes a byte at a time, in each part of its framing.
fn dribbled_body(random: &mut Random) -> (Request, Tail) {
    let (path, expected, phase) = match random.below(3) {
        0 => ("/echo", Expected::Refused, Phase::Body),
        1 => ("/through", Expected::CutOff, Phase::Body),
        _ => ("/nowhere", Expected::plain(404, "Not Found"), Phase::Drain),
    };
    let chunked = "Transfer-Encoding: chunked";
    let parts: [(&str, &[u8], u8); 7] = [
        ("Content-Length: 100000", b"", b'd'),
        (chunked, b"186a0\r\n", b'd'),
        (chunked, b"", b'0'),
        (chunked, b"5\r\nhello\r\n", b'0'),
        (chunked, b"5;", b'e'),
        (chunked, b"0\r\nX-T: ", b't'),
        (chunked, b"5\r\nhello\r\n0\r\n", b't'),
    ];
    let (framing, start, byte) = random.of(&parts);
    let request = Request::head("POST", path, framing, expected).with(start);
    (request, Tail { bytes: vec![byte], every: slowly(random), phase })
}

/// An upload that goes on after its answer.
fn endless_upload(random: &mut Random) -> (Request, Tail) {
    let chunked = "Transfer-Encoding: chunked";
    let large = "Content-Length: 1000000000000";
    let not_found = || Expected::plain(404, "Not Found");
    let not_allowed = || Expected::plain(405, "Method Not Allowed");
    let stream = || Expected::Answer(200, super::app::stream_text());
    let (method, path, framing, expected, phase) = match random.below(8) {
        0 => ("POST", "/nowhere", large, not_found().and_close(), Phase::Linger),
        1 => ("POST", "/nowhere", chunked, not_found(), Phase::Drain),
        2 => ("PUT", "/plain", large, not_allowed().and_close(), Phase::Linger),
        3 => ("PUT", "/plain", chunked, not_allowed(), Phase::Drain),
        4 => ("POST", "/echo", large, Expected::Refused, Phase::Linger),
        5 => ("POST", "/echo", chunked, Expected::Refused, Phase::Body),
        6 => ("POST", "/unread", large, stream().and_close(), Phase::Linger),
        _ => ("POST", "/unread", chunked, stream(), Phase::Drain),
    };
    let data = requests::body(2000, 0);
    let bytes = if framing == chunked { [b"7d0\r\n", &data[..], b"\r\n"].concat() } else { data };
    let every = Duration::from_millis(20 + random.next() % 200);
    (Request::head(method, path, framing, expected), Tail { bytes, every, phase })
}
