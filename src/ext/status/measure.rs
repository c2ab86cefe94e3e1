//! Measure: looks at the servers once a second, and writes what changed as JSON.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::json::Json;
use super::routes::{Counts, Routes, float};
use crate::ConnectionInfo;
use crate::ConnectionState;
use crate::ExchangeSeries;
use crate::MetricValue;
use crate::Metrics;
use crate::Monitor;

/// The points of the charts: two minutes.
const POINTS: usize = 120;
/// After so long without a look, differences say nothing about a second.
const GAP: Duration = Duration::from_secs(3);
/// The requests in progress that are shown.
const SHOWN: usize = 12;
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// The counters of the servers, at the last looks.
#[derive(Default)]
pub(super) struct Measure {
    last: Option<(Instant, Counts)>,
    routes: Routes,
    /// The points of the charts as JSON, the oldest first.
    points: VecDeque<String>,
    /// The newest look as JSON, without its braces and its state.
    members: String,
    is_stopping: bool,
}

impl Measure {
    /// Looks at the servers. `age` is the time since the page was made, `pages` are the routes of the
    /// streams of status pages, and `viewers` is how many of them there are.
    pub fn look(&mut self, metrics: &Metrics, age: Duration, pages: &[Arc<str>], viewers: usize) {
        let (now, time) = (Instant::now(), SystemTime::now());
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (mut snapshot, monitors) = (metrics.snapshot(), metrics.monitors());
        let is_page = |route: Option<&Arc<str>>| route.is_some_and(|route| pages.contains(route));
        // A page that is closed would count as an error, and as an answer that took long.
        snapshot.series.retain(|series| !is_page(series.route.as_ref()));
        let mut counts = Counts::default();
        snapshot.series.iter().for_each(|series| counts.add(series));
        let last = self.last.replace((now, counts));
        let last = last.filter(|(at, _)| now.saturating_duration_since(*at) < GAP);
        if last.is_none() {
            self.routes.forget();
        }
        self.routes.update(&snapshot.series, now);
        let elapsed = last.map(|(at, _)| now.saturating_duration_since(at).as_secs_f64().max(1e-3));
        let point = last.map(|(at, before)| point(time, now.saturating_duration_since(at), &before, &counts));
        self.is_stopping = monitors.iter().any(Monitor::is_stopping);

        let mut json = Json::default();
        json.key("time").number(time);
        json.key("version").text(env!("CARGO_PKG_VERSION"));
        json.key("uptime").number(age.as_secs_f64());
        json.key("servers").number(float(monitors.len() as u64));
        json.key("pages").number(float(viewers as u64));
        json.key("requests").number(float(counts.durations.count()));
        json.key("errors").number(float(counts.errors));
        values(&mut json, &snapshot.values);
        json.key("statuses").numbers(statuses(&snapshot.series));
        self.routes.write(&mut json, elapsed);
        let all = monitors.iter().flat_map(Monitor::connections);
        in_progress(&mut json, all.filter(|one| !is_page(one.route.as_ref())));
        json.key("point").raw(point.as_deref().unwrap_or("null"));
        self.members = json.into_text();
        if let Some(point) = point {
            if self.points.len() == POINTS {
                self.points.pop_front();
            }
            self.points.push_back(point);
        }
    }

    /// Returns the newest look as an event. `is_stopping` is true if a server is known to stop.
    pub fn event(&self, is_stopping: bool) -> String {
        let state = if is_stopping || self.is_stopping { "stopping" } else { "running" };
        format!("data: {{\"state\":\"{state}\",{}}}\n\n", self.members)
    }

    /// Returns the points before the newest look as the first event of a stream. A browser that loses the
    /// stream comes again after two seconds.
    pub fn start(&self) -> String {
        let points: Vec<_> = self.points.iter().map(String::as_str).collect();
        format!("retry: 2000\nevent: start\ndata: {{\"points\":[{}]}}\n\n", points.join(","))
    }
}

