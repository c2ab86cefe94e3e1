//! The lines that wait to be written, in bounded memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::LocalKey;

use super::super::per_thread::{self, Claimed, Claims, PerThread};
use super::block::{Block, WORD};
use super::time::TimeText;

/// The most bytes that wait by default.
const DEFAULT_LIMIT: usize = 4 << 20;
/// The most bytes of a block of lines, unless one line is longer.
const LARGEST_BLOCK: usize = 64 << 10;
const SMALLEST_BLOCK: usize = 1 << 10;
/// The most bytes of full blocks that wait for more of them. To wake the writer takes both threads some
/// microseconds.
const MANY: usize = 256 << 10;
/// The most blocks that are kept to be used again. New memory costs more than the lines that it holds.
const MAX_SPARES: usize = 8;
/// The most memory that a thread keeps for its next line.
const MAX_KEPT_LINE: usize = 16 << 10;

thread_local! {
    static PENS: Claims<Pen> = const { Claims::new() };
}

/// The lines that wait to be written. A thread adds its lines in order, and without a lock until a block is
/// full.
pub(super) struct Buffer {
    pens: PerThread<Pen>,
    lanes: Box<[Arc<Lane>]>,
    memory: Memory,
    /// The lines that are being written. New memory for each part takes the thread of the log 10 ns a line.
    part: Mutex<Vec<u8>>,
}

/// The lines of one thread after another, or of the threads that share a pen.
#[derive(Default)]
struct Lane(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    /// The last one is being filled.
    blocks: VecDeque<Arc<Block>>,
    /// The bytes of the first one that were taken.
    taken: usize,
}

/// The right to add lines to a lane.
struct Pen {
    lane: Arc<Lane>,
    /// The last block of the lane.
    block: Option<Arc<Block>>,
    /// The bytes of the block that are lines.
    length: usize,
    /// The bytes of the last word of the block that is not full, and then the line that is being written.
    line: Vec<u8>,
    time: TimeText,
}

/// The memory of all blocks.
struct Memory {
    /// The bytes of all blocks, also of the one that is being written.
    held: AtomicUsize,
    /// The bytes of the full blocks that were not taken.
    full: AtomicUsize,
    limit: AtomicUsize,
    spares: Mutex<Vec<Arc<Block>>>,
}

/// The result of [`Buffer::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The line is kept.
    Kept,
    /// The line is kept, and many blocks are full.
    Many,
    /// There is no room for the line.
    Lost,
}

impl Buffer {
    pub fn new() -> Self {
        let lanes: Box<[Arc<Lane>]> = (0..=per_thread::threads()).map(|_| Arc::default()).collect();
        let mut pens: Vec<_> = lanes.iter().map(Pen::new).collect();
        let shared = pens.pop().unwrap_or_else(|| Pen::new(&Arc::default()));
        let memory = Memory {
            held: AtomicUsize::new(0),
            full: AtomicUsize::new(0),
            limit: AtomicUsize::new(DEFAULT_LIMIT),
            spares: Mutex::default(),
        };
        Self { pens: PerThread::new(pens.into_iter(), shared), lanes, memory, part: Mutex::default() }
    }

    /// Sets the most bytes that may wait.
    pub fn set_limit(&self, bytes: usize) {
        // Relaxed: a line that comes at that moment may have either limit.
        self.memory.limit.store(bytes, Ordering::Relaxed);
    }

    /// Adds a line that `write` writes. `write` must not panic.
    #[inline]
    pub fn push(&self, write: impl FnOnce(&mut TimeText, &mut Vec<u8>)) -> Pushed {
        self.pens.with(|pen| {
            pen.write(write);
            if pen.put() { Pushed::Kept } else { self.put_apart(pen) }
        })
    }

    /// Adds the line of a pen to a new block.
    #[cold]
    fn put_apart(&self, pen: &mut Pen) -> Pushed {
        let line = pen.line.len() - pen.length % WORD;
        // Each thread may have a few blocks, whatever the limit.
        // Relaxed: as in `set_limit`.
        let limit = self.memory.limit.load(Ordering::Relaxed);
        let size = (limit / (4 * self.lanes.len())).clamp(SMALLEST_BLOCK, LARGEST_BLOCK).max(line + WORD);
        let Some(block) = self.memory.take(size, limit) else {
            pen.line.truncate(pen.length % WORD);
            return Pushed::Lost;
        };
        // Before the writer can take the block that is full.
        let full = pen.block.as_ref().map_or(0, |block| block.size());
        // Relaxed: an estimate of when to wake the writer. It is never below 0, because the lock with which the
        // writer finds that the block is full orders its subtraction after this.
        let waiting = self.memory.full.fetch_add(full, Ordering::Relaxed) + full;
        pen.begin(block);
        pen.put();
        if full > 0 && waiting >= MANY.min(limit / 4) { Pushed::Many } else { Pushed::Kept }
    }

