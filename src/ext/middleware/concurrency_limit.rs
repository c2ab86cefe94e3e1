//! [`ConcurrencyLimit`]: so many requests at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::address_key::AddressKey;
use crate::Next;
use crate::Reply;
use crate::Request;
use crate::Response;
use crate::StatusCode;
use crate::Wrap;

/// Lets so many requests be handled at once; others get a 503 with Retry-After. Around a route, it counts
/// the requests of the route, around a router those of all its routes. A request counts until its handler
/// has answered, not until the body of the response is sent.
///
/// ```
/// use transom::{ConcurrencyLimit, Method, Request, Route, Router};
///
/// let report = Route::new(Method::GET, "/report", async |_: Request| "made slowly");
/// Router::new().route(report.wrap(ConcurrencyLimit::new(4)));
/// ```
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    most: usize,
    by_address: bool,
    /// The requests of each address that are being handled; an address without one is not there.
    counts: Arc<Mutex<HashMap<AddressKey, usize>>>,
}

/// A request that is being handled.
struct Place {
    key: AddressKey,
    counts: Arc<Mutex<HashMap<AddressKey, usize>>>,
}

impl ConcurrencyLimit {
    /// Returns a wrap that lets `most` requests be handled at once, of all clients together.
    pub fn new(most: usize) -> Self {
        Self { most, by_address: false, counts: Arc::default() }
    }

    /// Counts the requests of each address on its own. A client of IPv6 is its network of 64 bits. The
    /// table has no more addresses than there are requests.
    #[must_use]
    pub fn for_each_address(mut self) -> Self {
        self.by_address = true;
        self
    }

    fn enter(&self, key: AddressKey) -> Option<Place> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&key).copied().unwrap_or_default();
        (count < self.most).then(|| {
            counts.insert(key, count + 1);
            Place { key, counts: Arc::clone(&self.counts) }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.key)),
        }
    }
}

impl Wrap for ConcurrencyLimit {
    fn call(&self, request: Request, next: Next) -> Reply {
        let key = if self.by_address { AddressKey::of(&request) } else { AddressKey::ALL };
        let Some(place) = self.enter(key) else {
            let refused = Response::text("503 Service Unavailable\n").status(StatusCode::SERVICE_UNAVAILABLE);
            return Reply::now(refused.header("retry-after", "1"));
        };
        let reply = next.run(request);
        Reply::future(async move {
            let response = reply.await;
            drop(place);
            response
        })
    }
}
