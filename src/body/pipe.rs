//! A bounded pipe that passes bytes from one task or thread to another: a request body to its
//! handler, or a response body from its writer.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_lite::Stream;

use super::past::Past;
use crate::base::driving::{is_driving, is_held};
use crate::base::shortcut::Shortcut;
use crate::base::stopping::{StopSignal, Stopping};
use crate::base::wakes::wake_after_turn;
use crate::fields::Headers;

/// The time for which a writer may write a body that is not sent, without an error.
const DISCARD_FOR: Duration = Duration::from_secs(30);

/// The capacities that a pipe between a thread that serves connections and another thread takes in a
/// row. Each change between the two threads then moves several chunks: an upload of 100 MiB, read from
/// Python in pieces of 64 KiB, made 3,290 futex calls, and makes 830 (strace -c, 2026-11).
const BURST: usize = 4;

/// The sizes of the chunks that a writer may send itself. Small chunks leave together, with fewer writes. Of a
/// chunk that the socket does not take whole, the rest is copied, so it must not be large.
const SHORTCUT: RangeInclusive<usize> = 16 * 1024..=256 * 1024;

/// The bytes that a writer sends itself before the connection is woken to count them: what is told of a connection
/// lags by no more.
const UNNOTED: usize = 4 * 1024 * 1024;

/// Returns both ends of a pipe that takes chunks while it holds fewer than `capacity` bytes. Between a
/// thread that serves connections and another thread, it takes chunks up to four times that, and then
/// none until fewer than `capacity` bytes are left.
pub(crate) fn pipe(capacity: usize) -> (PipeFeed, PipeReader) {
    let pipe = Arc::new(Pipe {
        capacity,
        state: Mutex::new(PipeState {
            chunks: VecDeque::new(),
            queued: 0,
            end: None,
            trailers: Headers::new(),
            demanded: false,
            burst: None,
            abandoned: false,
            reader: None,
            feeders: Vec::new(),
            watchers: Vec::new(),
            blocked_threads: 0,
            fed: 0,
            exact: None,
            unwanted: None,
            stopping: None,
            lends: false,
            shortcut: None,
            past: Past::default(),
        }),
        room: Condvar::new(),
    });
    (PipeFeed(Arc::clone(&pipe)), PipeReader(pipe))
}

struct Pipe {
    capacity: usize,
    state: Mutex<PipeState>,
    /// Notified when there is room, for writers that block their thread.
    room: Condvar,
}

struct PipeState {
    chunks: VecDeque<Bytes>,
    queued: usize,
    end: Option<io::Result<()>>,
    /// The trailer fields.
    trailers: Headers,
    /// True once the reader has asked for a chunk.
    demanded: bool,
    /// Set while the pipe takes a burst of chunks: whether the thread that reads serves connections.
    burst: Option<bool>,
    /// True once the reader was dropped.
    abandoned: bool,
    reader: Option<Waker>,
    /// The wakers of tasks that wait for room. Tasks may share a writer, and each waits.
    feeders: Vec<Waker>,
    /// The wakers of tasks that wait until the reader is dropped.
    watchers: Vec<Waker>,
    /// The number of threads that wait for room. Without any, no system call notifies them: 100 MiB
    /// of upload took 3,447 futex calls and takes 1 (strace -c).
    blocked_threads: usize,
    /// The number of bytes that were put in so far.
    fed: u64,
    /// The length of the body, if it is known.
    exact: Option<u64>,
    /// Set if the body is not sent, because of the request method or the status: the time until
    /// which the pipe takes bytes and drops them.
    unwanted: Option<Instant>,
    /// Given when the server that sends the body begins to stop. Made when a writer first asks,
    /// or when the stop begins.
    stopping: Option<Arc<StopSignal>>,
    /// True if the connection lets large chunks go past the pipe while it waits for one.
    lends: bool,
    /// The way past the pipe, while the connection waits for a chunk and has nothing to write.
    shortcut: Option<Arc<dyn Shortcut>>,
    /// The chunks that the writer has sent itself since the connection last took this.
    past: Past,
}

/// The state of a pipe for the side that feeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// The reader wants more.
    Wanted,
    /// The reader was dropped. The rest will not be read.
    Abandoned,
}

/// The end of a body, as its writer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of the body was put in, or the body is not sent.
    Whole,
    /// The reader was dropped.
    Abandoned,
    /// Fewer bytes than the body's length were put in.
    TooShort,
    /// More bytes than the body's length were put in, before the length was known.
    TooLong,
}

/// The end into which bytes are put. If it is dropped without [`finish`](Self::finish), the reader
/// gets an error: a body that was cut short never looks complete.
pub(crate) struct PipeFeed(Arc<Pipe>);

