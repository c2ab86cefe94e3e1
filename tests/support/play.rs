//! Plays a case over a connection in memory, in one way of cutting the client's bytes into pieces.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use transom::{Peer, Service};

use super::client::{Client, connect};
use super::corpus::{Case, Stage, Then};
use super::escape::DATE;

/// The request that is sent after a case, and its answer if the connection is in step.
pub const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
pub const NEXT_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\ndate: {date}\r\n\r\nnext";
/// A connection that is polled this often without coming to rest never will.
const MAX_POLLS: usize = 1_000_000;

/// A way to cut the client's bytes. Between two pieces the server does all it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Each stage in one piece.
    Whole,
    /// One stage in two pieces, the others whole.
    At { stage: usize, offset: usize },
    /// A byte at a time; the server writes a byte at a time too.
    Bytes,
}

/// The result of a case.
#[derive(PartialEq, Eq)]
pub struct Outcome {
    pub answers: Vec<Vec<u8>>,
    pub then: Result<Then, String>,
}

/// Returns the ways to cut a case: whole, in bytes, and in two at every offset. Stages over 1 KiB
/// are cut everywhere near their ends, and here and there in the middle.
pub fn cuts(case: &Case) -> Vec<Cut> {
    let mut cuts = vec![Cut::Whole];
    for (number, stage) in case.stages.iter().enumerate() {
        let length = stage.send.len();
        let offsets = (1..length).filter(|&at| length <= 1024 || at < 64 || at + 64 > length || at % 97 == 0);
        cuts.extend(offsets.map(|offset| Cut::At { stage: number, offset }));
    }
    cuts.push(Cut::Bytes);
    cuts
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("sent whole"),
            Self::At { stage, offset } => write!(f, "stage {} cut at byte {offset}", stage + 1),
            Self::Bytes => f.write_str("sent a byte at a time"),
        }
    }
}

/// Returns the pieces into which a way cuts a stage.
pub fn pieces(stage: &Stage, number: usize, cut: Cut) -> Vec<&[u8]> {
    match cut {
        Cut::At { stage: cut, offset } if cut == number => {
            let (front, back) = stage.send.split_at(offset);
            vec![front, back]
        }
        Cut::Bytes => stage.send.chunks(1).collect(),
        _ => vec![&stage.send],
    }
}

/// Plays `case` once.
pub fn play(service: &Service, case: &Case, cut: Cut) -> Outcome {
    let (client, stream) = connect(if cut == Cut::Bytes { 1 } else { usize::MAX });
    let serving = Box::pin(service.serve_connection(stream, Peer::Unknown));
    let mut player = Player { client, serving: Some(serving), woken: Arc::default() };
    player.settle();
    let mut answers = Vec::new();
    for (number, stage) in case.stages.iter().enumerate() {
        player.send(stage, number, cut);
        answers.push(in_one_form(&player.client.take_answer(), case.any_chunks));
    }
    let then = player.find_out(case, answers.last().is_none_or(Vec::is_empty));
    Outcome { answers, then }
}

struct Player<'a> {
    client: Client,
    /// `None` once the server is done with the connection.
    serving: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    woken: Arc<Woken>,
}

/// A waker that records whether the connection has something to do.
struct Woken(AtomicBool);

impl Default for Woken {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Player<'_> {
    /// Lets the server do all it can do.
    fn settle(&mut self) {
        let waker = Waker::from(Arc::clone(&self.woken));
        for _ in 0..MAX_POLLS {
            let Some(serving) = &mut self.serving else { return };
            if !self.woken.0.swap(false, Ordering::AcqRel) {
                return;
            }
            if let Poll::Ready(()) = serving.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.serving = None;
            }
        }
        panic!("the connection never comes to rest");
    }

    fn send(&mut self, stage: &Stage, number: usize, cut: Cut) {
        let pieces = pieces(stage, number, cut);
        for (place, piece) in pieces.iter().enumerate() {
            self.client.send(piece);
            let is_last = place + 1 == pieces.len();
            if is_last && stage.end && cut != Cut::Bytes {
                self.client.end();
            }
            self.settle();
        }
        if stage.end {
            self.client.end();
            self.settle();
        }
    }

    /// Returns the state of the connection: open if the next request is answered.
    fn find_out(&mut self, case: &Case, unanswered: bool) -> Result<Then, String> {
        let ended = case.stages.last().is_some_and(|stage| stage.end);
        let mut then = if self.client.is_closed() {
            Then::Closed
        } else if case.then == Some(Then::Waiting) || (case.then.is_none() && unanswered) {
            Then::Waiting
        } else {
            Then::Open
        };
        if !ended && then != Then::Waiting {
            self.client.send(NEXT);
            self.settle();
            let answer = in_one_form(&self.client.take_answer(), false);
            let expected = if then == Then::Closed { &b""[..] } else { NEXT_ANSWER };
            if answer.is_empty() && self.client.is_closed() {
                then = Then::Closed;
            } else if answer != expected {
                let text = answer.escape_ascii();
                return Err(format!("out of step: {then:?}, but the request behind it got \"{text}\""));
            }
        }
        self.client.end();
        self.settle();
        let late = self.client.take_answer();
        if self.serving.is_some() {
            Err("the client has closed, and the server has not".into())
        } else if !late.is_empty() && then != Then::Waiting {
            Err(format!("something came late: {}", late.escape_ascii()))
        } else {
            Ok(then)
        }
    }
}

/// Returns an answer with its date replaced, and its chunks joined if their boundaries do not
/// matter.
pub fn in_one_form(answer: &[u8], any_chunks: bool) -> Vec<u8> {
    let answer = without_dates(answer);
    if any_chunks { join_chunks(&answer).unwrap_or(answer) } else { answer }
}

/// Replaces each date that is about now with the placeholder.
fn without_dates(answer: &[u8]) -> Vec<u8> {
    const FIELD: &[u8] = b"\r\ndate: ";
    const LENGTH: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();
    let mut text = Vec::with_capacity(answer.len());
    let mut rest = answer;
    while let Some(at) = find(rest, FIELD) {
        let (before, behind) = rest.split_at(at + FIELD.len());
        text.extend_from_slice(before);
        rest = behind;
        let date = behind.get(..LENGTH).and_then(|date| std::str::from_utf8(date).ok());
        if date.is_some_and(is_now) && behind[LENGTH..].starts_with(b"\r\n") {
            text.extend_from_slice(DATE.as_bytes());
            rest = &behind[LENGTH..];
        }
    }
    text.extend_from_slice(rest);
    text
}

fn is_now(date: &str) -> bool {
    let now = SystemTime::now();
    httpdate::parse_http_date(date).is_ok_and(|date| {
        let apart = now.duration_since(date).or_else(|_| date.duration_since(now));
        apart.is_ok_and(|apart| apart < Duration::from_secs(600))
    })
}

/// Returns the answer with the chunks of its first body joined, if it is chunked.
fn join_chunks(answer: &[u8]) -> Option<Vec<u8>> {
    let body =
        find(answer, b"\r\ntransfer-encoding: chunked\r\n").and_then(|_| find(answer, b"\r\n\r\n"))? + 4;
    let mut rest = &answer[body..];
    let mut data = Vec::new();
    loop {
        let line = find(rest, b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            break;
        }
        data.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
    let mut joined = answer[..body].to_vec();
    joined.extend(format!("{:x}\r\n", data.len()).bytes().chain(data).chain(*b"\r\n0\r\n"));
    joined.extend_from_slice(rest);
    Some(joined)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}
