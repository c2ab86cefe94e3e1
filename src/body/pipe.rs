//! A bounded hand-over of bytes from one task or thread to another: a request
//! body on its way to a handler, a response body on its way from a writer.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::Stream;

use crate::base::driving::is_held;
use crate::fields::Headers;

/// How long a writer may go on writing a body that is not sent.
const DISCARD_FOR: Duration = Duration::from_secs(30);

/// A pipe that takes chunks while fewer than `capacity` bytes are inside.
pub(crate) fn pipe(capacity: usize) -> (PipeFeed, PipeReader) {
    let pipe = Arc::new(Pipe {
        capacity,
        state: Mutex::new(PipeState {
            chunks: VecDeque::new(),
            queued: 0,
            end: None,
            trailers: Headers::new(),
            demanded: false,
            abandoned: false,
            reader: None,
            feeders: Vec::new(),
            watchers: Vec::new(),
            blocked_threads: 0,
            fed: 0,
            exact: None,
            unwanted: None,
        }),
        room: Condvar::new(),
    });
    (PipeFeed(Arc::clone(&pipe)), PipeReader(pipe))
}

struct Pipe {
    capacity: usize,
    state: Mutex<PipeState>,
    /// For writers that block their thread.
    room: Condvar,
}

struct PipeState {
    chunks: VecDeque<Bytes>,
    queued: usize,
    end: Option<io::Result<()>>,
    /// What stood behind the last chunk.
    trailers: Headers,
    /// The reader has asked at least once.
    demanded: bool,
    /// The reader was dropped.
    abandoned: bool,
    reader: Option<Waker>,
    /// A writer may be shared, and each of its tasks waits for room.
    feeders: Vec<Waker>,
    /// Tasks that wait for the reader's end.
    watchers: Vec<Waker>,
    /// Threads that wait for room: to tell them costs a system call.
    blocked_threads: usize,
    /// Bytes put in so far, in all.
    fed: u64,
    /// The bytes there must be in all, if that is known.
    exact: Option<u64>,
    /// The body is not sent, since the request or the status forbids it: until then
    /// bytes are taken and dropped.
    unwanted: Option<Instant>,
}

/// What the feeding side may do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// The reader wants more.
    Wanted,
    /// The reader was dropped: nobody will read the rest.
    Abandoned,
}

/// How a body ended, as its writer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of it was put in, or none of it is sent.
    Whole,
    /// Nobody reads the rest.
    Abandoned,
    /// Fewer bytes than the body's length were put in.
    TooShort,
    /// More bytes than the body's length were put in, before that was known.
    TooLong,
}

/// The end that bytes go into. Dropped without [`finish`](Self::finish), the
/// reader sees an error: a body that was cut short never looks complete.
pub(crate) struct PipeFeed(Arc<Pipe>);

/// The end that bytes come out of.
pub(crate) struct PipeReader(Arc<Pipe>);

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody reads from now on.
    fn abandon(&self, mut state: MutexGuard<'_, PipeState>) {
        state.abandoned = true;
        let chunks = std::mem::take(&mut state.chunks);
        let (feeders, watchers) = (std::mem::take(&mut state.feeders), std::mem::take(&mut state.watchers));
        drop(state);
        drop(chunks);
        self.room.notify_all();
        feeders.into_iter().chain(watchers).for_each(Waker::wake);
    }
}

impl PipeState {
    fn space(&self, capacity: usize) -> Option<Space> {
        if self.abandoned {
            let dropped = self.unwanted.is_some_and(|until| Instant::now() < until);
            Some(if dropped { Space::Wanted } else { Space::Abandoned })
        } else if self.demanded && self.queued < capacity {
            Some(Space::Wanted)
        } else {
            None
        }
    }

    /// Whether that many more bytes stay within the length of the body.
    fn fits(&self, length: usize) -> bool {
        let after = self.fed.saturating_add(length as u64);
        self.unwanted.is_some() || self.exact.is_none_or(|exact| after <= exact)
    }

    /// How a body ends that has been put in whole, as its writer sees it.
    fn outcome(&self) -> Outcome {
        match self.exact {
            _ if self.unwanted.is_some() => Outcome::Whole,
            _ if self.abandoned => Outcome::Abandoned,
            Some(exact) if self.fed < exact => Outcome::TooShort,
            Some(exact) if self.fed > exact => Outcome::TooLong,
            _ => Outcome::Whole,
        }
    }

    /// An empty chunk takes no room, so there could be any number of them.
    fn push(&mut self, chunk: Bytes) -> Option<Waker> {
        if chunk.is_empty() || self.abandoned {
            return None;
        }
        self.fed += chunk.len() as u64;
        self.queued += chunk.len();
        self.chunks.push_back(chunk);
        self.reader.take()
    }
}

impl PipeFeed {
    /// Ready when the reader has asked and there is room, or when it is gone.
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

