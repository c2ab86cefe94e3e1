//! Metrics: counts the exchanges of servers (feature `metrics`).

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::series::{ExchangeSeries, Key, Labels};
use super::shard::Shard;
use super::totals::Totals;
use super::value::MetricValue;
use crate::Exchange;
use crate::Monitor;
use crate::Server;

/// The series that are kept if the program does not say how many; the advice of OpenTelemetry.
const MAX_SERIES: usize = 2000;
/// The series that are copied while the lock of a shard is held.
const SERIES_AT_ONCE: usize = 32;

thread_local! {
    /// The number by which this thread chooses its shard.
    static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Counts the exchanges of one or more servers, with their durations and bytes.
///
/// A clone counts into the same metrics. Each thread counts into a shard of its own as far as there
/// are enough of them, and [`snapshot`](Self::snapshot) sums the shards up.
///
/// ```
/// use transom::{Metrics, Router, Server};
///
/// let metrics = Metrics::new();
/// Server::new(Router::new()).metrics(&metrics);
/// for series in metrics.snapshot().series {
///     let (p99, bytes) = (series.durations.quantile(0.99), series.bytes_out);
///     println!("{} {:?}: {} times, {p99:?}, {bytes} bytes", series.method, series.route, series.count());
/// }
/// ```
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    shards: Box<[Line]>,
    /// The number for the next thread.
    next: AtomicUsize,
    /// The series of all shards, to bound how many there are.
    keys: Mutex<Keys>,
    totals: Mutex<Totals>,
}

/// A shard in cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Line(Mutex<Shard>);

struct Keys {
    routes: HashMap<Labels, HashSet<Arc<str>>>,
    /// How many more there may be.
    left: usize,
}

/// The counts of [`Metrics`] at one moment; see [`Metrics::snapshot`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// The exchanges by their labels, in a fixed order.
    pub series: Vec<ExchangeSeries>,
    /// The other metrics: of the servers, summed up, and of the process. The values of one metric
    /// follow each other. Counters of a server that is gone stay as they were when it was last asked.
    pub values: Vec<MetricValue>,
}

impl Metrics {
    /// Returns metrics that have counted nothing. There are at most 2,000 series.
    pub fn new() -> Self {
        Self::with_max_series(MAX_SERIES)
    }

    /// Returns metrics with at most so many series, at least 1. The exchanges with other labels count
    /// in one series, the [overflow](ExchangeSeries::overflow).
    pub fn with_max_series(series: usize) -> Self {
        let shards = thread::available_parallelism().map_or(4, |cores| 2 * cores.get().next_power_of_two());
        Self(Arc::new(Inner {
            shards: (0..shards.min(128)).map(|_| Line::default()).collect(),
            next: AtomicUsize::new(0),
            // One is the overflow.
            keys: Mutex::new(Keys { routes: HashMap::new(), left: series.saturating_sub(1) }),
            totals: Mutex::default(),
        }))
    }

    /// Returns the counts of all servers since the metrics were made, those of servers that are gone
    /// included. No request waits for this.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let series = Self::series(&self.0.shards);
        MetricsSnapshot { series, values: locked(&self.0.totals).values() }
    }

    /// Returns the counts of each shard alone, without the other metrics: `values` is empty. Their sums
    /// are those of [`snapshot`](Self::snapshot).
    ///
    /// A thread counts in the same shard, except in a moment in which another thread, or a snapshot, is
    /// there. There are at least as many shards as cores: if no more threads than that serve, each has a
    /// shard of its own, and a worker with much less to do than the others shows. There are always as
    /// many shards, in the same order; a shard without a thread has no series.
    pub fn shards(&self) -> Vec<MetricsSnapshot> {
        let alone =
            |shard| MetricsSnapshot { series: Self::series(slice::from_ref(shard)), values: Vec::new() };
        self.0.shards.iter().map(alone).collect()
    }

    /// Returns the sums of some shards.
    fn series(shards: &[Line]) -> Vec<ExchangeSeries> {
        let mut all = HashMap::<Key, ExchangeSeries>::new();
        for Line(shard) in shards {
            let mut from = 0;
            loop {
                // The lock is released between two parts, and held for a copy only.
                let part: Vec<_> = locked(shard).part(from, SERIES_AT_ONCE).cloned().collect();
                for (key, counts) in &part {
                    let series = all.entry(key.clone()).or_insert_with(|| key.clone().series());
                    series.durations.add(&counts.durations);
                    series.bytes_in += counts.bytes_in;
                    series.bytes_out += counts.bytes_out;
                }
                if part.len() < SERIES_AT_ONCE {
                    break;
                }
                from += part.len();
            }
        }
        let mut series: Vec<_> = all.into_values().collect();
        series.sort_by_cached_key(ExchangeSeries::order);
        series
    }

    /// Returns a view of each server that counts here and still exists.
    pub fn monitors(&self) -> Vec<Monitor> {
        locked(&self.0.totals).monitors()
    }

    /// Counts an exchange.
    fn record(&self, exchange: &Exchange<'_>) {
        // A fallback has no pattern.
        let route = exchange.route().unwrap_or_default();
        let labels = Labels::of(exchange);
        self.shard().counts(route, labels, || locked(&self.0.keys).admit(route, labels)).record(exchange);
    }

    /// Returns the shard of this thread, or another one that is free now.
    fn shard(&self) -> MutexGuard<'_, Shard> {
        let shards = &self.0.shards;
        let mut number = NUMBER.get();
        if number == usize::MAX {
            number = self.0.next.fetch_add(1, Ordering::Relaxed);
            NUMBER.set(number);
        }
        // There is a power of two of them.
        let first = number & (shards.len() - 1);
        shards[first].0.try_lock().unwrap_or_else(|_| self.free_shard(first))
    }

    /// Returns a shard that is free while `first` is taken, by another thread or by a snapshot.
    #[cold]
    fn free_shard(&self, first: usize) -> MutexGuard<'_, Shard> {
        let (before, from) = self.0.shards.split_at(first);
        let free = from.iter().chain(before).find_map(|shard| shard.0.try_lock().ok());
        free.unwrap_or_else(|| locked(&self.0.shards[first].0))
    }
}

impl Server {
    /// Counts the exchanges of this server in `metrics`, and lets them see the server. See
    /// [`Metrics`] for an example.
    #[must_use]
    pub fn metrics(self, metrics: &Metrics) -> Self {
        let (counting, seeing) = (metrics.clone(), metrics.clone());
        self.on_exchange(move |exchange| counting.record(exchange))
            .on_start(move |monitor| locked(&seeing.0.totals).watch(monitor.clone()))
    }
}

impl Keys {
    /// Returns the route if there is a series with these labels already, or if there may be one more.
    fn admit(&mut self, route: &str, labels: Labels) -> Option<Arc<str>> {
        if let Some(route) = self.routes.get(&labels).and_then(|routes| routes.get(route)) {
            return Some(Arc::clone(route));
        }
        self.left = self.left.checked_sub(1)?;
        let route = Arc::<str>::from(route);
        self.routes.entry(labels).or_default().insert(Arc::clone(&route));
        Some(route)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Locks what a panic cannot have left half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
