//! The other side of a connection, as far as a message needs to know it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a connection comes from: a fact of the socket, never of a header.
///
/// ```
/// use transom::Peer;
/// let peer = Peer::Tcp("127.0.0.1:1234".parse()?);
/// assert_eq!(peer.to_string(), "127.0.0.1:1234");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP client with its address and port.
    Tcp(SocketAddr),
    /// A client on a Unix socket, which has no address.
    Unix,
    /// A transport that the host brought, which says nothing of the sort.
    Unknown,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// One connection's client: shared by the connection and what it hands out.
pub(crate) struct Client {
    pub peer: Peer,
    gone: AtomicBool,
    watchers: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl Client {
    pub fn new(peer: Peer) -> Self {
        Self { peer, gone: AtomicBool::new(false), watchers: Mutex::default() }
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// Says that the client has closed; runs what waits for that, once.
    pub fn mark_gone(&self) {
        if !self.gone.swap(true, Ordering::AcqRel) {
            let watchers = std::mem::take(&mut *self.watchers());
            for watcher in watchers {
                watcher();
            }
        }
    }

    /// Runs `watcher` when the client leaves, at once if it has left already.
    pub fn on_gone(&self, watcher: Box<dyn FnOnce() + Send>) {
        let mut watchers = self.watchers();
        if self.is_gone() {
            drop(watchers);
            watcher();
        } else {
            watchers.push(watcher);
        }
    }

    /// An exchange is over: what it waited for will not be told any more.
    pub fn forget_watchers(&self) {
        let watchers = std::mem::take(&mut *self.watchers());
        drop(watchers);
    }

    fn watchers(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn FnOnce() + Send>>> {
        self.watchers.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
