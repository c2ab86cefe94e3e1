//! The number of streams that are compressed at once: each holds a compressor.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(super) struct Streams {
    count: AtomicUsize,
    limit: usize,
}

/// The place of one stream, until dropped.
pub(super) struct Place(Arc<Streams>);

impl Streams {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), limit })
    }

    /// Takes a place. `None` if as many streams are compressed as may be.
    pub fn take(self: &Arc<Self>) -> Option<Place> {
        // Relaxed, also below: only the number counts, which no other memory depends on.
        let more = |count: usize| (count < self.limit).then_some(count + 1);
        self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}
