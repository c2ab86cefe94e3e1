//! The loop of an HTTP/1 connection: one exchange after another, until the connection ends.
//!
//! ```text
//!               +----------------------------- again ----------------------------+
//!               v                                                                |
//!   open --> waiting for a head --> head whole --> exchange (see `exchange`) ----+
//!               |      |                              |        |        |
//!               |      | malformed, too slow          |        |        |
//!   idle too    |      v                              v        v        v
//!   long, or    |    refused (4xx) -------------->  linger   close   upgrade
//!   the client  +-------------------------------------------->         |
//!   has left                                                           v
//!                                                      another protocol, to the end
//! ```
//!
//! An exchange leaves its answer in the output buffer. The buffer is written when the loop
//! waits for the next head: a client that sends many requests at once gets their answers
//! together. It is written earlier if it grows past `limits.output`, while an exchange waits,
//! and before the connection ends.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::activity::ConnectionState;
use super::connection::{Connection, Outcome};
use super::exchange::{self, Begun};
use super::expired::Deadline;
use super::hook::Ended;
use super::paced::PacedStream;
use super::{Stage, Transport};
use crate::base::driving::{must_postpone, postpone};
use crate::config::Config;
use crate::error::Reject;
use crate::http1::{HeadReader, asks_for_head};
use crate::message::{RequestHead, Upgrade, Upgraded};

/// How long a head may take whatever its rate, from its first byte on: a person types one by
/// hand.
const RATE_GRACE: Duration = Duration::from_secs(10);

/// The first byte of a TLS handshake (RFC 8446 5.1). No request begins with it.
const TLS_HANDSHAKE: u8 = 22;

/// Exchanges in a row before other connections of the thread have their turn.
const EXCHANGES_PER_TURN: u8 = 64;

/// The state of the wait for the next head.
#[derive(Default)]
struct Awaited {
    reader: HeadReader,
    /// Exchanges since bytes were last waited for.
    exchanges: u8,
    /// True once a byte of the head has come.
    has_begun: bool,
    /// How far the server had gone towards its end when bytes were last waited for.
    stage: Stage,
    /// When the wait began: with the first byte of the head, if one has come.
    since: Option<Instant>,
    /// When the wait ends because of `stage`, if that is earlier than it would end anyway.
    soon: Option<Instant>,
}

/// A part of a connection's life: HTTP; another protocol; its end. Ready with the part that follows, so that
/// the memory of one part is free in the next: an idle WebSocket is 350 bytes smaller (bench: websocket,
/// 2026-11).
pub(super) struct Part<'a>(Pin<Box<dyn Future<Output = Option<Part<'a>>> + Send + 'a>>);

