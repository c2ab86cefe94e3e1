//! The loop of the load generator: opens connections, asks, takes answers, keeps the time.

use std::collections::VecDeque;
use std::io::stdin;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use nix::sys::time::TimeValLike;
use nix::time::ClockId;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustls::ClientConfig;

use super::announce;
use super::answer::Whole;
use super::connection::{Connection, Moved, State, describe};
use super::plan::Plan;
use super::slow::Slows;
use super::tally::{Latency, Tally};
use super::tls;

/// Connects that are under way at once: fewer than any backlog under test.
const OPENING: usize = 100;
/// How long opening may take before the measurement begins without the rest.
const RAMP: u64 = 5_000_000_000;
const SWEEP: u64 = 10_000_000;
const SLOW: u64 = 1 << 32;
const STDIN: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Ramp,
    Warm,
    Window,
    /// The load goes on until the parent has taken its measures.
    Tail,
    /// Nothing new is asked; open-loop requests of the window are still awaited.
    Drain,
}

pub struct Driver {
    plan: Plan,
    epoll: OwnedFd,
    clock: Instant,
    /// The time of the machine's monotonic clock at which `clock` began, in nanoseconds.
    epoch: u64,
    connections: Vec<Connection>,
    heads: Vec<u8>,
    filler: Vec<u8>,
    latency: Latency,
    tally: Tally,
    phase: Phase,
    phase_since: u64,
    window: (u64, u64),
    opening: usize,
    to_open: VecDeque<usize>,
    failed: Vec<usize>,
    /// Open loop: connections without work, the longest without it first, and the times of
    /// requests without a connection.
    free: VecDeque<usize>,
    due: VecDeque<u64>,
    next_due: f64,
    slows: Slows,
    tls: Option<Arc<ClientConfig>>,
}