    /// Calls `write` with the lines that wait, a part at a time. Returns `true` if there were any. Only
    /// one thread may call this.
    pub fn take(&self, mut write: impl FnMut(&[u8])) -> bool {
        let (mut part, mut any) = (self.part.lock().unwrap_or_else(PoisonError::into_inner), false);
        for lane in &self.lanes {
            loop {
                let mut lines = lane.lock();
                let Some(block) = lines.blocks.front().cloned() else { break };
                // Before the length is read: it does not change once there is a block after this one.
                let is_full = lines.blocks.len() > 1;
                let (from, to) = (lines.taken, block.length());
                lines.taken = to;
                if is_full {
                    lines.blocks.pop_front();
                    lines.taken = 0;
                    // Relaxed: see `put_apart`.
                    self.memory.full.fetch_sub(block.size(), Ordering::Relaxed);
                }
                drop(lines);
                if to > from {
                    write(block.read(from, to, &mut part));
                    any = true;
                }
                if !is_full {
                    break;
                }
                self.memory.give(block);
            }
        }
        if part.len() > LARGEST_BLOCK {
            *part = Vec::new();
        }
        any
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimed for Pen {
    fn claims() -> &'static LocalKey<Claims<Self>> {
        &PENS
    }
}

impl Pen {
    fn new(lane: &Arc<Lane>) -> Self {
        Self { lane: Arc::clone(lane), block: None, length: 0, line: Vec::new(), time: TimeText::default() }
    }

    /// Writes a line, to be put into a block.
    #[inline]
    fn write(&mut self, write: impl FnOnce(&mut TimeText, &mut Vec<u8>)) {
        write(&mut self.time, &mut self.line);
    }

    /// Puts the line into the block. Returns `false` if there is no room.
    #[inline]
    fn put(&mut self) -> bool {
        let Some(block) = &self.block else { return false };
        let begun = self.length % WORD;
        let start = self.length - begun;
        let end = start + self.line.len();
        if end > block.size() {
            return false;
        }
        // To the end of the last word.
        self.line.extend_from_slice(&[0; WORD]);
        let words = self.line.as_chunks::<WORD>().0;
        block.write(start, words, end);
        let last = words.get((end - start) / WORD).copied().unwrap_or_default();
        self.length = end;
        if let Some(first) = self.line.first_chunk_mut() {
            *first = last;
        }
        self.line.truncate(end % WORD);
        true
    }

    /// Begins a block.
    #[cold]
    fn begin(&mut self, block: Arc<Block>) {
        self.line.drain(..self.length % WORD);
        if self.line.capacity() > MAX_KEPT_LINE {
            self.line.shrink_to_fit();
        }
        self.length = 0;
        self.lane.lock().blocks.push_back(Arc::clone(&block));
        self.block = Some(block);
    }
}

impl Memory {
    /// Returns an empty block of at least so many bytes, if the limit and the memory allow it.
    fn take(&self, size: usize, limit: usize) -> Option<Arc<Block>> {
        let size = size.next_multiple_of(WORD);
        let fits = |held: usize| held.checked_add(size).filter(|held| *held <= limit);
        // Relaxed here and below: the number alone decides, and guards no other memory. The blocks are passed on
        // by locks.
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        let mut spares = self.spares();
        // The one that was given last: the processor has it in its cache still.
        if let Some(index) = spares.iter().rposition(|block| block.size() == size) {
            return Some(spares.swap_remove(index));
        }
        drop(spares);
        let block = Block::new(size).map(Arc::new);
        if block.is_none() {
            self.held.fetch_sub(size, Ordering::Relaxed);
        }
        block
    }

