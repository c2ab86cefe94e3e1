//! The lane of a listener: places for connections that no other listener takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of places for connections of one listener, beside those of the server.
#[derive(Debug)]
pub(super) struct Lane {
    pub places: usize,
    taken: AtomicUsize,
}

/// One place of a lane, given back when dropped.
pub(super) struct LanePlace(Arc<Lane>);

impl Lane {
    pub fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places, taken: AtomicUsize::new(0) })
    }

    /// Takes a place, if one is free.
    pub fn take(self: &Arc<Self>) -> Option<LanePlace> {
        let more = |taken: usize| (taken < self.places).then_some(taken + 1);
        // Relaxed: the count alone decides, and no other memory depends on it. Each change is one instruction, so
        // no more places than there are can be taken.
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| LanePlace(Arc::clone(self)))
    }
}

impl Drop for LanePlace {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
