//! The lines that wait to be written, in bounded memory.

use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::time::TimeText;

/// The most bytes that wait by default.
const DEFAULT_LIMIT: usize = 4 << 20;
/// The most bytes of a block of lines, unless one line is longer.
const BLOCK: usize = 64 << 10;
/// The number of shards, as a power of two. Threads that use different shards never meet.
const SHARD_BITS: u32 = 4;

thread_local! {
    /// The address of this tells threads apart.
    static PLACE: u8 = const { 0 };
}

/// The lines that wait to be written. A thread adds its lines to one of several shards, in order.
pub(super) struct Buffer {
    shards: [Shard; 1 << SHARD_BITS],
    /// The bytes of all blocks, also of those that are being written.
    held: AtomicUsize,
    limit: AtomicUsize,
}

/// The lines of some of the threads. On a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    /// Blocks of lines; the last one is being filled.
    blocks: Vec<Vec<u8>>,
    time: TimeText,
}

/// The result of [`Buffer::push`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The line is kept, in a block that had lines.
    Kept,
    /// The line is kept, the first of its shard.
    First,
    /// The line is kept, and a block is full.
    BlockFull,
    /// There is no room for the line.
    Lost,
}

impl Buffer {
    pub fn new() -> Self {
        Self { shards: Default::default(), held: AtomicUsize::new(0), limit: AtomicUsize::new(DEFAULT_LIMIT) }
    }

    /// Sets the most bytes that may wait.
    pub fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Adds a line that `write` writes, of at most `longest` bytes. `write` must not panic.
    ///
    /// The line is written where it stays, under the lock of the shard: a copy of it would take 60
    /// instructions (replay, 2026-11).
    #[inline]
    pub fn push(&self, longest: usize, write: impl FnOnce(&mut TimeText, &mut Vec<u8>)) -> Pushed {
        let mut lines = self.shards[shard_of_thread()].lock();
        let Lines { blocks, time } = &mut *lines;
        if let Some(block) = blocks.last_mut()
            && block.capacity() - block.len() >= longest
        {
            let capacity = block.capacity();
            write(time, block);
            debug_assert_eq!(block.capacity(), capacity, "a line is longer than it was said to be");
            if block.capacity() != capacity {
                self.held.fetch_add(block.capacity() - capacity, Ordering::Relaxed);
            }
            return Pushed::Kept;
        }
        let mut line = Vec::new();
        write(time, &mut line);
        self.push_apart(blocks, &line)
    }

    /// Adds a line that may not fit into the last block.
    #[cold]
    fn push_apart(&self, blocks: &mut Vec<Vec<u8>>, line: &[u8]) -> Pushed {
        if let Some(block) = blocks.last_mut()
            && block.capacity() - block.len() >= line.len()
        {
            block.extend_from_slice(line);
            return Pushed::Kept;
        }
        let Some(mut block) = self.block(line.len()) else { return Pushed::Lost };
        block.extend_from_slice(line);
        blocks.push(block);
        if blocks.len() == 1 { Pushed::First } else { Pushed::BlockFull }
    }

    /// Returns a new block with room for a line, if the limit and the memory allow it.
    #[cold]
    fn block(&self, line: usize) -> Option<Vec<u8>> {
        let limit = self.limit.load(Ordering::Relaxed);
        // Each shard may have a few blocks, whatever the limit.
        let size = (limit / 64).clamp(1024, BLOCK).max(line);
        let fits = |held: usize| held.checked_add(size).filter(|held| *held <= limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        let mut block = Vec::new();
        if block.try_reserve_exact(size).is_err() {
            self.held.fetch_sub(size, Ordering::Relaxed);
            return None;
        }
        // The allocator may give more than was asked for.
        self.held.fetch_add(block.capacity() - size, Ordering::Relaxed);
        Some(block)
    }

    /// Takes all blocks. The caller gives them back with [`release`](Self::release).
    pub fn take(&self) -> Vec<Vec<u8>> {
        self.shards.iter().flat_map(|shard| mem::take(&mut shard.lock().blocks)).collect()
    }

    /// Drops a block that has been taken.
    pub fn release(&self, block: Vec<u8>) {
        self.held.fetch_sub(block.capacity(), Ordering::Relaxed);
        drop(block);
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the index of the shard of this thread.
fn shard_of_thread() -> usize {
    // At the end of a thread any shard will do.
    let address = PLACE.try_with(|place| ptr::from_ref(place).addr()).unwrap_or_default() as u64;
    // Fibonacci hashing: the upper bits depend on all bits of the address.
    let hash = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SHARD_BITS);
    usize::try_from(hash).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(buffer: &Buffer, longest: usize, line: &[u8]) -> Pushed {
        buffer.push(longest, |_, block| block.extend_from_slice(line))
    }

    #[test]
    fn a_line_that_may_be_too_long_for_a_block_is_kept_if_it_is_not() {
        let buffer = Buffer::new();
        assert_eq!(push(&buffer, 100, b"one\n"), Pushed::First);
        assert_eq!(push(&buffer, 100, b"two\n"), Pushed::Kept);
        assert_eq!(push(&buffer, BLOCK, b"three\n"), Pushed::Kept);
        buffer.set_limit(1);
        assert_eq!(push(&buffer, BLOCK, &vec![b'x'; BLOCK]), Pushed::Lost);
        let blocks = buffer.take();
        assert_eq!(blocks.concat(), b"one\ntwo\nthree\n");
        for block in blocks {
            buffer.release(block);
        }
        assert_eq!(buffer.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn lines_are_kept_in_order_up_to_the_limit() {
        let buffer = Buffer::new();
        buffer.set_limit(128 << 10);
        let line = |number: usize| format!("{number:099}\n").into_bytes();
        let mut kept = 0;
        for round in 0..3 {
            let first = kept;
            let mut last = Pushed::Lost;
            loop {
                let pushed = push(&buffer, 100, &line(kept));
                match pushed {
                    Pushed::Lost => break,
                    Pushed::First => assert_eq!(kept, first),
                    _ => last = pushed,
                }
                kept += 1;
            }
            assert_ne!(last, Pushed::Lost);
            assert!(kept - first > 1000, "{kept}");
            assert_eq!(push(&buffer, 10_000, &[b'x'; 10_000]), Pushed::Lost);
            let blocks = buffer.take();
            assert!(blocks.len() > 3);
            assert_eq!(blocks.concat(), (first..kept).flat_map(line).collect::<Vec<_>>(), "round {round}");
            assert_eq!(push(&buffer, 6, b"a line"), Pushed::Lost, "what is being written counts too");
            for block in blocks {
                buffer.release(block);
            }
            assert_eq!(buffer.held.load(Ordering::Relaxed), 0);
        }
        assert_eq!(
            push(&buffer, 10_000, &[b'x'; 10_000]),
            Pushed::First,
            "a long line gets a block of its size"
        );
    }
}
