//! The pool of threads, for wraps that have something to do that takes long.

use std::fmt;
use std::sync::Arc;

use super::handler::Context;
use crate::base::pool::{Pool, PoolFull};
use crate::base::priority::Priority;

/// The server's blocking pool, for code that runs after a [`Wrap`](crate::Wrap) was called:
/// [`Next::blocking_pool`](crate::Next::blocking_pool) returns it.
#[derive(Clone)]
pub struct BlockingPool {
    pool: Arc<Pool>,
    priority: Priority,
}

impl BlockingPool {
    pub(super) fn new(pool: &Arc<Pool>, priority: Priority) -> Self {
        Self { pool: Arc::clone(pool), priority }
    }

    /// Runs `job` on the pool, when a thread is free; as
    /// [`Context::run_blocking`](crate::Context::run_blocking).
    ///
    /// # Errors
    /// [`PoolFull`], with the job, if the queue of the pool is full.
    pub fn run_blocking<F: FnOnce() + Send + 'static>(&self, job: F) -> Result<(), PoolFull<F>> {
        Context::new(&self.pool, self.priority).run_blocking(job)
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlockingPool")
    }
}
