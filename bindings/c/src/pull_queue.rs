//! The pull queue: requests that wait until the host fetches them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};
use std::{io, mem};

use transom::{
    Congestion, Context, Limits, Load, Overload, Priority, Reject, Reply, Request, Response, StatusCode,
};

use crate::exchange::{Exchange, Unclaimed};
use crate::packed;
use crate::signal::Signal;
use crate::status::transom_status;
use crate::system::{Bell, transom_descriptor};

/// The number of waiting requests at which the host is woken at once. For fewer, the host is woken when
/// the thread that queues them has served the connections that are ready. It also bounds the responses of
/// a batch after which the threads of the server are woken.
pub(crate) const REQUESTS_PER_WAKE: usize = 64;

/// A request in the queue.
pub(crate) struct Pending {
    pub exchange: Unclaimed,
    pub route_id: u32,
    pub request: Request,
    /// True if the body comes piece by piece.
    pub streams: bool,
    priority: Priority,
    /// When the request was queued, if a watchdog wants to know or waits are limited.
    queued: Option<Instant>,
}

/// The queue of one server.
#[derive(Default)]
pub(crate) struct PullQueue {
    state: Mutex<PullState>,
    arrival: Condvar,
}

struct PullState {
    waiting: VecDeque<Pending>,
    limit: usize,
    closed: bool,
    /// The number of requests that were taken so far. It wraps.
    taken: u64,
    /// True if the time is noted at which each request is queued.
    is_watched: bool,
    /// Decides which requests wait too long, if that is limited.
    congestion: Option<Congestion>,
    /// The number of threads that wait for a request and were not woken yet.
    idle: usize,
    /// The number of threads that were woken and do not run yet.
    called: usize,
    /// True while a thread of the server will wake the host at the end of its turn.
    wake_is_due: bool,
    /// Tells that requests wait.
    signal: Signal,
}

impl Default for PullState {
    fn default() -> Self {
        let limit = Limits::default().pool_queue;
        Self {
            waiting: VecDeque::new(),
            limit,
            closed: false,
            taken: 0,
            is_watched: false,
            congestion: None,
            idle: 0,
            called: 0,
            wake_is_due: false,
            signal: Signal::default(),
        }
    }
}

impl PullQueue {
    /// Returns the number of requests that wait.
    pub fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Sets how many requests may wait.
    pub fn set_limit(&self, limit: usize) {
        self.lock().limit = limit;
    }

    /// Sets whether a watchdog watches the queue.
    pub fn set_watched(&self, is_watched: bool) {
        self.lock().is_watched = is_watched;
    }

    /// Limits how long requests wait.
    pub fn set_overload(&self, overload: Option<Overload>) {
        self.lock().congestion = overload.map(|overload| Congestion::new(overload, Instant::now()));
    }

    /// Returns how many requests wait, and how many were taken so far.
    pub fn load(&self) -> Load {
        let state = self.lock();
        let (waiting, taken) = (state.waiting.len(), state.taken);
        let oldest = state.waiting.front().and_then(|pending| pending.queued);
        drop(state);
        let oldest = oldest.map(|queued| format!(", the oldest for {:.1} s", queued.elapsed().as_secs_f64()));
        let detail = format!("requests waiting: {waiting}{}", oldest.unwrap_or_default());
        Load::new(waiting as u64, taken).detail(detail)
    }