    /// Bytes that the reader has not taken.
    pub fn queued(&self) -> u64 {
        self.0.lock().queued as u64
    }

    /// Whether there is something to do without waiting: room, or no reader any more.
    pub fn has_space(&self) -> bool {
        self.0.lock().space(self.0.capacity).is_some()
    }

    /// Ready when the reader is gone.
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

    /// Puts a chunk in; the caller has seen [`Space::Wanted`]. Returns `false` if the
    /// chunk goes beyond the length of the body.
    pub fn push(&self, chunk: Bytes) -> bool {
        let mut state = self.0.lock();
        if !state.fits(chunk.len()) {
            return false;
        }
        let reader = state.push(chunk);
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        true
    }

    /// Returns `false` if that many more bytes go beyond the length of the body.
    pub fn fits(&self, length: usize) -> bool {
        self.0.lock().fits(length)
    }

    /// Puts a chunk in if there is room now; says what stood against it.
    pub fn try_push(&self, chunk: Bytes) -> Result<(), Option<Space>> {
        let mut state = self.0.lock();
        match state.space(self.0.capacity) {
            Some(Space::Wanted) => {
                let reader = state.push(chunk);
                drop(state);
                reader.into_iter().for_each(Waker::wake);
                Ok(())
            }
            other => Err(other),
        }
    }

    /// Blocks the thread until there is room, the reader is gone (`Some`), or
    /// the deadline has passed (`None`).
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

    /// Lets bytes in before the reader first asks.
    pub fn run_ahead(&self) {
        self.0.lock().demanded = true;
    }

    /// Whether the reader was dropped.
    pub fn is_abandoned(&self) -> bool {
        self.0.lock().abandoned
    }

    /// Ends the body well, with trailer fields.
    pub fn finish_with(&self, trailers: Headers) {
        self.0.lock().trailers = trailers;
        self.finish(Ok(()));
    }

    /// Ends the body, well or with an error. Only the first call counts.
    pub fn finish(&self, end: io::Result<()>) {
        let mut state = self.0.lock();
        if state.end.is_none() {
            state.end = Some(end);
            let reader = state.reader.take();
            drop(state);
            reader.into_iter().for_each(Waker::wake);
        }
    }

    /// How the body ends if it is finished now.
    pub fn outcome(&self) -> Outcome {
        self.0.lock().outcome()
    }
}

impl Drop for PipeFeed {
    fn drop(&mut self) {
        self.finish(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the body was cut short")));
    }
}

impl PipeReader {
    /// What gives the trailer fields, once the body has ended.
    pub fn trailers(&self) -> impl FnOnce() -> Headers + Send + use<> {
        let pipe = Arc::clone(&self.0);
        move || std::mem::take(&mut pipe.lock().trailers)
    }

    /// Tells the writer that the body has that many bytes in all.
    pub fn expect(&self, length: u64) {
        self.0.lock().exact = Some(length);
    }

    /// Tells the writer that the body will not be sent: what it writes is taken and
    /// dropped. A writer without end must end all the same, so that is for a while only.
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
                    Poll::Pending
                }
            }
        };
        let has_room = state.queued < self.0.capacity;
        let feeders = if has_room { std::mem::take(&mut state.feeders) } else { Vec::new() };
        let blocked = state.blocked_threads;
        drop(state);
        if blocked > 0 {
            self.0.room.notify_all();
        }
        feeders.into_iter().for_each(Waker::wake);
        item
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let state = self.0.lock();
        // A reader that has taken the whole length has no reason to wait for the end.
        if state.exact != Some(state.fed - state.queued as u64) {
            self.0.abandon(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_fn};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_writer_that_waits_is_woken() {
        let (feed, mut reader) = pipe(1);
        feed.run_ahead();
        feed.push("full".into());
        let counts = [Arc::<Count>::default(), Arc::<Count>::default()];
        for count in &counts {
            let waker = Waker::from(Arc::clone(count));
            for _ in 0..3 {
                assert!(feed.poll_space(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        block_on(poll_fn(|cx| Pin::new(&mut reader).poll_next(cx))).unwrap().unwrap();
        assert_eq!(counts.map(|count| count.0.load(Ordering::Relaxed)), [1, 1]);
    }

    #[test]
    fn a_thread_that_waits_for_room_is_told_of_it() {
        let (feed, mut reader) = pipe(1);
        feed.run_ahead();
        feed.push("full".into());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| feed.wait_space(None));
            while feed.0.lock().blocked_threads == 0 {
                std::thread::yield_now();
            }
            block_on(poll_fn(|cx| Pin::new(&mut reader).poll_next(cx))).unwrap().unwrap();
            assert_eq!(waiting.join().unwrap(), Some(Space::Wanted));
        });
        feed.push("full".into());
        assert_eq!(feed.wait_space(Some(Instant::now())), None);
        assert_eq!(feed.0.lock().blocked_threads, 0);
    }
}
