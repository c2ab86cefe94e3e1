//! A buffer for bytes that have come and have not been used.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::driving::is_driving;
use super::memory::has_headroom_for;
use super::spare::{LARGEST_SPARE, Spares};

thread_local! {
    /// Spare buffers keep their length, so that they are filled with zeros only once.
    static SPARES: Spares<Vec<u8>> = const { Spares::new() };
}

/// Large buffers that threads gave up which serve no connections: the readers of streamed bodies. Each is
/// filled with zeros already, and asks the system for no memory.
static RETURNED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// The most buffers in [`RETURNED`]: the chunks that wait for one reader, and the one that is read.
const MOST_RETURNED: usize = 8;

/// A buffer that is filled at its end and used up at its front.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// True if the last read filled all the room: more bytes are likely waiting.
    filled_up: bool,
    /// True once the client has closed its sending side. The flag is in this struct because a
    /// connection is 8 bytes smaller then.
    pub ended: bool,
}

/// The size of a new buffer, in bytes: most heads fit.
const FIRST: usize = 4 * 1024;
/// The size up to which a buffer grows to save reads, in bytes.
const LARGE: usize = 64 * 1024;
/// The least size of a body that is handed over with its buffer instead of copied, in bytes.
const WORTH_IT: usize = 8 * 1024;

impl Buffer {
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, filled_up: false, ended: false }
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    #[cfg(any(feature = "tls", feature = "tls-ring"))]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Takes `length` bytes off the front.
    pub fn consume(&mut self, length: usize) {
        self.start += length;
    }

    /// Returns the last `length` bytes that were taken off and all bytes after them. Returns
    /// nothing if the buffer has been filled since.
    pub fn behind(&self, length: usize) -> &[u8] {
        self.start.checked_sub(length).map_or(&[], |from| &self.bytes[from..])
    }

    /// Returns room to read into, never empty. The buffer doubles if it is full. `None` if
    /// there is no memory for that.
    pub fn room(&mut self) -> Option<&mut [u8]> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 && self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.is_empty() {
            // The last buffer was filled up and handed over, so the next one is likely to be, too.
            let wanted = if self.filled_up { LARGE } else { FIRST };
            let fits = |spare: &mut Vec<u8>| spare.len() >= wanted;
            let spare = SPARES.with(|spares| {
                let large = || if wanted == LARGE { take_returned() } else { None };
                spares.find(fits).or_else(large).or_else(|| spares.take())
            });
            self.bytes = spare.unwrap_or_default();
            if self.bytes.len() < wanted {
                // When memory is short, take a small buffer.
                self.grow(wanted).or_else(|| self.grow(FIRST.max(self.bytes.len())))?;
            }
        }
        let full = self.end == self.bytes.len();
        let eager = self.filled_up && self.bytes.len() < LARGE;
        if full {
            self.grow(self.bytes.len() * 2)?;
        } else if eager {
            // If there is no memory, use the room that is left at the end.
            let _ = self.grow(self.bytes.len() * 2);
        }
        Some(&mut self.bytes[self.end..])
    }

    /// Returns room for at least so many bytes. `None` if there is no memory for that.
    #[cfg(any(feature = "tls", feature = "tls-ring"))]
    pub fn room_for(&mut self, least: usize) -> Option<&mut [u8]> {
        self.room()?;
        if self.bytes.len() - self.end < least {
            self.grow(self.end + least)?;
        }
        Some(&mut self.bytes[self.end..])
    }

    fn grow(&mut self, length: usize) -> Option<()> {
        let more = length - self.bytes.len();
        if more > 0 && !has_headroom_for(more) {
            return None;
        }
        self.bytes.try_reserve_exact(more).ok()?;
        self.bytes.resize(length, 0);
        Some(())
    }

    /// Notes that `length` bytes have been read into the room.
    pub fn filled(&mut self, length: usize) {
        self.end += length;
        self.filled_up = self.end == self.bytes.len();
    }

    /// Takes all bytes together with their buffer, if they are many and fill most of it. That
    /// costs less than a copy. The buffer comes back when the last of its bytes is dropped.
    pub fn take_all(&mut self) -> Option<Bytes> {
        if self.len() < WORTH_IT.max(self.bytes.len() / 2) {
            return None;
        }
        let lent = Bytes::from_owner(Lent(std::mem::take(&mut self.bytes)));
        let all = lent.slice(self.start..self.end);
        (self.start, self.end) = (0, 0);
        Some(all)
    }

    /// Puts back the last of the bytes that were taken. No bytes may have arrived since. `None` if
    /// there is no memory for them.
    pub fn put_back(&mut self, rest: &[u8]) -> Option<()> {
        debug_assert!(self.is_empty(), "it would go in front of what has come since");
        if !rest.is_empty() {
            // Most often this is a spare buffer.
            self.room()?;
            if self.bytes.len() < rest.len() {
                self.grow(rest.len())?;
            }
            self.bytes[..rest.len()].copy_from_slice(rest);
            (self.start, self.end) = (0, rest.len());
        }
        Some(())
    }

    /// Gives the buffer up if it is empty.
    pub fn release(&mut self) {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            give(std::mem::take(&mut self.bytes));
        }
    }
}

