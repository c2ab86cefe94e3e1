//! The script of a seed: the steps of its client, and the kind of its transport.

use std::fmt;
use std::time::Duration;

use super::moves::{self, Tail};
use super::random::Random;
use super::requests::{self, Expected, Request, shown};
use crate::conn::Stage;

/// A step of the client.
#[derive(Clone)]
pub struct Piece {
    pub wait: Duration,
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:?} {}", self.wait, shown(&self.bytes))
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

/// The kind of a transport: where written bytes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffering {
    /// Hands bytes on at once, as a socket does.
    None,
    /// Holds bytes back until it is flushed, as TLS does, and can tell how many of them the
    /// client's side has taken.
    Told,
    /// Holds bytes back until it is flushed, and cannot tell how many.
    Silent,
}

#[derive(Clone, Debug)]
pub struct Script {
    pub seed: u64,
    pub requests: Vec<Request>,
    pub pieces: Vec<Piece>,
    /// The bytes that the client sends after the pieces, for ever.
    pub tail: Option<Tail>,
    pub end: End,
    /// The time between the last piece and the end.
    pub end_wait: Duration,
    /// The position in the stream after which the client sends nothing.
    pub sent: usize,
    /// The position in the stream at which the client waits longer than any deadline allows.
    pub stall: Option<usize>,
    /// The bytes that the client takes at a time, and the pause between two reads.
    pub reads: usize,
    pub read_wait: Duration,
    /// The number of bytes after which the client stops reading for good.
    pub reads_until: usize,
    /// True if the client reads nothing before it has sent all its pieces.
    pub sends_first: bool,
    /// True if the client goes on sending after it has seen the connection close.
    pub is_stubborn: bool,
    pub buffering: Buffering,
    /// True if another client waits for the connection to end.
    pub is_waited_for: bool,
    /// The time at which the server advances the connection to a stage, and the stage.
    pub stop: Option<(Duration, Stage)>,
    /// The server's least rate for a client that takes its answers, bytes a second.
    pub write_rate: u32,
}