    /// Gives a block back that has been written.
    fn give(&self, block: Arc<Block>) {
        // Relaxed: as in `take`.
        self.held.fetch_sub(block.size(), Ordering::Relaxed);
        let mut spares = self.spares();
        // A thread may have it for a moment yet.
        if spares.len() < MAX_SPARES && block.size() <= LARGEST_BLOCK && Arc::strong_count(&block) == 1 {
            block.clear();
            spares.push(block);
        }
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Arc<Block>>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn push(buffer: &Buffer, line: &[u8]) -> Pushed {
        buffer.push(|_, block| block.extend_from_slice(line))
    }

    /// Takes the lines that wait.
    fn taken(buffer: &Buffer) -> Vec<u8> {
        let mut lines = Vec::new();
        let any = buffer.take(|part| lines.extend_from_slice(part));
        assert_eq!(any, !lines.is_empty());
        lines
    }

    #[test]
    fn lines_are_taken_once_while_their_block_is_filled() {
        let buffer = Buffer::new();
        assert_eq!(taken(&buffer), b"");
        for line in ["one\n", "two and three\n", "\n", "four four four four four four\n"] {
            assert_eq!(push(&buffer, line.as_bytes()), Pushed::Kept);
            assert_eq!(taken(&buffer), line.as_bytes());
            assert_eq!(taken(&buffer), b"");
        }
    }

    #[test]
    fn lines_are_kept_in_order_up_to_the_limit() {
        let buffer = Buffer::new();
        buffer.set_limit(128 << 10);
        let line = |number: usize| format!("{number:099}\n").into_bytes();
        let mut kept = 0;
        for round in 0..3 {
            let (first, mut many) = (kept, false);
            loop {
                match push(&buffer, &line(kept)) {
                    Pushed::Lost => break,
                    pushed => many |= pushed == Pushed::Many,
                }
                kept += 1;
            }
            assert!(many && kept - first > 1000, "{kept}");
            assert_eq!(push(&buffer, &[b'x'; 10_000]), Pushed::Lost);
            let lines = taken(&buffer);
            assert_eq!(lines, (first..kept).flat_map(line).collect::<Vec<_>>(), "round {round}");
            assert_eq!(buffer.memory.full.load(Ordering::Relaxed), 0);
        }
        assert_eq!(push(&buffer, &vec![b'x'; 80_000]), Pushed::Kept, "a long line gets a block of its size");
        assert_eq!(taken(&buffer).len(), 80_000);
    }

    #[test]
    fn the_limit_holds_for_what_is_being_written_too() {
        let buffer = Buffer::new();
        buffer.set_limit(4 << 10);
        let line = [b'x'; 1000];
        while push(&buffer, &line) != Pushed::Lost {}
        let mut parts = 0;
        buffer.take(|_| {
            if parts == 0 {
                assert_eq!(push(&buffer, &line), Pushed::Lost);
            }
            parts += 1;
        });
        assert!(parts > 1);
        assert_ne!(push(&buffer, &line), Pushed::Lost);
    }

    #[test]
    fn lines_of_threads_that_come_and_go_are_taken_whole_while_they_are_written() {
        // Miri runs each instruction a thousand times slower.
        const LINES: usize = if cfg!(miri) { 5 } else { 300 };
        const ROUNDS: usize = if cfg!(miri) { 1 } else { 4 };
        let buffer = Buffer::new();
        buffer.set_limit(64 << 20);
        let mut lines = Vec::new();
        let write = |thread: usize| {
            for number in 0..LINES {
                let line = format!("{thread} {number} {}\n", "x".repeat(number % 200));
                assert_ne!(push(&buffer, line.as_bytes()), Pushed::Lost);
            }
        };
        let run = || {
            for round in 0..ROUNDS {
                // More threads than may have a lane of their own.
                let count = 2 * per_thread::threads();
                thread::scope(|scope| {
                    (0..count).for_each(|thread| drop(scope.spawn(move || write(round * count + thread))));
                });
            }
        };
        thread::scope(|scope| {
            let writing = scope.spawn(run);
            while !writing.is_finished() {
                buffer.take(|part| {
                    assert_eq!(part.last(), Some(&b'\n'), "a part ends with a line");
                    lines.extend_from_slice(part);
                });
                thread::yield_now();
            }
        });
        lines.extend(taken(&buffer));
        let mut next = vec![0; 2 * ROUNDS * per_thread::threads()];
        for line in String::from_utf8(lines).unwrap().lines() {
            let words: Vec<_> = line.split(' ').collect();
            let (thread, number) = (words[0].parse::<usize>().unwrap(), words[1].parse::<usize>().unwrap());
            assert_eq!(next[thread], number, "the lines of a thread are in order");
            assert_eq!(words[2], "x".repeat(number % 200));
            next[thread] += 1;
        }
        assert_eq!(next, vec![LINES; next.len()]);
    }
}
