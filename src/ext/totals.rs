//! Totals: the metrics that are no exchanges, of servers and of the process.

use super::process;
use super::value::{MetricKind, MetricValue};
use crate::ConnectionState;
use crate::Deadline;
use crate::Monitor;
use crate::Reject;
use crate::Stats;

/// A metric without its values.
pub(super) struct Family {
    pub name: &'static str,
    pub kind: MetricKind,
    pub unit: &'static str,
    pub description: &'static str,
    label: Option<&'static str>,
    /// Returns the values with their labels: as many for each server, in the same order.
    read: fn(&Stats) -> Vec<(&'static str, u64)>,
}

/// Declares the metrics of servers: one table for readers and code.
macro_rules! families {
    ($($name:literal $kind:ident $unit:literal $label:expr, $description:literal, $read:expr;)*) => {
        &[$(Family {
            name: $name,
            kind: MetricKind::$kind,
            unit: $unit,
            description: $description,
            label: $label,
            read: $read,
        },)*]
    };
}

/// Returns the one value of a metric without a label.
fn one(value: u64) -> Vec<(&'static str, u64)> {
    vec![("", value)]
}

pub(super) const FAMILIES: &[Family] = families! {
    "http.server.active_requests" Gauge "{request}" None,
        "Requests that were read, at least in part, and whose answers are not all written.",
        |stats| one(stats.pending);
    "transom.connections" Gauge "{connection}" Some("state"),
        "Open connections by what they do.",
        connections;
    "transom.connections.accepted" Counter "{connection}" None,
        "Connections that were let in.",
        |stats| one(stats.accepted);
    "transom.refusals" Counter "{refusal}" Some("reason"),
        "Requests and connections that were refused, by the reason.",
        |stats| Reject::ALL.iter().map(|reject| (reject.reason(), stats.refused(*reject))).collect();
    "transom.deadlines" Counter "{deadline}" Some("kind"),
        "Deadlines that have passed, by the timeout.",
        |stats| Deadline::ALL.iter().map(|kind| (kind.name(), stats.expired(*kind))).collect();
    "transom.pool.threads" Gauge "{thread}" None,
        "Threads of the pool for blocking handlers.",
        |stats| one(stats.pool_threads);
    "transom.pool.busy_threads" Gauge "{thread}" None,
        "Threads of the pool that run a handler.",
        |stats| one(stats.pool_busy);
    "transom.pool.queued_jobs" Gauge "{job}" None,
        "Jobs that wait for a thread of the pool.",
        |stats| one(stats.pool_queued);
    "transom.held_bodies" Gauge "By" None,
        "Bytes of request bodies in memory.",
        |stats| one(stats.body_bytes);
    "transom.network.io" Counter "By" Some("direction"),
        "Bytes of HTTP that were read from clients and written to them.",
        |stats| vec![("receive", stats.bytes_in), ("transmit", stats.bytes_out)];
    "transom.tls.handshakes" Counter "{handshake}" Some("result"),
        "TLS handshakes that were done, and those that failed.",
        |stats| vec![("done", stats.tls_handshakes), ("failed", stats.tls_failures)];
};

fn connections(stats: &Stats) -> Vec<(&'static str, u64)> {
    let in_http = ConnectionState::ALL.iter().map(|state| (state.name(), stats.in_state(*state)));
    std::iter::once(("opening", stats.opening)).chain(in_http).collect()
}

/// The servers whose counters are summed up.
#[derive(Default)]
pub(super) struct Totals {
    /// Each server with its values when it was last asked.
    servers: Vec<(Monitor, Vec<MetricValue>)>,
    /// The sums of the servers that are gone.
    gone: Vec<MetricValue>,
}

impl Totals {
    pub fn watch(&mut self, monitor: Monitor) {
        self.servers.push((monitor, Vec::new()));
    }

    /// Returns a view of each server that still exists.
    pub fn monitors(&self) -> Vec<Monitor> {
        let servers = self.servers.iter().map(|(monitor, _)| monitor);
        servers.filter(|monitor| monitor.stats().is_some()).cloned().collect()
    }

    /// Returns the metrics of all servers, summed up, and those of the process.
    pub fn values(&mut self) -> Vec<MetricValue> {
        let Self { servers, gone } = self;
        servers.retain_mut(|(monitor, last)| {
            if let Some(stats) = monitor.stats() {
                *last = FAMILIES.iter().flat_map(|family| family.values(&stats)).collect();
                return true;
            }
            // The counters of the sum must not fall.
            last.iter_mut()
                .filter(|value| value.kind == MetricKind::Gauge)
                .for_each(|value| value.value = 0.0);
            add(gone, last);
            false
        });
        let mut sums = gone.clone();
        for (_, values) in &*servers {
            add(&mut sums, values);
        }
        #[cfg(feature = "websocket")]
        sums.extend(super::websocket::websocket_metrics());
        sums.extend(process::values());
        sums
    }
}

impl Family {
    /// Returns the values for one server.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    fn values(&self, stats: &Stats) -> impl Iterator<Item = MetricValue> {
        (self.read)(stats).into_iter().map(|(label, value)| MetricValue {
            name: self.name,
            description: self.description,
            unit: self.unit,
            kind: self.kind,
            label: self.label.map(|name| (name, label)),
            value: value as f64,
        })
    }
}

/// Adds values to sums of the same metrics in the same order.
fn add(sums: &mut Vec<MetricValue>, values: &[MetricValue]) {
    if sums.is_empty() {
        *sums = values.to_vec();
    } else {
        sums.iter_mut().zip(values).for_each(|(sum, value)| sum.value += value.value);
    }
}
