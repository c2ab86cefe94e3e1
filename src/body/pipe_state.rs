//! The state of a pipe, which its two ends share: its chunks, its end, and the tasks and threads that wait.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::Instant;

use bytes::Bytes;

use super::intake::Intake;
use super::past::Past;
use crate::base::driving::is_driving;
use crate::base::shortcut::Shortcut;
use crate::base::stopping::StopSignal;
use crate::fields::Headers;

/// The capacities that a pipe between a thread that serves connections and another thread takes in a
/// row. Each change between the two threads then moves several chunks: an upload of 100 MiB, read from
/// Python in pieces of 64 KiB, made 3,290 futex calls, and makes 830 (strace -c, 2026-11).
pub(super) const BURST: usize = 4;

/// The part of a pipe that its two ends share.
pub(super) struct Pipe {
    pub capacity: usize,
    pub state: Mutex<PipeState>,
    /// Notified when there is room, for writers that block their thread.
    pub room: Condvar,
}

pub(super) struct PipeState {
    pub chunks: VecDeque<Bytes>,
    pub queued: usize,
    pub end: Option<io::Result<()>>,
    /// The trailer fields.
    pub trailers: Headers,
    /// True once the reader has asked for a chunk.
    pub demanded: bool,
    /// Set while the pipe takes a burst of chunks: whether the thread that reads serves connections.
    pub burst: Option<bool>,
    /// True once the reader was dropped.
    pub abandoned: bool,
    pub reader: Option<Waker>,
    /// The wakers of tasks that wait for room. Tasks may share a writer, and each waits.
    pub feeders: Vec<Waker>,
    /// The wakers of tasks that wait until the reader is dropped.
    pub watchers: Vec<Waker>,
    /// The number of threads that wait for room. Without any, no system call notifies them: 100 MiB
    /// of upload took 3,447 futex calls and takes 1 (strace -c).
    pub blocked_threads: usize,
    /// The number of bytes that were put in so far.
    pub fed: u64,
    /// The length of the body, if it is known.
    pub exact: Option<u64>,
    /// Set if the body is not sent, because of the request method or the status: the time until
    /// which the pipe takes bytes and drops them.
    pub unwanted: Option<Instant>,
    /// Given when the server that sends the body begins to stop. Made when a writer first asks,
    /// or when the stop begins.
    pub stopping: Option<Arc<StopSignal>>,
    /// True if the connection lets large chunks go past the pipe while it waits for one.
    pub lends: bool,
    /// The way past the pipe, while the connection waits for a chunk and has nothing to write.
    pub shortcut: Option<Arc<dyn Shortcut>>,
    /// The chunks that the writer has sent itself since the connection last took this.
    pub past: Past,
    /// What the reader receives itself, past the pipe.
    pub intake: Intake,
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

impl Pipe {
    pub fn new(capacity: usize) -> Self {
        Self {
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
                intake: Intake::default(),
            }),
            room: Condvar::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the pipe is not read any more.
    pub fn abandon(&self, mut state: MutexGuard<'_, PipeState>) {
        state.abandoned = true;
        state.shortcut = None;
        state.intake.end();
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
    pub fn space(&self, capacity: usize) -> Option<Space> {
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
    pub fn fits(&self, length: usize) -> bool {
        let after = self.fed.saturating_add(length as u64);
        self.unwanted.is_some() || self.exact.is_none_or(|exact| after <= exact)
    }

    /// Returns how the body ends if nothing more is put in.
    pub fn outcome(&self) -> Outcome {
        match self.exact {
            _ if self.unwanted.is_some() => Outcome::Whole,
            // Also if the reader has cut it off for that.
            Some(exact) if self.fed > exact => Outcome::TooLong,
            _ if self.abandoned => Outcome::Abandoned,
            Some(exact) if self.fed < exact => Outcome::TooShort,
            _ => Outcome::Whole,
        }
    }

    /// Puts a chunk in and returns the reader's waker.
    pub fn push(&mut self, chunk: Bytes, capacity: usize) -> Option<Waker> {
        if self.put(chunk, capacity) { self.reader.take() } else { None }
    }

    /// Puts a chunk in. Returns `false` if it drops it. It drops an empty chunk: it takes no room, so the pipe
    /// could fill with any number of them.
    pub fn put(&mut self, chunk: Bytes, capacity: usize) -> bool {
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

    /// Gives the socket back that the reader has read itself. Returns the wakers of those who then read it.
    pub fn give_back(&mut self) -> Vec<Waker> {
        if self.intake.end() { mem::take(&mut self.feeders) } else { Vec::new() }
    }

    /// Returns the waker of a reader that waits although there are chunks.
    pub fn waiting_reader(&mut self) -> Option<Waker> {
        if self.chunks.is_empty() { None } else { self.reader.take() }
    }
}
