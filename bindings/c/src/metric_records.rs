//! Packed records of metrics. Numbers are in the byte order of the machine, and each record starts at
//! a multiple of 8 bytes.

use transom::{ExchangeSeries, MetricKind, MetricValue, MetricsSnapshot, Version};

const ALIGNMENT: usize = 8;

const _: () = assert!(size_of::<transom_series_record>() == 64 && size_of::<transom_metric_record>() == 40);

/// The kinds of records of transom_metrics_snapshot. New kinds may be added.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_metric_record_kind {
    /// A transom_series_record.
    TRANSOM_RECORD_SERIES = 1,
    /// A transom_metric_record.
    TRANSOM_RECORD_METRIC = 2,
}

/// The kind of a metric. New kinds may be added.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum transom_metric_kind {
    /// It only grows.
    TRANSOM_METRIC_COUNTER = 1,
    /// It grows and falls.
    TRANSOM_METRIC_GAUGE = 2,
}

/// The responses with the same labels, counted: see transom_metrics_snapshot.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "for the header: `pack_series` writes the numbers")]
pub struct transom_series_record {
    /// The bytes of the record, with this header and the padding: a multiple of 8.
    pub record_len: u32,
    /// TRANSOM_RECORD_SERIES.
    pub kind: u32,
    /// The sum of the durations in nanoseconds, each from the whole head of the request to the end
    /// of the response.
    pub sum_ns: u64,
    /// Bytes of the requests, with heads and framing.
    pub bytes_in: u64,
    /// Bytes of the responses, with heads and framing.
    pub bytes_out: u64,
    /// The number of buckets.
    pub bucket_count: u32,
    /// The bytes of the method; "_OTHER" if it is not well known, or if the head was refused.
    pub method_len: u32,
    /// The bytes of the scheme: "http" or "https".
    pub scheme_len: u32,
    /// The bytes of the pattern of the route; 0 without a route, and for the fallback.
    pub route_len: u32,
    /// The bytes of the error: the name of a transom_reject; "left", "timed-out", "failed" or "cut"
    /// as in transom_ended; or a status of 500 or more. 0 if there was no error.
    pub error_len: u32,
    /// The status code; 0 if there was no response.
    pub status_code: u16,
    /// 10 for HTTP/1.0, 11 for HTTP/1.1, 0 if the head was refused.
    pub version: u16,
    /// 1 for the overflow, which has no labels, or else 0.
    pub is_overflow: u32,
    /// 0.
    pub reserved: u32,
}

/// A metric that is no response, with its value: see transom_metrics_snapshot.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "for the header: `pack_value` writes the numbers")]
pub struct transom_metric_record {
    /// The bytes of the record, with this header and the padding: a multiple of 8.
    pub record_len: u32,
    /// TRANSOM_RECORD_METRIC.
    pub kind: u32,
    /// The value.
    pub value: f64,
    /// A transom_metric_kind.
    pub metric_kind: u32,
    /// The bytes of the name, such as "transom.connections".
    pub name_len: u32,
    /// The bytes of the description.
    pub description_len: u32,
    /// The bytes of the unit: "By", "s", or a noun in braces.
    pub unit_len: u32,
    /// The bytes of the name of the label; 0 without a label.
    pub label_len: u32,
    /// The bytes of the value of the label.
    pub label_value_len: u32,
}

/// Returns the records of a snapshot.
pub(crate) fn pack(snapshot: &MetricsSnapshot) -> Vec<u8> {
    let mut out = Vec::new();
    snapshot.series.iter().for_each(|series| pack_series(series, &mut out));
    snapshot.values.iter().for_each(|value| pack_value(value, &mut out));
    out
}

fn pack_series(series: &ExchangeSeries, out: &mut Vec<u8>) {
    let counts = series.durations.counts();
    let route = series.route.as_deref().unwrap_or_default();
    let texts = [series.method, series.scheme, route, series.error_type.as_deref().unwrap_or_default()];
    let version: u16 = match series.version {
        None => 0,
        Some(Version::HTTP_10) => 10,
        Some(_) => 11,
    };
    let start = begin(transom_metric_record_kind::TRANSOM_RECORD_SERIES, out);
    let sum = u64::try_from(series.durations.sum().as_nanos()).unwrap_or(u64::MAX);
    for number in [sum, series.bytes_in, series.bytes_out] {
        out.extend(number.to_ne_bytes());
    }
    out.extend(length(counts.len()).to_ne_bytes());
    out.extend(texts.iter().flat_map(|text| length(text.len()).to_ne_bytes()));
    out.extend(series.status.map_or(0, |status| status.as_u16()).to_ne_bytes());
    out.extend(version.to_ne_bytes());
    out.extend(u32::from(series.overflow).to_ne_bytes());
    out.extend(0_u32.to_ne_bytes());
    out.extend(counts.iter().flat_map(|count| count.to_ne_bytes()));
    end(start, &texts, out);
}

fn pack_value(value: &MetricValue, out: &mut Vec<u8>) {
    let (label, label_value) = value.label.unwrap_or_default();
    let texts = [value.name, value.description, value.unit, label, label_value];
    let kind = match value.kind {
        MetricKind::Counter => transom_metric_kind::TRANSOM_METRIC_COUNTER,
        _ => transom_metric_kind::TRANSOM_METRIC_GAUGE,
    };
    let start = begin(transom_metric_record_kind::TRANSOM_RECORD_METRIC, out);
    out.extend(value.value.to_ne_bytes());
    out.extend((kind as u32).to_ne_bytes());
    out.extend(texts.iter().flat_map(|text| length(text.len()).to_ne_bytes()));
    end(start, &texts, out);
}

/// Begins a record, and returns where. Its length comes at the end.
fn begin(kind: transom_metric_record_kind, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend(0_u32.to_ne_bytes());
    out.extend((kind as u32).to_ne_bytes());
    start
}

fn end(start: usize, texts: &[&str], out: &mut Vec<u8>) {
    out.extend(texts.iter().flat_map(|text| text.bytes()));
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    let length = length(out.len() - start);
    out[start..start + size_of::<u32>()].copy_from_slice(&length.to_ne_bytes());
}

/// The program chose the texts, and no program has a pattern of 4 GiB.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