/// Returns a point of the charts: the time, exchanges and errors a second, p50, p90, p99.
fn point(time: f64, elapsed: Duration, before: &Counts, now: &Counts) -> String {
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let durations = now.durations.since(&before.durations);
    let mut json = Json::default();
    json.list(|json| {
        json.number(time);
        json.number(float(durations.count()) / seconds);
        json.number(float(now.errors.saturating_sub(before.errors)) / seconds);
        for share in [0.5, 0.9, 0.99] {
            json.number(durations.quantile(share).map(|duration| duration.as_secs_f64()));
        }
    });
    json.into_text()
}

/// Writes the values that are no exchanges.
fn values(json: &mut Json, values: &[MetricValue]) {
    let one = |name: &str| values.iter().find(|value| value.name == name).map(|value| value.value);
    let labelled = |name: &'static str| {
        let family = values.iter().filter(move |value| value.name == name);
        family.filter_map(|value| value.label.map(|(_, label)| (label, value.value)))
    };
    let of = |name, label| labelled(name).find(|(each, _)| *each == label).map_or(0.0, |(_, value)| value);
    let zero = |name| one(name).unwrap_or(0.0);
    json.key("memory").number(one("process.resident_memory"));
    json.key("pending").number(zero("http.server.active_requests"));
    json.key("accepted").number(zero("transom.connections.accepted"));
    json.key("bodies").number(zero("transom.held_bodies"));
    json.key("received").number(of("transom.network.io", "receive"));
    json.key("sent").number(of("transom.network.io", "transmit"));
    json.key("handshakes").number(of("transom.tls.handshakes", "done"));
    json.key("failed_handshakes").number(of("transom.tls.handshakes", "failed"));
    json.key("pool").numbers([
        ("threads", zero("transom.pool.threads")),
        ("busy", zero("transom.pool.busy_threads")),
        ("queued", zero("transom.pool.queued_jobs")),
    ]);
    json.key("connections").numbers(labelled("transom.connections"));
    json.key("refusals").numbers(labelled("transom.refusals").filter(|(_, count)| *count > 0.0));
    json.key("deadlines").numbers(labelled("transom.deadlines").filter(|(_, count)| *count > 0.0));
}

/// Returns the exchanges by the class of their status.
fn statuses(series: &[ExchangeSeries]) -> impl Iterator<Item = (&'static str, f64)> {
    let mut counts = [0; CLASSES.len()];
    for series in series.iter().filter(|series| !series.overflow) {
        let class = series.status.map_or(CLASSES.len(), |status| usize::from(status.as_u16() / 100));
        counts[class.clamp(1, CLASSES.len()) - 1] += series.count();
    }
    CLASSES.into_iter().zip(counts.map(float))
}

/// Writes what is in progress, the longest first. Answers that are sent come last: a stream may last for
/// long, and a handler should not.
fn in_progress(json: &mut Json, connections: impl Iterator<Item = ConnectionInfo>) {
    use ConnectionState::{Answering, Handling, ReadingBody, ReadingHead};
    let mut all: Vec<_> = connections
        .filter(|one| matches!(one.state, ReadingHead | ReadingBody | Handling | Answering))
        .collect();
    all.sort_by_key(|one| (one.state == Answering, Reverse(one.lasted)));
    json.key("slowest").list(|json| {
        for one in all.iter().take(SHOWN) {
            let route = match (one.route.as_deref(), one.state) {
                (Some(pattern), _) => pattern,
                (None, ReadingHead) => "–",
                (None, _) => "(no route)",
            };
            json.object(|json| {
                json.key("route").text(route);
                json.key("peer").text(&one.peer.to_string());
                json.key("state").text(one.state.name());
                json.key("lasted").number(one.lasted.as_secs_f64());
                json.key("left").number(one.deadline.map(|left| left.as_secs_f64()));
            });
        }
    });
    json.key("other_slowest").number(float(all.len().saturating_sub(SHOWN) as u64));
}
