//! Records of exchanges, for the function that the embedding program gave to
//! [`Server::on_exchange`](crate::Server::on_exchange).
//!
//! Each exchange has one record from its head on. The function is called once for each record:
//! when the answer has been written, or when the connection ends before that. The records belong
//! to the connection: dropping them calls the function for those that are left.

use std::sync::atomic::AtomicU64;
use std::sync::{OnceLock, Weak};
use std::time::Instant;

use http::StatusCode;

use super::activity::Activity;
use super::hook::{Ended, Exchange, Facts, HOOK_FOR_EXCHANGES, NOT_READ, OnExchange};
use super::record::Record;
use super::recorded::RecordedNames;
use crate::base::guard::guarded;
use crate::base::spare::Spares;
use crate::error::Reject;
use crate::fields::Headers;
use crate::handler::{Endpoint, Table};
use crate::message::{Arrival, ConnectionFacts, HeadParts, Peer};

/// The most exchanges of a connection that may be in progress at once when they are recorded.
const MAX_OPEN: usize = 64;
/// The most records that are kept beside the first one, to use their memory again.
const MAX_KEPT: usize = 3;
/// The most bytes that a kept record may hold for a target.
const MAX_KEPT_TARGET: usize = 1024;

thread_local! {
    /// The records of exchanges that have ended. Those of the exchange before are still in the processor's
    /// cache. Records that each connection kept for itself took 50 ns more (perf, 64 connections, 2026-11).
    static SPARES: Spares<Box<Open>> = const { Spares::new() };
}

/// The records of a connection whose answers are not all written.
///
/// The parts that each exchange needs come first and lie in one cache line; the client and the socket lie in
/// the next. The processor has to fetch each line anew when it comes back to the connection.
#[repr(C, align(64))]
pub(super) struct Records<'a> {
    hook: &'a OnExchange,
    /// The bytes that were read from the transport and written to it so far.
    activity: &'a Activity,
    /// The exchanges in progress, if there are any.
    open: Option<Box<Open>>,
    /// The end of the exchanges in progress if they are not answered. The first cause counts.
    fate: Option<Ended>,
    connection: Facts<'a>,
}

/// The exchanges in progress on one connection. Most often there is one.
struct Open {
    first: Record,
    /// The first `more` of these are in progress too. The others are there to use their memory again.
    others: Vec<Record>,
    more: usize,
    /// Bytes of the targets and fields of the exchanges in progress.
    texts: usize,
}

/// The parts of an [`Exchange`] that all exchanges share of which the hook is told at the same time.
struct Told<'a> {
    first: &'a Record,
    /// The end of the last one, and the positions at which its bytes end.
    ended: Ended,
    received: u64,
    written: u64,
    /// See [`Exchange::told`].
    nanos: &'a AtomicU64,
}

impl<'a> Records<'a> {
    pub fn new(
        hook: &'a OnExchange,
        names: &'a RecordedNames,
        routes: &'a Table,
        activity: &'a Activity,
        peer: Peer,
        socket: Option<Weak<dyn ConnectionFacts>>,
    ) -> Self {
        Self {
            hook,
            activity,
            open: None,
            fate: None,
            connection: Facts { names, routes, scheme: "http", peer, socket, local: OnceLock::new() },
        }
    }

    /// Sets what the steps before HTTP found out about the connection.
    pub fn set_arrival(&mut self, arrival: &Arrival) {
        if let Some(local) = &arrival.local {
            self.connection.local = local.clone().into();
        }
        self.connection.scheme = arrival.scheme();
    }

    /// Returns `true` if the exchanges in progress must be settled before the next one begins.
    /// Without this bound, a client that sends many requests and reads nothing would decide how
    /// many records there are. `limit` is [`Limits::output`](crate::Limits::output).
    pub fn is_full(&self, limit: usize) -> bool {
        self.open.as_ref().is_some_and(|open| open.more + 1 >= MAX_OPEN || open.texts >= limit)
    }

