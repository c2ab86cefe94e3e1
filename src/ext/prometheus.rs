//! Prometheus: metrics as text, in its own format and in that of OpenMetrics.

use std::fmt::{Display, Write as _};
use std::io;
use std::iter;

use futures_lite::stream;

use super::histogram::Histogram;
use super::metrics::{Metrics, MetricsSnapshot};
use super::series::ExchangeSeries;
use super::value::{MetricKind, MetricValue};
use crate::Body;
use crate::Bytes;
use crate::Context;
use crate::Handler;
use crate::Priority;
use crate::Reply;
use crate::Request;
use crate::Response;
use crate::StatusCode;
use crate::Version;

/// The series of one chunk of the text: about 16 KiB.
const SERIES_AT_ONCE: usize = 8;
/// The most series whose text is made at once, about 100 KiB.
const SERIES_OF_WHOLE_TEXT: usize = 32;

/// The metrics of which each series of exchanges has a value: name, unit, meaning. The first is a
/// histogram, the others are counters.
pub(super) const EXCHANGES: [(&str, &str, &str); 3] = [
    (
        "http.server.request.duration",
        "s",
        "The time from the whole head of a request to the end of its answer.",
    ),
    ("http.server.request", "By", "Bytes of requests, with heads and framing."),
    ("http.server.response", "By", "Bytes of answers, with heads and framing."),
];

/// A format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// The format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Metrics {
    /// Returns a handler that answers with the metrics as text for Prometheus: in the format of
    /// OpenMetrics 1.0 if the client accepts it, or else in version 0.0.4 of Prometheus' own.
    ///
    /// `docs/metrics.md` lists the metrics. The handler needs no other thread, so it also answers while
    /// the pool for blocking handlers is stuck.
    ///
    /// ```
    /// use transom::{Metrics, Router, Server};
    ///
    /// let metrics = Metrics::new();
    /// let app = Router::new().get("/metrics", metrics.handler());
    /// Server::new(app).metrics(&metrics);
    /// ```
    pub fn handler(&self) -> impl Handler + Clone + use<> {
        Scrape(self.clone())
    }
}

impl MetricsSnapshot {
    /// Returns the metrics as text in version 0.0.4 of Prometheus' format.
    pub fn to_prometheus(&self) -> String {
        Format::Prometheus.chunks(self.clone()).collect()
    }
}

/// The handler that [`Metrics::handler`] returns.
#[derive(Clone)]
struct Scrape(Metrics);

impl Handler for Scrape {
    fn call(&self, request: Request, _: &Context<'_>) -> Reply {
        let format = Format::accepted(&request);
        let snapshot = self.0.snapshot();
        let body = if snapshot.series.len() <= SERIES_OF_WHOLE_TEXT {
            Body::from(format.chunks(snapshot).collect::<String>())
        } else {
            // The text is made while it is sent, so a client that does not read costs the snapshot alone.
            let chunks = format.chunks(snapshot).map(|chunk| Ok::<_, io::Error>(Bytes::from(chunk)));
            Body::stream(stream::iter(chunks))
        };
        let response = Response::bytes(format.content_type(), body);
        Reply::now(response.header("cache-control", "no-store").header("vary", "accept"))
    }

    /// An overloaded server is the one to be watched.
    fn priority(&self) -> Option<Priority> {
        Some(Priority::Vital)
    }
}

impl Format {
    /// Returns the format that the client accepts. A scraper that knows OpenMetrics prefers it.
    fn accepted(request: &Request) -> Self {
        let is_open = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"))
                && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        };
        let fields = request.headers().get_all("accept").filter_map(|value| str::from_utf8(value).ok());
        let accepts = fields.flat_map(|value| value.split(',')).any(is_open);
        if accepts { Self::OpenMetrics } else { Self::Prometheus }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Returns the text in chunks of bounded size.
    fn chunks(self, snapshot: MetricsSnapshot) -> impl Iterator<Item = String> + Send + 'static {
        let mut text = Text { format: self, snapshot, family: 0, series: 0 };
        iter::from_fn(move || text.next())
    }
}

