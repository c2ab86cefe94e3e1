//! The activity of a connection: its state and its bytes, as other threads see them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The state of a connection; see [`ConnectionInfo`](crate::ConnectionInfo).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionState {
    /// It waits for a request.
    Idle,
    /// A part of a request's head has come.
    ReadingHead,
    /// The server reads a body that the handler gets whole.
    ReadingBody,
    /// The handler works. It may read the body meanwhile, if its route streams.
    Handling,
    /// The server sends the answer.
    Answering,
    /// The last answer is written, and the server waits until the client has read it.
    Lingering,
    /// A handler has taken the connection out of HTTP.
    Upgraded,
}

/// The state of a connection, since when it is in that state, and the bytes that came and went.
///
/// The connection's task alone writes, so a load and a store are enough to count.
#[derive(Default)]
pub(crate) struct Activity {
    /// The state, the number of the route, and when the state began.
    now: AtomicU64,
    received: AtomicU64,
    written: AtomicU64,
}

/// The state of a connection at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doing {
    pub state: ConnectionState,
    /// The number of the route, as [`Table::endpoint`](crate::handler::Table::endpoint) knows it; 0 if
    /// there is none.
    pub route: u32,
    /// When the state began, counted from the server's start.
    pub since: Duration,
}

/// The number of states.
pub(crate) const STATES: usize = ConnectionState::ALL.len();

const STATE_BITS: u32 = 3;
const ROUTE_BITS: u32 = 20;
const TIME_SHIFT: u32 = STATE_BITS + ROUTE_BITS;
const STATE_MASK: u64 = (1 << STATE_BITS) - 1;
const ROUTE_MASK: u64 = (1 << ROUTE_BITS) - 1;
/// A time has whole seconds, and below them 10 bits for units of 2^20 nanoseconds: no division is
/// needed to make it.
const FRACTION_BITS: u32 = 10;
const UNIT_SHIFT: u32 = 20;

impl ConnectionState {
    /// All states, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Idle,
        Self::ReadingHead,
        Self::ReadingBody,
        Self::Handling,
        Self::Answering,
        Self::Lingering,
        Self::Upgraded,
    ];

    /// Returns a short name, such as `reading-head`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::ReadingHead => "reading-head",
            Self::ReadingBody => "reading-body",
            Self::Handling => "handling",
            Self::Answering => "answering",
            Self::Lingering => "lingering",
            Self::Upgraded => "upgraded",
        }
    }
}

impl Activity {
    /// Begins a state of no route. `since` counts from the server's start.
    #[inline]
    pub fn begin(&self, state: ConnectionState, since: Duration) {
        // Relaxed here and in the functions that follow: all that belongs together is one word, which the task of
        // the connection alone writes, except for `doing`. Others show the word, and read nothing because of it.
        self.now.store(packed_time(since) | state as u64, Ordering::Relaxed);
    }

    /// Begins the handler of a route. The time is left out, because most handlers answer at once.
    #[inline]
    pub fn handle(&self, route: u32) {
        // A route beyond the millionth is not shown.
        let route = (u64::from(route) & ROUTE_MASK) << STATE_BITS;
        self.now.store(route | ConnectionState::Handling as u64, Ordering::Relaxed);
    }

    /// Begins a state with the route of the state before, unless it is that state already.
    pub fn change(&self, state: ConnectionState, since: Duration) {
        let before = self.now.load(Ordering::Relaxed);
        if before & STATE_MASK != state as u64 || before >> TIME_SHIFT == 0 {
            let route = before & ROUTE_MASK << STATE_BITS;
            self.now.store(packed_time(since) | route | state as u64, Ordering::Relaxed);
        }
    }

    /// Counts bytes that were read.
    #[inline]
    pub fn received(&self, length: usize) {
        // Relaxed: only the task of the connection counts, so a load and a store lose nothing. Others show it.
        let total = self.received.load(Ordering::Relaxed).wrapping_add(length as u64);
        self.received.store(total, Ordering::Relaxed);
    }

