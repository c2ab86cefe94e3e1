//! A view of a running server.

use std::fmt;
use std::sync::{Arc, Weak};

use super::connections::ConnectionInfo;
use super::load::Load;
use super::shared::Shared;
use super::stats::Stats;
use crate::base::stuck::Stuck;

/// Shows what a server does, to any thread and for as long as the server exists. It does not keep
/// the server running.
///
/// A program gets it from [`Handle::monitor`](crate::Handle::monitor), and a part of the program that
/// is made before the server, such as a handler, from [`Server::on_start`](crate::Server::on_start).
#[derive(Clone)]
pub struct Monitor(Weak<Shared>);

impl Monitor {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(shared))
    }

    /// Returns the counters of the server; see [`Handle::stats`](crate::Handle::stats). `None` if the
    /// server exists no more.
    pub fn stats(&self) -> Option<Stats> {
        self.0.upgrade().map(|shared| Stats::of(&shared))
    }

    /// Returns all connections; see [`Handle::connections`](crate::Handle::connections). Empty if the
    /// server exists no more.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.0.upgrade().map(|shared| ConnectionInfo::all(&shared)).unwrap_or_default()
    }

    /// Returns the parts of the server that are stuck; see [`Handle::stuck`](crate::Handle::stuck).
    pub fn stuck(&self) -> Vec<Stuck> {
        self.0.upgrade().map(|shared| shared.stuck()).unwrap_or_default()
    }

    /// Has the watchdog watch a part of the program; see [`Handle::watch`](crate::Handle::watch).
    pub fn watch(&self, name: impl Into<String>, load: impl FnMut() -> Load + Send + 'static) {
        if let Some(shared) = self.0.upgrade() {
            shared.watch_load(name.into(), load);
        }
    }

    /// Returns `true` once the server has begun to stop, and if it exists no more.
    pub fn is_stopping(&self) -> bool {
        self.0.upgrade().is_none_or(|shared| shared.stopper.is_stopping())
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("is_stopping", &self.is_stopping()).finish_non_exhaustive()
    }
}