/// The text that is not sent yet.
struct Text {
    format: Format,
    snapshot: MetricsSnapshot,
    /// The index of the family in [`EXCHANGES`] that is next, and of its next series.
    family: usize,
    series: usize,
}

impl Text {
    fn next(&mut self) -> Option<String> {
        let mut out = String::new();
        let family = self.family;
        if family > EXCHANGES.len() {
            return None;
        }
        let Some((name, unit, description)) = EXCHANGES.get(family) else {
            self.family += 1;
            self.put_values(&mut out);
            return Some(out);
        };
        let kind = if family == 0 { "histogram" } else { "counter" };
        let name = exposed(name, unit);
        if self.series == 0 {
            self.put_head(&mut out, &name, kind, unit, description);
        }
        let part = self.snapshot.series.iter().skip(self.series).take(SERIES_AT_ONCE);
        for series in part {
            let labels = labels(series);
            match family {
                0 => put_histogram(&mut out, &name, &labels, &series.durations),
                1 => put_sample(&mut out, &name, "_total", &labels, series.bytes_in),
                _ => put_sample(&mut out, &name, "_total", &labels, series.bytes_out),
            }
        }
        self.series += SERIES_AT_ONCE;
        if self.series >= self.snapshot.series.len() {
            (self.family, self.series) = (family + 1, 0);
        }
        Some(out)
    }

    /// Writes the metrics that are no exchanges.
    fn put_values(&self, out: &mut String) {
        let mut last = "";
        for MetricValue { name, description, unit, kind, label, value } in &self.snapshot.values {
            let exposed = exposed(name, unit);
            let (kind, suffix) = match kind {
                MetricKind::Counter => ("counter", "_total"),
                MetricKind::Gauge => ("gauge", ""),
            };
            if *name != last {
                self.put_head(out, &exposed, kind, unit, description);
                last = name;
            }
            let labels = label.map_or_else(String::new, |(name, value)| labelled(name, value));
            put_sample(out, &exposed, suffix, &labels, value);
        }
        if self.format == Format::OpenMetrics {
            out.push_str("# EOF\n");
        }
    }

    /// Writes the lines about a family of samples.
    fn put_head(&self, out: &mut String, name: &str, kind: &str, unit: &str, description: &str) {
        let is_open = self.format == Format::OpenMetrics;
        // In OpenMetrics the suffix belongs to the sample, not to the family.
        let suffix = if kind == "counter" && !is_open { "_total" } else { "" };
        let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        if is_open && let Some(unit) = unit_name(unit) {
            let _ = writeln!(out, "# UNIT {name} {unit}");
        }
        let _ = writeln!(out, "# HELP {name}{suffix} {}", escaped(description, false));
    }
}

/// Returns the name of a metric in the text: with its unit, but without the suffix of counters.
pub(super) fn exposed(name: &str, unit: &str) -> String {
    let mut exposed = name.replace('.', "_");
    if let Some(unit) = unit_name(unit) {
        exposed.push('_');
        exposed.push_str(unit);
    }
    exposed
}

/// Returns the base unit of Prometheus. None for counts of things.
fn unit_name(unit: &str) -> Option<&'static str> {
    match unit {
        "By" => Some("bytes"),
        "s" => Some("seconds"),
        _ => None,
    }
}

/// Returns the labels of a series.
fn labels(series: &ExchangeSeries) -> String {
    if series.overflow {
        return labelled("otel_metric_overflow", "true");
    }
    let version = series.version.map(|version| if version == Version::HTTP_10 { "1.0" } else { "1.1" });
    let status = series.status.as_ref().map(StatusCode::as_str);
    let labels = [
        ("http_request_method", Some(series.method)),
        ("http_route", series.route.as_deref()),
        ("http_response_status_code", status),
        ("network_protocol_version", version),
        ("url_scheme", Some(series.scheme)),
        ("error_type", series.error_type.as_deref()),
    ];
    let labels = labels.into_iter().filter_map(|(name, value)| Some(labelled(name, value?)));
    labels.collect::<Vec<_>>().join(",")
}

