//! What all connections of a server share.

use std::sync::Arc;

use log::Level;

use super::own_answer::WordAnswer;
use super::record::OnExchange;
use crate::base::guard::{RateLimitedLog, guarded, log_event};
use crate::base::memory::Budget;
use crate::base::pool::Pool;
use crate::config::Config;
use crate::error::Reject;
use crate::handler::Table;
use crate::message::Peer;

/// Routes, settings, threads that may block, and who is told of refusals.
pub(crate) struct App {
    pub router: Table,
    pub config: Config,
    pub pool: Arc<Pool>,
    /// The memory for request bodies.
    pub bodies: Budget,
    pub on_refusal: OnRefusal,
    /// Told of each answer.
    pub on_exchange: Option<OnExchange>,
    /// Words the server's own answers.
    pub word_answer: Option<WordAnswer>,
    /// Logs that too many handlers wait for threads.
    pub overload: RateLimitedLog,
}

impl App {
    pub fn new(router: Table, config: Config, pool: Pool, on_refusal: OnRefusal) -> Self {
        // At least one body of the largest size must fit.
        let largest = router.largest_body(config.limits.body);
        let bodies = Budget::new(config.limits.bodies.max(largest));
        let pool = Arc::new(pool);
        let overload = RateLimitedLog::default();
        Self { router, config, pool, bodies, on_refusal, on_exchange: None, word_answer: None, overload }
    }

    /// Tells the host of a refusal: the log and the hook. If the hook panics, the client
    /// still gets its answer.
    pub fn tell(&self, reject: Reject, peer: Peer) {
        log_event(Level::Debug, format_args!("refused a request of {peer}: {}", reject.reason()));
        guarded("the hook for refusals", || (self.on_refusal)(&Refusal { reject, peer }));
    }
}

pub(crate) type OnRefusal = Box<dyn Fn(&Refusal) + Send + Sync>;

/// A request or a connection that was refused: which rule or limit it broke, and who
/// sent it. See [`Server::on_refusal`](crate::Server::on_refusal).
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// let counts = Mutex::new(HashMap::new());
/// let count = move |refusal: &transom::Refusal| {
///     *counts.lock().unwrap().entry(refusal.reject.reason()).or_insert(0) += 1;
/// };
/// transom::Server::new(transom::Router::new()).on_refusal(count);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// The rule or limit.
    pub reject: Reject,
    /// The other end of the connection.
    pub peer: Peer,
}
