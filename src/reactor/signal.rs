//! Finds out whether a write to a stream that the other end has closed may end the process.

use std::cell::OnceCell;
use std::fs;

/// The bit of SIGPIPE, number 13 (signal(7)), in a signal mask of proc(5).
const SIGPIPE: u64 = 1 << 12;

/// Returns `true` if SIGPIPE would reach this thread: the thread neither blocks nor ignores it. A
/// send can be told to raise no signal; sendfile(2) cannot. The mask is read once for each thread,
/// because hosts set it when they start. If it cannot be read, the answer is `true`.
pub(super) fn would_signal() -> bool {
    thread_local! {
        static KNOWN: OnceCell<bool> = const { OnceCell::new() };
    }
    KNOWN.with(|known| {
        *known.get_or_init(|| {
            let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
            !["SigBlk:", "SigIgn:"].iter().any(|mask| is_in(&status, mask))
        })
    })
}

/// Returns `true` if SIGPIPE is in that mask.
fn is_in(status: &str, mask: &str) -> bool {
    let value = status.lines().find_map(|line| line.strip_prefix(mask));
    value.and_then(|value| u64::from_str_radix(value.trim(), 16).ok()).is_some_and(|set| set & SIGPIPE != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_read() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\n";
        assert!(is_in(status, "SigIgn:"));
        assert!(!is_in(status, "SigBlk:"));
        assert!(!is_in(status, "SigCgt:"));
        assert!(!is_in("SigBlk: nonsense", "SigBlk:"));
    }

    #[test]
    fn rust_programs_ignore_it() {
        assert!(!would_signal());
    }
}
