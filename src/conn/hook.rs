//! The function that the embedding program gave to
//! [`Server::on_exchange`](crate::Server::on_exchange), and what it is told of an exchange.

use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Version};

use super::record::Record;
use super::recorded::RecordedNames;
use crate::error::Reject;
use crate::handler::Table;
use crate::message::{Address, ConnectionFacts, Peer};

/// The function that is called for each answer.
pub(crate) type OnExchange = Arc<dyn Fn(&Exchange<'_>) + Send + Sync>;

/// The name of such a function in the log line about its panic.
pub(crate) const HOOK_FOR_EXCHANGES: &str = "the hook for exchanges";

/// The bits of a packed duration that count nanoseconds; those above them count seconds. That takes 20
/// instructions fewer than a number of nanoseconds, which has to be divided (replay, 2026-11).
const NANO_BITS: u32 = 30;
/// No reading of the clock: no duration has so many nanoseconds.
pub(super) const NOT_READ: u64 = u64::MAX;

/// A request with the server's answer, and how the exchange ended; see [`Server::on_exchange`].
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
    pub(super) connection: &'a Facts<'a>,
    pub(super) record: &'a Record,
    /// The first of the exchanges that the hook is told of at the same time.
    pub(super) first: &'a Record,
    /// The packed duration from the begin of the first one to now, or [`NOT_READ`]. To read the clock once for
    /// all hooks and exchanges saves 100 instructions for each more (replay, 2026-11).
    pub(super) told: &'a AtomicU64,
    pub(super) ended: Ended,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
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
    /// The server cut the exchange: at the deadline of a stop, or because it had no memory or no
    /// room to answer.
    Cut,
}

/// The parts of an [`Exchange`] that all exchanges of a connection share.
#[repr(C)]
pub(super) struct Facts<'a> {
    /// The names of the fields that are recorded.
    pub names: &'a RecordedNames,
    pub routes: &'a Table,
    pub scheme: &'static str,
    pub peer: Peer,
    pub socket: Option<Weak<dyn ConnectionFacts>>,
    /// The address to which the client connected, once it is known: a proxy told it, or a hook asked.
    /// It is kept because asking the system costs 200 ns, and C asks for each exchange.
    pub local: OnceLock<Address>,
}

impl Exchange<'_> {
    /// Returns the client, as [`Request::peer`](crate::Request::peer) does.
    pub fn peer(&self) -> Peer {
        self.record.peer.unwrap_or(self.connection.peer)
    }

    /// Returns the address at which the connection came in, as
    /// [`Request::local_addr`](crate::Request::local_addr) does. The first call for a connection asks
    /// the system.
    pub fn local_addr(&self) -> Option<Address> {
        let Facts { local, socket, .. } = self.connection;
        if let Some(local) = local.get() {
            return Some(local.clone());
        }
        let found = socket.as_ref()?.upgrade()?.local_addr()?;
        Some(local.get_or_init(|| found).clone())
    }

    /// Returns the scheme of the request, `https` or `http`, as [`Request::scheme`](crate::Request::scheme)
    /// does. A connection that is refused before its TLS handshake has `http`.
    pub fn scheme(&self) -> &str {
        self.record.scheme.unwrap_or(self.connection.scheme)
    }

    /// Returns the method. `None` if the request's head was refused, or none came.
    pub fn method(&self) -> Option<&Method> {
        self.record.method.as_ref()
    }

    /// Returns the request target. `None` if the request's head was refused or none came, and if
    /// there was no memory to keep the target.
    pub fn target(&self) -> Option<&str> {
        // No request has an empty target (RFC 9112 3.2).
        Some(&*self.record.target).filter(|target| !target.is_empty())
    }

    /// Returns the version of the request. `None` if its head was refused, or none came.
    pub fn version(&self) -> Option<Version> {
        self.record.method.as_ref().map(|_| self.record.version)
    }

    /// Returns the first value of a header field of the request, if the server records it
    /// ([`Server::record_fields`](crate::Server::record_fields)). A value of more than 1,024 bytes is
    /// cut off. `None` if the request has no such field, or the field is not recorded.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.record.fields.get(self.connection.names.request.as_ref()?, name)
    }

    /// Returns the first value of a header field of the response, if the server records it
    /// ([`Server::record_response_fields`](crate::Server::record_response_fields)). A value of more than
    /// 1,024 bytes is cut off. Fields that the server adds by itself, such as `date` and
    /// `content-length`, are not recorded. `None` if the response has no such field, or the field is not
    /// recorded.
    pub fn response_field(&self, name: &str) -> Option<&[u8]> {
        self.record.response_fields.get(self.connection.names.response.as_ref()?, name)
    }

    /// Returns the pattern of the route. It is empty for a fallback. `None` if the router
    /// answered by itself, or was not asked.
    pub fn route(&self) -> Option<&str> {
        self.connection.routes.pattern(self.record.route)
    }

    /// Returns `true` if the request reached a handler, or a wrap. Otherwise the server answered by
    /// itself: it refused the request or the connection, or no route matched and no wrap is around
    /// the router.
    pub fn was_handled(&self) -> bool {
        self.record.was_handled
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

    /// Returns the time when the request's head was read. The threads of
    /// [`Model::EventDriven`](crate::Model::EventDriven) read the clock once for all connections that
    /// are ready at the same time, so the time includes the wait of a request for its thread.
    pub fn began(&self) -> Instant {
        self.record.began
    }

    /// Returns the time from [`began`](Self::began) to the end of the answer. It is the same for each
    /// hook.
    #[inline]
    pub fn took(&self) -> Duration {
        let (first, told) = (self.first.began, self.told);
        // Relaxed: the hooks of an exchange run one after another. The number is all that they share.
        let read = told.load(Ordering::Relaxed);
        let took = if read == NOT_READ {
            let took = first.elapsed();
            told.store(packed(took), Ordering::Relaxed);
            took
        } else {
            unpacked(read)
        };
        if ptr::eq(self.record, self.first) {
            return took;
        }
        took.saturating_sub(self.record.began.saturating_duration_since(first))
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
            .field("scheme", &self.scheme())
            .field("method", &self.method())
            .field("target", &self.target())
            .field("route", &self.route())
            .field("status", &self.status())
            .field("reject", &self.reject())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// Packs a duration, of at most 500 years, into a number.
#[inline]
fn packed(duration: Duration) -> u64 {
    duration.as_secs().min(u64::MAX >> NANO_BITS) << NANO_BITS | u64::from(duration.subsec_nanos())
}

#[inline]
fn unpacked(packed: u64) -> Duration {
    let nanos = packed & ((1 << NANO_BITS) - 1);
    Duration::new(packed >> NANO_BITS, u32::try_from(nanos).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_duration_is_the_same_to_the_nanosecond() {
        for (seconds, nanos) in [(0, 0), (0, 999_999_999), (1, 0), (86_400, 1), ((1 << 34) - 1, 999_999_999)]
        {
            let duration = Duration::new(seconds, nanos);
            assert_ne!(packed(duration), NOT_READ);
            assert_eq!(unpacked(packed(duration)), duration);
        }
        assert_eq!(unpacked(packed(Duration::MAX)).as_secs(), (1 << 34) - 1);
    }
}
