//! A server that runs on its own threads, from where it was started.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

use super::address::Address;
use super::shared::Shared;
use super::stop::{Report, Stopper};
use crate::base::guard::log_event;
use crate::error::{Error, Result};

/// How long past the deadline of a stop its threads are waited for.
const JOIN_GRACE: Duration = Duration::from_millis(200);

/// A running server. Dropped, it is stopped, with
/// [`Timeouts::stop`](crate::Timeouts::stop) as the deadline.
///
/// ```
/// use std::time::Duration;
/// use transom::{Request, Router, Server};
///
/// let app = Router::new().get("/", async |_: Request| "hello");
/// let server = Server::new(app).bind("127.0.0.1:0")?.start()?;
/// println!("listening on http://{}", server.local_addr());
/// server.stop(Duration::from_secs(10));
/// # Ok::<(), transom::Error>(())
/// ```
pub struct Handle {
    shared: Arc<Shared>,
    addresses: Vec<Address>,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, addresses: Vec<Address>) -> Self {
        Self { shared, addresses }
    }

    /// The first address it listens on, with the real port.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = transom::Server::new(transom::Router::new()).bind("127.0.0.1:0")?.start()?;
    /// assert!(server.local_addr().port().is_some());
    /// # Ok::<(), transom::Error>(())
    /// ```
    pub fn local_addr(&self) -> &Address {
        // A server without a listener does not start.
        &self.addresses[0]
    }

    /// All addresses it listens on, in the order they were bound.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = transom::Server::new(transom::Router::new()).bind("127.0.0.1:0")?.start()?;
    /// assert_eq!(server.local_addrs().len(), 1);
    /// # Ok::<(), transom::Error>(())
    /// ```
    pub fn local_addrs(&self) -> &[Address] {
        &self.addresses
    }

    /// What asks it to stop, from anywhere.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = transom::Server::new(transom::Router::new()).bind("127.0.0.1:0")?.start()?;
    /// server.stopper().stop(Duration::ZERO);
    /// # Ok::<(), transom::Error>(())
    /// ```
    pub fn stopper(&self) -> Stopper {
        self.shared.stopper.clone()
    }

    /// Stops: takes no more connections, closes idle ones, finishes exchanges
    /// under way, cuts what is not finished after `deadline`, and returns when
    /// all threads have ended. A handler that blocks its thread for longer is
    /// not waited for; its thread ends when it returns.
    ///
    /// Called on one of the server's own threads, in a handler for instance, it
    /// begins to stop and returns at once.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = transom::Server::new(transom::Router::new()).bind("127.0.0.1:0")?.start()?;
    /// assert_eq!(server.stop(Duration::from_secs(10)).cut, 0);
    /// # Ok::<(), transom::Error>(())
    /// ```
    pub fn stop(&self, deadline: Duration) -> Report {
        self.shared.stopper.stop(deadline);
        if !self.shared.threads.is_current() {
            let until = Instant::now().checked_add(deadline.saturating_add(JOIN_GRACE));
            if !self.shared.threads.wait(until) {
                log_event(Level::Warn, format_args!("stopped, but a handler still holds a thread"));
            }
        }
        self.report()
    }

    /// Waits until the server has stopped and all its threads have ended. A
    /// handler that blocks its thread for ever holds that up for ever, past any
    /// deadline; [`stop`](Self::stop) and [`wait_timeout`](Self::wait_timeout)
    /// do not wait for it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = transom::Server::new(transom::Router::new()).bind("127.0.0.1:0")?.start()?;
    /// server.stopper().stop(Duration::ZERO); // elsewhere, later
    /// server.wait()?;
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::WouldDeadlock`] on one of the server's own threads.
    pub fn wait(&self) -> Result<Report> {
        if self.shared.threads.is_current() {
            return Err(Error::WouldDeadlock);
        }
        self.shared.threads.wait(None);
        Ok(self.report())
    }

    /// Waits until the server has stopped, at most `timeout`; `None` if it has not.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = transom::Server::new(transom::Router::new()).bind("127.0.0.1:0")?.start()?;
    /// assert!(server.wait_timeout(Duration::from_millis(1))?.is_none());
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<Report>> {
        if self.shared.threads.is_current() {
            return Err(Error::WouldDeadlock);
        }
        let ended = self.shared.threads.wait(Instant::now().checked_add(timeout));
        Ok(ended.then(|| self.report()))
    }

    /// What became of the exchanges so far.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let server = transom::Server::new(transom::Router::new()).bind("127.0.0.1:0")?.start()?;
    /// assert_eq!(server.report().pending, 0);
    /// # Ok::<(), transom::Error>(())
    /// ```
    pub fn report(&self) -> Report {
        self.shared.gate.report()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop(self.shared.app.config.timeouts.stop);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
