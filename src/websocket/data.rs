//! The payload of a message, as it comes.

use std::mem;

use super::Failure;
use crate::base::memory::reserve_ahead;

/// Bytes that are reserved without a look at the memory that is left: a look takes two system calls.
const SMALL: usize = 64 * 1024;

/// The payload of a message, or of a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    Text(String),
    Binary(Vec<u8>),
}

impl Data {
    /// Returns the payload of a whole message that is small.
    pub fn copy(is_text: bool, bytes: &[u8]) -> Result<Self, Failure> {
        if !is_text {
            let mut data = Vec::new();
            data.try_reserve_exact(bytes.len()).map_err(|_| Failure::NoMemory)?;
            data.extend_from_slice(bytes);
            return Ok(Self::Binary(data));
        }
        let (checked, mut text) = (simdutf8::basic::from_utf8(bytes), String::new());
        let checked = checked.map_err(|_| Failure::BadUtf8)?;
        text.try_reserve_exact(checked.len()).map_err(|_| Failure::NoMemory)?;
        text.push_str(checked);
        Ok(Self::Text(text))
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Takes the payload out, and leaves an empty one of the same kind.
    pub fn take(&mut self) -> Self {
        match self {
            Self::Text(text) => Self::Text(mem::take(text)),
            Self::Binary(bytes) => Self::Binary(mem::take(bytes)),
        }
    }

    /// Reserves room for `more` bytes, and ahead for some of the `announced` bytes that follow, so that a
    /// large message is not moved as it grows. The system backs only the bytes that have come with memory.
    /// At most `most` bytes are reserved ahead.
    pub fn reserve(&mut self, more: usize, announced: usize, most: usize) -> Result<(), Failure> {
        let (length, capacity) = match self {
            Self::Text(text) => (text.len(), text.capacity()),
            Self::Binary(bytes) => (bytes.len(), bytes.capacity()),
        };
        if capacity - length >= more {
            return Ok(());
        }
        // Doubled at least: frames may be many and small.
        let ahead = announced.max(length).min(most);
        let mut reserve = |wanted| match self {
            Self::Text(text) => text.try_reserve_exact(wanted).is_ok(),
            Self::Binary(bytes) => bytes.try_reserve_exact(wanted).is_ok(),
        };
        let total = length.saturating_add(more).saturating_add(ahead);
        if total < SMALL && reserve(more + ahead) {
            return Ok(());
        }
        reserve_ahead(length, more, ahead, reserve).map_err(|_| Failure::NoMemory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_reserved_at_once_but_not_without_bounds() {
        let capacity = |more, announced, most| {
            let mut data = Data::Binary(Vec::new());
            data.reserve(more, announced, most).unwrap();
            let Data::Binary(bytes) = data else { panic!("it changed") };
            bytes.capacity()
        };
        assert_eq!(capacity(5, 0, 100), 5);
        assert_eq!(capacity(5, 1000, 1 << 20), 1005);
        assert_eq!(capacity(5, 1000, 100), 105);
        assert_eq!(capacity(8192, (1 << 20) - 8192, 16 << 20), 1 << 20);
        assert_eq!(capacity(8192, 16 << 20, 16 << 20), (1 << 20) + 8192);
    }

    #[test]
    fn many_small_frames_are_moved_few_times() {
        let (mut data, mut moved) = (Data::Text(String::new()), 0);
        for _ in 0..100_000 {
            let Data::Text(text) = &data else { panic!("it changed") };
            let before = text.capacity();
            data.reserve(7, 0, usize::MAX).unwrap();
            let Data::Text(text) = &mut data else { panic!("it changed") };
            moved += usize::from(text.capacity() != before);
            text.push_str("message");
        }
        assert!(moved < 20, "moved {moved} times");
    }
}
