//! Metric value: a metric with its value at one moment.

/// A metric with its value at one moment; see [`MetricsSnapshot`](crate::MetricsSnapshot).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MetricValue {
    /// The name in the style of OpenTelemetry, such as `transom.connections`.
    pub name: &'static str,
    /// The meaning, in a sentence.
    pub description: &'static str,
    /// The unit by the rules of UCUM: `By`, `s` or a noun in braces.
    pub unit: &'static str,
    /// The kind of the metric.
    pub kind: MetricKind,
    /// A label that tells several values of the metric apart: its name and its value.
    pub label: Option<(&'static str, &'static str)>,
    /// The value.
    pub value: f64,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// It only grows, from the start of the process.
    Counter,
    /// It grows and falls.
    Gauge,
}
