//! The buffer that a thread reads into.

use std::cell::RefCell;

/// The bytes that one read may take.
const LENGTH: usize = 32 * 1024;
/// The same while a large frame comes. Each read costs a system call and often an acknowledgement, which wakes the
/// client; more bytes would not stay in the cache of the processor until they are unmasked, checked and copied. An
/// echo of 1 MiB takes about a tenth less CPU than with 128 KiB, and 448 KiB save no more (bench: websocket, 2026-12).
const LARGE: usize = 256 * 1024;
/// The buffer begins at a multiple of this. On AMD processors the kernel needs seven times as long to copy
/// to a place whose offset in its page is up to 31 bytes beyond that of the source: 380 us instead of 55 for
/// 1 MiB (loopback, 2026-11). What a client sends often begins at the begin of a page, and the memory of a
/// large vector 16 bytes after it.
const ALIGNMENT: usize = 4096;

thread_local! {
    /// One buffer for all connections of a thread: an idle connection has none.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends the buffer of this thread. `left` tells how many bytes of a frame are still to come. Of what follows the
/// frame, no more is read than otherwise: it is kept while the receiver is behind.
pub(super) fn with_scratch<R>(left: u64, run: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = SCRATCH.try_with(RefCell::take).unwrap_or_default();
    let is_large = left > LENGTH as u64;
    let most = if is_large { LARGE } else { LENGTH };
    let left = if is_large { usize::try_from(left).unwrap_or(LARGE) } else { 0 };
    let length = LENGTH.saturating_add(left).min(most);
    let wanted = most + ALIGNMENT;
    if scratch.len() < wanted {
        // The old bytes need not be moved.
        scratch = vec![0; wanted];
    }
    // Less than the alignment, for bytes.
    let begin = scratch.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    let result = run(&mut scratch[begin..begin + length]);
    let _ = SCRATCH.try_with(|kept| kept.replace(scratch));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_frame_is_read_at_large_and_little_after_it() {
        let length = |left| with_scratch(left, |scratch| scratch.len());
        assert_eq!([0, 1, LENGTH as u64].map(length), [LENGTH; 3]);
        assert_eq!(length(100_000), 100_000 + LENGTH);
        assert_eq!([LARGE as u64, u64::MAX].map(length), [LARGE; 2]);
        assert_eq!(length(0), LENGTH, "the large buffer is used again");
        let address = |scratch: &mut [u8]| scratch.as_ptr().addr();
        assert_eq!(with_scratch(0, address) % ALIGNMENT, 0);
        assert_eq!(with_scratch(0, address), with_scratch(u64::MAX, address));
    }
}
