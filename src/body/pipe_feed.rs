//! The end of a pipe into which bytes are put.

use std::io;
use std::mem;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::intake::Taken;
use super::pipe_state::{Outcome, Pipe, Space};
use crate::base::driving::is_driving;
use crate::base::shortcut::SharedReads;
use crate::base::stopping::Stopping;
use crate::fields::Headers;

/// The sizes of the chunks that a writer may send itself. Small chunks leave together, with fewer writes. Of a
/// chunk that the socket does not take whole, the rest is copied, so it must not be large.
const SHORTCUT: RangeInclusive<usize> = 16 * 1024..=256 * 1024;

/// The bytes that a writer sends itself before the connection is woken to count them: what is told of a connection
/// lags by no more.
pub(super) const UNNOTED: usize = 4 * 1024 * 1024;

/// The end into which bytes are put. If it is dropped without [`finish`](Self::finish), the reader
/// gets an error: a body that was cut short never looks complete.
pub(crate) struct PipeFeed(pub(super) Arc<Pipe>);

impl PipeFeed {
    /// Ready if the reader has asked and there is room, or if the reader was dropped.
    pub fn poll_space(&self, cx: &mut Context<'_>) -> Poll<Space> {
        let mut state = self.0.lock();
        if let Some(space) = state.space(self.0.capacity) {
            return Poll::Ready(space);
        }
        if !state.feeders.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.feeders.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Takes no more than the capacity from now on, until the reader has taken that.
    pub fn end_burst(&self) {
        self.0.lock().burst = None;
    }

    /// Returns the number of bytes that the reader has not taken.
    pub fn queued(&self) -> u64 {
        self.0.lock().queued as u64
    }

    /// Returns `true` if [`poll_space`](Self::poll_space) would be ready.
    pub fn has_space(&self) -> bool {
        self.0.lock().space(self.0.capacity).is_some()
    }

    /// Ready once the reader was dropped.
    pub fn poll_abandoned(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.abandoned {
            return Poll::Ready(());
        }
        if !state.watchers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.watchers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Puts a chunk in, after the caller has got [`Space::Wanted`]. Returns `false` if the chunk
    /// exceeds the length of the body.
    pub fn push(&self, chunk: Bytes) -> bool {
        let mut state = self.0.lock();
        if !state.fits(chunk.len()) {
            return false;
        }
        let reader = state.push(chunk, self.0.capacity);
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        true
    }

    /// Puts a chunk in, as [`push`](Self::push) does, and returns the waker of the reader that waits for
    /// it: for callers that have more chunks, and wake the reader after the last.
    #[must_use]
    pub fn push_ahead(&self, chunk: Bytes) -> Option<Waker> {
        self.0.lock().push(chunk, self.0.capacity)
    }

    /// Returns `false` if that many more bytes exceed the length of the body.
    pub fn fits(&self, length: usize) -> bool {
        self.0.lock().fits(length)
    }

    /// Puts a chunk in if there is room now. The error is `None` if there is no room, and
    /// [`Space::Abandoned`] if the reader was dropped.
    pub fn try_push(&self, chunk: Bytes) -> Result<(), Option<Space>> {
        let mut state = self.0.lock();
        match state.space(self.0.capacity) {
            Some(Space::Wanted) => {
                let reader = state.push(chunk, self.0.capacity);
                drop(state);
                reader.into_iter().for_each(Waker::wake);
                Ok(())
            }
            other => Err(other),
        }
    }

    /// Puts a chunk in as `try_push` does, and leaves it to [`flush`](Self::flush) to wake the reader. If there
    /// is no room, wakes it too: nothing else would make room.
    pub fn try_feed(&self, chunk: Bytes) -> Result<(), Option<Space>> {
        let mut state = self.0.lock();
        match state.space(self.0.capacity) {
            Some(Space::Wanted) => {
                state.put(chunk, self.0.capacity);
                Ok(())
            }
            other => {
                let reader = state.waiting_reader();
                drop(state);
                reader.into_iter().for_each(Waker::wake);
                Err(other)
            }
        }
    }

    /// Wakes the reader if there are chunks that it does not know of.
    pub fn flush(&self) {
        let reader = self.0.lock().waiting_reader();
        reader.into_iter().for_each(Waker::wake);
    }

    /// Writes a large chunk to the client, if its connection waits for one and has nothing else to write. Returns
    /// `false` if not: the chunk is then to be put in. The connection cannot write meanwhile, because it asks
    /// for the way back first.
    pub fn send_now(&self, chunk: &[u8]) -> bool {
        // A thread that serves connections would not come to the others while this client reads fast.
        if !SHORTCUT.contains(&chunk.len()) || is_driving() {
            return false;
        }
        let mut state = self.0.lock();
        if !state.chunks.is_empty() || state.end.is_some() || !state.fits(chunk.len()) {
            return false;
        }
        let Some(shortcut) = state.shortcut.take() else { return false };
        let Some(sent) = shortcut.send(chunk) else { return false };
        state.fed += chunk.len() as u64;
        state.past.bytes += chunk.len() as u64;
        state.past.octets += sent.octets;
        if matches!(&sent.rest, Ok(rest) if rest.is_empty()) {
            state.shortcut = Some(shortcut);
            // The connection goes on after the last byte, and does not wait for the end.
            if state.exact != Some(state.fed) && state.past.octets < UNNOTED {
                return true;
            }
        } else {
            state.past.rest = sent.rest;
        }
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        true
    }

    /// Returns `true` if the reader would receive bytes from the socket itself.
    pub fn wants_intake(&self) -> bool {
        self.0.lock().intake.is_wanted
    }

    /// Lets the reader receive the rest of the body, of `left` bytes, from the socket. Until
    /// [`end_intake`](Self::end_intake), nothing else may read the socket.
    pub fn begin_intake(&self, socket: Arc<dyn SharedReads>, left: u64) {
        let mut state = self.0.lock();
        state.intake.begin(socket, left);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Returns what the reader has received since the last call. Ready if it receives no more: it has the whole
    /// body, it was dropped, or it waits for the connection.
    pub fn poll_intake(&self, cx: &mut Context<'_>) -> (Taken, Poll<()>) {
        let mut state = self.0.lock();
        let taken = state.intake.take();
        if !state.intake.is_lent() {
            return (taken, Poll::Ready(()));
        }
        if !state.feeders.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.feeders.push(cx.waker().clone());
        }
        (taken, Poll::Pending)
    }

    /// Takes the socket back, and returns what the reader has received since.
    pub fn end_intake(&self) -> Taken {
        let mut state = self.0.lock();
        state.intake.end();
        state.intake.take()
    }

    /// Blocks the thread until there is room or the reader was dropped (`Some`), or until the
    /// deadline has passed (`None`).
    pub fn wait_space(&self, deadline: Option<Instant>) -> Option<Space> {
        let mut state = self.0.lock();
        loop {
            if let Some(space) = state.space(self.0.capacity) {
                return Some(space);
            }
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return None;
            }
            state.blocked_threads += 1;
            state = match left {
                Some(left) => self.0.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.0.room.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.blocked_threads -= 1;
        }
    }

    /// Takes bytes even before the reader first asks.
    pub fn run_ahead(&self) {
        self.0.lock().demanded = true;
    }

    /// Returns `true` if the reader was dropped.
    pub fn is_abandoned(&self) -> bool {
        self.0.lock().abandoned
    }

    /// Ends the body properly, with trailer fields.
    pub fn finish_with(&self, trailers: Headers) {
        self.0.lock().trailers = trailers;
        self.finish(Ok(()));
    }

    /// Ends the body, properly or with an error. Only the first call counts.
    pub fn finish(&self, end: io::Result<()>) {
        let mut state = self.0.lock();
        if state.end.is_none() {
            state.end = Some(end);
            let reader = state.reader.take();
            drop(state);
            reader.into_iter().for_each(Waker::wake);
        }
    }

    /// Returns a future that is ready once the server that sends the body begins to stop.
    pub fn stopping(&self) -> Stopping {
        Stopping::new(Some(Arc::clone(self.0.lock().stopping.get_or_insert_default())))
    }

    /// Returns how the body ends if it is finished now.
    pub fn outcome(&self) -> Outcome {
        self.0.lock().outcome()
    }
}

impl Drop for PipeFeed {
    fn drop(&mut self) {
        self.0.lock().intake.end();
        self.finish(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the body was cut short")));
        // Nobody waits on this side any more. A slow reader would keep what the wakers hold for long.
        let mut state = self.0.lock();
        let wakers = (mem::take(&mut state.feeders), mem::take(&mut state.watchers));
        drop(state);
        drop(wakers);
    }
}