    /// Begins the record of an exchange. `received` and `written` are the bytes of the connection
    /// before it.
    #[inline]
    pub fn begin(
        &mut self,
        head: Option<&HeadParts>,
        endpoint: Option<&Endpoint>,
        now: Instant,
        received: u64,
        written: u64,
    ) {
        let names = self.connection.names;
        let is_first = self.open.is_none();
        let open = &mut **self.open.get_or_insert_with(|| Open::spare(now));
        let (record, texts) = if is_first { (&mut open.first, &mut open.texts) } else { open.add(now) };
        (record.began, record.received, record.written) = (now, received, written);
        (record.status, record.reject) = (None, None);
        record.was_handled = endpoint.is_some();
        record.route = endpoint.map_or(0, |endpoint| endpoint.number);
        record.target.clear();
        if names.response.is_some() {
            record.response_fields.clear();
        }
        let Some(head) = head else { return record.forget_head() };
        if record.method.as_ref() != Some(&head.method) {
            record.method = Some(head.method.clone());
        }
        let origin = head.origin.as_ref();
        record.peer = origin.map(|origin| origin.peer);
        record.scheme = origin.and_then(|origin| origin.scheme);
        record.version = head.version;
        let target = head.target.as_str();
        if record.target.try_reserve(target.len()).is_ok() {
            record.target.push_str(target);
            *texts += target.len();
        }
        if let Some(names) = &names.request {
            record.fields.assign(names, &head.headers);
            *texts += record.fields.len();
        }
    }

    /// Notes the head of the answer to the exchange that began last.
    pub fn note_answer(&mut self, status: StatusCode, headers: &Headers) {
        let Some(open) = &mut self.open else { return };
        let (record, texts) = open.last();
        record.status = Some(status);
        if let Some(names) = &self.connection.names.response {
            record.response_fields.assign(names, headers);
            *texts += record.response_fields.len();
        }
    }

    /// Notes why the exchange that began last was refused.
    pub fn note_reject(&mut self, reject: Reject) {
        if let Some(record) = self.last() {
            record.reject = Some(reject);
        }
    }

    /// Notes that the exchange that began last was refused before a handler was called.
    pub fn note_unhandled(&mut self) {
        if let Some(record) = self.last() {
            record.was_handled = false;
        }
    }

    /// Notes how the exchanges in progress end if they are not answered.
    pub fn note_fate(&mut self, fate: Ended) {
        self.fate.get_or_insert(fate);
    }

    fn last(&mut self) -> Option<&mut Record> {
        Some(self.open.as_mut()?.last().0)
    }

    /// Calls the hook for all exchanges in progress. `ended` is the end of the last one, and
    /// `received` is the position at which its bytes end. The exchanges before it count as answered
    /// if all of their bytes were written. If the last one was cut, all count as cut, as in the
    /// report of a stop.
    #[inline]
    pub fn tell(&mut self, ended: Ended, received: u64) {
        // Taken first, so that the hook is not called twice for an exchange if it panics.
        let Some(mut open) = self.open.take() else { return };
        let (_, written) = self.activity.bytes();
        let told = AtomicU64::new(NOT_READ);
        let all = Told { first: &open.first, ended, received, written, nanos: &told };
        if open.more == 0 {
            self.tell_of(&open.first, None, &all);
        } else {
            self.tell_of_each(&open, &all);
        }
        // Few and short texts cannot have taken more memory than is kept.
        if open.more > MAX_KEPT || open.texts > MAX_KEPT_TARGET / 2 {
            open.release();
        }
        (open.more, open.texts) = (0, 0);
        // When a thread ends, its spares may be dropped before its last connection.
        let _ = SPARES.try_with(|spares| spares.give(open));
    }

    /// Calls the hook for several exchanges.
    #[cold]
    fn tell_of_each(&self, open: &Open, all: &Told<'_>) {
        let others = &open.others[..open.more];
        self.tell_of(&open.first, others.first(), all);
        for (index, record) in others.iter().enumerate() {
            self.tell_of(record, others.get(index + 1), all);
        }
    }