/// A buffer that is lent to the readers of its bytes.
struct Lent(Vec<u8>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}

fn give(buffer: Vec<u8>) {
    if is_driving() && (1..=LARGEST_SPARE).contains(&buffer.capacity()) {
        // When a thread ends, its spares may be gone before its last connection.
        let _ = SPARES.try_with(|spares| spares.give(buffer));
    } else if buffer.len() == LARGE {
        // A thread that serves no connections, such as one that reads a body for its handler, has no use
        // for buffers. It kept 2 MiB of them.
        let mut returned = RETURNED.lock().unwrap_or_else(PoisonError::into_inner);
        if returned.len() < MOST_RETURNED {
            returned.push(buffer);
        }
    }
}

fn take_returned() -> Option<Vec<u8>> {
    RETURNED.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.consume(self.len());
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::driving::driving;

    #[test]
    fn hands_over_what_is_much_with_its_buffer() {
        let mut input = Buffer::new();
        input.room().unwrap();
        input.filled(FIRST);
        assert!(input.take_all().is_none(), "little, in a small buffer");
        while input.len() < LARGE - 1000 {
            let room = input.room().unwrap();
            room.fill(7);
            let length = room.len();
            input.filled(length);
        }
        let length = input.len();
        let all = input.take_all().unwrap();
        assert_eq!((all.len(), all[length - 1], input.len()), (length, 7, 0));
        input.room().unwrap();
        input.filled(10);
        assert!(input.take_all().is_none());
        assert_eq!(input.len(), 10);
        // The buffer comes back to whoever needs one, on a thread that serves connections.
        let place = all.as_ptr() as usize;
        driving(|| drop(all));
        let mut other = Buffer::new();
        let room = other.room().unwrap().as_ptr_range();
        assert!((room.start as usize..room.end as usize).contains(&place));
    }

    #[test]
    fn holds_what_was_put_in() {
        let mut input = Buffer::new();
        let (mut put, mut got) = (0_u32, 0_u32);
        for round in 1..200_usize {
            let room = input.room().unwrap();
            let length = room.len().min(round * 37);
            for byte in &mut room[..length] {
                *byte = put.to_le_bytes()[0];
                put += 1;
            }
            input.filled(length);
            let take = input.len().min(round * 31);
            for byte in &input.as_slice()[..take] {
                assert_eq!(*byte, got.to_le_bytes()[0]);
                got += 1;
            }
            input.consume(take);
        }
        assert_eq!(input.len(), (put - got) as usize);
    }

    #[test]
    fn takes_back_the_end_of_what_it_lent() {
        let mut input = Buffer::new();
        while input.len() < LARGE {
            let room = input.room().unwrap();
            room.fill(b'x');
            let length = room.len();
            input.filled(length);
        }
        let all = input.take_all().unwrap();
        input.put_back(&all[10..]).unwrap();
        assert_eq!(input.as_slice(), &all[10..]);
        input.consume(LARGE - 11);
        let room = input.room().unwrap();
        room[0] = b'y';
        input.filled(1);
        assert_eq!(input.as_slice(), b"xy");
    }
}
