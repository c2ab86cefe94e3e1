//! Memory that clients can size: how much of it a server keeps, and refusing more
//! when the system has none, where an allocation that fails would end the process.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory that must be left for everything else, bytes.
const HEADROOM: usize = 4 * 1024 * 1024;
/// For each so many bytes of bodies it is looked whether the headroom is there: two
/// system calls for a mebibyte.
const STEP: u64 = 1024 * 1024;

/// Address space that is set aside for a body of at least that announced length, so
/// that it need not be moved as it grows. Memory is only what has come.
const AT_ONCE: usize = 1024 * 1024;

/// There is no memory for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

/// Makes room for `more` bytes of a body behind which `announced` more are to come:
/// not for each stretch anew, and for no more than that where memory is short.
pub(crate) fn make_room(body: &mut Vec<u8>, more: usize, announced: usize) -> Result<(), NoMemory> {
    if body.capacity() - body.len() >= more {
        return Ok(());
    }
    let ahead = body.len().max(AT_ONCE).min(announced);
    let wanted = more.saturating_add(ahead);
    body.try_reserve_exact(wanted).or_else(|_| body.try_reserve_exact(more)).map_err(|_| NoMemory)
}

/// The bytes that all connections of a server may keep together.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub const fn new(limit: u64) -> Self {
        Self { limit, used: AtomicU64::new(0) }
    }

    /// A share of it, empty at first.
    pub fn share(&self) -> Share<'_> {
        Share { budget: self, bytes: 0 }
    }

    fn take(&self, more: u64) -> Result<(), NoMemory> {
        let before = self.used.fetch_add(more, Ordering::Relaxed);
        let after = before.saturating_add(more);
        if after > self.limit || (before / STEP != after / STEP && !has_headroom()) {
            self.give(more);
            return Err(NoMemory);
        }
        Ok(())
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one exchange keeps of a budget, given back when it is dropped.
pub(crate) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Share<'_> {
    /// Keeps `bytes` in all from now on. If there is no memory for them, the share is
    /// as it was.
    pub fn set(&mut self, bytes: u64) -> Result<(), NoMemory> {
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes)?;
        } else {
            self.budget.give(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Keeps `more` bytes beside those it has.
    pub fn add(&mut self, more: u64) -> Result<(), NoMemory> {
        self.set(self.bytes.saturating_add(more))
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give(self.bytes);
        }
    }
}

/// Whether the system would give the headroom. It is asked and given back, untouched.
pub(crate) fn has_headroom() -> bool {
    let mut room = Vec::<u8>::new();
    let has = room.try_reserve_exact(HEADROOM).is_ok();
    // A pair of calls that is of no use would be left out.
    black_box(&room);
    has
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_given_back() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert_eq!(one.set(60), Ok(()));
        assert_eq!(other.add(40), Ok(()));
        assert_eq!(other.add(1), Err(NoMemory));
        assert_eq!(one.set(59), Ok(()));
        assert_eq!(other.add(1), Ok(()));
        drop(one);
        assert_eq!(other.add(60), Err(NoMemory));
        assert_eq!(other.add(59), Ok(()));
        drop(other);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn room_grows_with_the_body_and_not_beyond_it() {
        let mut body = Vec::new();
        make_room(&mut body, 10, 100_000).unwrap();
        assert!((100_010..101_000).contains(&body.capacity()), "{}", body.capacity());
        let before = body.capacity();
        body.resize(before - 1, 0);
        make_room(&mut body, 1, 0).unwrap();
        assert_eq!(body.capacity(), before);
        make_room(&mut body, 2, usize::MAX).unwrap();
        assert!(body.capacity() > AT_ONCE);
        assert_eq!(make_room(&mut body, usize::MAX / 2, usize::MAX), Err(NoMemory));
    }
}
