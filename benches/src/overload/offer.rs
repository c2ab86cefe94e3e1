//! Requests that are offered at a rate, whatever the server does with them, and health checks
//! beside them. They come at random (Poisson), each on a connection that is free, or on a new one.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags};

use crate::load::connection::{Connection, Moved, State};
use crate::scenario::head;

/// How long a client waits for an answer. Then it closes the connection.
pub const PATIENCE: f64 = 1.0;
/// Seconds between two health checks, each on a new connection.
const HEALTH: f64 = 0.05;
/// Connections that may be open at once.
const CONNECTIONS: usize = 8_000;

/// A time in which requests come at one rate.
#[derive(Clone, Copy)]
pub struct Phase {
    /// Requests a second.
    pub rate: f64,
    pub seconds: f64,
}

/// The end of one request. Times are in seconds.
#[derive(Clone, Copy)]
pub struct Outcome {
    /// When the request was due, from the beginning of the first phase.
    pub due: f64,
    /// 0 without an answer.
    pub status: u16,
    /// From when the request was due to its end.
    pub took: f64,
    pub is_health: bool,
}

pub struct Offer {
    epoll: OwnedFd,
    clock: Instant,
    port: u16,
    heads: [String; 2],
    connections: Vec<Connection>,
    /// The request on each connection, and a number that tells it from earlier ones.
    asked: Vec<Option<Asked>>,
    serial: u64,
    free: Vec<usize>,
    /// Closed connections. One that closes is used again after the events of its round only.
    closed: Vec<usize>,
    just_closed: Vec<usize>,
    /// When clients give up, with the connection and the number.
    ends: VecDeque<(f64, usize, u64)>,
    outcomes: Vec<Outcome>,
    random: u64,
}

#[derive(Clone, Copy)]
struct Asked {
    due: f64,
    is_health: bool,
    serial: u64,
}

