//! Buffers between two uses: each thread keeps a few, so that a connection with
//! nothing under way holds none and the next one need not ask the allocator.

use std::cell::RefCell;

/// Buffers of each kind that a thread keeps.
const KEPT: usize = 32;
/// The largest that is kept, bytes.
const LARGEST: usize = 32 * 1024;

/// What a buffer is for: those to read into keep their length, which was paid
/// for with zeros, those to write to are cleared.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Input,
    Output,
}

thread_local! {
    static SPARE: RefCell<[Vec<Vec<u8>>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// A buffer as it was given up, or a new one of no length.
pub(super) fn take(side: Side) -> Vec<u8> {
    SPARE.with_borrow_mut(|spare| spare[side as usize].pop()).unwrap_or_default()
}

/// Gives a buffer up.
pub(super) fn give(side: Side, buffer: Vec<u8>) {
    if buffer.capacity() > 0 && buffer.capacity() <= LARGEST {
        // When a thread ends, its spares may be gone before its last connection.
        let _ = SPARE.try_with(|spare| {
            let spare = &mut spare.borrow_mut()[side as usize];
            if spare.len() < KEPT {
                spare.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_a_few_that_are_not_large() {
        give(Side::Input, vec![1; 100]);
        assert_eq!(take(Side::Input), [1; 100]);
        give(Side::Input, vec![0; LARGEST + 1]);
        assert!(take(Side::Input).is_empty());
        (0..KEPT + 5).for_each(|_| give(Side::Input, vec![0; 10]));
        assert_eq!(
            std::iter::repeat_with(|| take(Side::Input)).take_while(|buffer| !buffer.is_empty()).count(),
            KEPT
        );
    }
}
