//! The gate: admits connections up to the limits, reaches all of them at a stop, and counts
//! the exchanges that finished and that were cut.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use super::stop::Report;
use crate::base::memory::has_headroom;
use crate::base::stopping::StopSignal;
use crate::base::values::Values;
use crate::config::Limits;
use crate::conn::{Session, Stage};
use crate::error::Reject;
use crate::message::Peer;

/// One connection in so many checks whether the system has memory left.
const CONNECTIONS_PER_MEMORY_CHECK: usize = 64;

pub(crate) struct Gate {
    limit: usize,
    limit_per_address: Option<usize>,
    /// Given when a stop begins.
    stopping: Arc<StopSignal>,
    /// What the program gave to its handlers, if it is anything.
    values: Option<Arc<Values>>,
    state: Mutex<GateState>,
}

struct GateState {
    stage: Stage,
    sessions: Slab<Arc<Session>>,
    /// Open connections by client address. Empty if there is no limit for one address.
    addresses: HashMap<IpAddr, usize>,
    finished: u64,
    cut: u64,
    /// Woken when the last connection has ended.
    waiters: Vec<Waker>,
}

/// The right of one connection to be open, given back when dropped.
pub(crate) struct Admission {
    gate: Arc<Gate>,
    key: usize,
    pub session: Arc<Session>,
}

impl Gate {
    pub fn new(limits: &Limits, stopping: Arc<StopSignal>, values: Option<Arc<Values>>) -> Arc<Self> {
        let state = GateState {
            stage: Stage::Running,
            sessions: Slab::new(),
            addresses: HashMap::new(),
            finished: 0,
            cut: 0,
            waiters: Vec::new(),
        };
        Arc::new(Self {
            limit: limits.connections,
            stopping,
            values,
            limit_per_address: limits.connections_per_address,
            state: state.into(),
        })
    }

    /// Admits a connection if there is room for it.
    pub fn admit(self: &Arc<Self>, peer: Peer) -> Result<Admission, Reject> {
        let mut state = self.lock();
        if state.sessions.len() >= self.limit {
            return Err(Reject::TooManyConnections);
        }
        if state.sessions.len() % CONNECTIONS_PER_MEMORY_CHECK == CONNECTIONS_PER_MEMORY_CHECK - 1
            && !has_headroom(0)
        {
            return Err(Reject::NoMemory);
        }
        if let (Some(limit), Some(address)) = (self.limit_per_address, address(peer)) {
            let inside = state.addresses.entry(address).or_insert(0);
            if *inside >= limit {
                return Err(Reject::TooManyFromAddress);
            }
            *inside += 1;
        }
        let session = Arc::new(Session::new(peer, Arc::clone(&self.stopping), self.values.clone()));
        session.advance(state.stage);
        let key = state.sessions.insert(Arc::clone(&session));
        Ok(Admission { gate: Arc::clone(self), key, session })
    }

    /// Advances all connections to a stage, those that come later too.
    pub fn advance(&self, to: Stage) {
        let mut state = self.lock();
        state.stage = state.stage.max(to);
        let sessions: Vec<_> = state.sessions.iter().map(|(_, session)| Arc::clone(session)).collect();
        drop(state);
        for session in sessions {
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
        if state.sessions.is_empty() {
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

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client's IP address. An IPv4 client of an IPv6 socket counts as an IPv4 client.
fn address(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Tcp(address) => Some(address.ip().to_canonical()),
        _ => None,
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.sessions.remove(self.key);
        if let Some(address) = address(self.session.client.peer)
            && let Entry::Occupied(mut inside) = state.addresses.entry(address)
        {
            *inside.get_mut() -= 1;
            if *inside.get() == 0 {
                inside.remove();
            }
        }
        state.finished += u64::from(self.session.finished());
        if self.session.has_reached(Stage::Draining) {
            state.cut += u64::from(self.session.open());
        }
        let is_empty = state.sessions.is_empty();
        let waiters = if is_empty { std::mem::take(&mut state.waiters) } else { Vec::new() };
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }
}