impl Offer {
    pub fn new(port: u16, path: &str) -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clock: Instant::now(),
            port,
            heads: [head("GET", path, ""), head("GET", "/ready", "")],
            connections: Vec::new(),
            asked: Vec::new(),
            serial: 0,
            free: Vec::new(),
            closed: Vec::new(),
            just_closed: Vec::new(),
            ends: VecDeque::new(),
            outcomes: Vec::new(),
            random: 7,
        })
    }

    /// Offers the phases one after another. Returns the ends of all requests.
    pub fn run(mut self, phases: &[Phase]) -> Result<Vec<Outcome>> {
        let mut events = Vec::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        let end: f64 = phases.iter().map(|phase| phase.seconds).sum();
        let (mut next, mut next_health) = (0.0, 0.0);
        self.clock = Instant::now();
        loop {
            let now = self.now();
            while next <= now && next < end {
                self.begin(next, false);
                next += self.pause(rate_at(phases, next));
            }
            while next_health <= now && next_health < end {
                self.begin(next_health, true);
                next_health += HEALTH;
            }
            while let Some(&(at, connection, serial)) = self.ends.front()
                && at <= now
            {
                self.ends.pop_front();
                if self.asked[connection].is_some_and(|asked| asked.serial == serial) {
                    self.give_up(connection);
                }
            }
            if now >= end && self.ends.is_empty() {
                return Ok(self.outcomes);
            }
            let until = [next, next_health].into_iter().filter(|at| *at < end);
            let until = until.chain(self.ends.front().map(|end| end.0)).fold(now + 0.01, f64::min);
            let nanos = ((until - self.now()).max(0.0) * 1e9) as i64;
            events.clear();
            let timeout = Timespec { tv_sec: 0, tv_nsec: nanos };
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout))?;
            for event in &events {
                self.event(event.data.u64() as usize, event.flags, &mut buffer);
            }
            self.closed.append(&mut self.just_closed);
        }
    }

    fn now(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    fn nanos(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    /// The time to the next request.
    fn pause(&mut self, rate: f64) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let uniform = ((self.random >> 40) as f64 + 0.5) / f64::from(1 << 24);
        -uniform.ln() / rate
    }

    fn begin(&mut self, due: f64, is_health: bool) {
        self.serial += 1;
        let asked = Asked { due, is_health, serial: self.serial };
        let idle = if is_health { None } else { self.take_free() };
        let Some(at) = idle.or_else(|| self.open()) else {
            return self.end(asked, 0);
        };
        self.asked[at] = Some(asked);
        self.ends.push_back((self.now().max(due) + PATIENCE, at, asked.serial));
        if self.connections[at].state == State::Idle {
            self.ask(at);
        }
    }

    fn take_free(&mut self) -> Option<usize> {
        while let Some(at) = self.free.pop() {
            if self.connections[at].state == State::Idle {
                return Some(at);
            }
        }
        None
    }

    fn open(&mut self) -> Option<usize> {
        let at = self.closed.pop().or_else(|| {
            (self.connections.len() < CONNECTIONS).then(|| {
                self.connections.push(Connection::new(false));
                self.asked.push(None);
                self.connections.len() - 1
            })
        })?;
        let now = self.nanos();
        match self.connections[at].open(&self.epoll, at as u64, self.port, None, now) {
            Ok(()) => Some(at),
            Err(_) => {
                self.close(at);
                None
            }
        }
    }

    fn ask(&mut self, at: usize) {
        let Some(asked) = self.asked[at] else { return };
        let head = self.heads[usize::from(asked.is_health)].clone();
        let now = self.nanos();
        let connection = &mut self.connections[at];
        connection.ask(1, head.len(), 0);
        connection.enter(State::Busy, now);
        if connection.send(head.as_bytes(), &[]).is_err() {
            self.give_up(at);
        }
    }

    fn event(&mut self, at: usize, flags: EventFlags, buffer: &mut [u8]) {
        if self.connections[at].state == State::Connecting {
            if flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
                match self.connections[at].connected() {
                    Ok(()) => self.ask(at),
                    Err(_) => self.give_up(at),
                }
            }
            return;
        }
        while let Some(moved) = self.connections[at].receive(buffer) {
            match moved {
                Moved::Some(received) => {
                    let mut input = &buffer[..received];
                    match self.connections[at].answer.feed(&mut input) {
                        Ok(None) => {}
                        Ok(Some(whole)) => return self.answered(at, whole.status, whole.keep),
                        Err(_) => return self.give_up(at),
                    }
                }
                Moved::Blocked => return,
                Moved::Ended | Moved::Failed(_) => return self.give_up(at),
            }
        }
    }

    fn answered(&mut self, at: usize, status: u16, keep: bool) {
        let Some(asked) = self.asked[at].take() else { return self.close(at) };
        self.end(asked, status);
        if keep && !asked.is_health {
            let now = self.nanos();
            self.connections[at].enter(State::Idle, now);
            self.free.push(at);
        } else {
            self.close(at);
        }
    }

    /// Closes a connection, with a request that has no answer if there is one.
    fn give_up(&mut self, at: usize) {
        if let Some(asked) = self.asked[at].take() {
            self.end(asked, 0);
        }
        self.close(at);
    }

    fn close(&mut self, at: usize) {
        let now = self.nanos();
        self.connections[at].drop_socket(now);
        self.just_closed.push(at);
    }

    fn end(&mut self, asked: Asked, status: u16) {
        let took = self.now() - asked.due;
        self.outcomes.push(Outcome { due: asked.due, status, took, is_health: asked.is_health });
    }
}

/// The rate at a time.
fn rate_at(phases: &[Phase], at: f64) -> f64 {
    let mut end = 0.0;
    for phase in phases {
        end += phase.seconds;
        if at < end {
            return phase.rate;
        }
    }
    phases.last().map_or(1.0, |phase| phase.rate)
}