impl<'a> Part<'a> {
    fn new(future: impl Future<Output = Option<Self>> + Send + 'a) -> Self {
        Self(Box::pin(future))
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self>> {
        self.0.as_mut().poll(cx)
    }
}

/// Serves one exchange after another until the connection ends or changes to another protocol. All that
/// makes a connection larger for a moment is on the heap, and no outcome is kept while it runs: that makes
/// an idle connection 48 bytes smaller (bench: idle, 2026-11).
pub(super) fn run<T: Transport>(mut connection: Connection<'_, T>) -> Part<'_> {
    Part::new(async move {
        let mut awaited = Awaited::default();
        let last = loop {
            let exchange = match poll_fn(|cx| poll_exchanges(&mut connection, cx, &mut awaited)).await {
                Begun::Done(last) => break last,
                Begun::Waits(exchange) => exchange,
            };
            let outcome = Box::pin(exchange.finish(&mut connection)).await;
            connection.end_exchange();
            if !matches!(outcome, Outcome::Again) {
                break outcome;
            }
        };
        Some(match last {
            Outcome::Upgrade(upgrade) => hand_over(connection, *upgrade),
            last => close(connection, last),
        })
    })
}

/// Serves one exchange after another until one has to wait or something else is to be done.
fn poll_exchanges<'a, T: Transport>(
    connection: &mut Connection<'a, T>,
    cx: &mut Context<'_>,
    awaited: &mut Awaited,
) -> Poll<Begun<'a>> {
    loop {
        if !connection.wire.input.is_empty() {
            if must_postpone() {
                return poll_postponed(connection, cx).map(Begun::Done);
            }
            if !connection.has_room() {
                // A client that pipelines and reads nothing is not answered without bound.
                if let Err(error) = ready!(connection.wire.poll_flush(cx)) {
                    connection.give_up(&error);
                    return Poll::Ready(Begun::Done(Outcome::Break));
                }
                connection.settle();
            }
            if awaited.exchanges == EXCHANGES_PER_TURN {
                awaited.exchanges = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut head = RequestHead::new();
            let limits = &connection.app.config.limits;
            match awaited.reader.read(connection.wire.input.as_slice(), limits, &mut head) {
                Ok(Some((facts, length))) => {
                    connection.wire.input.consume(length);
                    awaited.begin_exchange();
                    connection.session.begin_exchange();
                    let facts = facts.with_taken(length);
                    if connection.app.trust.is_some()
                        && let Some(refused) = exchange::begin_forwarded(connection, &mut head, facts)
                    {
                        connection.end_exchange();
                        return Poll::Ready(Begun::Done(refused));
                    }
                    let begun = exchange::begin(connection, cx, head, facts);
                    let Begun::Done(outcome) = begun else { return Poll::Ready(begun) };
                    connection.end_exchange();
                    if !matches!(outcome, Outcome::Again) {
                        return Poll::Ready(Begun::Done(outcome));
                    }
                    continue;
                }
                Ok(None) => {}
                Err(reject) => return Poll::Ready(Begun::Done(refuse_head(connection, reject))),
            }
        }
        if let Some(outcome) = ready!(poll_more(connection, cx, awaited)) {
            return Poll::Ready(Begun::Done(outcome));
        }
    }
}

/// Writes the answers given so far, and waits until the handler is done that the thread is in.
#[cold]
fn poll_postponed<T: Transport>(connection: &mut Connection<'_, T>, cx: &mut Context<'_>) -> Poll<Outcome> {
    postpone();
    if let Err(error) = ready!(connection.wire.poll_flush(cx)) {
        connection.give_up(&error);
        return Poll::Ready(Outcome::Break);
    }
    connection.settle();
    Poll::Pending
}

/// Answers a head that broke a rule.
#[cold]
fn refuse_head<T: Transport>(connection: &mut Connection<'_, T>, reject: Reject) -> Outcome {
    let come = connection.wire.input.as_slice();
    let is_head = asks_for_head(come);
    let reject = if come.first() == Some(&TLS_HANDSHAKE) { Reject::TlsHello } else { reject };
    connection.forwarding = None;
    connection.wire.begin_record(None, 0, None);
    // The bytes that were read are the refused request's, and no other request follows.
    let length = connection.wire.input.len();
    connection.wire.input.consume(length);
    connection.refuse(is_head, reject, None)
}

/// Writes the answers given so far, and waits for more of the next head. Ready with an outcome
/// if nothing more comes.
fn poll_more<T: Transport>(
    connection: &mut Connection<'_, T>,
    cx: &mut Context<'_>,
    awaited: &mut Awaited,
) -> Poll<Option<Outcome>> {
    let flushed = connection.wire.poll_flush(cx);
    if flushed.is_pending() {
        connection.show(ConnectionState::Answering);
    }
    if let Err(error) = ready!(flushed) {
        connection.give_up(&error);
        return Poll::Ready(Some(Outcome::Break));
    }
    if connection.wire.has_ended() {
        return Poll::Ready(Some(Outcome::Close));
    }
    connection.settle();
    let wire = &mut connection.wire;
    wire.forget_pace();
    match wire.poll_fill(cx) {
        Poll::Ready(Ok(_)) => Poll::Ready(None),
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::OutOfMemory => {
            Poll::Ready(Some(refuse_head(connection, Reject::NoMemory)))
        }
        Poll::Ready(Err(_)) => Poll::Ready(Some(Outcome::Close)),
        Poll::Pending => {
            awaited.exchanges = 0;
            let patience = ready!(poll_patience(connection, cx, awaited));
            Poll::Ready(Some(match patience {
                Ok(()) => Outcome::Close,
                Err(reject) => refuse_head(connection, reject),
            }))
        }
    }
}

/// Ready when the wait for bytes ends: with an error if the client is told.
///
/// When the server stops, or the connection is to make room for others, an idle connection
/// ends at once, and one that has half a head gets as long as a drain may take.
fn poll_patience<T: Transport>(
    connection: &mut Connection<'_, T>,
    cx: &mut Context<'_>,
    awaited: &mut Awaited,
) -> Poll<Result<(), Reject>> {
    let wire = &mut connection.wire;
    let Config { timeouts, .. } = &connection.app.config;
    // Empty lines are no request yet (RFC 9112 2.2).
    let idle = wire.input.as_slice().iter().all(|byte| b"\r\n".contains(byte));
    if !idle && !std::mem::replace(&mut awaited.has_begun, true) {
        // A head begins, with all of its time; no later byte gives it more.
        (awaited.since, awaited.stage, awaited.soon) = (None, Stage::Running, None);
    }
    while let Some(next) = following(awaited.stage, idle)
        && connection.session.has_reached(next)
    {
        if idle && next == Stage::Draining {
            return Poll::Ready(Ok(()));
        }
        (awaited.stage, awaited.soon) = (next, wire.deadline(timeouts.drain));
    }
    let since = *awaited.since.get_or_insert_with(|| {
        let state = if idle { ConnectionState::Idle } else { ConnectionState::ReadingHead };
        connection.session.activity.begin(state, wire.now_since(connection.app.started));
        wire.now()
    });
    let deadline = if idle {
        timeouts.idle.and_then(|timeout| since.checked_add(timeout))
    } else {
        head_deadline(&connection.app.config, since, wire.input.len())
    };
    let deadline = match awaited.soon {
        Some(soon) => Some(deadline.map_or(soon, |deadline| deadline.min(soon))),
        None => deadline,
    };
    let late = wire.poll_deadline(cx, deadline);
    late.map(|()| {
        if !idle {
            return Err(Reject::HeadTimeout);
        }
        if awaited.soon.is_none() {
            connection.app.expired.add(Deadline::Idle);
        }
        Ok(())
    })
}

/// Hands a connection to another protocol, which counts as one more exchange. The 101 is out.
fn hand_over<T: Transport>(mut connection: Connection<'_, T>, upgrade: Upgrade) -> Part<'_> {
    let (session, forwarding) = (connection.session, connection.forwarding.take());
    session.settle();
    connection.wire.tell_records(Ended::Upgraded);
    session.begin_exchange();
    connection.show(ConnectionState::Upgraded);
    let (stream, early) = PacedStream::of(connection.wire, &connection.app.expired);
    let other = (upgrade.run)(Upgraded::new(Box::new(stream), early, &session.client));
    Part::new(async move {
        other.await;
        drop(forwarding);
        session.end_exchange();
        session.settle();
        None
    })
}

/// Ends a connection.
fn close<T: Transport>(mut connection: Connection<'_, T>, last: Outcome) -> Part<'_> {
    Part::new(async move {
        let timeouts = &connection.app.config.timeouts;
        connection.show(ConnectionState::Answering);
        let flushed = match last {
            Outcome::Linger => connection.wire.flush_dropping().await,
            Outcome::Close => connection.wire.flush().await,
            _ => Ok(()),
        };
        match flushed {
            Ok(()) if !matches!(last, Outcome::Break) => connection.settle(),
            Ok(()) => connection.session.settle(),
            Err(error) => {
                connection.give_up(&error);
                connection.session.settle();
            }
        }
        match last {
            Outcome::Linger => {
                connection.show(ConnectionState::Lingering);
                if !connection.wire.linger(timeouts, Some(connection.session)).await {
                    connection.app.expired.add(Deadline::Linger);
                }
            }
            Outcome::Close => connection.wire.end(timeouts.drain).await,
            _ => {}
        }
        None
    })
}

impl Awaited {
    /// The head is whole: the next one is waited for from the beginning.
    fn begin_exchange(&mut self) {
        // The reader is as new after each head.
        self.exchanges += 1;
        self.has_begun = false;
        self.stage = Stage::Running;
        self.since = None;
        self.soon = None;
    }
}

impl<T: Transport> Connection<'_, T> {
    /// Returns `true` if there is room for another answer before this one is written.
    fn has_room(&self) -> bool {
        let (output, limit) = (&self.wire.output, self.app.config.limits.output);
        let are_records_full = self.wire.records.as_ref().is_some_and(|records| records.is_full(limit));
        output.len() < limit && !output.has_big() && !are_records_full
    }
}

/// Returns the next stage that matters to a connection that waits for bytes.
fn following(stage: Stage, idle: bool) -> Option<Stage> {
    match stage {
        Stage::Running if idle => Some(Stage::Leaving),
        Stage::Running | Stage::Leaving => Some(Stage::Draining),
        Stage::Draining | Stage::Cut => None,
    }
}

/// Returns the deadline for a head of which so many bytes have come: the head has its time in
/// all, and must keep up a rate.
fn head_deadline(config: &Config, first_byte: Instant, length: usize) -> Option<Instant> {
    let by_time = config.timeouts.head.and_then(|timeout| first_byte.checked_add(timeout));
    let by_rate = match config.limits.head_rate {
        0 => None,
        rate => first_byte.checked_add(RATE_GRACE + Duration::from_secs(length as u64) / rate),
    };
    match (by_time, by_rate) {
        (Some(time), Some(rate)) => Some(time.min(rate)),
        (time, rate) => time.or(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_ten_seconds_for_a_head_and_a_dribbler_no_more() {
        let (mut config, begun) = (Config::default(), Instant::now());
        let seconds = |n| Some(begun + Duration::from_secs(n));
        assert_eq!(head_deadline(&config, begun, "GET / HTTP/1.1".len()), seconds(10));
        assert_eq!(head_deadline(&config, begun, 20_000), seconds(10));
        config.timeouts.head = None;
        assert_eq!(head_deadline(&config, begun, 1000), seconds(20));
        config.limits.head_rate = 0;
        assert_eq!(head_deadline(&config, begun, 1000), None);
    }
}
