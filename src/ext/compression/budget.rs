//! A bound on what many requests hold at once: streams, or bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(super) struct Budget {
    held: AtomicUsize,
    most: usize,
}

/// A part of the budget, until dropped.
pub(super) struct Share {
    budget: Arc<Budget>,
    amount: usize,
}

impl Budget {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), most })
    }

    /// Takes a part of the budget. `None` if less is left.
    pub fn take(self: &Arc<Self>, amount: usize) -> Option<Share> {
        // Relaxed, also below: only the number counts, which no other memory depends on.
        let more = |held: usize| held.checked_add(amount).filter(|held| *held <= self.most);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Share { budget: Arc::clone(self), amount })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_held_than_may() {
        let budget = Budget::new(10);
        let share = budget.take(7).unwrap();
        assert!(budget.take(4).is_none() && budget.take(usize::MAX).is_none());
        let rest = budget.take(3).unwrap();
        assert!(budget.take(1).is_none());
        drop((share, rest));
        assert!(budget.take(10).is_some());
    }
}
