//! The bytes that have come and have not been used.

use crate::spare::Spares;

thread_local! {
    /// They keep their length, which was paid for with zeros.
    static SPARES: Spares<u8> = const { Spares::new() };
}

/// A buffer that is filled behind and used up in front.
pub(super) struct Input {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled all the room there was: more is likely waiting.
    filled_up: bool,
}

/// What a connection starts with: most heads fit.
const FIRST: usize = 4 * 1024;
/// What it grows to for the sake of fewer reads.
const LARGE: usize = 64 * 1024;

impl Input {
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, filled_up: false }
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
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
        if self.start >= self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room to read into: never empty; the buffer doubles as it must.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start > 0 && self.end == self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.is_empty() {
            self.bytes = SPARES.with(Spares::take);
            if self.bytes.is_empty() {
                self.bytes.resize(FIRST, 0);
            }
        }
        let full = self.end == self.bytes.len();
        let eager = self.filled_up && self.bytes.len() < LARGE;
        if full || eager {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Says that `length` bytes have been read into the room.
    pub fn filled(&mut self, length: usize) {
        self.end += length;
        self.filled_up = self.end == self.bytes.len();
    }

    /// Gives the buffer up if there is nothing in it.
    pub fn release(&mut self) {
        if self.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            // When a thread ends, its spares may be gone before its last connection.
            let _ = SPARES.try_with(|spares| spares.give(bytes));
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.consume(self.len());
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let mut input = Input::new();
        let (mut put, mut got) = (0_u32, 0_u32);
        for round in 1..200_usize {
            let room = input.room();
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
}
