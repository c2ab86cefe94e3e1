//! A request body on its way in: read whole, handed to the handler in chunks, or drained.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_lite::future::yield_now;

use super::Transport;
use super::chunks::{BIG, append};
use super::loan::{Loan, MUCH};
use super::progress::Progress;
use super::rest::{Piece, Rest};
use super::wire::Wire;
use crate::base::memory::{Share, make_room};
use crate::body::{Body, PipeFeed, Space, Taken, pipe};
use crate::config::{Config, Limits};
use crate::error::Reject;
use crate::fields::Headers;
use crate::http1::{CONTINUE, Facts};

/// A streamed body is read while less than this waits for its reader, in bytes; for a reader on a thread
/// that serves no connections, four times that in a row.
const PIPE: usize = 64 * 1024;
/// The most bytes that a connection reads ahead before a handler begins and while it works.
const READ_AHEAD: usize = 16 * 1024;

/// The chunks that are read in a row before other connections of the thread have their turn.
pub(super) const CHUNKS_PER_TURN: usize = 16;

/// The body of the request that is being served.
pub(super) struct Incoming<'a> {
    rest: Rest,
    /// The bytes of the body in memory: a share of `limits.bodies`.
    share: Share<'a>,
    /// True while the client waits for `100 Continue`.
    expects_continue: bool,
    /// Bytes that may still come, by `limits.body` or the route's own limit.
    allowance: u64,
    feed: Option<PipeFeed>,
    /// Bytes that may be read and dropped to keep the connection. `None` until the answer
    /// begins.
    droppable: Option<u64>,
    trailers: Headers,
    /// Set while the reader of the body receives bytes itself.
    loan: Option<Loan>,
    /// True if the client has sent much at once: its next bytes are worth a loan.
    is_fast: bool,
    pub progress: Progress,
    pub fault: Option<Reject>,
}

impl<'a> Incoming<'a> {
    /// Returns a body of which nothing has been read. `limit` is in bytes.
    pub fn new(facts: Facts, limit: u64, share: Share<'a>) -> Result<Self, Reject> {
        let rest = Rest::new(facts.framing());
        if rest.length().is_some_and(|length| length > limit) {
            return Err(Reject::BodyTooLarge);
        }
        let expects_continue = facts.expects_continue();
        Ok(Self { rest, expects_continue, allowance: limit, ..Self::none(share) })
    }

    /// Returns an empty body.
    pub fn none(share: Share<'a>) -> Self {
        Self {
            rest: Rest::Done,
            share,
            expects_continue: false,
            allowance: 0,
            feed: None,
            droppable: None,
            trailers: Headers::new(),
            loan: None,
            is_fast: false,
            progress: Progress::default(),
            fault: None,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.rest, Rest::Done)
    }

    /// Returns `true` if the rest may be read and dropped to keep the connection: the client does not
    /// wait for `100 Continue`, and the length of the rest, if known, is at most `limit`.
    pub fn is_drainable(&self, limit: u64) -> bool {
        match self.rest {
            _ if self.fault.is_some() => false,
            Rest::Done => true,
            Rest::Length(length) => !self.expects_continue && length <= limit,
            Rest::Chunked(_) => !self.expects_continue,
        }
    }

    /// Returns the whole body if it is small and came with its head. The exchange then need
    /// not wait: 4,577 instructions for a small POST instead of 5,298 (bench: replay, 2026-11).
    pub fn at_hand<T: Transport>(
        &mut self,
        wire: &mut Wire<'_, T>,
        limits: &Limits,
    ) -> Result<Option<Bytes>, Reject> {
        let is_at_hand = matches!(self.rest, Rest::Length(length)
            if length < BIG as u64 && length <= wire.input.len() as u64);
        if !is_at_hand {
            return Ok(None);
        }
        let body = self.take(wire, limits)?;
        self.share.add(body.len() as u64).map_err(|_| Reject::NoMemory)?;
        Ok(Some(body))
    }