impl Script {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        if random.once_in(16) {
            return Self::upload(seed, &mut random);
        }
        let count = 1 + random.below(6);
        let mut requests: Vec<_> = (0..count).map(|number| Request::of(&mut random, number)).collect();
        let tail = random.once_in(3).then(|| {
            let (request, tail) = moves::last(&mut random, count);
            requests.push(request);
            tail
        });
        let mut script = Self::new(seed, requests);
        if tail.is_some() {
            script.tail = tail;
        } else {
            script.end = random.of(&[End::HalfClose, End::Reset, End::Wait, End::Wait]);
            if script.end == End::Reset {
                script.end_wait = Duration::from_millis(random.next() % 2000);
            }
            // Now and then the client stops in the middle.
            if random.once_in(4) {
                script.sent = random.below(script.sent + 1);
            }
            if random.once_in(8) {
                script.reads_until = random.below(20_000);
            }
        }
        script.cut(&mut random);
        script.is_stubborn = random.once_in(2);
        script.is_waited_for = random.once_in(8);
        if random.once_in(8) {
            let most = random.of(&[100, 1000, 60_000]);
            let at = Duration::from_millis(random.next() % most);
            script.stop =
                Some((at, random.of(&[Stage::Leaving, Stage::Draining, Stage::Draining, Stage::Cut])));
        }
        if random.once_in(4) {
            script.reads = 1 + random.below(random.clone().of(&[10, 100, 3000, 3000]));
            script.read_wait = Duration::from_millis(1 + random.next() % 50);
        }
        script.write_rate = random.of(&[500, 500, 500, 50]);
        script.buffering = random.of(&[
            Buffering::None,
            Buffering::None,
            Buffering::None,
            Buffering::None,
            Buffering::Told,
            Buffering::Silent,
        ]);
        script
    }

    /// A large body that no handler reads, from a client that reads nothing before it has sent all
    /// of the body.
    fn upload(seed: u64, random: &mut Random) -> Self {
        let (path, answer) = match random.below(3) {
            0 => ("/nowhere", Expected::plain(404, "Not Found")),
            1 => ("/plain", Expected::plain(405, "Method Not Allowed")),
            _ => ("/unread", Expected::Answer(200, super::app::stream_text())),
        };
        let size = random.of(&[1000, 100_000, 300_000, 600_000]);
        let expected = if size > super::app::DRAIN { answer.and_close() } else { answer };
        let request = requests::sized(path, 0, &requests::body(size, 0), expected);
        let mut script = Self::new(seed, vec![request]);
        script.sends_first = random.once_in(2);
        script.end = random.of(&[End::HalfClose, End::Wait]);
        script.pieces = script.requests[0]
            .bytes
            .chunks(1000 + random.below(60_000))
            .map(|bytes| Piece { wait: Duration::from_millis(random.next() % 4), bytes: bytes.to_vec() })
            .collect();
        script.buffering = random.of(&[Buffering::None, Buffering::None, Buffering::Told, Buffering::Silent]);
        script
    }

    /// A client that sends these requests at once, reads all, and waits for the end.
    pub fn new(seed: u64, requests: Vec<Request>) -> Self {
        let bytes: Vec<u8> = requests.iter().flat_map(|request| request.bytes.clone()).collect();
        Self {
            seed,
            requests,
            sent: bytes.len(),
            pieces: vec![Piece { wait: Duration::ZERO, bytes }],
            tail: None,
            end: End::Wait,
            end_wait: Duration::ZERO,
            stall: None,
            reads: usize::MAX,
            read_wait: Duration::ZERO,
            reads_until: usize::MAX,
            sends_first: false,
            is_stubborn: false,
            buffering: Buffering::None,
            is_waited_for: false,
            stop: None,
            write_rate: 500,
        }
    }

    /// Cuts the stream into pieces, with waits in between. Now and then, a wait is longer than any
    /// deadline.
    fn cut(&mut self, random: &mut Random) {
        let stream: Vec<u8> = self.requests.iter().flat_map(|request| request.bytes.clone()).collect();
        // A large body in single bytes would take too long.
        let largest = random.of(&[1, 7, 100, 5000, 100_000]).max(self.sent / 500);
        let often = 7.max(2 * self.sent / largest / 60);
        let stall = (self.tail.is_none() && random.once_in(10)).then(|| random.below(self.sent.max(1)));
        let mut at = 0;
        self.pieces.clear();
        while at < self.sent {
            let length = (1 + random.below(largest)).min(self.sent - at);
            let wait = if stall.is_some_and(|stall| (at..at + length).contains(&stall)) {
                self.stall = Some(at);
                Duration::from_secs(3600)
            } else if random.once_in(often) {
                Duration::from_millis(random.next() % 8)
            } else {
                Duration::ZERO
            };
            self.pieces.push(Piece { wait, bytes: stream[at..at + length].to_vec() });
            at += length;
        }
    }

    /// Returns how long the client takes to send its pieces.
    pub fn length(&self) -> Duration {
        self.pieces.iter().map(|piece| piece.wait).sum::<Duration>() + self.end_wait
    }

    /// Returns `true` if every request comes whole and in time, and every answer is read.
    pub fn is_peaceful(&self) -> bool {
        self.in_time() == self.all() && self.end != End::Reset && self.reads_on()
    }

    /// Returns the length of all requests.
    pub fn all(&self) -> usize {
        self.requests.iter().map(|request| request.bytes.len()).sum()
    }

    /// Returns how many bytes of the requests come without a stall.
    pub fn in_time(&self) -> usize {
        self.stall.map_or(self.sent, |stall| stall.min(self.sent))
    }

    /// Returns `true` if the client takes each answer, and faster than the server demands.
    pub fn reads_on(&self) -> bool {
        // A tenth more, because the client does not take the bytes evenly.
        let least = self.read_wait.as_micros() * u128::from(self.write_rate) * 11;
        self.reads_until == usize::MAX && self.reads as u128 * 10_000_000 >= least
    }

    /// Returns how many bytes of the request `number` come.
    pub fn sent_of(&self, number: usize) -> usize {
        let before: usize = self.requests[..number].iter().map(|request| request.bytes.len()).sum();
        self.sent.saturating_sub(before)
    }

    /// Returns how many requests come whole and in time, and whether one follows that begins and does not.
    pub fn whole(&self) -> (usize, bool) {
        let (mut end, in_time) = (0, self.in_time());
        let count = self
            .requests
            .iter()
            .take_while(|request| {
                end += request.bytes.len();
                end <= in_time
            })
            .count();
        let whole: usize = self.requests[..count].iter().map(|request| request.bytes.len()).sum();
        (count, in_time > whole)
    }
}
