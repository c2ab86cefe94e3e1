//! The client of a script, as it acts in virtual time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::moves::Tail;
use super::script::{End, Piece, Script};
use crate::duplex::Wire;

pub struct Client {
    /// The pieces that the client has not begun to send.
    pieces: VecDeque<Piece>,
    tail: Option<Tail>,
    end: End,
    end_wait: Duration,
    /// The piece that the client is sending. It may have to wait for room.
    sending: VecDeque<u8>,
    is_blocked: bool,
    /// The time at which the client sends next, if that is known.
    pub next_send: Option<Instant>,
    pub received: Vec<u8>,
    pub next_read: Option<Instant>,
    reads: usize,
    read_wait: Duration,
    reads_until: usize,
    sends_first: bool,
    is_stubborn: bool,
}

impl Client {
    pub fn new(script: &Script, now: Instant) -> Self {
        let mut client = Self {
            pieces: script.pieces.iter().cloned().collect(),
            tail: script.tail.clone(),
            end: script.end,
            end_wait: script.end_wait,
            sending: VecDeque::new(),
            is_blocked: false,
            next_send: None,
            received: Vec::new(),
            next_read: None,
            reads: script.reads,
            read_wait: script.read_wait,
            reads_until: script.reads_until,
            sends_first: script.sends_first,
            is_stubborn: script.is_stubborn,
        };
        client.send_next(now);
        client
    }

    /// Sets the time of the client's next step, once the piece that it was sending has gone.
    fn send_next(&mut self, now: Instant) {
        let wait = match (self.pieces.front(), &self.tail, self.end) {
            (Some(piece), ..) => Some(piece.wait),
            (None, Some(tail), _) => Some(tail.every),
            (None, None, End::Wait) => None,
            (None, None, _) => Some(self.end_wait),
        };
        self.next_send = wait.map(|wait| now + wait);
    }

    /// Sends as much as there is room for, or ends.
    pub fn send(&mut self, now: Instant, wire: &mut Wire, most: usize) {
        if self.sending.is_empty() {
            if let Some(piece) = self.pieces.pop_front() {
                self.sending.extend(piece.bytes);
            } else if let Some(tail) = &self.tail {
                self.sending.extend(&tail.bytes);
            } else {
                (wire.has_ended, wire.has_reset) = (self.end == End::HalfClose, self.end == End::Reset);
                self.next_send = None;
                return;
            }
        }
        let length = self.sending.len().min(most.saturating_sub(wire.inbox.len()));
        wire.inbox.extend(self.sending.drain(..length));
        self.is_blocked = !self.sending.is_empty();
        if self.is_blocked {
            self.next_send = None;
        } else {
            self.send_next(now);
            self.read_soon(now, wire);
        }
    }

    /// Returns when the client sends its next bytes, if it sends any. A close is not counted.
    pub fn next_bytes(&self) -> Option<Instant> {
        let has_more = !self.sending.is_empty() || !self.pieces.is_empty() || self.tail.is_some();
        self.next_send.filter(|_| has_more)
    }

    /// Lets the client send on after the server has read.
    pub fn make_room(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_blocked) {
            self.next_send = Some(now);
        }
    }

    /// Schedules the next read, if there are bytes and the client still reads.
    pub fn read_soon(&mut self, now: Instant, wire: &Wire) {
        let has_sent = self.pieces.is_empty() && self.sending.is_empty();
        let reads = self.received.len() < self.reads_until && (has_sent || !self.sends_first);
        if reads && self.next_read.is_none() && !wire.outbox.is_empty() {
            self.next_read = Some(now + self.read_wait);
        }
    }

    pub fn read(&mut self, now: Instant, wire: &mut Wire) {
        let length = wire.outbox.len().min(self.reads);
        self.received.extend(wire.outbox.drain(..length));
        self.next_read = None;
        self.read_soon(now, wire);
    }

    /// Lets the client leave after the server has closed and the client has read everything, unless
    /// the client is stubborn. Returns `true` if it has left.
    pub fn leaves(&mut self, wire: &mut Wire) -> bool {
        let has_read = wire.outbox.is_empty() && self.received.len() < self.reads_until && !self.sends_first;
        let goes = has_read && !self.is_stubborn && !wire.has_ended;
        if goes {
            wire.has_ended = true;
            (self.next_send, self.is_blocked) = (None, false);
            self.sending.clear();
        }
        goes
    }
}
