//! The gate: admits connections up to the limits, reaches all of them at a stop, and counts
//! the exchanges that finished and that were cut.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

use super::lane::{Lane, LanePlace};
use super::stop::Report;
use crate::base::memory::has_headroom;
use crate::base::stopping::StopSignal;
use crate::base::values::Values;
use crate::config::Limits;
use crate::conn::{STATES, Session, Stage, Trust};
use crate::error::Reject;
use crate::message::{Arrival, Client, Peer};

/// One connection in so many checks whether the system has memory left.
const CONNECTIONS_PER_MEMORY_CHECK: usize = 64;

pub(crate) struct Gate {
    limit: usize,
    limit_per_address: Option<usize>,
    /// The proxies whose connections do not count for the limit of their address.
    trust: Option<Arc<Trust>>,
    limit_of_handshakes: usize,
    /// The signal that a stop has begun.
    stopping: Arc<StopSignal>,
    /// The values of [`Router::state`](crate::Router::state), if there are any.
    values: Option<Arc<Values>>,
    state: Mutex<GateState>,
}

struct GateState {
    stage: Stage,
    sessions: Slab<Arc<Session>>,
    /// The number of connections that are being opened.
    opening: usize,
    /// The number of connections that were not let through their steps, and are being answered.
    refusing: usize,
    /// The places in lanes of connections that are open, by the keys of their sessions. Such
    /// connections do not count for the limits.
    lanes: HashMap<usize, LanePlace>,
    /// The number of connections that are being opened and have places in lanes.
    opening_in_lanes: usize,
    /// Open connections by client address. Empty if there is no limit for one address.
    addresses: HashMap<IpAddr, usize>,
    /// Connections that were admitted.
    admitted: u64,
    /// Exchanges of connections that have ended, as far as they were settled.
    ended: u64,
    finished: u64,
    cut: u64,
    /// Bytes of connections that have ended.
    bytes_in: u64,
    bytes_out: u64,
    /// Woken when the last connection has ended.
    waiters: Vec<Waker>,
}

/// The numbers of connections, exchanges and bytes.
pub(crate) struct Counts {
    /// Open now, or being opened.
    pub connections: u64,
    /// Being opened.
    pub opening: u64,
    /// Open, by their state.
    pub states: [u64; STATES],
    /// Since the start.
    pub admitted: u64,
    pub pending: u64,
    pub ended: u64,
    pub cut: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// The right of one connection to be open, given back when dropped.
pub(crate) struct Admission {
    gate: Arc<Gate>,
    key: usize,
    pub session: Arc<Session>,
}

/// The place of a connection that is being opened, given back when dropped.
pub(crate) struct Reservation {
    gate: Arc<Gate>,
    held: Held,
    lane: Option<LanePlace>,
}

/// The place that a reservation holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Opening,
    Refusing,
    Nothing,
}

impl Reservation {
    /// Ends the steps of a connection that they do not let through. The connection keeps a place
    /// until it is answered, but makes room for the steps of another: a client that lingers after its
    /// answer does not keep others from their handshakes.
    pub fn refuse(mut self) -> Self {
        let mut state = self.gate.lock();
        if self.held == Held::Opening {
            (state.opening, state.refusing) = (state.opening - 1, state.refusing + 1);
            // It leaves its lane to others.
            state.opening_in_lanes -= usize::from(self.lane.take().is_some());
            self.held = Held::Refusing;
        }
        drop(state);
        self
    }

    /// Admits the connection now that its peer is known. If the peer has too many connections,
    /// the connection keeps its place, to be answered there.
    pub fn admit(mut self, peer: Peer, arrival: Arrival) -> Result<Admission, (Self, Reject)> {
        let gate = Arc::clone(&self.gate);
        let mut state = gate.lock();
        match gate.insert(&mut state, peer, Some(Box::new(arrival))) {
            Ok(admission) => {
                (state.opening, self.held) = (state.opening - 1, Held::Nothing);
                if let Some(lane) = self.lane.take() {
                    state.opening_in_lanes -= 1;
                    state.lanes.insert(admission.key, lane);
                }
                Ok(admission)
            }
            Err(reject) => {
                drop(state);
                Err((self.refuse(), reject))
            }
        }
    }
}

