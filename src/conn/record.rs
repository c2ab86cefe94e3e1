//! What the embedding program is told of each answer, and the records that make it so.
//!
//! Each exchange has one record from its head on, and each record is told once: when its answer
//! has been written, or when the connection ends before that. The records belong to the
//! connection: dropping them tells those that are left, as cut.

use std::fmt;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Version};

use crate::base::guard::guarded;
use crate::error::Reject;
use crate::handler::Endpoint;
use crate::message::{Address, ConnectionFacts, HeadParts, Peer};

/// The function that is told of each answer.
pub(crate) type OnExchange = Arc<dyn Fn(&Exchange<'_>) + Send + Sync>;

/// One answer of a server, and how it ended; see [`Server::on_exchange`].
///
/// ```
/// use transom::{Exchange, Router, Server};
///
/// let log = |exchange: &Exchange<'_>| {
///     let method = exchange.method().map_or("-", |method| method.as_str());
///     let status = exchange.status().map_or(0, |status| status.as_u16());
///     println!(
///         "{} {method} {} {status} {} {:?} {:?}",
///         exchange.peer(),
///         exchange.target().unwrap_or("-"),
///         exchange.bytes_out(),
///         exchange.took(),
///         exchange.ended(),
///     );
/// };
/// Server::new(Router::new()).on_exchange(log);
/// ```
///
/// [`Server::on_exchange`]: crate::Server::on_exchange
pub struct Exchange<'a> {
    connection: &'a Facts,
    record: &'a Record,
    ended: Ended,
    bytes_in: u64,
    bytes_out: u64,
}

/// The end of an exchange, as the server saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ended {
    /// The whole answer was written.
    Answered,
    /// The answer was a 101, and the connection left HTTP.
    Upgraded,
    /// The connection broke before the whole answer was written: most often, the client left.
    Left,
    /// The client did not take the answer in time.
    TimedOut,
    /// The response's body failed, or did not have the length that was announced.
    Failed,
    /// The server cut the exchange, at the deadline of a stop or because it had no room to answer.
    Cut,
}

impl Exchange<'_> {
    /// Returns the other end of the connection.
    pub fn peer(&self) -> Peer {
        self.connection.peer
    }

    /// Returns the address at which the connection came in. Each call asks the system; see
    /// [`Request::local_addr`](crate::Request::local_addr).
    pub fn local_addr(&self) -> Option<Address> {
        self.connection.socket.as_ref()?.upgrade()?.local_addr()
    }

    /// Returns the method. `None` if the request's head was refused, or none came.
    pub fn method(&self) -> Option<&Method> {
        self.record.method.as_ref()
    }

    /// Returns the request target. `None` if the request's head was refused, or none came.
    pub fn target(&self) -> Option<&str> {
        self.record.method.as_ref().map(|_| &*self.record.target)
    }

    /// Returns the version of the request. `None` if its head was refused, or none came.
    pub fn version(&self) -> Option<Version> {
        self.record.method.as_ref().map(|_| self.record.version)
    }

    /// Returns the pattern of the route. It is empty for a fallback. `None` if the router
    /// answered by itself, or was not asked.
    pub fn route(&self) -> Option<&str> {
        self.record.route.as_deref()
    }

    /// Returns the status of the answer. `None` if the exchange ended before there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.record.status
    }

    /// Returns the rule or limit that the request or the connection broke, if it was refused.
    pub fn reject(&self) -> Option<Reject> {
        self.record.reject
    }

    /// Returns the number of bytes of the request that were read, with its head and the framing
    /// of its body.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Returns the number of bytes of the answer that were written, with its head and the framing
    /// of its body.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }

    /// Returns the time since the request's head was read. Each call reads the clock.
    pub fn took(&self) -> Duration {
        self.record.began.elapsed()
    }

    /// Returns how the exchange ended.
    pub fn ended(&self) -> Ended {
        self.ended
    }
}

impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("peer", &self.peer())
            .field("method", &self.method())
            .field("target", &self.target())
            .field("route", &self.route())
            .field("status", &self.status())
            .field("reject", &self.reject())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// The records of a connection whose answers are not all written.
