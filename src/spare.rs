//! Buffers between two uses: each thread keeps a few, so that what needs one for
//! a moment need not ask the allocator.

use std::cell::RefCell;

/// Buffers of each kind that a thread keeps.
const KEPT: usize = 32;
/// The largest that is kept, bytes.
const LARGEST: usize = 64 * 1024;

/// A thread's spare buffers of one kind.
pub(crate) struct Spares<T>(RefCell<Vec<Vec<T>>>);

impl<T> Spares<T> {
    pub const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// A buffer as it was given up, or a new one of no length.
    pub fn take(&self) -> Vec<T> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives a buffer up.
    pub fn give(&self, buffer: Vec<T>) {
        let most = LARGEST / size_of::<T>().max(1);
        if buffer.capacity() == 0 || buffer.capacity() > most {
            return;
        }
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_kept_that_are_not_large() {
        let spares = Spares::new();
        spares.give(vec![1; 100]);
        assert_eq!(spares.take(), [1; 100]);
        spares.give(vec![0; LARGEST + 1]);
        assert!(spares.take().is_empty());
        (0..KEPT + 5).for_each(|_| spares.give(vec![0; 10]));
        assert_eq!(
            std::iter::repeat_with(|| spares.take()).take_while(|buffer| !buffer.is_empty()).count(),
            KEPT
        );
    }
}