impl GateState {
    /// Returns how many connections have a place.
    fn open(&self) -> usize {
        self.sessions.len() + self.opening + self.refusing
    }

    /// Returns the tasks to wake, without the lock, if no connection is open.
    fn take_waiters(&mut self) -> Vec<Waker> {
        if self.open() == 0 { std::mem::take(&mut self.waiters) } else { Vec::new() }
    }
}

impl Gate {
    pub fn new(
        limits: &Limits,
        stopping: Arc<StopSignal>,
        values: Option<Arc<Values>>,
        trust: Option<Arc<Trust>>,
    ) -> Arc<Self> {
        let state = GateState {
            stage: Stage::Running,
            sessions: Slab::new(),
            opening: 0,
            refusing: 0,
            lanes: HashMap::new(),
            opening_in_lanes: 0,
            addresses: HashMap::new(),
            admitted: 0,
            ended: 0,
            finished: 0,
            cut: 0,
            bytes_in: 0,
            bytes_out: 0,
            waiters: Vec::new(),
        };
        Arc::new(Self {
            limit: limits.connections,
            stopping,
            values,
            limit_per_address: limits.connections_per_address,
            trust,
            limit_of_handshakes: limits.handshakes,
            state: state.into(),
        })
    }

    /// Admits a connection whose peer is known, if there is room for it, in the lane of its listener or
    /// among the others.
    pub fn admit(self: &Arc<Self>, peer: Peer, lane: Option<&Arc<Lane>>) -> Result<Admission, Reject> {
        let mut state = self.lock();
        let Some(place) = lane.and_then(Lane::take) else {
            self.check_room(&state)?;
            return self.insert(&mut state, peer, None);
        };
        let admission = self.insert(&mut state, peer, None)?;
        state.lanes.insert(admission.key, place);
        Ok(admission)
    }

    /// Reserves a place for a connection that is to be opened, if there is room for it. The limit for one address is checked later, by
    /// [`Reservation::admit`].
    pub fn reserve(self: &Arc<Self>, lane: Option<&Arc<Lane>>) -> Result<Reservation, Reject> {
        let mut state = self.lock();
        let lane = lane.and_then(Lane::take);
        if lane.is_some() {
            state.opening_in_lanes += 1;
        } else {
            self.check_room(&state)?;
            if state.opening - state.opening_in_lanes >= self.limit_of_handshakes {
                return Err(Reject::TooManyConnections);
            }
        }
        state.opening += 1;
        Ok(Reservation { gate: Arc::clone(self), held: Held::Opening, lane })
    }

    /// Returns the limit for one address and the address that a connection counts for, if both exist.
    fn counted(&self, peer: Peer) -> Option<(usize, IpAddr)> {
        let (limit, address) = (self.limit_per_address?, peer.ip()?);
        let is_proxy = self.trust.as_ref().is_some_and(|trust| trust.includes(peer));
        (!is_proxy).then_some((limit, address))
    }

    fn check_room(&self, state: &GateState) -> Result<(), Reject> {
        let open = state.open() - state.lanes.len() - state.opening_in_lanes;
        if open >= self.limit {
            return Err(Reject::TooManyConnections);
        }
        if open % CONNECTIONS_PER_MEMORY_CHECK == CONNECTIONS_PER_MEMORY_CHECK - 1 && !has_headroom(0) {
            return Err(Reject::NoMemory);
        }
        Ok(())
    }

