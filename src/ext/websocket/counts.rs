//! Counts of the connections of the process, for metrics.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::MetricKind;
use crate::MetricValue;

/// Sets of counters. Threads that count at the same time mostly use different ones.
const SHARDS: usize = 16;
/// The codes with which connections end. A peer can send no others, so there are never more labels.
const CODES: [(u16, u16, &str); 16] = [
    (1000, 1000, "1000"),
    (1001, 1001, "1001"),
    (1002, 1002, "1002"),
    (1003, 1003, "1003"),
    (1005, 1005, "1005"),
    (1006, 1006, "1006"),
    (1007, 1007, "1007"),
    (1008, 1008, "1008"),
    (1009, 1009, "1009"),
    (1010, 1010, "1010"),
    (1011, 1011, "1011"),
    (1012, 1012, "1012"),
    (1013, 1013, "1013"),
    (1014, 1014, "1014"),
    (3000, 3999, "3000-3999"),
    (4000, 4999, "4000-4999"),
];

static COUNTS: [Counts; SHARDS] = [const { Counts::new() }; SHARDS];

/// Counters that share no cache line with others.
#[repr(align(128))]
struct Counts {
    opened: AtomicU64,
    closed: [AtomicU64; CODES.len()],
    received: AtomicU64,
    sent: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
}

impl Counts {
    const fn new() -> Self {
        Self {
            opened: AtomicU64::new(0),
            closed: [const { AtomicU64::new(0) }; CODES.len()],
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
        }
    }

    /// Returns the counters of this thread.
    fn own() -> &'static Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            // Relaxed: the number only spreads the threads.
            static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
        }
        &COUNTS[OWN.try_with(|own| *own).unwrap_or_default()]
    }
}

/// Counts a connection that opens.
pub(super) fn open() {
    // Relaxed here and below: counts that are only shown, and need not fit each other.
    Counts::own().opened.fetch_add(1, Ordering::Relaxed);
}

/// Counts a connection that ends.
pub(super) fn close(code: u16) {
    if let Some(place) = CODES.iter().position(|(first, last, _)| (*first..=*last).contains(&code)) {
        Counts::own().closed[place].fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts a piece of a message that was received.
pub(super) fn receive(bytes: usize, is_last: bool) {
    let counts = Counts::own();
    counts.bytes_received.fetch_add(bytes as u64, Ordering::Relaxed);
    counts.received.fetch_add(is_last.into(), Ordering::Relaxed);
}

/// Counts messages that were taken to be sent, or a piece of one.
pub(super) fn send(bytes: usize, messages: usize) {
    let counts = Counts::own();
    counts.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    counts.sent.fetch_add(messages as u64, Ordering::Relaxed);
}

/// Returns the metrics of WebSocket connections.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
pub fn websocket_metrics() -> Vec<MetricValue> {
    let sum = |read: fn(&Counts) -> &AtomicU64| -> u64 {
        COUNTS.iter().map(|counts| read(counts).load(Ordering::Relaxed)).sum()
    };
    let closed: Vec<u64> = (0..CODES.len())
        .map(|place| COUNTS.iter().map(|counts| counts.closed[place].load(Ordering::Relaxed)).sum())
        .collect();
    // Read after the closed ones: what closes meanwhile counts as open, and the gauge is never below 0.
    let open = sum(|counts| &counts.opened).saturating_sub(closed.iter().sum());
    let mut values = Vec::new();
    let mut put = |name, kind, unit, description, label, value: u64| {
        values.push(MetricValue { name, description, unit, kind, label, value: value as f64 });
    };
    let about = "Open WebSocket connections.";
    put("transom.websocket.connections", MetricKind::Gauge, "{connection}", about, None, open);
    let about = "WebSocket connections that have ended, by the code.";
    for ((_, _, name), count) in CODES.iter().zip(closed) {
        let label = Some(("code", *name));
        put("transom.websocket.closes", MetricKind::Counter, "{connection}", about, label, count);
    }
    let directions = [
        ("receive", sum(|counts| &counts.received), sum(|counts| &counts.bytes_received)),
        ("transmit", sum(|counts| &counts.sent), sum(|counts| &counts.bytes_sent)),
    ];
    let about = "WebSocket messages.";
    for (direction, count, _) in directions {
        let label = Some(("direction", direction));
        put("transom.websocket.messages", MetricKind::Counter, "{message}", about, label, count);
    }
    let about = "Bytes of WebSocket messages, without compression and framing.";
    for (direction, _, bytes) in directions {
        let label = Some(("direction", direction));
        put("transom.websocket.io", MetricKind::Counter, "By", about, label, bytes);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WebSocketClose;

    #[test]
    fn each_code_that_ends_a_connection_has_a_label() {
        let sendable = (0..=u16::MAX).filter(|code| crate::websocket::is_sendable(*code));
        for code in sendable.chain([WebSocketClose::NO_CODE, WebSocketClose::LOST]) {
            let labels = CODES.iter().filter(|(first, last, _)| (*first..=*last).contains(&code)).count();
            assert_eq!(labels, 1, "{code}");
        }
    }
}
