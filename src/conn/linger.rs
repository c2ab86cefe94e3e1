//! The lingering close: closing so that the client can read its last answer.
//!
//! A close with bytes unread makes the kernel send a reset, which may overtake the
//! answer (RFC 9112 9.6). So the server closes its sending side, then reads and drops
//! what the client still sends. Time bounds the linger, not an amount of bytes: a client
//! that uploads 20 MiB to a path that does not exist reads its 404 after the upload.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::wire::{CLOSE, Wire};
use super::{Session, Stage, Transport};
use crate::config::Timeouts;

/// Reads in a row before other connections of the thread have their turn.
const READS_PER_TURN: usize = 16;

impl<T: Transport> Wire<'_, T> {
    /// Writes the output buffer, and drops the bytes that arrive meanwhile, because a client may send
    /// all of its request before it reads.
    pub async fn flush_dropping(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            let flushed = self.poll_flush(cx);
            if flushed.is_pending() {
                self.drop_some(cx);
            }
            flushed
        })
        .await
    }

    /// Closes so that the client can read the last answer: writes the output buffer, closes the
    /// sending side, then reads and drops what the client still sends until the client closes
    /// or its time is over. A server that stops or needs room shortens that time. Returns `false` if
    /// the client used up its whole time.
    pub async fn linger(&mut self, timeouts: &Timeouts, session: Option<&Session>) -> bool {
        if self.flush_dropping().await.is_err() || !self.close(timeouts.drain).await {
            return true;
        }
        let mut linger = Linger { whole: self.deadline(timeouts.linger), quiet: None, ending: None };
        poll_fn(|cx| linger.poll(cx, self, timeouts, session)).await
    }
}

/// The deadlines of a linger.
struct Linger {
    whole: Option<Instant>,
    /// The time since which no byte has arrived.
    quiet: Option<Instant>,
    /// The deadline once the server stops or needs room.
    ending: Option<Instant>,
}

impl Linger {
    /// Ready when the linger is over: with `false` if the client used up its whole time.
    fn poll<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<'_, T>,
        timeouts: &Timeouts,
        session: Option<&Session>,
    ) -> Poll<bool> {
        if self.ending.is_none() && session.is_some_and(|session| session.has_reached(Stage::Leaving)) {
            self.ending = wire.deadline(timeouts.drain.or(Some(CLOSE)));
        }
        for _ in 0..READS_PER_TURN {
            match wire.poll_drop(cx) {
                Poll::Ready(Ok(length)) if length > 0 => self.quiet = None,
                Poll::Ready(_) => return Poll::Ready(true),
                Poll::Pending => {
                    let quiet = *self.quiet.get_or_insert_with(|| wire.now());
                    let after = |patience: Option<Duration>| quiet.checked_add(patience?);
                    let usual = self.whole.into_iter().chain(after(timeouts.linger_idle)).min();
                    // Others wait for this connection: a silent client gets less time.
                    let waited_for = after(timeouts.drain.filter(|_| wire.is_waited_for()));
                    let end = usual.into_iter().chain(self.ending).chain(waited_for).min();
                    return wire.poll_deadline(cx, end).map(|()| usual != end);
                }
            }
        }
        let now = wire.now();
        if self.whole.into_iter().chain(self.ending).any(|end| end <= now) {
            return Poll::Ready(self.whole.is_none_or(|whole| whole > now));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
