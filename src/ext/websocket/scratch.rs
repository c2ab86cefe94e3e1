//! The buffer that a thread reads into.

use std::cell::RefCell;

/// The bytes that one read may take.
const LENGTH: usize = 32 * 1024;
/// The same while a large frame comes. Each read costs a system call and often an acknowledgement; more bytes
/// would not stay in the cache of the processor until they are unmasked, checked and copied.
const LARGE: usize = 128 * 1024;
/// The buffer begins at a multiple of this. On AMD processors the kernel needs seven times as long to copy
/// to a place whose offset in its page is up to 31 bytes beyond that of the source: 380 us instead of 55 for
/// 1 MiB (loopback, 2026-11). What a client sends often begins at the begin of a page, and the memory of a
/// large vector 16 bytes after it.
const ALIGNMENT: usize = 4096;

thread_local! {
    /// One buffer for all connections of a thread: an idle connection has none.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the buffer of this thread. `left` tells how many bytes of a frame are still to come.
pub(super) fn with_scratch<R>(left: u64, run: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = SCRATCH.try_with(RefCell::take).unwrap_or_default();
    let length = if left > LENGTH as u64 { LARGE } else { LENGTH };
    if scratch.len() < length + ALIGNMENT {
        // The old bytes need not be moved.
        scratch = vec![0; length + ALIGNMENT];
    }
    // Less than the alignment, for bytes.
    let begin = scratch.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    let result = run(&mut scratch[begin..begin + length]);
    let _ = SCRATCH.try_with(|kept| kept.replace(scratch));
    result
}
