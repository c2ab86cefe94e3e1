//! Routes: the counts of each route, and how they changed lately.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::json::Json;
use crate::ExchangeSeries;
use crate::Histogram;

/// The routes that are shown.
const SHOWN: usize = 20;
/// The p99 of a route is of about this time.
const WINDOW: Duration = Duration::from_secs(60);
/// The window moves in steps of this length, so that few old counts are kept.
const STEP: Duration = Duration::from_secs(10);

/// The counts of each route.
#[derive(Default)]
pub(super) struct Routes {
    now: HashMap<Route, Counts>,
    before: HashMap<Route, Counts>,
    /// Older durations, each with its time; the oldest first.
    window: VecDeque<(Instant, HashMap<Route, Histogram>)>,
}

/// `None` is the sum of the exchanges that are counted together because there are too many series.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Route(Option<Arc<str>>);

#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub durations: Histogram,
    pub errors: u64,
}

impl Counts {
    pub fn add(&mut self, series: &ExchangeSeries) {
        self.durations.add(&series.durations);
        if series.error_type.is_some() {
            self.errors += series.count();
        }
    }
}

impl Route {
    fn of(series: &ExchangeSeries) -> Self {
        Self((!series.overflow).then(|| series.route.clone().unwrap_or_default()))
    }

    fn name(&self) -> &str {
        match self.0.as_deref() {
            None => "(other)",
            Some("") => "(no route)",
            Some(pattern) => pattern,
        }
    }
}

impl Routes {
    /// Takes the counts of now.
    pub fn update(&mut self, series: &[ExchangeSeries], now: Instant) {
        self.before = std::mem::take(&mut self.now);
        for series in series {
            self.now.entry(Route::of(series)).or_default().add(series);
        }
        if self.window.back().is_none_or(|(at, _)| now.saturating_duration_since(*at) >= STEP) {
            let durations = self.now.iter().map(|(route, counts)| (route.clone(), counts.durations));
            self.window.push_back((now, durations.collect()));
        }
        // The one before the window is the first that counts as old.
        while self.window.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.window.pop_front();
        }
    }

    /// Forgets what was before, after a time in which nobody looked.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Writes the busiest routes as arrays: name, exchanges, errors, exchanges a second, p99. `elapsed`
    /// is the time between the last two updates, if there were two.
    pub fn write(&self, json: &mut Json, elapsed: Option<f64>) {
        let mut lines: Vec<_> = self
            .now
            .iter()
            .map(|(route, counts)| {
                let total = counts.durations.count();
                let before = self.before.get(route).map_or(0, |counts| counts.durations.count());
                (total.saturating_sub(before), total, route, counts)
            })
            .collect();
        lines.sort_unstable_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then_with(|| a.2.name().cmp(b.2.name())));
        json.key("routes").list(|json| {
            for (more, total, route, counts) in lines.iter().take(SHOWN) {
                json.list(|json| {
                    json.text(route.name());
                    json.number(float(*total));
                    json.number(float(counts.errors));
                    json.number(elapsed.map(|elapsed| float(*more) / elapsed));
                    json.number(self.recent(route, counts).quantile(0.99).map(|p99| p99.as_secs_f64()));
                });
            }
        });
        json.key("other_routes").number(float(lines.len().saturating_sub(SHOWN) as u64));
    }

    /// Returns the durations within the window.
    fn recent(&self, route: &Route, counts: &Counts) -> Histogram {
        let old = self.window.front().and_then(|(_, durations)| durations.get(route));
        counts.durations.since(&old.copied().unwrap_or_default())
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