impl Driver {
    pub fn new(plan: Plan) -> Result<Self> {
        let count = plan.connections;
        let on_demand = plan.rate.is_some() && plan.fresh;
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clock: Instant::now(),
            epoch: ClockId::CLOCK_MONOTONIC.now()?.num_nanoseconds() as u64,
            connections: (0..count).map(|_| Connection::new(plan.events)).collect(),
            heads: plan.head.repeat(plan.depth).into_bytes(),
            filler: vec![b'x'; if plan.body > 0 { 256 * 1024 } else { 0 }],
            latency: Latency::new(),
            tally: Tally::default(),
            phase: Phase::Ramp,
            phase_since: 0,
            window: (u64::MAX, u64::MAX),
            opening: 0,
            to_open: if on_demand { VecDeque::new() } else { (0..count).collect() },
            failed: Vec::new(),
            free: if on_demand { (0..count).collect() } else { VecDeque::new() },
            due: VecDeque::new(),
            next_due: 0.0,
            slows: Slows::new(&plan.slow, plan.port, SLOW),
            tls: plan.tls.map(tls::config).transpose()?,
            plan,
        })
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    pub fn run(mut self) -> Result<Tally> {
        let mut events = Vec::with_capacity(1024);
        let mut buffer = vec![0; 256 * 1024];
        let mut next_sweep = 0;
        let mut told_to_end = false;
        loop {
            events.clear();
            let timeout = self.patience(next_sweep);
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout))?;
            for event in &events {
                match event.data.u64() {
                    STDIN => told_to_end = true,
                    token if token >= SLOW => self.slows.event(token, &mut buffer, &mut self.tally),
                    token => self.event(token as usize, event.flags, &mut buffer),
                }
            }
            let now = self.now();
            if now >= next_sweep {
                self.sweep(now);
                next_sweep = now + SWEEP;
            }
            while self.opening < OPENING
                && let Some(at) = self.to_open.pop_front()
            {
                self.open(at, now);
            }
            if self.plan.rate.is_some() {
                self.fall_due(now);
            }
            if self.advance(now, told_to_end)? {
                return Ok(self.finish());
            }
        }
    }

    /// How long to wait for events.
    fn patience(&self, next_sweep: u64) -> Timespec {
        let mut until = next_sweep;
        if self.plan.rate.is_some() && self.phase > Phase::Ramp {
            until = if self.plan.spin { 0 } else { until.min(self.next_due as u64) };
        }
        let nanos = until.saturating_sub(self.now()).min(SWEEP);
        Timespec { tv_sec: 0, tv_nsec: nanos as i64 }
    }

    /// Goes from phase to phase. True at the end of the last.
    fn advance(&mut self, now: u64, told_to_end: bool) -> Result<bool> {
        let passed = now - self.phase_since;
        let nanos = |seconds: f64| (seconds * 1e9) as u64;
        let next = match self.phase {
            Phase::Ramp if passed > RAMP * if self.is_held() { 6 } else { 1 } || self.is_open() => {
                Phase::Warm
            }
            Phase::Warm if passed >= nanos(self.plan.warm) => Phase::Window,
            Phase::Window if passed >= nanos(self.plan.seconds) => Phase::Tail,
            Phase::Tail if told_to_end => Phase::Drain,
            Phase::Drain if self.is_drained(passed) => return Ok(true),
            same => same,
        };
        if next != self.phase {
            (self.phase, self.phase_since) = (next, now);
            match next {
                Phase::Warm => self.next_due = now as f64,
                Phase::Window => {
                    self.window.0 = now;
                    announce("begin")?;
                }
                Phase::Tail => {
                    self.window.1 = now;
                    announce("end")?;
                    let token = EventData::new_u64(STDIN);
                    epoll::add(&self.epoll, stdin(), token, EventFlags::IN)?;
                }
                Phase::Drain => {
                    epoll::delete(&self.epoll, stdin())?;
                }
                Phase::Ramp => {}
            }
        }
        Ok(false)
    }

    fn is_open(&self) -> bool {
        let open = self.to_open.is_empty() && self.opening == 0 && self.failed.is_empty();
        let ready = |connection: &Connection| match self.plan.events {
            true => connection.answered > 0,
            false => connection.state == State::Idle,
        };
        open && (!self.is_held() || self.connections.iter().all(ready))
    }

    /// True if a connection's one request must have its answer before the measurement begins.
    fn is_held(&self) -> bool {
        self.plan.hold || self.plan.events
    }

    fn is_drained(&self, passed: u64) -> bool {
        let busy = |connection: &Connection| connection.awaited > 0 && self.in_window(connection.began);
        (self.plan.rate.is_none() && !self.plan.events)
            || passed as f64 > self.plan.timeout * 1e9
            || (self.plan.events && self.without_end() == 0)
            || (!self.plan.events && self.due.is_empty() && !self.connections.iter().any(busy))
    }

    fn in_window(&self, time: u64) -> bool {
        time >= self.window.0 && time < self.window.1
    }

    /// Streams of which no event has come that was made after the window, so that those of the
    /// window may be missing.
    fn without_end(&self) -> usize {
        let end = self.epoch + self.window.1;
        let reached = |connection: &&Connection| {
            connection.stream.as_ref().is_some_and(|stream| stream.has_reached(end))
        };
        self.connections.len() - self.connections.iter().filter(reached).count()
    }

    fn finish(mut self) -> Tally {
        if self.plan.events && self.without_end() > 0 {
            let count = self.without_end() as u64;
            self.tally.errors.insert("streams that fell behind".into(), count);
        }
        self.latency.write_to(&mut self.tally);
        self.tally.seconds = (self.window.1 - self.window.0) as f64 / 1e9;
        self.tally.connected =
            self.connections.iter().filter(|connection| connection.state > State::Connecting).count() as u64;
        if !(self.plan.rate.is_some() && self.plan.fresh) {
            self.tally.starved =
                self.connections.iter().filter(|connection| connection.answered == 0).count() as u64;
        }
        self.tally
    }

    fn open(&mut self, at: usize, now: u64) {
        if self.plan.rate.is_none() {
            self.connections[at].began = now;
        }
        self.opening += 1;
        let tls = self.tls.as_ref();
        if let Err(error) = self.connections[at].open(&self.epoll, at as u64, self.plan.port, tls, now) {
            self.connections[at].enter(State::Connecting, now);
            self.fail(at, &describe(error), now);
        }
    }

    /// Open loop: the requests whose time has come go to free connections.
    fn fall_due(&mut self, now: u64) {
        let Some(rate) = self.plan.rate else { return };
        while self.phase > Phase::Ramp && self.phase < Phase::Drain && self.next_due <= now as f64 {
            self.due.push_back(self.next_due as u64);
            if self.in_window(self.next_due as u64) {
                self.tally.due += 1;
            }
            self.next_due += 1e9 / rate;
        }
        while let Some(&began) = self.due.front() {
            if (now - began) as f64 > self.plan.timeout * 1e9 {
                self.due.pop_front();
                self.error("timed out");
                continue;
            }
            let Some(at) = self.free.pop_front() else { return };
            if self.plan.fresh {
                self.connections[at].began = began;
                self.open(at, now);
                self.connections[at].awaited = self.plan.depth;
            } else if self.connections[at].state == State::Idle {
                self.connections[at].began = began;
                self.ask(at, now);
            } else {
                continue;
            }
            self.due.pop_front();
        }
    }

    fn ask(&mut self, at: usize, now: u64) {
        let connection = &mut self.connections[at];
        connection.ask(self.plan.depth, self.heads.len(), self.plan.body);
        connection.enter(State::Busy, now);
        self.push(at, now);
    }

    fn push(&mut self, at: usize, now: u64) {
        match self.connections[at].send(&self.heads, &self.filler) {
            Ok(sent) if self.phase == Phase::Window => self.tally.body_bytes += sent,
            Ok(_) => {}
            Err(error) => self.fail(at, &describe(error), now),
        }
    }

    fn event(&mut self, at: usize, flags: EventFlags, buffer: &mut [u8]) {
        let now = self.now();
        let state = self.connections[at].state;
        if state == State::Connecting && flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP)
        {
            let connection = &mut self.connections[at];
            match connection.connected().and_then(|()| connection.shake(buffer)) {
                Ok(true) => self.established(at, now),
                Ok(false) => {}
                Err(error) => self.fail(at, &describe(error), now),
            }
            return;
        }
        if flags.contains(EventFlags::OUT) && !self.connections[at].all_sent() {
            self.push(at, now);
        }
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            self.pull(at, flags, buffer, now);
        }
    }

    fn established(&mut self, at: usize, now: u64) {
        self.opening -= 1;
        if self.plan.rate.is_some() && !self.plan.fresh {
            self.connections[at].enter(State::Idle, now);
            self.free.push_back(at);
            return;
        }
        if self.plan.rate.is_none() && !self.plan.fresh {
            self.connections[at].began = now;
        }
        self.ask(at, now);
    }

    fn pull(&mut self, at: usize, flags: EventFlags, buffer: &mut [u8], now: u64) {
        while let Some(moved) = self.connections[at].receive(buffer) {
            match moved {
                Moved::Some(received) => {
                    if self.connections[at].state == State::Idle {
                        // What a server says to a connection that it gives up, as a 408.
                        return self.ended(at, now);
                    }
                    if self.phase == Phase::Window {
                        self.tally.body_bytes += received as u64;
                    }
                    self.take(at, &buffer[..received], now);
                    // A read that leaves room has emptied the socket: the next edge tells of more.
                    if received < buffer.len()
                        && !flags.contains(EventFlags::RDHUP)
                        && self.connections[at].shows_end()
                    {
                        return;
                    }
                }
                Moved::Blocked => return,
                Moved::Ended => return self.ended(at, now),
                Moved::Failed(_) if self.connections[at].may_end() => return self.ended(at, now),
                Moved::Failed(error) => return self.fail(at, &describe(error), now),
            }
        }
    }

    fn take(&mut self, at: usize, mut input: &[u8], now: u64) {
        while !input.is_empty() {
            let connection = &mut self.connections[at];
            if connection.awaited == 0 {
                return self.fail(at, "bytes without a request", now);
            }
            match connection.answer.feed(&mut input) {
                Ok(None) if self.plan.events => return self.take_events(at, now),
                Ok(None) => return,
                Ok(Some(whole)) => {
                    self.answered(at, &whole, now);
                }
                Err(_) => return self.fail(at, "malformed", now),
            }
        }
        let connection = &mut self.connections[at];
        if connection.awaited > 0 {
            return;
        }
        if !connection.all_sent() {
            self.fail(at, "answered before all was sent", now);
        } else if self.plan.fresh || !connection.keep {
            connection.enter(State::Ending, now);
        } else if self.plan.rate.is_some() || self.plan.hold {
            connection.enter(State::Idle, now);
            self.free.push_back(at);
        } else {
            connection.began = now;
            self.ask(at, now);
        }
    }

    /// Counts the events that have arrived on a stream.
    fn take_events(&mut self, at: usize, now: u64) {
        let connection = &mut self.connections[at];
        let Some(stream) = &mut connection.stream else { return };
        let (window, epoch) = (self.window, self.epoch);
        let taken = stream.take(connection.answer.kept(), |event| {
            let made = event.stamp.saturating_sub(epoch);
            connection.answered += 1;
            connection.since = now;
            if made >= window.0 && made < window.1 {
                self.tally.answers += 1;
                self.latency.record(now.saturating_sub(made));
            }
        });
        if let Err(kind) = taken {
            self.fail(at, kind, now);
        }
    }

    fn answered(&mut self, at: usize, whole: &Whole, now: u64) {
        let connection = &mut self.connections[at];
        connection.awaited -= 1;
        connection.answered += 1;
        connection.keep = whole.keep;
        let began = connection.began;
        if self.plan.events {
            self.error("streams that ended");
        } else if whole.status != 200 {
            self.error(&format!("with status {}", whole.status));
        } else if self.plan.expect.is_some_and(|length| length != whole.length) {
            self.error("of the wrong length");
        } else if self.in_window(if self.plan.rate.is_some() { began } else { now }) {
            self.tally.answers += 1;
            self.latency.record(now - began);
        }
    }

    /// The server has closed.
    fn ended(&mut self, at: usize, now: u64) {
        if !self.connections[at].may_end() {
            match self.connections[at].answer.end() {
                Ok(Some(whole)) => self.answered(at, &whole, now),
                Ok(None) => return self.fail(at, "closed without an answer", now),
                Err(_) => return self.fail(at, "cut short", now),
            }
            if self.connections[at].awaited > 0 {
                return self.fail(at, "closed without an answer", now);
            }
        }
        self.connections[at].drop_socket(now);
        if !self.plan.fresh {
            self.tally.reopened += 1;
        }
        if self.plan.rate.is_some() && self.plan.fresh {
            self.free.push_back(at);
        } else if self.phase < Phase::Drain {
            self.open(at, now);
        }
    }

    fn error(&mut self, kind: &str) {
        *self.tally.errors.entry(kind.to_owned()).or_default() += 1;
    }

    /// Counts an error and drops the connection; the next sweep opens it again.
    fn fail(&mut self, at: usize, kind: &str, now: u64) {
        if self.connections[at].state == State::Connecting {
            self.opening -= 1;
        }
        self.error(kind);
        self.connections[at].awaited = 0;
        self.connections[at].drop_socket(now);
        self.failed.push(at);
    }

    fn sweep(&mut self, now: u64) {
        let limit = (self.plan.timeout * 1e9) as u64;
        for at in 0..self.connections.len() {
            let connection = &self.connections[at];
            let open_loop = self.plan.rate.is_some() && connection.awaited > 0;
            let since = if open_loop { connection.began } else { connection.since };
            let kind = match connection.state {
                State::Connecting => "connects timed out",
                State::Busy => "timed out",
                State::Ending => "not closed",
                State::Closed | State::Idle => continue,
            };
            if now.saturating_sub(since) > limit {
                self.fail(at, kind, now);
            }
        }
        let on_demand = self.plan.rate.is_some() && self.plan.fresh;
        for at in std::mem::take(&mut self.failed) {
            if on_demand {
                self.free.push_back(at);
            } else {
                self.to_open.push_back(at);
            }
        }
        self.slows.tick(&self.epoll, now, &mut self.tally);
    }
}
