//! The loop of a connection: one exchange after another, until it ends.

use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;

use super::exchange::Begun;
use super::wire::Wire;
use super::{App, Session, Stage, Transport};
use crate::config::Config;
use crate::error::Reject;
use crate::message::{RequestHead, Upgrade, Upgraded};
use crate::proto::{Facts, HeadReader, asks_for_head};

/// From its first byte on, a head may take this long whatever its rate.
const RATE_GRACE: Duration = Duration::from_secs(2);

/// Exchanges before other connections of the thread have their turn, though
/// more requests are there.
const TURN: usize = 64;

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

/// What came of waiting for bytes.
enum More {
    Filled(io::Result<usize>),
    Late,
    Stopping,
}

pub(super) struct Connection<'a, T> {
    pub wire: Wire<T>,
    pub app: &'a App,
    pub session: &'a Session,
    /// The task's, for a handler's first poll. Whatever has to wait is polled
    /// again at once, by the task itself.
    pub waker: Waker,
}

impl<'a, T: Transport> Connection<'a, T> {
    pub fn new(wire: Wire<T>, app: &'a App, session: &'a Session) -> Self {
        Self { wire, app, session, waker: Waker::noop().clone() }
    }

    /// Serves one exchange after another until the connection ends.
    #[expect(clippy::manual_async_fn, reason = "an async function would keep its argument twice")]
    pub fn run(mut self) -> impl Future<Output = ()> + Send + use<'a, T> {
        async move {
            self.waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            for turn in 1_usize.. {
                if turn % TURN == 0 {
                    yield_now().await;
                }
                let head = self.read_head().await;
                let next = match self.begin(head) {
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
                        let (transport, early) = self.wire.into_parts();
                        (upgrade.run)(Upgraded::new(Box::new(transport), early)).await;
                        self.session.end_exchange();
                        return self.session.settle();
                    }
                    last => return self.close(last).await,
                }
            }
        }
    }

    /// Ends the connection.
    async fn close(&mut self, last: Next) {
        let Config { limits, timeouts, .. } = &self.app.config;
        if matches!(last, Next::Linger | Next::Close)
            && let Err(error) = self.wire.flush().await
        {
            self.give_up(&error);
        }
        self.session.settle();
        match last {
            Next::Linger => self.wire.linger(limits.drain, timeouts.drain).await,
            Next::Close => self.wire.end(timeouts.drain).await,
            _ => {}
        }
    }

    /// The next request's head; `None` if there will be none.
    async fn read_head(&mut self) -> Result<Option<(RequestHead, Facts)>, Reject> {
        let Config { limits, timeouts, .. } = &self.app.config;
        let mut reader = HeadReader::default();
        let mut first_byte = None;
        let mut idle_deadline = None;
        loop {
            if !self.wire.input.is_empty() {
                let mut head = RequestHead::new();
                if let Some((facts, length)) = reader.read(self.wire.input.as_slice(), limits, &mut head)? {
                    self.wire.input.consume(length);
                    return Ok(Some((head, facts)));
                }
            }
            // No whole request waits: now the answers given so far go out together.
            if self.wire.flush().await.is_err() || self.wire.has_ended() {
                return Ok(None);
            }
            self.session.settle();
            // Empty lines are no request yet (RFC 9112 2.2).
            let idle = self.wire.input.as_slice().iter().all(|byte| b"\r\n".contains(byte));
            let deadline = if idle {
                *idle_deadline.get_or_insert_with(|| self.wire.deadline(timeouts.idle))
            } else {
                let first_byte = *first_byte.get_or_insert_with(|| self.wire.now());
                head_deadline(&self.app.config, first_byte, self.wire.input.len())
            };
            match self.more(deadline, idle).await {
                More::Filled(Ok(_)) => {}
                More::Late if !idle => return Err(Reject::HeadTimeout),
                More::Filled(Err(_)) | More::Late | More::Stopping => return Ok(None),
            }
        }
    }

    /// Waits for bytes. When the server stops, an idle connection ends at once,
    /// and one with half a head has as long as a drain may take; so has an idle
    /// one that is to make room.
    async fn more(&mut self, mut deadline: Option<Instant>, idle: bool) -> More {
        let mut ending = Stage::Running;
        poll_fn(|cx| {
            if let Poll::Ready(filled) = self.wire.poll_fill(cx) {
                return Poll::Ready(More::Filled(filled));
            }
            while let Some(next) = following(ending, idle)
                && self.session.has_reached(next)
            {
                if idle && next == Stage::Draining {
                    return Poll::Ready(More::Stopping);
                }
                ending = next;
                let soon = self.wire.deadline(self.app.config.timeouts.drain);
                deadline = soon.into_iter().chain(deadline).min();
            }
            self.wire.poll_deadline(cx, deadline).map(|()| More::Late)
        })
        .await
    }

    /// One request, as far as it goes without waiting: most are answered where
    /// they stand. What has to wait is put aside, so that a connection between two
    /// requests is small.
    fn begin(&mut self, head: Result<Option<(RequestHead, Facts)>, Reject>) -> Begun<'a> {
        match head {
            Ok(Some((head, facts))) => {
                self.session.begin_exchange();
                let begun = self.attempt(head, facts);
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
        log::debug!(target: "transom", "an answer to {peer} was cut short: {}", reason.escape_debug());
        self.session.client.mark_gone();
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
