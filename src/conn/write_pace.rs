//! The pace at which a client must take what is written to it, over any transport.

use std::time::Instant;

use super::Transport;
use super::pace::{Least, Pace};

/// Bytes that a transport which cannot tell is taken to hold back at most.
const HELD: usize = 64 * 1024;

/// How a client keeps the least pace. What counts is what went out to it: not what a
/// transport holds back, as TLS does.
pub(super) struct WritePace {
    least: Least,
    /// Once the client has made the server wait. On the heap, as few do: an idle
    /// connection is 40 bytes smaller.
    stall: Option<Box<Stall>>,
}

#[derive(Default)]
struct Stall {
    pace: Pace,
    /// Bytes that the transport held back when it was last asked.
    held: usize,
}

impl WritePace {
    pub const fn new(least: Least) -> Self {
        Self { least, stall: None }
    }

    /// The transport has taken so many bytes more.
    #[inline]
    pub fn note(&mut self, transport: &impl Transport, written: usize) {
        if let Some(stall) = &mut self.stall {
            stall.note(transport, written, self.least);
        }
    }

    /// The server waits for the client: when it gives up. `unflushed` bytes were written
    /// since the transport was last flushed.
    pub fn wait(&mut self, transport: &impl Transport, unflushed: usize) -> Option<Instant> {
        let held = transport.held();
        let begun = || Box::new(Stall { held: held.unwrap_or(0), ..Stall::default() });
        let stall = self.stall.get_or_insert_with(begun);
        // Of what the transport held back, some may have gone out.
        stall.note(transport, 0, self.least);
        let hidden = if held.is_none() { unflushed.min(HELD) } else { 0 };
        // Once for each quota, not for each wait: else each byte would start it again.
        stall.pace.wait(transport.now(), self.least.with(self.least.time_for(hidden)))
    }

    /// So many bytes have gone out that the transport may have held back unseen: the
    /// client had time for them as well.
    pub fn flushed(&mut self, transport: &impl Transport, bytes: usize) {
        if let Some(stall) = &mut self.stall
            && transport.held().is_none()
        {
            stall.pace.pause(transport.now());
            stall.pace.allow(self.least.time_for(bytes.min(HELD)));
        }
    }

    /// All is written; more may follow.
    pub fn pause(&mut self, transport: &impl Transport) {
        if let Some(stall) = &mut self.stall {
            stall.pace.pause(transport.now());
        }
    }

    /// All is written, and nothing follows unless the client asks for it.
    pub fn forget(&mut self) {
        self.stall = None;
    }
}

impl Stall {
    fn note(&mut self, transport: &impl Transport, written: usize, least: Least) {
        let held = transport.held().unwrap_or(0);
        let gone = (self.held + written).saturating_sub(held);
        self.held = held;
        self.pace.advance(transport.now(), gone, least);
    }
}
