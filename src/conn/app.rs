//! The parts of a server that all of its connections share.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::expired::Expired;
use super::hook::OnExchange;
use super::own_answer::WordAnswer;
use super::recorded::RecordedNames;
use super::refusals::RefusalCounts;
use super::trust::Trust;
use crate::base::guard::RateLimitedLog;
use crate::base::memory::Budget;
use crate::base::pool::Pool;
use crate::config::Config;
use crate::handler::Table;

/// The routes, the settings, the threads that may block, and the hooks of a server.
pub(crate) struct App {
    /// When the server was made.
    pub started: Instant,
    pub router: Table,
    pub config: Config,
    pub pool: Arc<Pool>,
    /// The memory for request bodies.
    pub bodies: Budget,
    pub refusals: RefusalCounts,
    pub expired: Arc<Expired>,
    /// TLS handshakes that were done, and connections that ended in one.
    pub handshakes: AtomicU64,
    pub broken_handshakes: AtomicU64,
    /// The proxies whose fields say where requests came from.
    pub trust: Option<Arc<Trust>>,
    /// The hook that is called for each answer.
    pub on_exchange: Option<OnExchange>,
    /// The names of the fields that the hook may ask for.
    pub recorded: RecordedNames,
    /// The hook that words the server's own answers.
    pub word_answer: Option<WordAnswer>,
    /// Logs that too many handlers wait for threads.
    pub overload: RateLimitedLog,
}

impl App {
    pub fn new(router: Table, config: Config, pool: Pool) -> Self {
        // At least one body of the largest size must fit.
        let largest = router.largest_body(config.limits.body);
        let bodies = Budget::new(config.limits.bodies.max(largest));
        let pool = Arc::new(pool);
        let overload = RateLimitedLog::default();
        let refusals = RefusalCounts::new();
        Self {
            started: Instant::now(),
            router,
            config,
            pool,
            bodies,
            refusals,
            expired: Arc::default(),
            handshakes: AtomicU64::new(0),
            broken_handshakes: AtomicU64::new(0),
            trust: None,
            on_exchange: None,
            recorded: RecordedNames::default(),
            word_answer: None,
            overload,
        }
    }
}
