//! The read side of a connection's socket, lent to the reader of a request's body.
//!
//! A reader on a thread that serves no connections, which takes the bytes into memory of its own, receives them
//! itself while they come fast: they are copied once less, and no thread is woken for each part. 100 MiB to a plain
//! handler in Python cost 1.42 times as much CPU as a raw read, and cost 1.05 times as much (benches/streams,
//! 2026-12).

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Transport;
use super::wire::Wire;
use crate::body::{PipeFeed, Taken};

/// A client that sends that many bytes at once is read by the reader of the body itself.
pub(super) const MUCH: u64 = 8 * 1024;
/// The longest that a connection leaves its socket to a reader before it looks at the client itself.
const LONGEST: Duration = Duration::from_secs(1);

/// The time for which the reader of a body has the read side of the socket.
pub(super) struct Loan {
    until: Option<Instant>,
    /// The bytes that the reader has received.
    bytes: u64,
}

impl Loan {
    /// Lends the socket for the rest of the body, of `left` bytes, if the reader receives bytes itself and something
    /// has come that was not read yet.
    pub fn begin<T: Transport>(
        cx: &mut Context<'_>,
        wire: &mut Wire<'_, T>,
        feed: &PipeFeed,
        left: u64,
    ) -> Option<Self> {
        let is_free = wire.input.is_empty() && !wire.has_ended() && wire.is_flushed();
        if left < MUCH || !is_free || !feed.wants_intake() || wire.poll_readable(cx).is_pending() {
            return None;
        }
        let socket = wire.lend_reads()?;
        wire.input.release();
        feed.begin_intake(socket, left);
        Some(Self { until: wire.deadline(Some(LONGEST)), bytes: 0 })
    }

    /// Returns what the reader has received since the last call. Ready if the loan is to end: the reader has given
    /// the socket back or needs it no more, the client has closed, or the time is over.
    pub fn poll<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<'_, T>,
        feed: &PipeFeed,
    ) -> (Taken, Poll<()>) {
        let (taken, ended) = feed.poll_intake(cx);
        self.bytes += taken.bytes;
        let is_over = ended.is_ready()
            || wire.poll_readable(cx).is_ready()
            || wire.poll_deadline(cx, self.until).is_ready();
        (taken, if is_over { Poll::Ready(()) } else { Poll::Pending })
    }

    /// Takes the socket back. Returns what the reader has received since the last poll, and whether another loan is
    /// worth it.
    pub fn end<T: Transport>(self, wire: &mut Wire<'_, T>, feed: &PipeFeed) -> (Taken, bool) {
        let taken = feed.end_intake();
        wire.end_loan();
        let is_fast = self.bytes + taken.bytes >= MUCH;
        (taken, is_fast)
    }
}
