//! The bounds of a script: the time that it may keep the server, and the bytes that its client
//! may lose.

use std::time::Duration;

use super::moves::{Phase, Tail};
use super::requests::{Expected, Request};
use super::script::{Buffering, End, Script};
use super::world::Outcome;
use crate::config::Config;
use crate::conn::Stage;

/// More than the rounding of any deadline.
const SLACK: Duration = Duration::from_millis(50);

/// The field by which an answer says that it is the last.
const CLOSES: &[u8] = b"\r\nconnection: close\r\n";

/// The bytes that the server assumes a transport to hold back, if the transport cannot tell.
const HIDDEN: u64 = 64 * 1024;

/// The server's deadlines, for one script.
pub struct Bounds<'a> {
    script: &'a Script,
    config: &'a Config,
}

impl<'a> Bounds<'a> {
    pub fn new(script: &'a Script, config: &'a Config) -> Self {
        Self { script, config }
    }

    fn of(timeout: Option<Duration>) -> Duration {
        timeout.unwrap_or(Duration::MAX)
    }

    /// Returns the longest linger: in all, and without a byte.
    fn linger(&self) -> (Duration, Duration) {
        let timeouts = &self.config.timeouts;
        let idle = if self.script.is_waited_for { timeouts.drain } else { timeouts.linger_idle };
        (Self::of(timeouts.linger), Self::of(idle))
    }

    /// Returns the time that moving bytes at the least rate may take: `timeout` and `hidden`, the
    /// time for bytes that a transport holds back, for each wait and for each `rate` x `timeout`
    /// bytes.
    fn moving(
        timeout: Option<Duration>,
        hidden: Duration,
        rate: u32,
        waits: usize,
        bytes: usize,
    ) -> Duration {
        let timeout = Self::of(timeout);
        let quota = timeout.as_millis() * u128::from(rate) / 1000;
        let waits = (waits + 1) as u128 + bytes as u128 / quota.max(1);
        (timeout + hidden) * u32::try_from(waits).unwrap_or(u32::MAX)
    }

    /// Returns the time that the whole connection may take, by its deadlines and least rates, if
    /// `came` bytes were received and `delivered` bytes were sent.
    pub fn whole(&self, came: usize, delivered: usize) -> Duration {
        let Config { limits, timeouts, .. } = self.config;
        // The bytes after the last request may look like one more request.
        let count = self.script.requests.len() + 1;
        let each = [timeouts.idle, timeouts.head, timeouts.handler, timeouts.drain];
        let each: Duration = each.into_iter().map(Self::of).sum();
        let hidden = match self.script.buffering {
            Buffering::Silent => Duration::from_secs(HIDDEN) / self.script.write_rate,
            _ => Duration::ZERO,
        };
        each * u32::try_from(count).unwrap_or(u32::MAX)
            + Self::moving(timeouts.body, Duration::ZERO, limits.body_rate, count, came)
            + Self::moving(timeouts.write, hidden, limits.write_rate, count, delivered)
            + Self::of(timeouts.idle)
            + Self::of(timeouts.linger)
            + Self::of(timeouts.drain)
    }

    /// Returns when the server must have closed its sending side, if its client reads at once and
    /// never stops sending.
    fn close_of(&self, tail: &Tail) -> Option<Duration> {
        let Config { limits, timeouts, .. } = self.config;
        let is_quick = |request: &Request| !request.bytes.starts_with(b"GET /never");
        if self.script.reads != usize::MAX || !self.script.requests.iter().all(is_quick) {
            return None;
        }
        let sleeps = super::app::SLEEP * u32::try_from(self.script.requests.len()).unwrap_or(1);
        let begun = self.script.length() + sleeps;
        let phase = match tail.phase {
            Phase::Head => match self.script.stop {
                // A stop leaves the connection less time.
                Some((at, Stage::Draining)) => {
                    let left = at.saturating_sub(begun) + Self::of(timeouts.drain);
                    left.min(Self::of(timeouts.head))
                }
                _ => Self::of(timeouts.head),
            },
            Phase::Body => {
                let millis = tail.every.as_millis().max(1);
                let rate = tail.bytes.len() as u128 * 1000 / millis;
                // A client that keeps the rate goes on until the limit.
                let pieces = limits.body / tail.bytes.len() as u64 + 1;
                let by_limit = tail.every * u32::try_from(pieces).unwrap_or(u32::MAX);
                if rate < u128::from(limits.body_rate) { Self::of(timeouts.body) } else { by_limit }
            }
            Phase::Drain => Self::of(timeouts.drain),
            Phase::Linger => Duration::ZERO,
        };
        Some(begun + phase + SLACK)
    }