    /// Queues a request, as the handler of a pull route.
    pub fn call(
        self: &Arc<Self>,
        route_id: u32,
        request: Request,
        streams: bool,
        context: Context<'_>,
    ) -> Reply {
        if !packed::fits(&request) {
            return Reply::now(Response::plain(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let (responder, reply) = Reply::later(&request);
        if let Some(exchange) = Unclaimed::new(Exchange::new(responder, None)) {
            let priority = context.priority();
            self.push(Pending { exchange, route_id, request, streams, priority, queued: None }, context);
        }
        reply
    }

    /// Queues a request. If the queue is full or closed, or the request would wait too long, the client
    /// gets a 503.
    fn push(self: &Arc<Self>, mut pending: Pending, context: Context<'_>) {
        let mut state = self.lock();
        pending.queued = (state.is_watched || state.congestion.is_some()).then(Instant::now);
        if !state.admits(&pending) {
            drop(state);
            pending.exchange.refuse(Reject::Overloaded);
            return;
        }
        if state.closed || state.waiting.len() >= state.limit {
            drop(state);
            drop(pending);
            return;
        }
        let place = match pending.priority {
            Priority::Vital => state.waiting.iter().take_while(|it| it.priority == Priority::Vital).count(),
            _ => state.waiting.len(),
        };
        state.waiting.insert(place, pending);
        let are_many = state.waiting.len() >= REQUESTS_PER_WAKE;
        let wakes = state.is_awaited() && (are_many || !state.wake_is_due);
        state.wake_is_due |= wakes;
        drop(state);
        if wakes && are_many {
            self.wake_host();
        } else if wakes {
            context.wake_after_turn(&Waker::from(Arc::clone(self)));
        }
    }

    /// Wakes threads of the host, as many as there are requests for, and makes the descriptor readable.
    fn wake_host(&self) {
        let mut state = self.lock();
        state.wake_is_due = false;
        let count = state.idle.min(state.waiting.len());
        state.idle -= count;
        state.called += count;
        let bell = if state.waiting.is_empty() { None } else { state.signal.turn_on() };
        drop(state);
        self.ring(bell);
        for _ in 0..count {
            self.arrival.notify_one();
        }
    }

    /// Takes up to `max` requests. Waits until there is one.
    pub fn take(&self, max: usize, timeout: Option<Duration>) -> Result<VecDeque<Pending>, transom_status> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() {
                let count = max.min(state.waiting.len());
                let (taken, late) = state.take(count);
                if late.is_empty() {
                    return Ok(taken);
                }
                drop(state);
                for pending in late {
                    pending.exchange.refuse(Reject::Overloaded);
                }
                if !taken.is_empty() {
                    return Ok(taken);
                }
                state = self.lock();
                continue;
            }
            if state.closed {
                return Err(transom_status::TRANSOM_STOPPED);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(transom_status::TRANSOM_TIMEOUT);
            }
            state.idle += 1;
            state = match left {
                Some(left) => {
                    self.arrival.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.arrival.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            // A thread that was not the one called may run first: it does the work.
            if state.called > 0 {
                state.called -= 1;
            } else {
                state.idle -= 1;
            }
        }
    }

    /// Puts requests that were taken back to the front.
    pub fn put_back(&self, mut rest: VecDeque<Pending>) {
        if rest.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.closed {
            // The server has stopped: nobody waits for these.
            drop(state);
            drop(rest);
            return;
        }
        rest.append(&mut state.waiting);
        state.waiting = rest;
        let bell = state.signal.turn_on();
        drop(state);
        self.ring(bell);
        self.arrival.notify_all();
    }

    /// Ends the queue when the server has stopped. Nobody waits for the requests that it holds.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let bell = state.signal.turn_on();
        let left = mem::take(&mut state.waiting);
        drop(state);
        self.ring(bell);
        self.arrival.notify_all();
        drop(left);
    }

    /// Returns a descriptor that is readable while requests wait.
    pub fn event(&self) -> io::Result<transom_descriptor> {
        let mut state = self.lock();
        let descriptor = state.signal.descriptor()?;
        let something_waits = state.closed || !state.waiting.is_empty();
        let bell = if something_waits { state.signal.turn_on() } else { None };
        drop(state);
        self.ring(bell);
        Ok(descriptor)
    }

    /// Makes the descriptor readable.
    fn ring(&self, bell: Option<Arc<Bell>>) {
        if let Some(bell) = bell {
            bell.ring();
            self.lock().signal.rung();
        }
    }

    fn lock(&self) -> MutexGuard<'_, PullState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for PullQueue {
    fn wake(self: Arc<Self>) {
        self.wake_host();
    }
}

impl PullState {
    /// Returns `true` if a thread of the host waits for a request, or watches the descriptor.
    fn is_awaited(&self) -> bool {
        self.idle > 0 || self.signal.is_off()
    }

    /// Returns `true` if a request may wait.
    fn admits(&mut self, pending: &Pending) -> bool {
        let (Some(congestion), Some(now)) = (&mut self.congestion, pending.queued) else { return true };
        // A host with an event loop of its own is told by the descriptor.
        if self.idle + self.called > 0 || (self.signal.is_asked_for() && self.waiting.is_empty()) {
            congestion.note_idle(now);
            return true;
        }
        let oldest = self.waiting.iter().find(|oldest| oldest.priority != Priority::Vital);
        let oldest = oldest.and_then(|oldest| oldest.queued);
        let oldest = oldest.map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest));
        congestion.admits(now, self.waiting.len(), oldest, pending.priority)
    }

    /// Takes up to `count` requests, and apart from them those that have waited too long.
    fn take(&mut self, count: usize) -> (VecDeque<Pending>, Vec<Pending>) {
        self.taken = self.taken.wrapping_add(count as u64);
        let mut late = Vec::new();
        let taken = match &mut self.congestion {
            None => self.waiting.drain(..count).collect(),
            Some(congestion) => {
                let now = Instant::now();
                let mut taken = VecDeque::new();
                for pending in self.waiting.drain(..count) {
                    let waited =
                        pending.queued.map_or(Duration::ZERO, |queued| now.saturating_duration_since(queued));
                    if congestion.may_start(now, waited, pending.priority) {
                        taken.push_back(pending);
                    } else {
                        late.push(pending);
                    }
                }
                if let Some(since) = taken.front().and_then(|first| first.queued) {
                    congestion.note_start(now, since, u32::try_from(taken.len()).unwrap_or(u32::MAX));
                }
                taken
            }
        };
        self.quiet();
        (taken, late)
    }

    /// Makes the descriptor unreadable, if no request is left.
    fn quiet(&mut self) {
        if self.waiting.is_empty() && !self.closed {
            self.signal.turn_off();
        }
    }
}
