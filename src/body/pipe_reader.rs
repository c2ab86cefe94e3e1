//! The end of a pipe from which bytes are taken.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::Stream;

use super::intake::BodySource;
use super::past::Past;
use super::pipe_state::Pipe;
use crate::base::driving::{is_driving, is_held};
use crate::base::shortcut::Shortcut;
use crate::base::wakes::wake_after_turn;
use crate::fields::Headers;

/// The time for which a writer may write a body that is not sent, without an error.
const DISCARD_FOR: Duration = Duration::from_secs(30);

/// The end from which bytes are taken.
pub(crate) struct PipeReader(pub(super) Arc<Pipe>);

impl PipeReader {
    /// Returns a function that returns the trailer fields, once the body has ended.
    pub fn trailers(&self) -> impl FnOnce() -> Headers + Send + use<> {
        let pipe = Arc::clone(&self.0);
        move || mem::take(&mut pipe.lock().trailers)
    }

    /// Returns `true` if no chunk waits.
    pub fn is_drained(&self) -> bool {
        self.0.lock().chunks.is_empty()
    }

    /// Announces that [`lend`](Self::lend) will be called. A thread that waits for room is then woken after the
    /// turn of the connection: at once, it would put its next chunk in before the connection waits for one.
    pub fn will_lend(&self) {
        self.0.lock().lends = true;
    }

    /// Lets the writer send large chunks past the pipe, until [`take_past`](Self::take_past).
    pub fn lend(&self, shortcut: &Arc<dyn Shortcut>) {
        self.0.lock().shortcut = Some(Arc::clone(shortcut));
    }

    /// Takes the way past the pipe back, and returns what went there.
    pub fn take_past(&self) -> Past {
        let mut state = self.0.lock();
        state.shortcut = None;
        mem::take(&mut state.past)
    }

    /// Sets the length of the body, for the writer.
    pub fn expect(&self, length: u64) {
        self.0.lock().exact = Some(length);
    }

    /// Receives bytes from the socket, if the connection lets this thread; see [`Body::receive`](super::Body::receive).
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<Result<usize, BodySource>> {
        let mut state = self.0.lock();
        // A thread that serves connections reads the socket as their task.
        state.intake.is_wanted = !is_driving() && !is_held();
        if !state.intake.is_wanted || !state.chunks.is_empty() {
            return None;
        }
        let received = state.intake.receive(buffer);
        if state.intake.is_whole() {
            state.intake.end();
            state.end.get_or_insert(Ok(()));
        } else if received.is_none() {
            let feeders = state.give_back();
            drop(state);
            feeders.into_iter().for_each(Waker::wake);
        }
        received
    }

    /// Returns `true` if [`receive`](Self::receive) may have something.
    pub fn may_receive(&self) -> bool {
        !is_driving() && self.0.lock().intake.may_have_more()
    }

    /// Tells the writer that the server begins to stop.
    pub fn begin_stop(&self) {
        let signal = Arc::clone(self.0.lock().stopping.get_or_insert_default());
        signal.give();
    }

    /// Records that the body is not sent: the writer's bytes are taken and dropped. This lasts 30
    /// seconds only, so that an endless writer ends too.
    pub fn discard(&self) {
        let mut state = self.0.lock();
        if state.unwanted.is_none() {
            state.unwanted = Some(Instant::now() + DISCARD_FOR);
            self.0.abandon(state);
        }
    }
}

impl Stream for PipeReader {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut given_back = Vec::new();
        let mut state = self.0.lock();
        let item = if let Some(chunk) = state.chunks.pop_front() {
            state.queued -= chunk.len();
            Poll::Ready(Some(Ok(chunk)))
        } else {
            match state.end.take() {
                Some(Ok(())) => {
                    state.end = Some(Ok(()));
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    state.end = Some(Ok(()));
                    return Poll::Ready(Some(Err(error)));
                }
                None if is_held() => {
                    let why = "the body would come over a connection that this thread serves";
                    return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::Deadlock, why))));
                }
                None => {
                    state.demanded = true;
                    state.reader = Some(cx.waker().clone());
                    given_back = state.give_back();
                    Poll::Pending
                }
            }
        };
        let has_room = state.queued < self.0.capacity;
        if has_room {
            state.burst = Some(is_driving());
        }
        let feeders = if has_room { mem::take(&mut state.feeders) } else { Vec::new() };
        let (blocked, lends) = (state.blocked_threads, state.lends);
        drop(state);
        if blocked > 0 && lends {
            wake_after_turn(&Waker::from(Arc::clone(&self.0)));
        } else if blocked > 0 {
            self.0.room.notify_all();
        }
        feeders.into_iter().chain(given_back).for_each(Waker::wake);
        item
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.shortcut = None;
        // A reader that has taken the whole body does not wait for its end.
        if state.exact != Some(state.fed - state.queued as u64) {
            self.0.abandon(state);
        }
    }
}
