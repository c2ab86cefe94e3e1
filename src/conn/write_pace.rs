//! The pace at which a client must take what is written to it, over any transport.

use std::time::Instant;

use super::Transport;
use super::pace::{Least, Pace};

/// The most bytes that a transport may hold back, as assumed if it cannot tell.
const HELD: usize = 64 * 1024;

/// The pace of a client that takes what is written. Bytes count when they leave the transport,
/// because a transport such as TLS holds some back.
pub(super) struct WritePace {
    least: Least,
    /// `None` until the client makes the server wait. On the heap, because few clients do: an
    /// idle connection is 40 bytes smaller.
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

    /// Notes that the transport has taken so many bytes.
    #[inline]
    pub fn note(&mut self, transport: &impl Transport, written: usize) {
        if let Some(stall) = &mut self.stall {
            stall.note(transport, written, self.least);
        }
    }

    /// Notes that the server waits for the client, and returns when it gives up. `unflushed`
    /// bytes were written since the transport was last flushed.
    pub fn wait(&mut self, transport: &impl Transport, unflushed: usize) -> Option<Instant> {
        let held = transport.held();
        let begun = || Box::new(Stall { held: held.unwrap_or(0), ..Stall::default() });
        let stall = self.stall.get_or_insert_with(begun);
        // Some of the bytes that the transport held back may have gone out.
        stall.note(transport, 0, self.least);
        let hidden = if held.is_none() { unflushed.min(HELD) } else { 0 };
        // The extra time counts once for each quota. Otherwise each byte would start it again.
        stall.pace.wait(transport.now(), self.least.with(self.least.time_for(hidden)))
    }

    /// Notes that a flush has sent bytes that the transport may have held back. The time for them
    /// does not count.
    pub fn flushed(&mut self, transport: &impl Transport, bytes: usize) {
        if let Some(stall) = &mut self.stall
            && transport.held().is_none()
        {
            stall.pace.pause(transport.now());
            stall.pace.allow(self.least.time_for(bytes.min(HELD)));
        }
    }

    /// Notes that all is written. More may follow.
    pub fn pause(&mut self, transport: &impl Transport) {
        if let Some(stall) = &mut self.stall {
            stall.pace.pause(transport.now());
        }
    }

    /// Forgets the client's pace: all is written, and more follows only if the client asks.
    pub fn forget(&mut self) {
        self.stall = None;
    }
}

impl Stall {
    fn note(&mut self, transport: &impl Transport, written: usize, least: Least) {
        let held = transport.held().unwrap_or(0);
        let gone = (self.held + written).saturating_sub(held);
        self.held = held;
        self.pace.advance(transport.now(), gone as u64, least);
    }
}
