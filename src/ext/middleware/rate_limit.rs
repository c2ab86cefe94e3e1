//! [`RateLimit`]: so many requests in a time.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::address_key::AddressKey;
use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Response;
use crate::StatusCode;
use crate::Wrap;

/// The parts of the table, each with a lock of its own.
const PARTS: usize = 16;
/// The most addresses in the table, unless the program says otherwise.
const ADDRESSES: usize = 10_000;

/// Lets so many requests through in a time, of each address; others get a 429 with Retry-After. Around a
/// route, it counts the requests of the route, around a router those of all its routes.
///
/// After a pause, a client may send `requests` at once; then they come back one by one, evenly over the
/// time. A client of IPv6 is its network of 64 bits. Behind a proxy, the address is that of the client if
/// the proxy is trusted ([`Server::trust_forwarded`](crate::Server::trust_forwarded)).
///
/// ```
/// use std::time::Duration;
/// use transom::{Method, RateLimit, Request, Route, Router};
///
/// let login = Route::new(Method::POST, "/login", async |_: Request| "welcome");
/// Router::new().route(login.wrap(RateLimit::new(5, Duration::from_secs(60))));
/// ```
#[derive(Clone, Debug)]
pub struct RateLimit(Arc<Table>);

#[derive(Debug)]
struct Table {
    /// The time between two requests, and that of all of them together.
    step: Duration,
    whole: Duration,
    shared: bool,
    most: usize,
    began: Instant,
    hasher: RandomState,
    /// When each address will have all its requests again, in time since the beginning.
    parts: [Mutex<HashMap<AddressKey, Duration>>; PARTS],
}

impl RateLimit {
    /// Returns a wrap that lets `requests` through in `time`, of each address. At least one.
    pub fn new(requests: u32, time: Duration) -> Self {
        let table = Table {
            step: time / requests.max(1),
            whole: time,
            shared: false,
            most: ADDRESSES,
            began: Instant::now(),
            hasher: RandomState::new(),
            parts: Default::default(),
        };
        Self(Arc::new(table))
    }

    fn with(self, change: impl FnOnce(&mut Table)) -> Self {
        let Table { step, whole, shared, most, .. } = *self.0;
        let mut table = Self::new(1, whole).0;
        if let Some(table) = Arc::get_mut(&mut table) {
            (table.step, table.shared, table.most) = (step, shared, most);
            change(table);
        }
        Self(table)
    }

    /// Counts the requests of all clients together.
    #[must_use]
    pub fn for_all_clients(self) -> Self {
        self.with(|table| table.shared = true)
    }

    /// Sets the most addresses that are remembered; default 10,000, which take about half a mebibyte. If
    /// there are more, those are forgotten that come nearest to having all their requests again.
    #[must_use]
    pub fn addresses(self, most: usize) -> Self {
        self.with(|table| table.most = most.max(PARTS))
    }
}

impl Table {
    /// Counts a request. Returns how long the client has to wait if it is one too many.
    fn count(&self, key: AddressKey) -> Result<(), Duration> {
        let now = self.began.elapsed();
        let [part, ..] = self.hasher.hash_one(key).to_le_bytes();
        let part = &self.parts[usize::from(part) % PARTS];
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        let full = part.get(&key).copied().unwrap_or_default().max(now).saturating_add(self.step);
        let late = full.saturating_sub(now.saturating_add(self.whole));
        if !late.is_zero() {
            return Err(late);
        }
        if part.len() >= self.most / PARTS && !part.contains_key(&key) {
            Self::forget(&mut part, now);
        }
        part.insert(key, full);
        Ok(())
    }

    /// Makes room for an address.
    fn forget(part: &mut HashMap<AddressKey, Duration>, now: Duration) {
        let before = part.len();
        part.retain(|_, full| *full > now);
        if part.len() == before
            && let Some(key) = part.iter().min_by_key(|(_, full)| **full).map(|(key, _)| *key)
        {
            part.remove(&key);
        }
    }
}

impl Wrap for RateLimit {
    fn call(&self, request: Request, next: Next) -> Reply {
        let key = if self.0.shared { AddressKey::ALL } else { AddressKey::of(&request) };
        match self.0.count(key) {
            Ok(()) => next.run(request),
            Err(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let refused = Response::text("429 Too Many Requests\n").status(StatusCode::TOO_MANY_REQUESTS);
                Reply::now(refused.header("retry-after", seconds.to_string()))
            }
        }
    }
}