    /// Calls the hook for one exchange, which another one may follow.
    #[inline]
    fn tell_of(&self, record: &Record, next: Option<&Record>, all: &Told<'_>) {
        let ended = match (all.ended, next) {
            // There was no memory to answer.
            (Ended::Answered, None) if record.status.is_none() => self.fate.unwrap_or(Ended::Cut),
            (Ended::Cut, _) => Ended::Cut,
            (_, Some(next)) if next.written <= all.written => Ended::Answered,
            (ended, _) => ended,
        };
        let (received, written) = next.map_or((all.received, u64::MAX), |next| (next.received, next.written));
        let exchange = Exchange {
            connection: &self.connection,
            record,
            first: all.first,
            told: all.nanos,
            ended,
            bytes_in: received.saturating_sub(record.received),
            bytes_out: written.min(all.written).saturating_sub(record.written),
        };
        guarded(HOOK_FOR_EXCHANGES, || (self.hook)(&exchange));
    }
}

impl Open {
    /// Returns memory for exchanges, of which the first begins.
    #[inline]
    fn spare(now: Instant) -> Box<Self> {
        let spare = SPARES.try_with(Spares::take).ok().flatten();
        spare.unwrap_or_else(|| {
            Box::new(Self { first: Record::new(now), others: Vec::new(), more: 0, texts: 0 })
        })
    }

    /// Adds a record, and returns it with the bytes of all texts.
    #[cold]
    fn add(&mut self, now: Instant) -> (&mut Record, &mut usize) {
        if self.more == self.others.len() {
            self.others.push(Record::new(now));
        }
        self.more += 1;
        self.last()
    }

    /// Returns the record of the exchange that began last, and the bytes of all texts.
    #[inline]
    fn last(&mut self) -> (&mut Record, &mut usize) {
        let other = self.more.checked_sub(1).and_then(|index| self.others.get_mut(index));
        (other.unwrap_or(&mut self.first), &mut self.texts)
    }

    /// Gives back the memory of many exchanges, and of large ones.
    #[cold]
    fn release(&mut self) {
        self.others.truncate(MAX_KEPT);
        self.others.shrink_to(MAX_KEPT);
        for record in self.others.iter_mut().chain([&mut self.first]) {
            if record.target.capacity() > MAX_KEPT_TARGET {
                record.target = String::new();
            }
            record.fields.clear();
            record.response_fields.clear();
        }
    }
}