fn labelled(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", escaped(value, true))
}

/// Returns a text that cannot end its line, nor the quotes around it.
fn escaped(text: &str, is_quoted: bool) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    if is_quoted { escaped.replace('"', "\\\"") } else { escaped }
}

fn put_sample(out: &mut String, name: &str, suffix: &str, labels: &str, value: impl Display) {
    let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
    let _ = writeln!(out, "{name}{suffix}{open}{labels}{close} {value}");
}

fn put_histogram(out: &mut String, name: &str, labels: &str, histogram: &Histogram) {
    let bounds = Histogram::BOUNDS.iter().map(|bound| format!("{:?}", bound.as_secs_f64()));
    let comma = if labels.is_empty() { "" } else { "," };
    let mut count = 0;
    for (bound, more) in bounds.chain(["+Inf".to_owned()]).zip(histogram.counts()) {
        count += more;
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}");
    }
    put_sample(out, name, "_sum", labels, histogram.sum().as_secs_f64());
    put_sample(out, name, "_count", labels, count);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::histogram::Recorder;
    use super::*;
    use crate::Method;
    use crate::Reject;

    /// Reads a text back: the samples by name and labels, as a strict reader does.
    fn parsed(text: &str) -> BTreeMap<(String, Vec<(String, String)>), f64> {
        let mut samples = BTreeMap::new();
        let (mut family, mut families) = (String::new(), Vec::new());
        for line in text.strip_suffix('\n').expect("a last line end").split('\n') {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (word, name) = (words.next().unwrap(), words.next());
                match (word, name) {
                    ("TYPE", Some(name)) => {
                        assert!(!families.contains(&name), "{name} has one group");
                        families.push(name);
                        family = name.to_owned();
                    }
                    ("HELP" | "UNIT", Some(name)) => assert_eq!(name, family),
                    ("EOF", None) => {}
                    _ => panic!("a comment: {line}"),
                }
                continue;
            }
            let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
            assert!(name.starts_with(&family), "{line} belongs to {family}");
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => read_labels(rest),
                None => (Vec::new(), rest),
            };
            let value = value.strip_prefix(' ').unwrap().parse().unwrap();
            let unique = samples.insert((name.to_owned(), labels), value).is_none();
            assert!(unique, "twice: {line}");
        }
        samples
    }

    /// Reads labels up to the brace, and returns the rest of the line.
    fn read_labels(mut rest: &str) -> (Vec<(String, String)>, &str) {
        let mut labels = Vec::new();
        loop {
            let (name, after) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut chars = after.chars();
            loop {
                match chars.next().expect("the quote that ends the value") {
                    '"' => break,
                    '\\' => value.push(match chars.next() {
                        Some('n') => '\n',
                        Some(c @ ('\\' | '"')) => c,
                        other => panic!("an escape: {other:?}"),
                    }),
                    c => value.push(c),
                }
            }
            labels.push((name.to_owned(), value));
            match chars.next() {
                Some(',') => rest = chars.as_str(),
                Some('}') => return (labels, chars.as_str()),
                other => panic!("after a label: {other:?}"),
            }
        }
    }

    fn series(route: &str, durations: &[u64]) -> ExchangeSeries {
        let recorder = Recorder::default();
        for millis in durations {
            recorder.record(Duration::from_millis(*millis));
        }
        ExchangeSeries {
            method: "GET",
            scheme: "http",
            route: Some(route.into()),
            status: Some(StatusCode::OK),
            version: Some(Version::HTTP_11),
            error_type: None,
            overflow: false,
            durations: recorder.histogram(),
            bytes_in: 7,
            bytes_out: 9,
        }
    }

    #[test]
    fn any_label_can_be_read_back() {
        // Strings of all pieces that could break out of a label.
        let pieces = ["\"", "\\", "\n", "}", "{", ",", "=", "a", " ", "é", "# EOF", "\r"];
        let mut number = 0x5eed_u64;
        for round in 0..500 {
            let mut route = format!("/{round}");
            for _ in 0..round % 9 {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                route.push_str(pieces[(number >> 33) as usize % pieces.len()]);
            }
            let all: Vec<_> =
                (0..round % 20).map(|other| series(&format!("{route}{other}"), &[other])).collect();
            let snapshot = MetricsSnapshot { series: all.clone(), values: Vec::new() };
            for format in [Format::Prometheus, Format::OpenMetrics] {
                let samples = parsed(&format.chunks(snapshot.clone()).collect::<String>());
                for series in &all {
                    let route = series.route.as_deref().unwrap();
                    let counts: Vec<_> = samples
                        .iter()
                        .filter(|((name, labels), _)| {
                            name == "http_server_request_duration_seconds_count"
                                && labels.contains(&("http_route".to_owned(), route.to_owned()))
                        })
                        .map(|(_, value)| *value)
                        .collect();
                    assert_eq!(counts, [1.0], "{route:?} in {format:?}");
                }
            }
        }
    }

    #[test]
    fn a_histogram_is_cumulative_and_has_its_sum() {
        let snapshot = MetricsSnapshot { series: vec![series("/", &[1, 40, 60_000])], values: Vec::new() };
        let text = snapshot.to_prometheus();
        let name = "http_server_request_duration_seconds";
        let labels = r#"http_request_method="GET",http_route="/",http_response_status_code="200",network_protocol_version="1.1",url_scheme="http""#;
        for line in [
            format!("# TYPE {name} histogram\n"),
            format!("{name}_bucket{{{labels},le=\"0.0005\"}} 0\n"),
            format!("{name}_bucket{{{labels},le=\"0.001\"}} 1\n"),
            format!("{name}_bucket{{{labels},le=\"0.05\"}} 2\n"),
            format!("{name}_bucket{{{labels},le=\"10.0\"}} 2\n"),
            format!("{name}_bucket{{{labels},le=\"+Inf\"}} 3\n"),
            format!("{name}_sum{{{labels}}} 60.041\n"),
            format!("{name}_count{{{labels}}} 3\n"),
            format!("# TYPE http_server_request_bytes_total counter\nhttp_server_request_bytes_total{{{labels}}} 7\n").replace("counter\n", "counter\n# HELP http_server_request_bytes_total Bytes of requests, with heads and framing.\n"),
        ] {
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[test]
    fn openmetrics_is_sent_to_those_who_accept_it() {
        let accepted = |accept: &str| {
            let mut request = Request::new(Method::GET, "/metrics").unwrap();
            request.headers_mut().append("accept", accept).unwrap();
            Format::accepted(&request)
        };
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(accepted(prometheus), Format::OpenMetrics);
        assert_eq!(accepted("application/openmetrics-text; q=0, */*"), Format::Prometheus);
        assert_eq!(accepted("text/plain"), Format::Prometheus);
        assert_eq!(accepted("*/*"), Format::Prometheus);
        let overflow = ExchangeSeries { overflow: true, ..series("", &[1]) };
        let error =
            ExchangeSeries { error_type: Some(Reject::BadHeader.reason().into()), ..series("/", &[]) };
        let snapshot =
            MetricsSnapshot { series: vec![error, overflow], values: super::super::process::values() };
        let text: String = Format::OpenMetrics.chunks(snapshot).collect();
        assert!(text.contains("# UNIT http_server_request_bytes bytes\n"), "{text}");
        assert!(
            text.contains("http_server_request_bytes_total{otel_metric_overflow=\"true\"} 7\n"),
            "{text}"
        );
        assert!(text.contains(",error_type=\"bad-header\"} 0\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
        parsed(&text);
    }
}
