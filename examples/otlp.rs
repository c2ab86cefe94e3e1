//! Metrics to OpenTelemetry: sends a snapshot to a collector each second, as OTLP over HTTP in JSON.
//!
//! `cargo run --example otlp --features metrics -- 127.0.0.1:8080 127.0.0.1:4318`

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, SystemTime};

use transom::{ExchangeSeries, Histogram, Metrics, Request, Router, Server, StatusCode};

fn attribute((key, value): (&str, Option<&str>)) -> Option<String> {
    value.map(|value| format!(r#"{{"key":"{key}","value":{{"stringValue":{value:?}}}}}"#))
}

/// Returns a series as a data point of a histogram.
fn data_point(series: &ExchangeSeries, start: SystemTime) -> String {
    let attributes = [
        ("http.request.method", Some(series.method)),
        ("http.route", series.route.as_deref()),
        ("http.response.status_code", series.status.as_ref().map(StatusCode::as_str)),
        ("error.type", series.error_type.as_deref()),
    ];
    let attributes = attributes.into_iter().filter_map(attribute).collect::<Vec<_>>().join(",");
    let counts: Vec<_> = series.durations.counts().iter().map(u64::to_string).collect();
    let bounds = Histogram::BOUNDS.map(|bound| bound.as_secs_f64());
    let [start, now] = [start, SystemTime::now()].map(|time| time.duration_since(SystemTime::UNIX_EPOCH));
    let (start, now) = (start.unwrap_or_default().as_nanos(), now.unwrap_or_default().as_nanos());
    let times = format!(r#""startTimeUnixNano":"{start}","timeUnixNano":"{now}""#);
    let sums = format!(r#""count":"{}","sum":{}"#, series.count(), series.durations.sum().as_secs_f64());
    let buckets = format!(r#""bucketCounts":{counts:?},"explicitBounds":{bounds:?}"#);
    format!(r#"{{"attributes":[{attributes}],{times},{sums},{buckets}}}"#)
}

fn export(metrics: &Metrics, collector: &str, start: SystemTime) -> io::Result<()> {
    let series = metrics.snapshot().series;
    let points = series.iter().map(|series| data_point(series, start)).collect::<Vec<_>>().join(",");
    let metric =
        r#""name":"http.server.request.duration","unit":"s","histogram":{"aggregationTemporality":2"#;
    let scope =
        format!(r#"{{"scope":{{"name":"transom"}},"metrics":[{{{metric},"dataPoints":[{points}]}}}}]}}"#);
    let body = format!(r#"{{"resourceMetrics":[{{"resource":{{}},"scopeMetrics":[{scope}]}}]}}"#);
    let fields = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
    let mut stream = TcpStream::connect(collector)?;
    write!(stream, "POST /v1/metrics HTTP/1.0\r\n{fields}\r\n\r\n{body}")?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

fn main() -> transom::Result<()> {
    let word = |index, usual: &str| std::env::args().nth(index).unwrap_or_else(|| usual.into());
    let (address, collector) = (word(1, "127.0.0.1:8080"), word(2, "127.0.0.1:4318"));
    let (metrics, start) = (Metrics::new(), SystemTime::now());
    let app = Router::new().get("/", async |_: Request| "hello\n");
    let server = Server::new(app).metrics(&metrics).bind(&address)?.start()?;
    println!("http://{}, metrics to {collector}", server.local_addr());
    loop {
        thread::sleep(Duration::from_secs(1));
        export(&metrics, &collector, start).unwrap_or_else(|error| eprintln!("{collector}: {error}"));
    }
}
