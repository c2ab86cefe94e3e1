//! Counts of deadlines that have passed, one for each kind.

use std::sync::atomic::{AtomicU64, Ordering};

use super::refusals::REASONS;
use crate::error::Reject;

/// A kind of deadline; see [`Stats::expired`](crate::Stats::expired). Each is one of
/// [`Timeouts`](crate::Timeouts), or the rate beside it in [`Limits`](crate::Limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deadline {
    /// The steps before HTTP: the PROXY header and the TLS handshake.
    Handshake,
    /// The wait for a request.
    Idle,
    /// A request's head.
    Head,
    /// A request's body.
    Body,
    /// The handler.
    Handler,
    /// The client did not take an answer in time.
    Write,
    /// The client did not close after the last answer.
    Linger,
}

/// The number of kinds.
pub(crate) const DEADLINES: usize = Deadline::ALL.len();

/// How many deadlines have passed without a refusal that tells of them.
#[derive(Debug, Default)]
pub(crate) struct Expired([AtomicU64; DEADLINES]);

impl Deadline {
    /// All kinds.
    pub const ALL: &[Self] =
        &[Self::Handshake, Self::Idle, Self::Head, Self::Body, Self::Handler, Self::Write, Self::Linger];

    /// Returns the name of the timeout.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::Head => "head",
            Self::Body => "body",
            Self::Handler => "handler",
            Self::Write => "write",
            Self::Linger => "linger",
        }
    }

    /// The refusal that tells of the deadline, if there is one.
    const fn reject(self) -> Option<Reject> {
        match self {
            Self::Head => Some(Reject::HeadTimeout),
            Self::Body => Some(Reject::BodyTimeout),
            Self::Handler => Some(Reject::HandlerTimeout),
            Self::Handshake | Self::Idle | Self::Write | Self::Linger => None,
        }
    }
}

impl Expired {
    /// Counts a deadline that no refusal tells of.
    pub fn add(&self, deadline: Deadline) {
        // Relaxed: a count that is only shown, also below.
        self.0[deadline as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counts of all kinds, in the order of [`Deadline::ALL`], with those of the refusals.
    pub fn all(&self, refused: &[u64; REASONS]) -> [u64; DEADLINES] {
        std::array::from_fn(|index| {
            let refused = Deadline::ALL[index].reject().map_or(0, |reject| refused[reject as usize]);
            self.0[index].load(Ordering::Relaxed) + refused
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_once() {
        let expired = Expired::default();
        let mut refused = [0; REASONS];
        for (index, &deadline) in Deadline::ALL.iter().enumerate() {
            assert_eq!(deadline as usize, index, "{}", deadline.name());
            match deadline.reject() {
                Some(reject) => refused[reject as usize] += 1,
                None => expired.add(deadline),
            }
        }
        assert_eq!(expired.all(&refused), [1; DEADLINES]);
    }
}