/// The end from which bytes are taken.
pub(crate) struct PipeReader(Arc<Pipe>);

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the pipe is not read any more.
    fn abandon(&self, mut state: MutexGuard<'_, PipeState>) {
        state.abandoned = true;
        state.shortcut = None;
        let chunks = mem::take(&mut state.chunks);
        let (feeders, watchers) = (mem::take(&mut state.feeders), mem::take(&mut state.watchers));
        let blocked = state.blocked_threads;
        drop(state);
        drop(chunks);
        if blocked > 0 {
            self.room.notify_all();
        }
        feeders.into_iter().chain(watchers).for_each(Waker::wake);
    }
}

/// Wakes the threads that wait for room.
impl Wake for Pipe {
    fn wake(self: Arc<Self>) {
        self.room.notify_all();
    }
}

impl PipeState {
    fn space(&self, capacity: usize) -> Option<Space> {
        if self.abandoned {
            let dropped = self.unwanted.is_some_and(|until| Instant::now() < until);
            Some(if dropped { Space::Wanted } else { Space::Abandoned })
        } else if self.demanded && (self.queued < capacity || self.is_in_burst(capacity)) {
            Some(Space::Wanted)
        } else {
            None
        }
    }

    /// Returns `true` if the thread that calls this may put in more than the capacity.
    fn is_in_burst(&self, capacity: usize) -> bool {
        self.queued < capacity * BURST && self.burst.is_some_and(|reader| reader != is_driving())
    }

    /// Returns `true` if that many more bytes stay within the length of the body.
    fn fits(&self, length: usize) -> bool {
        let after = self.fed.saturating_add(length as u64);
        self.unwanted.is_some() || self.exact.is_none_or(|exact| after <= exact)
    }

    /// Returns how the body ends if nothing more is put in.
    fn outcome(&self) -> Outcome {
        match self.exact {
            _ if self.unwanted.is_some() => Outcome::Whole,
            _ if self.abandoned => Outcome::Abandoned,
            Some(exact) if self.fed < exact => Outcome::TooShort,
            Some(exact) if self.fed > exact => Outcome::TooLong,
            _ => Outcome::Whole,
        }
    }

    /// Puts a chunk in and returns the reader's waker.
    fn push(&mut self, chunk: Bytes, capacity: usize) -> Option<Waker> {
        if self.put(chunk, capacity) { self.reader.take() } else { None }
    }

    /// Puts a chunk in. Returns `false` if it drops it. It drops an empty chunk: it takes no room, so the pipe
    /// could fill with any number of them.
    fn put(&mut self, chunk: Bytes, capacity: usize) -> bool {
        if chunk.is_empty() || self.abandoned {
            return false;
        }
        self.fed += chunk.len() as u64;
        self.queued += chunk.len();
        if self.queued >= capacity * BURST {
            self.burst = None;
        }
        self.chunks.push_back(chunk);
        true
    }