/// Calls the hook for the exchanges that were not answered when the connection ends.
impl Drop for Records<'_> {
    fn drop(&mut self) {
        let (received, _) = self.activity.bytes();
        self.tell(self.fate.unwrap_or(Ended::Cut), received);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use http::Method;

    use super::*;
    use crate::handler::Router;
    use crate::message::{Address, Credentials, RequestHead};

    /// A server and a connection that begin records.
    struct Host {
        hook: OnExchange,
        names: RecordedNames,
        routes: Table,
        activity: Activity,
    }

    impl Host {
        fn new(hook: impl Fn(&Exchange<'_>) + Send + Sync + 'static) -> Self {
            let (names, routes) = (RecordedNames::default(), Router::new().build().unwrap().0);
            Self { hook: Arc::new(hook), names, routes, activity: Activity::default() }
        }

        fn records(&self, socket: Option<Weak<dyn ConnectionFacts>>) -> Records<'_> {
            Records::new(&self.hook, &self.names, &self.routes, &self.activity, Peer::Unknown, socket)
        }
    }

    /// Returns a host that keeps how exchanges ended.
    fn listener() -> (Host, Arc<Mutex<Vec<Ended>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        (Host::new(move |exchange| heard.lock().unwrap().push(exchange.ended())), told)
    }

    fn head(target: &str) -> RequestHead {
        let mut head = RequestHead::new();
        assert!(head.target.assign(target));
        head.method = Method::GET;
        head
    }

    #[test]
    fn what_a_client_can_make_a_connection_keep_is_bounded() {
        let (host, told) = listener();
        let mut records = host.records(None);
        let long = format!("/{}", "a".repeat(8000));
        for _ in 0..2 {
            for exchange in 0..MAX_OPEN {
                assert!(!records.is_full(usize::MAX), "after {exchange}");
                assert_eq!(records.is_full(64 * 1024), exchange > 8, "after {exchange} long targets");
                records.begin(Some(&head(&long)), None, Instant::now(), 0, 0);
                records.note_answer(StatusCode::OK, &Headers::new());
            }
            assert!(records.is_full(usize::MAX));
            records.tell(Ended::Answered, 0);
            assert!(!records.is_full(1), "none is in progress");
            let kept = SPARES.with(Spares::take).unwrap();
            assert!(kept.others.len() == MAX_KEPT && kept.others.capacity() < MAX_OPEN);
            let is_small = |record: &Record| record.target.capacity() <= MAX_KEPT_TARGET;
            assert!(kept.others.iter().chain([&kept.first]).all(is_small));
            assert!(records.open.is_none());
        }
        assert_eq!(*told.lock().unwrap(), vec![Ended::Answered; 2 * MAX_OPEN]);
    }

    #[test]
    fn all_hooks_are_told_the_same_duration() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let host = Host::new(move |exchange| {
            let began = exchange.began();
            heard.lock().unwrap().push((began, exchange.took(), began.elapsed(), exchange.took()));
        });
        let Some(start) = Instant::now().checked_sub(Duration::from_secs(60)) else { return };
        let mut records = host.records(None);
        for second in [10, 20] {
            records.begin(Some(&head("/")), None, start + Duration::from_secs(second), 0, 0);
            records.begin(Some(&head("/")), None, start + Duration::from_secs(second + 1), 0, 0);
            records.tell(Ended::Answered, 0);
        }
        let told = told.lock().unwrap();
        for ((began, took, later, again), second) in told.iter().zip([10, 11, 20, 21]) {
            assert_eq!(*began, start + Duration::from_secs(second));
            assert_eq!(took, again, "the clock is read once");
            assert!(took <= later && *took >= Duration::from_secs(60 - second), "{took:?}");
        }
        assert_eq!(told[0].1, told[1].1 + Duration::from_secs(1));
    }

    /// A socket that counts how often it is asked for its address.
    #[derive(Default)]
    struct Asked(AtomicUsize);

    impl ConnectionFacts for Asked {
        fn local_addr(&self) -> Option<Address> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Some(Address::Abstract(b"server".to_vec()))
        }

        fn peer_credentials(&self) -> Option<Credentials> {
            None
        }
    }

    #[test]
    fn the_system_is_asked_once_for_the_address_of_a_connection() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let host = Host::new(move |exchange| heard.lock().unwrap().extend(exchange.local_addr()));
        let asked = Arc::new(Asked::default());
        let socket: Arc<dyn ConnectionFacts> = Arc::clone(&asked) as _;
        let mut records = host.records(Some(Arc::downgrade(&socket)));
        assert_eq!(asked.0.load(Ordering::Relaxed), 0);
        for _ in 0..3 {
            records.begin(Some(&head("/")), None, Instant::now(), 0, 0);
            records.note_answer(StatusCode::OK, &Headers::new());
            records.tell(Ended::Answered, 0);
        }
        assert_eq!(asked.0.load(Ordering::Relaxed), 1);
        assert_eq!(*told.lock().unwrap(), vec![Address::Abstract(b"server".to_vec()); 3]);
    }

    #[test]
    fn an_exchange_without_an_answer_is_not_answered_though_all_is_written() {
        let (host, told) = listener();
        let mut records = host.records(None);
        records.begin(Some(&head("/1")), None, Instant::now(), 0, 0);
        records.note_answer(StatusCode::OK, &Headers::new());
        records.begin(Some(&head("/2")), None, Instant::now(), 10, 100);
        records.note_fate(Ended::Cut);
        host.activity.written(100);
        records.tell(Ended::Answered, 20);
        assert_eq!(*told.lock().unwrap(), [Ended::Answered, Ended::Cut]);
    }
}