    fn insert(
        self: &Arc<Self>,
        state: &mut GateState,
        peer: Peer,
        arrival: Option<Box<Arrival>>,
    ) -> Result<Admission, Reject> {
        if let Some((limit, address)) = self.counted(peer) {
            let inside = state.addresses.entry(address).or_insert(0);
            if *inside >= limit {
                return Err(Reject::TooManyFromAddress);
            }
            *inside += 1;
        }
        let client =
            Client::new(peer, Some(Arc::clone(&self.stopping)), self.values.clone()).with_arrival(arrival);
        let session = Arc::new(Session::new(client, Arc::clone(&self.stopping)));
        session.advance(state.stage);
        let key = state.sessions.insert(Arc::clone(&session));
        state.admitted += 1;
        Ok(Admission { gate: Arc::clone(self), key, session })
    }

    /// Advances all connections to a stage, those that come later too.
    pub fn advance(&self, to: Stage) {
        let mut state = self.lock();
        state.stage = state.stage.max(to);
        drop(state);
        for session in self.sessions() {
            session.advance(to);
        }
    }

    /// Asks one connection to end soon: an idle one if there is one. No connection is asked
    /// twice.
    pub fn make_room(&self) {
        let state = self.lock();
        let staying = || {
            state
                .sessions
                .iter()
                .map(|(_, session)| session)
                .filter(|session| !session.has_reached(Stage::Leaving))
        };
        if let Some(session) = staying().find(|session| session.open() == 0).or_else(|| staying().next()) {
            let session = Arc::clone(session);
            drop(state);
            session.advance(Stage::Leaving);
        }
    }

    /// Ready when no connection is open.
    pub fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.open() == 0 {
            return Poll::Ready(());
        }
        if !state.waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub fn report(&self) -> Report {
        let state = self.lock();
        let mut report = Report { finished: state.finished, cut: state.cut, pending: 0 };
        for (_, session) in &state.sessions {
            report.finished += u64::from(session.finished());
            report.pending += u64::from(session.open());
        }
        report
    }

    /// Counts connections, exchanges and bytes, at a time that counts from the server's start. Goes
    /// through all connections.
    pub fn counts(&self, now: Duration) -> Counts {
        let state = self.lock();
        let mut counts = Counts {
            connections: state.open() as u64,
            opening: state.opening as u64,
            states: [0; STATES],
            admitted: state.admitted,
            pending: 0,
            ended: state.ended,
            cut: state.cut,
            bytes_in: state.bytes_in,
            bytes_out: state.bytes_out,
        };
        for (_, session) in &state.sessions {
            counts.pending += u64::from(session.open());
            counts.ended += u64::from(session.settled());
            counts.states[session.activity.doing(now).state as usize] += 1;
            let (bytes_in, bytes_out) = session.activity.bytes();
            counts.bytes_in += bytes_in;
            counts.bytes_out += bytes_out;
        }
        counts
    }

    /// Returns the sessions of all connections that were admitted and have not ended.
    pub fn sessions(&self) -> Vec<Arc<Session>> {
        self.lock().sessions.iter().map(|(_, session)| Arc::clone(session)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.sessions.remove(self.key);
        if !state.lanes.is_empty() {
            state.lanes.remove(&self.key);
        }
        if let Some((_, address)) = self.gate.counted(self.session.client.peer)
            && let Entry::Occupied(mut inside) = state.addresses.entry(address)
        {
            *inside.get_mut() -= 1;
            if *inside.get() == 0 {
                inside.remove();
            }
        }
        state.finished += u64::from(self.session.finished());
        state.ended += u64::from(self.session.settled());
        let (bytes_in, bytes_out) = self.session.activity.bytes();
        state.bytes_in += bytes_in;
        state.bytes_out += bytes_out;
        if self.session.has_reached(Stage::Draining) {
            state.cut += u64::from(self.session.open());
        }
        let waiters = state.take_waiters();
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        match self.held {
            Held::Opening => {
                state.opening -= 1;
                state.opening_in_lanes -= usize::from(self.lane.is_some());
            }
            Held::Refusing => state.refusing -= 1,
            Held::Nothing => return,
        }
        let waiters = state.take_waiters();
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }
}