    /// Checks that no phase was longer than its bound, and that no bytes were lost that the client
    /// would have read.
    pub fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let bound = self.whole(outcome.came, outcome.delivered);
        if outcome.dropped > bound {
            return Err(format!("it took {:?}, with {bound:?} at most", outcome.dropped));
        }
        if let Some((at, Stage::Cut)) = self.script.stop
            && outcome.dropped > at + SLACK
        {
            return Err(format!("it lasted until {:?}, cut at {at:?}", outcome.dropped));
        }
        let end = outcome.closed.unwrap_or(outcome.dropped);
        if let Some(tail) = &self.script.tail
            && let Some(due) = self.close_of(tail)
            && end > due
        {
            return Err(format!("it ended after {end:?}, with {due:?} at most"));
        }
        self.check_linger(outcome)
    }

    fn check_linger(&self, outcome: &Outcome) -> Result<(), String> {
        let (dropped, lost) = (outcome.dropped, outcome.lost.len());
        let (whole, idle) = self.linger();
        let Some(closed) = outcome.closed else {
            return self.check_broken(outcome);
        };
        let lasted = dropped.saturating_sub(closed);
        let quiet = dropped.saturating_sub(closed.max(outcome.last_came));
        // A server that stops or needs room lingers less.
        let hurried =
            self.script.stop.map_or(Duration::ZERO, |(at, _)| dropped.saturating_sub(closed.max(at)));
        let hurry = Self::of(self.config.timeouts.drain);
        if lasted > whole + SLACK || quiet > idle + SLACK || hurried > hurry + SLACK {
            return Err(format!("it lingered for {lasted:?}, {quiet:?} without a byte"));
        }
        let is_over = lasted + SLACK > whole || quiet + SLACK > idle || hurried + SLACK > hurry;
        if lost > 0 && !is_over && !self.is_excused(outcome) {
            return Err(format!("the client lost {lost} bytes, {lasted:?} after the last of them"));
        }
        Ok(())
    }

    /// Returns `true` if the client may lose bytes that it would have read.
    fn is_excused(&self, outcome: &Outcome) -> bool {
        let was_idle = match self.script.stop {
            // The server does not wait for a connection that makes room for others.
            Some((_, Stage::Leaving | Stage::Cut)) => true,
            // An idle connection ends at once: no answer has announced that.
            Some(_) => {
                let all = [&outcome.received[..], &outcome.lost].concat();
                !all.windows(CLOSES.len()).any(|window| window == CLOSES)
            }
            None => false,
        };
        was_idle || self.script.end == End::Reset || !self.script.reads_on() || self.sends_on()
    }

    /// Returns `true` if the server does not wait for more bytes: the client has asked for the close,
    /// and must not send anything after that (RFC 9112 9.6), or another client waits.
    fn sends_on(&self) -> bool {
        let closes = |request: &&Request| !matches!(request.expected, Expected::Answer(..));
        let last = self.script.requests.iter().find(closes);
        self.script.is_waited_for || last.is_some_and(Request::asks_for_close)
    }

    /// Checks a connection that was ended without a close.
    fn check_broken(&self, outcome: &Outcome) -> Result<(), String> {
        let script = self.script;
        let is_cut = matches!(script.stop, Some((_, Stage::Cut)));
        let may_break = is_cut
            || script.end == End::Reset
            || !script.reads_on()
            || script.requests.iter().any(|request| request.expected == Expected::CutOff)
            || script.tail.is_none() && script.sent < script.all();
        if may_break || outcome.lost.is_empty() {
            Ok(())
        } else {
            Err(format!("the connection was broken, and {} bytes lost", outcome.lost.len()))
        }
    }
}
