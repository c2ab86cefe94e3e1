//! Counts of refusals, one for each reason.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Reject;

/// The number of reasons.
pub(crate) const REASONS: usize = Reject::ALL.len();

/// How many requests and connections a server has refused, by the reason.
#[derive(Debug)]
pub(crate) struct RefusalCounts([AtomicU64; REASONS]);

impl RefusalCounts {
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; REASONS])
    }

    /// Counts a refusal.
    pub fn add(&self, reject: Reject) {
        // Relaxed: a count that is only shown, also below. The reasons need not fit each other.
        self.0[reject as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counts, in the order of [`Reject::ALL`].
    pub fn all(&self) -> [u64; REASONS] {
        std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed))
    }
}
