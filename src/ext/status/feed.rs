//! Feed: the event of each second, made once for all open pages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::measure::Measure;
use crate::Bytes;
use crate::Metrics;

const SECOND: Duration = Duration::from_secs(1);

/// The events of a status page. Nothing runs while no page is open.
pub(super) struct Feed {
    metrics: Metrics,
    made: Instant,
    viewers: AtomicUsize,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    measure: Measure,
    /// The second that was measured, counted from 1.
    second: u64,
    /// The routes of the streams.
    pages: Vec<Arc<str>>,
    /// The encoded events of this second, for servers that run and that stop, and the starts of streams.
    event: [Option<Bytes>; 2],
    start: [Option<Bytes>; 2],
}

/// A page that is open.
pub(super) struct Viewer {
    feed: Arc<Feed>,
    /// The part of a second by which this viewer is later than the first, so that not all are served at once.
    delay: Duration,
}

impl Feed {
    pub fn new(metrics: &Metrics) -> Self {
        let (viewers, now) = (AtomicUsize::new(0), Mutex::default());
        Self { metrics: metrics.clone(), made: Instant::now(), viewers, now }
    }

    /// Lets a page in, whose stream has this route.
    pub fn open(self: &Arc<Self>, route: &str) -> Viewer {
        // Relaxed: the number spreads the viewers over a second, and the count is only shown.
        let number = self.viewers.fetch_add(1, Ordering::Relaxed);
        let mut now = self.lock();
        if now.pages.iter().all(|page| **page != *route) {
            now.pages.push(route.into());
        }
        // 37 and 64 have no common factor: the first 64 viewers all differ.
        let delay = SECOND / 128 * u32::try_from(number * 37 % 64).unwrap_or(0);
        Viewer { feed: Arc::clone(self), delay }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state of this second, which the first that asks measures.
    fn measured(&self) -> MutexGuard<'_, Now> {
        let age = self.made.elapsed();
        let second = age.as_secs() + 1;
        let mut now = self.lock();
        if now.second < second {
            now.second = second;
            now.event = [None, None];
            now.start = [None, None];
            let Now { measure, pages, .. } = &mut *now;
            // Relaxed: a count that is only shown.
            measure.look(&self.metrics, age, pages, self.viewers.load(Ordering::Relaxed));
        }
        now
    }
}

impl Viewer {
    /// Returns the event of this second. Until the next second all viewers get the same bytes.
    pub fn event(&self, is_stopping: bool) -> Bytes {
        let mut now = self.feed.measured();
        let Now { measure, event, .. } = &mut *now;
        event[usize::from(is_stopping)].get_or_insert_with(|| measure.event(is_stopping).into()).clone()
    }

    /// Returns the first events of a stream: what the charts show, and the event of this second.
    pub fn start(&self, is_stopping: bool) -> Bytes {
        let mut now = self.feed.measured();
        let Now { measure, start, .. } = &mut *now;
        let text = || (measure.start() + &measure.event(is_stopping)).into();
        start[usize::from(is_stopping)].get_or_insert_with(text).clone()
    }

    /// Returns the time until this viewer gets its next event.
    pub fn pause(&self) -> Duration {
        let age = self.feed.made.elapsed();
        let next = Duration::from_secs(age.as_secs() + 1) + self.delay;
        next.saturating_sub(age)
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        // Relaxed: as in `open`.
        self.feed.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}