    /// Returns the whole body of a streaming handler, if it is short and has come. The handler then need not
    /// wait for its first chunk, for which another thread would be woken. With a request that asks for an
    /// upgrade it must: whether it has read the body decides, and not how the body has come.
    pub fn at_hand_for_stream<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<'_, T>,
        facts: Facts,
    ) -> Result<Option<Bytes>, Reject> {
        let Rest::Length(length) = self.rest else { return Ok(None) };
        let must_wait = self.expects_continue || facts.asks_for_upgrade();
        let size = usize::try_from(length).ok().filter(|size| !must_wait && *size <= READ_AHEAD);
        let Some(size) = size else { return Ok(None) };
        while wire.input.len() < size && !wire.has_ended() {
            // An error is left to the reads for the handler.
            let Poll::Ready(Ok(_)) = wire.poll_fill(cx) else { break };
        }
        let Some(bytes) = wire.input.as_slice().get(..size) else { return Ok(None) };
        self.share.add(length).map_err(|_| Reject::NoMemory)?;
        // Copied and not taken with its buffer, where the request line for the log is.
        let mut body = Vec::new();
        append(&mut body, bytes)?;
        wire.input.consume(body.len());
        self.rest = Rest::Done;
        Ok(Some(body.into()))
    }

    /// Reads the whole body.
    pub async fn whole<T: Transport>(
        &mut self,
        wire: &mut Wire<'_, T>,
        config: &Config,
    ) -> Result<Body, Reject> {
        let mut body = Vec::new();
        let mut turn = 0;
        while !self.is_done() {
            turn += 1;
            if turn % CHUNKS_PER_TURN == 0 {
                yield_now().await;
            }
            let chunk = poll_fn(|cx| self.poll_chunk(cx, wire, config)).await?;
            self.share.add(chunk.len() as u64).map_err(|_| Reject::NoMemory)?;
            if body.is_empty() && self.is_done() {
                return Ok(self.with_trailers(chunk.into()));
            }
            let announced = match self.rest {
                Rest::Length(left) => usize::try_from(left).unwrap_or(usize::MAX),
                Rest::Chunked(_) => body.len(),
                Rest::Done => 0,
            };
            make_room(&mut body, chunk.len(), announced).map_err(|_| Reject::NoMemory)?;
            body.extend_from_slice(&chunk);
        }
        Ok(self.with_trailers(body.into()))
    }

    fn with_trailers(&mut self, body: Body) -> Body {
        let trailers = std::mem::take(&mut self.trailers);
        if trailers.is_empty() { body } else { body.with_received_trailers(|| trailers) }
    }

    /// Returns a body that the handler reads in chunks. [`poll`](Self::poll) feeds it.
    pub fn stream(&mut self) -> Body {
        if self.is_done() {
            return Body::empty();
        }
        let (feed, reader) = pipe(PIPE);
        let trailers = reader.trailers();
        self.feed = Some(feed);
        let length = self.rest.length();
        let body = Body::incoming(reader, length);
        if length.is_some() { body } else { body.with_received_trailers(trailers) }
    }

    /// Sends `100 Continue` if the handler still reads the body, and returns `true` then. Called before the
    /// final head: after the head it is too late to ask for the body (RFC 9110 10.1.1).
    pub fn ask_early<T: Transport>(&mut self, wire: &mut Wire<'_, T>) -> bool {
        let is_wanted = self.feed.as_ref().is_some_and(|feed| !feed.is_abandoned());
        let asks = is_wanted && std::mem::take(&mut self.expects_continue);
        if asks {
            wire.output.buffer().extend_from_slice(CONTINUE);
        }
        asks
    }

    /// Reads on while the handler works or the answer is written. Passes the handler the chunks
    /// that it asked for, drops chunks that the handler does not want, and reads ahead a little, so
    /// that the server notices a client that leaves.
    ///
    /// Returns `true` if the handler got a chunk, and is worth polling again at once. An error
    /// means that the connection is broken.
    pub fn poll<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<'_, T>,
        config: &Config,
    ) -> std::io::Result<bool> {
        let mut has_fed = false;
        loop {
            if self.is_lent(cx, wire, config) {
                return Ok(has_fed);
            }
            let (fed, waits_for_client) = self.feed_handler(cx, wire, config);
            has_fed |= fed;
            if waits_for_client {
                return Ok(has_fed);
            }
            if self.loan.is_none() {
                break;
            }
        }
        if self.droppable.is_some() && self.feed.is_none() {
            self.drop_some(cx, wire, config);
            if !self.is_done() {
                // Another read now could succeed, and then nothing would wake the task for more.
                return Ok(has_fed);
            }
        }
        while !wire.has_ended() && wire.input.len() < READ_AHEAD {
            match wire.poll_fill(cx) {
                Poll::Ready(Ok(_)) => {}
                // The handler has not asked for these bytes yet.
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::OutOfMemory => break,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        Ok(has_fed)
    }

    /// Passes the handler the chunks that it asked for. Returns whether it got any, and whether it waits for
    /// more from the client.
    fn feed_handler<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<'_, T>,
        config: &Config,
    ) -> (bool, bool) {
        let mut has_fed = false;
        // Woken after the last chunk: a reader on another thread would take the core after the first.
        let mut reader = None;
        let waits_for_client = loop {
            let Some(feed) = &self.feed else { break false };
            match feed.poll_space(cx) {
                Poll::Ready(Space::Wanted) if self.share.is_scarce() && feed.queued() >= PIPE as u64 => {
                    feed.end_burst();
                }
                Poll::Ready(Space::Wanted) if self.lend(cx, wire) => break false,
                Poll::Ready(Space::Wanted) => match self.poll_chunk(cx, wire, config) {
                    Poll::Ready(result) => {
                        reader = self.hand_over(result).or(reader);
                        has_fed = true;
                    }
                    Poll::Pending => break true,
                },
                Poll::Ready(Space::Abandoned) => self.feed = None,
                Poll::Pending => {
                    // The server now waits for the handler, not for the client.
                    self.progress.pause(wire.now());
                    break false;
                }
            }
        };
        reader.into_iter().for_each(Waker::wake);
        (has_fed, waits_for_client)
    }

    /// Lends the socket to the reader of the body, if that is worth it.
    fn lend<T: Transport>(&mut self, cx: &mut Context<'_>, wire: &mut Wire<'_, T>) -> bool {
        let (Some(feed), Some(left)) = (&self.feed, self.rest.length()) else { return false };
        if !self.is_fast || self.droppable.is_some() {
            return false;
        }
        self.loan = Loan::begin(cx, wire, feed, left);
        if self.loan.is_none() {
            return false;
        }
        // Never fails: it is no more than before.
        let _ = self.share.set(feed.queued());
        self.progress.pause(wire.now());
        true
    }

    /// Returns `true` while the reader of the body has the socket. Counts what the reader has received.
    fn is_lent<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<'_, T>,
        config: &Config,
    ) -> bool {
        let (Some(loan), Some(feed)) = (&mut self.loan, &self.feed) else { return false };
        let (taken, is_over) = loan.poll(cx, wire, feed);
        self.note_taken(wire, taken, config);
        if is_over.is_ready() {
            self.end_loan(wire, config);
        }
        is_over.is_pending()
    }

    /// Takes the socket back from the reader of the body, if it has it.
    pub fn end_loan<T: Transport>(&mut self, wire: &mut Wire<'_, T>, config: &Config) {
        let (Some(loan), Some(feed)) = (self.loan.take(), &self.feed) else { return };
        let (taken, is_fast) = loan.end(wire, feed);
        self.is_fast = is_fast;
        self.note_taken(wire, taken, config);
        if self.is_done() {
            // The reader has found the end.
            self.feed = None;
        }
    }

    /// Counts what the reader has received itself.
    fn note_taken<T: Transport>(&mut self, wire: &Wire<'_, T>, taken: Taken, config: &Config) {
        self.progress.add_wait(taken.waited);
        if taken.bytes > 0 {
            self.rest.pass(taken.bytes);
            self.allowance = self.allowance.saturating_sub(taken.bytes);
            self.progress.advance(wire.now(), taken.bytes, config);
            wire.note_received(taken.bytes);
        }
    }

    /// Notes that the answer begins. From now on the unread rest of the body is dropped as it
    /// comes, because a client may send all of the body before it reads the answer.
    pub fn begin_answer(&mut self, limits: &Limits) {
        self.droppable = Some(limits.drain);
    }

    /// Drops the bytes of an unwanted body that have come. A body that is faulty, too large, or
    /// held back by a client that waits for `100 Continue` ends the connection, so its bytes
    /// are not decoded.
    fn drop_some<T: Transport>(&mut self, cx: &mut Context<'_>, wire: &mut Wire<'_, T>, config: &Config) {
        for _ in 0..CHUNKS_PER_TURN {
            if self.is_done() {
                return;
            }
            if !self.is_drainable(config.limits.drain) {
                return wire.drop_some(cx);
            }
            if self.poll_drop(cx, wire, config).is_pending() {
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Drops the next chunk of the body. An error if too much would be dropped.
    fn poll_drop<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<'_, T>,
        config: &Config,
    ) -> Poll<Result<(), Reject>> {
        let chunk = ready!(self.poll_chunk(cx, wire, config))?;
        let left = self.droppable.unwrap_or(config.limits.drain).checked_sub(chunk.len() as u64);
        self.droppable = Some(left.unwrap_or(0));
        Poll::Ready(left.map(|_| ()).ok_or_else(|| *self.fault.insert(Reject::BodyTooLarge)))
    }

    /// Ends the handler's body with an error, because the connection is broken.
    pub fn break_off(&mut self) {
        if let Some(feed) = self.feed.take() {
            feed.finish(Err(Reject::BodyCutShort.into()));
        }
    }

    /// Returns the waker of a reader that has waited for the chunk.
    fn hand_over(&mut self, result: Result<Bytes, Reject>) -> Option<Waker> {
        let feed = self.feed.as_ref()?;
        let kept = |chunk: &Bytes| feed.queued() + chunk.len() as u64;
        let result = result.and_then(|chunk| {
            let kept = self.share.set(kept(&chunk));
            kept.map(|()| chunk).map_err(|_| *self.fault.insert(Reject::NoMemory))
        });
        let mut reader = None;
        match result {
            Ok(chunk) => {
                self.is_fast = chunk.len() as u64 >= MUCH;
                reader = feed.push_ahead(chunk);
                if !self.is_done() {
                    return reader;
                }
                feed.finish_with(std::mem::take(&mut self.trailers));
            }
            Err(reject) => feed.finish(Err(reject.into())),
        }
        self.feed = None;
        reader
    }

    /// Reads and drops the rest. Returns `true` if the connection can go on.
    pub async fn drain<T: Transport>(&mut self, wire: &mut Wire<'_, T>, config: &Config) -> bool {
        self.feed = None;
        if self.is_done() {
            return true;
        }
        self.progress.forget_pace();
        let deadline = wire.deadline(config.timeouts.drain);
        poll_fn(|cx| {
            while !self.is_done() {
                match self.poll_drop(cx, wire, config) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Pending => return wire.poll_deadline(cx, deadline).map(|()| false),
                }
            }
            Poll::Ready(true)
        })
        .await
    }

    /// Reads the next chunk of the body; it is empty only at the end. A fault is kept, because
    /// the decoder may have consumed an unknown part of the input.
    fn poll_chunk<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<'_, T>,
        config: &Config,
    ) -> Poll<Result<Bytes, Reject>> {
        if let Some(reject) = self.fault {
            return Poll::Ready(Err(reject));
        }
        let polled = self.poll_next(cx, wire, config);
        match polled {
            Poll::Ready(Err(reject)) => self.fault = Some(reject),
            Poll::Ready(Ok(ref chunk)) => self.progress.advance(wire.now(), chunk.len() as u64, config),
            Poll::Pending => {}
        }
        polled
    }

    fn poll_next<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire<'_, T>,
        config: &Config,
    ) -> Poll<Result<Bytes, Reject>> {
        loop {
            let chunk = self.take(wire, &config.limits)?;
            if !chunk.is_empty() || self.is_done() {
                return Poll::Ready(Ok(chunk));
            }
            if std::mem::take(&mut self.expects_continue) {
                wire.output.buffer().extend_from_slice(CONTINUE);
            }
            if let Poll::Ready(Err(_)) = wire.poll_flush(cx) {
                return Poll::Ready(Err(Reject::BodyCutShort));
            }
            match wire.poll_fill(cx) {
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::OutOfMemory => {
                    return Poll::Ready(Err(Reject::NoMemory));
                }
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Reject::BodyCutShort)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    let deadline = self.progress.wait(wire.now(), config);
                    return wire.poll_deadline(cx, deadline).map(|()| Err(Reject::BodyTimeout));
                }
            }
        }
    }

    /// Takes a chunk of the body from the input buffer.
    fn take<T: Transport>(&mut self, wire: &mut Wire<'_, T>, limits: &Limits) -> Result<Bytes, Reject> {
        let before = wire.input.len();
        let Piece { chunk, length, trailers } = self.rest.take(&mut wire.input, self.allowance, limits)?;
        if let Some(trailers) = trailers {
            self.trailers = trailers;
        }
        if wire.input.len() < before {
            // The client sends the body, so it does not wait for `100 Continue`.
            self.expects_continue = false;
        }
        self.allowance = self.allowance.checked_sub(length).ok_or(Reject::BodyTooLarge)?;
        Ok(chunk)
    }
}
