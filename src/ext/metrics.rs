//! Metrics: counts the exchanges of servers (feature `metrics`).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::per_thread::{self, PerThread};
use super::series::{ExchangeSeries, Key, Labels};
use super::shard::{Shard, ShardWriter};
use super::totals::Totals;
use super::value::MetricValue;
use crate::Exchange;
use crate::Monitor;
use crate::Server;

/// The series that are kept if the program does not say how many; the advice of OpenTelemetry.
const MAX_SERIES: usize = 2000;
/// The series that are read while the lock of a shard is held, for which a thread with a new series waits.
const SERIES_AT_ONCE: usize = 32;

/// Counts the exchanges of one or more servers, with their durations and bytes.
///
/// A clone counts into the same metrics. Each thread counts into a shard of its own as far as there
/// are enough of them, without a lock, and [`snapshot`](Self::snapshot) sums the shards up.
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
    /// The last is for the threads for which there is no other.
    shards: Box<[Arc<Shard>]>,
    writers: PerThread<ShardWriter>,
    /// The series of all shards, to bound how many there are.
    keys: Mutex<Keys>,
    totals: Mutex<Totals>,
}

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
        let (mut shards, shared) = (Vec::new(), Arc::<Shard>::default());
        shards.resize_with(per_thread::threads(), Arc::<Shard>::default);
        let writers = PerThread::new(shards.iter().map(ShardWriter::new), ShardWriter::new(&shared));
        shards.push(shared);
        Self(Arc::new(Inner {
            shards: shards.into(),
            writers,
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
    /// A thread counts in a shard of its own, which another thread goes on with when it has ended. There
    /// are more shards than cores, and the threads for which there is none share the last one. If no more
    /// threads than there are cores serve, a worker with much less to do than the others shows. There are
    /// always as many shards, in the same order; a shard without a thread has no series.
    pub fn shards(&self) -> Vec<MetricsSnapshot> {
        let alone =
            |shard| MetricsSnapshot { series: Self::series(slice::from_ref(shard)), values: Vec::new() };
        self.0.shards.iter().map(alone).collect()
    }

    /// Returns the sums of some shards.
    fn series(shards: &[Arc<Shard>]) -> Vec<ExchangeSeries> {
        let mut all = HashMap::<Key, ExchangeSeries>::new();
        for shard in shards {
            let mut from = 0;
            loop {
                let part = shard.part(from, SERIES_AT_ONCE);
                for (key, counts) in &part {
                    let series = all.entry(key.clone()).or_insert_with(|| key.clone().series());
                    counts.add_to(series);
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
        let admit = || locked(&self.0.keys).admit(route, labels);
        self.0.writers.with(|writer| writer.counts(route, labels, admit).record(exchange));
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
