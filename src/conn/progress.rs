//! How a request body comes: the pace of its client, and when bytes last came.

use std::time::{Duration, Instant};

use super::pace::{Least, Pace};
use crate::config::Config;

/// The progress of a body.
#[derive(Default)]
pub(super) struct Progress {
    /// The client's pace. `None` until the client makes the server wait. On the heap, because few
    /// clients do.
    pace: Option<Box<Pace>>,
    /// The time at which bytes last arrived.
    pub last: Option<Instant>,
}

impl Progress {
    /// Notes that some bytes have come.
    pub fn advance(&mut self, now: Instant, bytes: u64, config: &Config) {
        self.last = Some(now);
        if let Some(pace) = &mut self.pace {
            pace.advance(now, bytes, least(config));
        }
    }

    /// Notes that the server waits for the client, and returns when it gives up.
    pub fn wait(&mut self, now: Instant, config: &Config) -> Option<Instant> {
        self.pace.get_or_insert_default().wait(now, least(config))
    }

    /// Notes that somebody else has waited for the client.
    pub fn add_wait(&mut self, time: Duration) {
        if !time.is_zero() {
            self.pace.get_or_insert_default().add(time);
        }
    }

    /// Notes that the server waits for something else.
    pub fn pause(&mut self, now: Instant) {
        if let Some(pace) = &mut self.pace {
            pace.pause(now);
        }
    }

    /// Forgets how long the server has waited.
    pub fn forget_pace(&mut self) {
        self.pace = None;
    }
}

/// Returns the least pace of a request body.
fn least(config: &Config) -> Least {
    Least::new(config.timeouts.body, config.limits.body_rate)
}
