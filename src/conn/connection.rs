//! The loop of a connection: one exchange after another, until it ends.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;
use log::Level;

use super::exchange::Begun;
use super::paced::PacedStream;
use super::wire::Wire;
use super::{App, Session, Stage, Transport};
use crate::base::guard::log_event;
use crate::config::Config;
use crate::error::Reject;
use crate::http1::{Facts, HeadReader, asks_for_head};
use crate::message::{RequestHead, Upgrade, Upgraded};

/// From its first byte on, a head may take this long whatever its rate: a person types
/// one by hand.
const RATE_GRACE: Duration = Duration::from_secs(10);

/// Exchanges before other connections of the thread have their turn, though
/// more requests are there.
const TURN: u8 = 64;

/// What a connection does after an exchange.
pub(super) enum Next {
    Again,
    /// Close so that the client can read the last answer, though it may still send.
    Linger,
    /// Close, with nothing left to read.
    Close,
    /// End it without a proper close: it is broken, or an answer is not whole.
    Break,
    /// Hand the connection to another protocol.
    Upgrade(Box<Upgrade>),
}

/// A head on its way in.
#[derive(Default)]
struct Reading {
    reader: HeadReader,
    /// Since when nothing of it has come, or, once it has begun, since that.
    since: Option<Instant>,
    begun: bool,
    /// How far the server had gone towards its end when bytes were last waited for,
    /// and until when they are waited for if that shortens it.
    ending: Stage,
    soon: Option<Instant>,
}

pub(super) struct Connection<'a, T> {
    pub wire: Wire<T>,
    pub app: &'a App,
    pub session: &'a Session,
}

impl<'a, T: Transport> Connection<'a, T> {
    pub fn new(wire: Wire<T>, app: &'a App, session: &'a Session) -> Self {
        Self { wire, app, session }
    }

