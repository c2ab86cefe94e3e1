//! The buffer that a thread reads into.

use std::cell::RefCell;

/// The bytes that one read may take.
const LENGTH: usize = 32 * 1024;

thread_local! {
    /// One buffer for all connections of a thread: an idle connection has none.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the buffer of this thread.
pub(super) fn with_scratch<R>(run: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = SCRATCH.try_with(RefCell::take).unwrap_or_default();
    scratch.resize(LENGTH, 0);
    let result = run(&mut scratch);
    let _ = SCRATCH.try_with(|kept| kept.replace(scratch));
    result
}
