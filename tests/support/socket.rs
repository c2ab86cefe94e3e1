//! Plays a case over a Unix socket, in one way of cutting what the client sends.
//!
//! The case tells what the server may still send. An answer is read until it equals the specified
//! one, or until a time has passed that no server needs.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::corpus::{Case, Then};
use super::play::{Cut, NEXT, NEXT_ANSWER, Outcome, in_one_form, pieces};

/// How long the client waits for bytes that must not arrive.
const SILENCE: Duration = Duration::from_millis(3);

/// Returns the ways to cut a case: whole, in bytes, and in two at a few offsets.
pub fn cuts(case: &Case) -> Vec<Cut> {
    let mut cuts = vec![Cut::Whole, Cut::Bytes];
    for (number, stage) in case.stages.iter().enumerate() {
        let length = stage.send.len();
        let mut offsets = vec![1, length / 3, length / 2, length.saturating_sub(1)];
        offsets.dedup();
        offsets.retain(|offset| (1..length).contains(offset));
        cuts.extend(offsets.into_iter().map(|offset| Cut::At { stage: number, offset }));
    }
    cuts
}

/// Plays `case` once against the server that listens on `path`. The specified bytes must arrive
/// before `patience` is over.
pub fn play(path: &Path, case: &Case, cut: Cut, patience: Duration) -> Outcome {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_write_timeout(Some(patience)).unwrap();
    let mut player = Player { stream, patience, read: Vec::new(), end: None };
    let mut answers = Vec::new();
    for (number, stage) in case.stages.iter().enumerate() {
        for piece in pieces(stage, number, cut) {
            player.send(piece);
        }
        if stage.end {
            player.end();
        }
        answers.push(player.answer(&stage.expect, case.any_chunks));
    }
    let as_told = case.stages.iter().zip(&answers).all(|(stage, answer)| stage.expect == *answer);
    let then = if as_told { player.find_out(case) } else { Err("not looked at".into()) };
    Outcome { answers, then }
}

struct Player {
    stream: UnixStream,
    patience: Duration,
    /// Bytes that were read and belong to no answer so far.
    read: Vec<u8>,
    /// How the server's bytes ended.
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The server closed, in order or not.
    Closed,
    /// The client waited in vain.
    Late,
}

impl Player {
    /// Sends bytes that the server may refuse to take.
    fn send(&mut self, bytes: &[u8]) {
        // If the server no longer reads, its answer says why.
        let _ = self.stream.write_all(bytes);
    }

    /// Closes the sending side.
    fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads once. Returns `false` if nothing more arrives until then.
    fn fill(&mut self, until: Instant) -> bool {
        let mut buffer = [0; 16 * 1024];
        let left = until.saturating_duration_since(Instant::now());
        self.stream.set_read_timeout(Some(left.max(Duration::from_micros(1)))).unwrap();
        match self.stream.read(&mut buffer) {
            Ok(0) => self.end = Some(End::Closed),
            Ok(length) => self.read.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.end = Some(End::Late),
            Err(_) => self.end = Some(End::Closed),
        }
        self.end.is_none()
    }

    /// Reads until that answer has arrived. Returns what has arrived.
    fn answer(&mut self, expected: &[u8], any_chunks: bool) -> Vec<u8> {
        let until = Instant::now() + self.patience;
        loop {
            let answer = in_one_form(&self.read, any_chunks);
            if answer == expected {
                self.read.clear();
                return answer;
            }
            // An end is final, a delay is not.
            if self.end == Some(End::Closed) || !self.fill(until) {
                self.read.clear();
                return answer;
            }
        }
    }

    /// Returns all bytes until the end.
    fn rest(&mut self, patience: Duration) -> Vec<u8> {
        let until = Instant::now() + patience;
        while self.end.is_none() && self.fill(until) {}
        std::mem::take(&mut self.read)
    }

    /// Returns the state of the connection: open if the next request is answered.
    fn find_out(&mut self, case: &Case) -> Result<Then, String> {
        let ended = case.stages.last().is_some_and(|stage| stage.end);
        let then = match case.then {
            Some(Then::Closed) => {
                let late = self.rest(self.patience);
                if self.end != Some(End::Closed) || !late.is_empty() {
                    return Err(format!("it was not closed; \"{}\" came", late.escape_ascii()));
                }
                // Later requests are not answered.
                self.send(NEXT);
                self.end = None;
                Then::Closed
            }
            Some(Then::Open) if !ended => {
                self.send(NEXT);
                let answer = self.answer(NEXT_ANSWER, false);
                if answer != NEXT_ANSWER {
                    let text = answer.escape_ascii();
                    return Err(format!("out of step: the request behind it got \"{text}\""));
                }
                Then::Open
            }
            _ if ended => Then::Waiting,
            _ => {
                let early = self.rest(SILENCE);
                if self.end == Some(End::Closed) || !early.is_empty() {
                    return Err(format!("it does not wait; \"{}\" came", early.escape_ascii()));
                }
                self.end = None;
                Then::Waiting
            }
        };
        self.end();
        let late = self.rest(self.patience);
        if self.end != Some(End::Closed) {
            Err("the client has closed, and the server has not".into())
        } else if !late.is_empty() && then != Then::Waiting {
            Err(format!("something came late: {}", late.escape_ascii()))
        } else {
            Ok(then)
        }
    }
}