pub(super) struct Records {
    hook: OnExchange,
    connection: Facts,
    /// Bytes read from the transport so far.
    pub received: u64,
    /// Bytes written to the transport so far.
    pub written: u64,
    /// The first `open` are under way. The others are kept for their memory.
    all: Vec<Record>,
    open: usize,
    /// How those under way end if they are not answered; the first cause counts.
    fate: Option<Ended>,
}

/// What all exchanges of a connection share.
struct Facts {
    peer: Peer,
    socket: Option<Weak<dyn ConnectionFacts>>,
}

/// An exchange under way.
struct Record {
    began: Instant,
    /// `None` if no head was read.
    method: Option<Method>,
    target: String,
    version: Version,
    route: Option<Arc<str>>,
    status: Option<StatusCode>,
    reject: Option<Reject>,
    /// Where its bytes begin among those of the connection.
    received: u64,
    written: u64,
}

impl Records {
    pub fn new(hook: &OnExchange, peer: Peer, socket: Option<Weak<dyn ConnectionFacts>>) -> Self {
        Self {
            hook: Arc::clone(hook),
            connection: Facts { peer, socket },
            received: 0,
            written: 0,
            all: Vec::new(),
            open: 0,
            fate: None,
        }
    }

    /// Begins the record of an exchange. `received` and `written` say where its bytes begin.
    pub fn begin(
        &mut self,
        head: Option<&HeadParts>,
        endpoint: Option<&Endpoint>,
        received: u64,
        written: u64,
    ) {
        // The clock itself, not that of the transport, which is the time of the thread's turn: a
        // handler that does not wait would take no time.
        let now = Instant::now();
        if self.open == self.all.len() {
            self.all.push(Record::new(now));
        }
        let record = &mut self.all[self.open];
        self.open += 1;
        (record.began, record.received, record.written) = (now, received, written);
        (record.status, record.reject) = (None, None);
        record.target.clear();
        let route = endpoint.and_then(|endpoint| endpoint.pattern.as_ref());
        // Most often the record was that of the same route: no count is touched then.
        if record.route.as_ref().map(Arc::as_ptr) != route.map(Arc::as_ptr) {
            record.route = route.cloned();
        }
        record.method = head.map(|head| head.method.clone());
        if let Some(head) = head {
            record.version = head.version;
            record.target.push_str(head.target.as_str());
        }
    }

    /// Notes the status of the exchange that began last.
    pub fn note_status(&mut self, status: StatusCode) {
        if let Some(record) = self.last() {
            record.status = Some(status);
        }
    }

    /// Notes why the exchange that began last was refused.
    pub fn note_reject(&mut self, reject: Reject) {
        if let Some(record) = self.last() {
            record.reject = Some(reject);
        }
    }

    /// Notes how the exchanges under way end if they are not answered.
    pub fn note_fate(&mut self, fate: Ended) {
        self.fate.get_or_insert(fate);
    }

    fn last(&mut self) -> Option<&mut Record> {
        self.all[..self.open].last_mut()
    }

    /// Tells of all exchanges under way. `received` is where the bytes of the last one end.
    pub fn tell(&mut self, ended: Ended, received: u64) {
        // Taken first, so that none is told twice if the hook panics.
        let open = mem::take(&mut self.open);
        for index in 0..open {
            let record = &self.all[index];
            let next = self.all[..open].get(index + 1);
            let (received, written) = next.map_or((received, u64::MAX), |next| (next.received, next.written));
            let exchange = Exchange {
                connection: &self.connection,
                record,
                ended,
                bytes_in: received.saturating_sub(record.received),
                bytes_out: written.min(self.written).saturating_sub(record.written),
            };
            guarded("the hook for exchanges", || (self.hook)(&exchange));
        }
    }
}

impl Record {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            method: None,
            target: String::new(),
            version: Version::HTTP_11,
            route: None,
            status: None,
            reject: None,
            received: 0,
            written: 0,
        }
    }
}

/// Exchanges that were not answered are told of when the connection ends.
impl Drop for Records {
    fn drop(&mut self) {
        if self.open > 0 {
            let ended = self.fate.unwrap_or(Ended::Cut);
            self.tell(ended, self.received);
        }
    }
}
