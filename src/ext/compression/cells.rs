//! The memory of a decompressor of brotli. It knows nothing of what the decompressor does with it.

use brotli_decompressor::{Allocator, SliceWrapper, SliceWrapperMut};

use crate::MemoryClaim;

/// Memory of at least this size is claimed before it is allocated. A decompressor takes less for the rest.
const LARGE: usize = 64 * 1024;

/// Allocates memory, or notes that there is none: the decompressor then fails, where its own allocator would
/// end the process.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// True once memory was refused. From then on all is.
    pub is_refused: bool,
}

/// Memory for values of one type; none if it was refused.
#[derive(Debug)]
pub(super) struct Slice<T>(Vec<T>);

impl<T: Clone + Default> Allocator<T> for Cells {
    type AllocatedMemory = Slice<T>;

    fn alloc_cell(&mut self, len: usize) -> Slice<T> {
        let bytes = len.saturating_mul(size_of::<T>());
        let claim = (bytes >= LARGE).then(|| MemoryClaim::new(bytes));
        self.is_refused |= matches!(claim, Some(None));
        if self.is_refused {
            return Slice::default();
        }
        // The system backs the zeros of a large window with memory only where it is written.
        Slice(vec![T::default(); len])
    }

    fn free_cell(&mut self, _memory: Slice<T>) {}
}

impl<T> Default for Slice<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> SliceWrapper<T> for Slice<T> {
    fn slice(&self) -> &[T] {
        &self.0
    }
}

impl<T> SliceWrapperMut<T> for Slice<T> {
    fn slice_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_there_is_not_is_refused() {
        let mut cells = Cells::default();
        let some: Slice<u32> = cells.alloc_cell(100_000);
        assert_eq!((some.len(), cells.is_refused), (100_000, false));
        let none: Slice<u32> = cells.alloc_cell(usize::MAX / 8);
        assert_eq!((none.len(), cells.is_refused), (0, true));
        let none: Slice<u8> = cells.alloc_cell(1);
        assert_eq!(none.len(), 0);
    }
}