    /// Counts bytes that were written.
    #[inline]
    pub fn written(&self, length: usize) {
        let total = self.written.load(Ordering::Relaxed).wrapping_add(length as u64);
        self.written.store(total, Ordering::Relaxed);
    }

    /// Returns what the connection does at a time, which counts from the server's start. If nobody
    /// knows when the state began, it begins now.
    pub fn doing(&self, now: Duration) -> Doing {
        // Relaxed: the exchange fails if the word has changed, and then the newer word is the answer.
        let mut packed = self.now.load(Ordering::Relaxed);
        if packed >> TIME_SHIFT == 0 {
            let seen = packed | packed_time(now);
            // The connection's task may have gone on meanwhile.
            let noted = self.now.compare_exchange(packed, seen, Ordering::Relaxed, Ordering::Relaxed);
            packed = noted.map_or_else(|newer| newer, |_| seen);
        }
        let state = usize::try_from(packed & STATE_MASK).ok().and_then(|at| ConnectionState::ALL.get(at));
        Doing {
            state: state.copied().unwrap_or(ConnectionState::Idle),
            route: u32::try_from(packed >> STATE_BITS & ROUTE_MASK).unwrap_or(0),
            since: if packed >> TIME_SHIFT == 0 { now } else { unpacked_time(packed) },
        }
    }

    /// Returns the numbers of bytes that were read and written.
    pub fn bytes(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed))
    }
}

/// Returns a time from the server's start, at its place in the packed state.
#[inline]
fn packed_time(since: Duration) -> u64 {
    let ticks = since.as_secs() << FRACTION_BITS | u64::from(since.subsec_nanos() >> UNIT_SHIFT);
    ticks << TIME_SHIFT
}

/// Returns the time of a packed state, which is up to a millisecond early.
fn unpacked_time(packed: u64) -> Duration {
    let ticks = packed >> TIME_SHIFT;
    let fraction = (ticks & ((1 << FRACTION_BITS) - 1)) << UNIT_SHIFT;
    Duration::from_secs(ticks >> FRACTION_BITS) + Duration::from_nanos(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_millis(5);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_state_keeps_its_route_and_its_beginning() {
        let activity = Activity::default();
        for (number, &state) in ConnectionState::ALL.iter().enumerate() {
            assert_eq!(state as usize, number, "{}", state.name());
            for route in [0, 1, 0xf_ffff] {
                for since in [2, 999, 1_000, 86_400_999, 1 << 40].map(Duration::from_millis) {
                    activity.handle(route);
                    activity.change(state, since);
                    // Neither the same state nor a look begins it again.
                    activity.change(state, since * 2);
                    let doing = activity.doing(since * 3);
                    assert_eq!((doing.state, doing.route), (state, route));
                    let early = since.checked_sub(doing.since).expect("it is not late");
                    assert!(early < Duration::from_millis(2), "{early:?} before {since:?}");
                }
            }
        }
        activity.begin(ConnectionState::Idle, seconds(9));
        assert_eq!(
            activity.doing(seconds(10)),
            Doing { state: ConnectionState::Idle, route: 0, since: seconds(9) }
        );
        activity.handle(0x10_0000);
        assert_eq!(activity.doing(seconds(10)).route, 0, "more routes than have a number");
    }

    #[test]
    fn a_handler_that_does_not_wait_begins_when_it_is_first_seen() {
        let activity = Activity::default();
        activity.begin(ConnectionState::Idle, START);
        activity.handle(7);
        for now in [seconds(20), seconds(21), seconds(22)] {
            let doing = Doing { state: ConnectionState::Handling, route: 7, since: seconds(20) };
            assert_eq!(activity.doing(now), doing);
        }
        activity.change(ConnectionState::Answering, seconds(30));
        let doing = Doing { state: ConnectionState::Answering, route: 7, since: seconds(30) };
        assert_eq!(activity.doing(seconds(31)), doing);
    }

    #[test]
    fn bytes_are_counted() {
        let activity = Activity::default();
        activity.received(3);
        activity.received(4);
        activity.written(5);
        assert_eq!(activity.bytes(), (7, 5));
    }
}
