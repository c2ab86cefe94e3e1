//! A block of lines that one thread writes while another reads it, without a lock.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The bytes of a word.
pub(super) const WORD: usize = size_of::<u64>();

/// Memory for lines. One thread at a time adds to it, and others read what has been added.
pub(super) struct Block {
    /// Words rather than bytes, because each is written with an instruction of its own.
    words: Box<[AtomicU64]>,
    /// The bytes that may be read.
    length: AtomicUsize,
}

impl Block {
    /// Returns an empty block of at least so many bytes, or `None` if there is no memory.
    pub fn new(size: usize) -> Option<Self> {
        let (mut words, count) = (Vec::new(), size.div_ceil(WORD));
        words.try_reserve_exact(count).ok()?;
        words.resize_with(count, AtomicU64::default);
        Some(Self { words: words.into(), length: AtomicUsize::new(0) })
    }

    /// Returns how many bytes there is room for in all.
    pub fn size(&self) -> usize {
        self.words.len() * WORD
    }

    /// Writes words from a position on, and lets others read the bytes before `length`.
    #[inline]
    pub fn write(&self, position: usize, words: &[[u8; WORD]], length: usize) {
        let to = self.words.get(position / WORD..).unwrap_or_default();
        for (to, word) in to.iter().zip(words) {
            // Relaxed: the store of the length publishes the words (Release). The last word may be written again with
            // more bytes in it: who reads it early finds the same bytes before the length that he knows.
            to.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        self.length.store(length, Ordering::Release);
    }

    /// Returns how many bytes may be read.
    pub fn length(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// Returns the bytes between two positions, in memory that is used again.
    pub fn read<'a>(&self, from: usize, to: usize, memory: &'a mut Vec<u8>) -> &'a [u8] {
        let words = self.words.get(from / WORD..to.div_ceil(WORD)).unwrap_or_default();
        // It does not shrink, so that most often nothing has to be set to 0.
        if memory.len() < words.len() * WORD {
            memory.resize(words.len() * WORD, 0);
        }
        for (bytes, word) in memory.as_chunks_mut().0.iter_mut().zip(words) {
            // Relaxed: `to` is a length that was loaded with Acquire, so that the words before it are there.
            *bytes = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        let start = from % WORD;
        memory.get(start..start + to.saturating_sub(from)).unwrap_or_default()
    }

    /// Forgets the bytes. Nobody else may use the block.
    pub fn clear(&self) {
        // Relaxed: the writer has seen the last length, under the lock of the lane with which the next block was
        // begun. The lock of the spares passes the block on.
        self.length.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::base::threads::races;

    #[test]
    #[cfg_attr(miri, ignore = "nine thousand reads take Miri minutes")]
    fn bytes_are_read_as_they_were_written() {
        let text: Vec<u8> = (0..100).collect();
        let block = Block::new(text.len()).unwrap();
        assert!(block.size() >= text.len());
        let ((words, _), mut memory) = (text.as_chunks(), Vec::new());
        for from in 0..96 {
            for to in from..=96 {
                block.write(0, words, to);
                assert_eq!(block.read(from, block.length(), &mut memory), &text[from..to], "{from} to {to}");
            }
        }
        block.clear();
        assert_eq!(block.length(), 0);
    }

    #[test]
    fn a_reader_finds_the_bytes_of_each_length_that_it_sees() {
        let text: Vec<u8> = (1..=32).collect();
        let words = text.as_chunks().0;
        for _ in races() {
            let (block, mut memory) = (Block::new(text.len()).unwrap(), Vec::new());
            thread::scope(|scope| {
                scope.spawn(|| {
                    for (word, position) in words.chunks(1).zip((0..).step_by(WORD)) {
                        block.write(position, word, position + WORD);
                    }
                });
                let mut length = 0;
                while length < text.len() {
                    length = block.length();
                    assert_eq!(block.read(0, length, &mut memory), &text[..length]);
                    thread::yield_now();
                }
            });
        }
    }
}
