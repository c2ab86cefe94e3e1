//! A body that is compressed while it is sent.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_lite::Stream;

use super::budget::Share;
use super::encoder::{Encoder, Flush};
use super::job::{Done, start_or_do};
use crate::BlockingPool;
use crate::Body;
use crate::Headers;

/// The bytes that are compressed on the thread of the connection, before a job does more: brotli takes
/// 0.5 ms for them.
const BYTES_PER_TURN: usize = 16 * 1024;
/// The bytes of a job on the pool.
const BYTES_PER_JOB: usize = 64 * 1024;
/// The output that is handed on at once.
const BYTES_OUT: usize = 16 * 1024;

/// Returns a body that compresses another.
pub(super) fn encoded(body: Body, encoder: Encoder, pool: BlockingPool, share: Share) -> Body {
    let trailers: Arc<Mutex<Headers>> = Arc::default();
    let stream = Encoded {
        body,
        state: State::Idle(encoder),
        chunk: Bytes::new(),
        out: Vec::new(),
        this_turn: 0,
        is_flushed: true,
        trailers: Arc::clone(&trailers),
        pool,
        _share: share,
    };
    Body::stream(stream)
        .with_trailers(move || mem::take(&mut *trailers.lock().unwrap_or_else(PoisonError::into_inner)))
}

struct Encoded {
    body: Body,
    state: State,
    /// The rest of the chunk that is being compressed.
    chunk: Bytes,
    out: Vec<u8>,
    /// The bytes that the thread of the connection has compressed since it last did something else.
    this_turn: usize,
    /// True while the compressor holds nothing back.
    is_flushed: bool,
    /// The trailers of the body, once it has ended.
    trailers: Arc<Mutex<Headers>>,
    pool: BlockingPool,
    _share: Share,
}

enum State {
    Idle(Encoder),
    /// A job has the compressor.
    Working(Done<Pushed>),
    Ended,
}

/// The outcome of a job.
type Pushed = (Encoder, io::Result<Vec<u8>>);

impl Encoded {
    fn push(&mut self, mut encoder: Encoder, piece: &[u8], flush: Flush) -> io::Result<()> {
        encoder.push(piece, flush, &mut self.out)?;
        self.is_flushed = flush == Flush::All;
        self.state = if flush == Flush::End { State::Ended } else { State::Idle(encoder) };
        Ok(())
    }

    /// Compresses the next piece of the chunk: here, or in a job.
    fn compress(&mut self, encoder: Encoder) -> io::Result<()> {
        if self.chunk.len() <= BYTES_PER_TURN.saturating_sub(self.this_turn) {
            let piece = mem::take(&mut self.chunk);
            self.this_turn += piece.len();
            return self.push(encoder, &piece, Flush::None);
        }
        let piece = self.chunk.split_to(self.chunk.len().min(BYTES_PER_JOB));
        let work = move || {
            let (mut encoder, mut out) = (encoder, Vec::new());
            let pushed = encoder.push(&piece, Flush::None, &mut out);
            (encoder, pushed.map(|()| out))
        };
        // The response has begun, so it goes on although the pool may be full.
        self.state = State::Working(start_or_do(&self.pool, work));
        self.this_turn = 0;
        self.is_flushed = false;
        Ok(())
    }

    fn take_out(&mut self) -> Poll<Option<io::Result<Bytes>>> {
        self.this_turn = 0;
        Poll::Ready(Some(Ok(mem::take(&mut self.out).into())))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if self.out.len() >= BYTES_OUT {
                return self.take_out();
            }
            match mem::replace(&mut self.state, State::Ended) {
                State::Ended if self.out.is_empty() => return Poll::Ready(None),
                State::Ended => return self.take_out(),
                State::Working(done) => {
                    let polled = done.poll(cx);
                    if polled.is_pending() {
                        self.state = State::Working(done);
                    }
                    let lost = || io::Error::other("the compression of a response failed");
                    let (encoder, out) = ready!(polled).ok_or_else(lost)?;
                    self.state = State::Idle(encoder);
                    self.out.append(&mut out?);
                }
                State::Idle(encoder) if !self.chunk.is_empty() => self.compress(encoder)?,
                State::Idle(encoder) => match Pin::new(&mut self.body).poll_next(cx) {
                    Poll::Ready(Some(chunk)) => {
                        self.state = State::Idle(encoder);
                        self.chunk = chunk?;
                    }
                    Poll::Ready(None) => {
                        self.push(encoder, b"", Flush::End)?;
                        let trailers = self.body.take_trailers();
                        *self.trailers.lock().unwrap_or_else(PoisonError::into_inner) = trailers;
                    }
                    Poll::Pending => {
                        // There is no more for now, so the client gets what there is.
                        if self.is_flushed {
                            self.state = State::Idle(encoder);
                        } else {
                            self.push(encoder, b"", Flush::All)?;
                        }
                        if self.out.is_empty() {
                            self.this_turn = 0;
                            return Poll::Pending;
                        }
                        return self.take_out();
                    }
                },
            }
        }
    }
}

impl Stream for Encoded {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}