    /// Serves one exchange after another until the connection ends.
    #[expect(clippy::manual_async_fn, reason = "an async function would keep its argument twice")]
    pub fn run(mut self) -> impl Future<Output = ()> + Send + use<'a, T> {
        async move {
            let mut turn = 0;
            loop {
                turn += 1;
                if turn == TURN {
                    turn = 0;
                    yield_now().await;
                }
                let mut reading = Reading::default();
                let begun = poll_fn(|cx| {
                    let head = ready!(self.poll_head(cx, &mut reading));
                    Poll::Ready(self.begin(cx, head))
                });
                let next = match begun.await {
                    Begun::Done(next) => next,
                    Begun::Waits(waiting) => {
                        let next = Box::pin(self.finish(waiting)).await;
                        self.session.end_exchange();
                        next
                    }
                };
                match next {
                    Next::Again if self.wire.output.len() < self.app.config.limits.output => {}
                    // A client that pipelines and reads nothing is not answered without bound.
                    Next::Again if self.wire.flush().await.is_ok() => {}
                    Next::Upgrade(upgrade) => {
                        // The 101 is out; what follows counts as one more exchange.
                        self.session.settle();
                        self.session.begin_exchange();
                        let (stream, early) = PacedStream::of(self.wire);
                        (upgrade.run)(Upgraded::new(Box::new(stream), early, &self.session.client)).await;
                        self.session.end_exchange();
                        return self.session.settle();
                    }
                    // On the heap, like whatever makes a connection larger for a moment.
                    last => return Box::pin(self.close(last)).await,
                }
            }
        }
    }

    /// Ends the connection.
    async fn close(&mut self, last: Next) {
        let timeouts = &self.app.config.timeouts;
        let flushed = match last {
            Next::Linger => self.wire.flush_dropping().await,
            Next::Close => self.wire.flush().await,
            _ => Ok(()),
        };
        if let Err(error) = flushed {
            self.give_up(&error);
        }
        self.session.settle();
        match last {
            Next::Linger => self.wire.linger(timeouts, Some(self.session)).await,
            Next::Close => self.wire.end(timeouts.drain).await,
            _ => {}
        }
    }

    /// The next request's head; `None` if there will be none.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        reading: &mut Reading,
    ) -> Poll<Result<Option<(RequestHead, Facts)>, Reject>> {
        let limits = &self.app.config.limits;
        loop {
            if !self.wire.input.is_empty() {
                let mut head = RequestHead::new();
                let read = reading.reader.read(self.wire.input.as_slice(), limits, &mut head)?;
                if let Some((facts, length)) = read {
                    self.wire.input.consume(length);
                    return Poll::Ready(Ok(Some((head, facts.with_taken(length)))));
                }
            }
            // No whole request waits: now the answers given so far go out together.
            if ready!(self.wire.poll_flush(cx)).is_err() || self.wire.has_ended() {
                return Poll::Ready(Ok(None));
            }
            self.session.settle();
            self.wire.forget_pace();
            match self.wire.poll_fill(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::OutOfMemory => {
                    return Poll::Ready(Err(Reject::NoMemory));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(None)),
                Poll::Pending => return self.poll_patience(cx, reading).map(|late| late.map(|()| None)),
            }
        }
    }

    /// Ready when waiting for bytes comes to an end: an error if the client is to be
    /// told. When the server stops, an idle connection ends at once, and one with
    /// half a head has as long as a drain may take; so has an idle one that is to
    /// make room.
    fn poll_patience(&mut self, cx: &mut Context<'_>, reading: &mut Reading) -> Poll<Result<(), Reject>> {
        let Config { timeouts, .. } = &self.app.config;
        // Empty lines are no request yet (RFC 9112 2.2).
        let idle = self.wire.input.as_slice().iter().all(|byte| b"\r\n".contains(byte));
        if !idle && !std::mem::replace(&mut reading.begun, true) {
            // A head begins, with all of its time; no later byte gives it more.
            (reading.since, reading.ending, reading.soon) = (None, Stage::Running, None);
        }
        while let Some(next) = following(reading.ending, idle)
            && self.session.has_reached(next)
        {
            if idle && next == Stage::Draining {
                return Poll::Ready(Ok(()));
            }
            (reading.ending, reading.soon) = (next, self.wire.deadline(timeouts.drain));
        }
        let since = *reading.since.get_or_insert_with(|| self.wire.now());
        let deadline = if idle {
            timeouts.idle.and_then(|timeout| since.checked_add(timeout))
        } else {
            head_deadline(&self.app.config, since, self.wire.input.len())
        };
        let late = self.wire.poll_deadline(cx, reading.soon.into_iter().chain(deadline).min());
        late.map(|()| if idle { Ok(()) } else { Err(Reject::HeadTimeout) })
    }

    /// One request, as far as it goes without waiting: most are answered where
    /// they stand. What has to wait is put aside, so that a connection between two
    /// requests is small.
    fn begin(
        &mut self,
        cx: &mut Context<'_>,
        head: Result<Option<(RequestHead, Facts)>, Reject>,
    ) -> Begun<'a> {
        match head {
            Ok(Some((head, facts))) => {
                self.session.begin_exchange();
                let begun = self.attempt(cx, head, facts);
                if matches!(begun, Begun::Done(_)) {
                    self.session.end_exchange();
                }
                begun
            }
            Ok(None) => Begun::Done(Next::Close),
            Err(reject) => {
                let is_head = asks_for_head(self.wire.input.as_slice());
                Begun::Done(self.refuse(is_head, reject))
            }
        }
    }

    /// An answer does not reach the client.
    pub fn give_up(&self, error: &io::Error) {
        let (peer, reason) = (self.session.client.peer, error.to_string());
        log_event(Level::Debug, format_args!("an answer to {peer} was cut short: {}", reason.escape_debug()));
        self.session.client.mark_lost();
    }
}

/// The next stage that matters to a connection that waits for bytes.
fn following(stage: Stage, idle: bool) -> Option<Stage> {
    match stage {
        Stage::Running if idle => Some(Stage::Leaving),
        Stage::Running | Stage::Leaving => Some(Stage::Draining),
        Stage::Draining | Stage::Cut => None,
    }
}

/// When a head is given up of which so many bytes have come: it has its time in
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
