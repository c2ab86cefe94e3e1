//! Exchange series: the labels that exchanges are counted by, and the counts.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::{Histogram, Recorder, add};
use crate::Ended;
use crate::Exchange;
use crate::Method;
use crate::Reject;
use crate::StatusCode;
use crate::Version;

/// The name for each method that is not well known. A client cannot make series by inventing methods.
const OTHER_METHOD: &str = "_OTHER";
const METHODS: [&str; 10] =
    [OTHER_METHOD, "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
/// The ends that count as errors, in the order of their numbers.
const ENDS: [&str; 4] = ["left", "timed-out", "failed", "cut"];
const FIRST_REJECT: u64 = 1 + ENDS.len() as u64;

/// The exchanges that have the same labels, counted.
///
/// The labels are attributes of OpenTelemetry's semantic conventions for HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExchangeSeries {
    /// The method (`http.request.method`). `_OTHER` if it is not one of RFC 9110 or `PATCH`, and if
    /// the request's head was refused.
    pub method: &'static str,
    /// The scheme (`url.scheme`): `http` or `https`, as [`Exchange::scheme`] tells it.
    pub scheme: &'static str,
    /// The pattern of the route (`http.route`). `None` for the fallback, and if no route was found.
    pub route: Option<Arc<str>>,
    /// The status (`http.response.status_code`). `None` if the exchange ended before there was an
    /// answer.
    pub status: Option<StatusCode>,
    /// The version of the request (`network.protocol.version`). `None` if its head was refused.
    pub version: Option<Version>,
    /// The error (`error.type`): [`Reject::reason`] of a refusal; `left`, `timed-out`, `failed` or
    /// `cut` as in [`Ended`]; or a status of 500 or more. `None` if there was no error.
    pub error_type: Option<Cow<'static, str>>,
    /// True for the one series of the exchanges whose labels would have been one series too many
    /// (`otel.metric.overflow`). It has no other labels.
    pub overflow: bool,
    /// The durations (`http.server.request.duration`), from the whole head to the end of the
    /// answer.
    pub durations: Histogram,
    /// Bytes of the requests, with heads and framing.
    pub bytes_in: u64,
    /// Bytes of the answers, with heads and framing.
    pub bytes_out: u64,
}

impl ExchangeSeries {
    /// Returns the number of exchanges.
    pub fn count(&self) -> u64 {
        self.durations.count()
    }

    /// Returns the labels, to sort by. The overflow is the last.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let version = self.version.map(|version| version == Version::HTTP_11);
        let route = self.route.clone();
        (self.overflow, route, self.method, self.scheme, self.status, version, self.error_type.clone())
    }
}

/// All labels of an exchange but its route, packed into one number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Labels(u64);

impl Labels {
    const OVERFLOW: Self = Self(u64::MAX);

    pub fn of(exchange: &Exchange<'_>) -> Self {
        let method = exchange.method().map_or(0, |method| match *method {
            Method::GET => 1,
            Method::HEAD => 2,
            Method::POST => 3,
            Method::PUT => 4,
            Method::DELETE => 5,
            Method::CONNECT => 6,
            Method::OPTIONS => 7,
            Method::TRACE => 8,
            Method::PATCH => 9,
            _ => 0,
        });
        let version = match exchange.version() {
            None => 0,
            Some(Version::HTTP_10) => 1,
            Some(_) => 2,
        };
        let status = exchange.status().map_or(0, |status| u64::from(status.as_u16()));
        let error = match (exchange.reject(), exchange.ended()) {
            (Some(reject), _) => FIRST_REJECT + reject as u64,
            (None, Ended::Answered | Ended::Upgraded) => 0,
            (None, Ended::Left) => 1,
            (None, Ended::TimedOut) => 2,
            (None, Ended::Failed) => 3,
            (None, Ended::Cut) => 4,
        };
        let is_https = u64::from(exchange.scheme() == "https");
        Self(method | version << 8 | status << 16 | error << 32 | is_https << 40)
    }

    /// Returns a number to find the labels by, together with the place of a route.
    pub fn spread(self, route: usize) -> usize {
        // Multiplying by the golden ratio moves the differences into the upper half (Knuth 6.4).
        ((self.0 ^ route as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }

    fn byte(self, index: u32) -> usize {
        usize::from((self.0 >> (8 * index)).to_le_bytes()[0])
    }

    fn method(self) -> &'static str {
        METHODS.get(self.byte(0)).copied().unwrap_or(OTHER_METHOD)
    }

    fn version(self) -> Option<Version> {
        match self.byte(1) {
            1 => Some(Version::HTTP_10),
            2 => Some(Version::HTTP_11),
            _ => None,
        }
    }

    fn status(self) -> Option<StatusCode> {
        // The overflow has none either.
        StatusCode::from_u16(u16::try_from(self.0 >> 16 & 0xffff).unwrap_or(0)).ok()
    }

    fn error_type(self) -> Option<Cow<'static, str>> {
        let error = self.byte(4);
        let reject = error.checked_sub(1 + ENDS.len()).and_then(|index| Reject::ALL.get(index));
        if let Some(reject) = reject {
            return Some(reject.reason().into());
        }
        if let Some(end) = error.checked_sub(1).and_then(|index| ENDS.get(index)) {
            return Some((*end).into());
        }
        self.status().filter(StatusCode::is_server_error).map(|status| status.as_str().to_owned().into())
    }
}

/// All labels of an exchange.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Empty for none.
    pub route: Arc<str>,
    pub labels: Labels,
}

impl Key {
    pub fn overflow() -> Self {
        Self { route: "".into(), labels: Labels::OVERFLOW }
    }

    /// Returns the key as labels, without counts.
    pub fn series(self) -> ExchangeSeries {
        let overflow = self.labels == Labels::OVERFLOW;
        let labels = if overflow { Labels(0) } else { self.labels };
        ExchangeSeries {
            method: if overflow { "" } else { labels.method() },
            scheme: match labels.byte(5) {
                _ if overflow => "",
                0 => "http",
                _ => "https",
            },
            route: Some(self.route).filter(|route| !route.is_empty()),
            status: labels.status(),
            version: labels.version(),
            error_type: labels.error_type(),
            overflow,
            durations: Histogram::default(),
            bytes_in: 0,
            bytes_out: 0,
        }
    }
}

/// The counts of the exchanges with the same labels, while they grow. Most often all that changes lies in
/// one cache line.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Counts {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    durations: Recorder,
}

impl Counts {
    /// Counts an exchange. One thread at a time may do so.
    #[inline]
    pub fn record(&self, exchange: &Exchange<'_>) {
        add(&self.bytes_in, exchange.bytes_in());
        add(&self.bytes_out, exchange.bytes_out());
        self.durations.record(exchange.took());
    }

    /// Adds the counts to those of a series.
    pub fn add_to(&self, series: &mut ExchangeSeries) {
        series.durations.add(&self.durations.histogram());
        // Relaxed: counts that are only shown. They need not fit each other: see `add`.
        series.bytes_in += self.bytes_in.load(Ordering::Relaxed);
        series.bytes_out += self.bytes_out.load(Ordering::Relaxed);
    }
}