    /// Returns the waker of a reader that waits although there are chunks.
    fn waiting_reader(&mut self) -> Option<Waker> {
        if self.chunks.is_empty() { None } else { self.reader.take() }
    }
}

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
        self.finish(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the body was cut short")));
        // Nobody waits on this side any more. A slow reader would keep what the wakers hold for long.
        let mut state = self.0.lock();
        let wakers = (mem::take(&mut state.feeders), mem::take(&mut state.watchers));
        drop(state);
        drop(wakers);
    }
}

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
        feeders.into_iter().for_each(Waker::wake);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::driving::driving;
    use crate::base::shortcut::Sent;
    use futures_lite::future::{block_on, poll_fn};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_writer_that_is_dropped_keeps_no_waker() {
        let (feed, _reader) = pipe(1);
        feed.run_ahead();
        feed.push("full".into());
        let count = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&count));
        assert!(feed.poll_space(&mut Context::from_waker(&waker)).is_pending());
        assert!(feed.poll_abandoned(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 3);
        drop(feed);
        assert_eq!(Arc::strong_count(&count), 1);
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

    /// Takes a chunk on a thread that serves connections.
    fn take(reader: &mut PipeReader) {
        let chunk = driving(|| block_on(poll_fn(|cx| Pin::new(&mut *reader).poll_next(cx))));
        assert_eq!(chunk.unwrap().unwrap(), "full");
    }

    /// Fills a pipe, and returns how many chunks it has taken.
    fn fill(feed: &PipeFeed) -> usize {
        (0..100).take_while(|_| feed.try_push("full".into()).is_ok()).count()
    }

    #[test]
    fn a_reader_on_a_thread_of_another_kind_gets_several_chunks_in_a_row() {
        let (feed, mut reader) = pipe(4);
        feed.run_ahead();
        assert_eq!(fill(&feed), 1, "the reader has taken nothing");
        take(&mut reader);
        assert_eq!(fill(&feed), BURST);
        for _ in 1..BURST {
            take(&mut reader);
            assert!(!feed.has_space(), "the reader still has chunks");
        }
        take(&mut reader);
        assert_eq!(driving(|| fill(&feed)), 1, "they take turns on one thread");
        feed.end_burst();
        assert!(!feed.has_space());
    }

    /// A way past the pipe on which so many bytes fit. It remembers how many chunks tried it.
    struct Way(usize, AtomicUsize);

    impl Shortcut for Way {
        fn send(&self, chunk: &[u8]) -> Option<Sent> {
            self.1.fetch_add(1, Ordering::Relaxed);
            let octets = chunk.len().min(self.0);
            (octets > 0).then(|| Sent { octets, rest: Ok(Bytes::copy_from_slice(&chunk[octets..])) })
        }
    }

    const LARGE: [u8; 16 * 1024] = [7; 16 * 1024];

    /// Polls a reader that finds nothing. Returns how often it was woken since.
    fn waiting(reader: &mut PipeReader) -> impl Fn() -> usize + use<> {
        let count = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&count));
        assert!(Pin::new(reader).poll_next(&mut Context::from_waker(&waker)).is_pending());
        move || count.0.load(Ordering::Relaxed)
    }

    #[test]
    fn large_chunks_go_past_the_pipe_while_the_reader_waits_and_lets_them() {
        let (feed, mut reader) = pipe(1 << 20);
        let way = Arc::new(Way(usize::MAX, AtomicUsize::new(0)));
        let shortcut: Arc<dyn Shortcut> = Arc::clone(&way) as _;
        let woken = waiting(&mut reader);
        assert!(!feed.send_now(&LARGE), "it is not let");
        reader.lend(&shortcut);
        assert!(!feed.send_now(&LARGE[1..]) && !feed.send_now(&vec![0; 256 * 1024 + 1]));
        assert!(!driving(|| feed.send_now(&LARGE)), "other connections would wait");
        assert!(feed.send_now(&LARGE) && feed.send_now(&LARGE));
        assert_eq!((way.1.load(Ordering::Relaxed), woken(), feed.queued()), (2, 0, 0));
        feed.try_feed("small".into()).unwrap();
        assert!(!feed.send_now(&LARGE), "another one is before it");
        let past = reader.take_past();
        assert_eq!((past.bytes, past.octets, past.rest.unwrap().len()), (32 * 1024, 32 * 1024, 0));
        assert_eq!(reader.take_past().bytes, 0);
        block_on(poll_fn(|cx| Pin::new(&mut reader).poll_next(cx))).unwrap().unwrap();
        assert!(!feed.send_now(&LARGE), "it is taken back");
        reader.lend(&shortcut);
        reader.expect(3 * LARGE.len() as u64);
        assert!(!feed.send_now(&vec![0; 64 * 1024]), "the body would be too long");
        drop(reader);
        assert!(!feed.send_now(&LARGE));
        assert_eq!((way.1.load(Ordering::Relaxed), Arc::strong_count(&way)), (2, 2));
    }

    #[test]
    fn the_reader_writes_what_does_not_fit_and_is_woken_after_the_last_byte() {
        let (feed, mut reader) = pipe(1 << 20);
        for (fits, octets, wakes) in [(0, 0, 0), (1, 1, 1), (LARGE.len(), LARGE.len(), 0)] {
            let woken = waiting(&mut reader);
            reader.lend(&(Arc::new(Way(fits, AtomicUsize::new(0))) as _));
            assert_eq!(feed.send_now(&LARGE), fits > 0);
            assert_eq!(feed.send_now(&LARGE), wakes == 0 && fits > 0);
            assert_eq!(woken(), wakes);
            let past = reader.take_past();
            assert_eq!(past.octets, if wakes == 0 { 2 * octets } else { octets });
            assert_eq!(past.rest.unwrap().len(), if wakes == 0 { 0 } else { LARGE.len() - octets });
        }
        let woken = waiting(&mut reader);
        reader.lend(&(Arc::new(Way(usize::MAX, AtomicUsize::new(0))) as _));
        reader.expect(4 * LARGE.len() as u64);
        assert!(feed.send_now(&LARGE));
        assert_eq!((woken(), feed.outcome()), (1, Outcome::Whole));
    }

    #[test]
    fn the_reader_is_woken_now_and_then_to_count() {
        let (feed, mut reader) = pipe(1);
        let woken = waiting(&mut reader);
        reader.lend(&(Arc::new(Way(usize::MAX, AtomicUsize::new(0))) as _));
        for chunks in 1..=2 * UNNOTED / LARGE.len() {
            assert!(feed.send_now(&LARGE));
            assert_eq!(woken(), usize::from(chunks * LARGE.len() >= UNNOTED), "it is woken once");
        }
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
