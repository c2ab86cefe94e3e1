//! A body that is decompressed while it is read.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_lite::Stream;

use super::budget::Share;
use super::decoder::{Decoder, Failure, extend};
use super::job::{Done, start};
use crate::BlockingPool;
use crate::Body;
use crate::Reject;

/// The most bytes of a chunk.
const BYTES_OUT: usize = 64 * 1024;
/// Chunks up to this size are decompressed on the thread of the connection.
const LARGEST_INLINE: usize = 1024;

/// Returns a body that decompresses another, to at most `limit` bytes. If there are more, or the content is
/// malformed, reading it fails with a [`Reject`].
pub(super) fn decoded(body: Body, decoder: Decoder, limit: u64, pool: BlockingPool, share: Share) -> Body {
    let chunk = Bytes::new();
    Body::stream(Decoded {
        body,
        state: State::Idle(decoder),
        chunk,
        is_filled: false,
        left: limit,
        pool,
        _share: share,
    })
}

struct Decoded {
    body: Body,
    state: State,
    /// The rest of the chunk that is being decompressed.
    chunk: Bytes,
    /// True if the decompressor may have more without more input.
    is_filled: bool,
    /// The bytes that may still come.
    left: u64,
    pool: BlockingPool,
    _share: Share,
}

enum State {
    Idle(Decoder),
    /// A job has the decompressor.
    Working(Done<Piece>),
    Ended,
}

/// The outcome of a job.
struct Piece {
    decoder: Decoder,
    rest: Bytes,
    out: Result<Vec<u8>, Failure>,
}

impl Piece {
    /// Decompresses some of a chunk.
    fn of(mut decoder: Decoder, mut chunk: Bytes) -> Self {
        let mut out = Vec::new();
        let mut rest = &chunk[..];
        let written = extend(&mut out, BYTES_OUT).and_then(|()| decoder.pull(&mut rest, &mut out));
        let taken = chunk.len() - rest.len();
        chunk.advance(taken);
        let out = written.map(|written| {
            out.truncate(written);
            out
        });
        Self { decoder, rest: chunk, out }
    }
}

impl Decoded {
    fn keep(&mut self, done: Piece) -> io::Result<Bytes> {
        let out = done.out.map_err(Reject::from)?;
        self.state = State::Idle(done.decoder);
        self.chunk = done.rest;
        self.is_filled = out.len() == BYTES_OUT;
        self.left = self.left.checked_sub(out.len() as u64).ok_or(Reject::BodyTooLarge)?;
        Ok(out.into())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            let out = match mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Working(done) => {
                    let polled = done.poll(cx);
                    if polled.is_pending() {
                        self.state = State::Working(done);
                    }
                    let lost = || io::Error::other("the decompression of a request failed");
                    let done = ready!(polled).ok_or_else(lost)?;
                    self.keep(done)?
                }
                State::Idle(decoder) if self.chunk.is_empty() && !self.is_filled => {
                    let polled = Pin::new(&mut self.body).poll_next(cx);
                    if matches!(polled, Poll::Ready(None)) {
                        let cut = (!decoder.is_whole()).then(|| Err(Reject::BadContentCoding.into()));
                        return Poll::Ready(cut);
                    }
                    self.state = State::Idle(decoder);
                    match ready!(polled) {
                        Some(chunk) => self.chunk = chunk?,
                        None => return Poll::Ready(None),
                    }
                    continue;
                }
                State::Idle(decoder) => {
                    let chunk = mem::take(&mut self.chunk);
                    if chunk.len() <= LARGEST_INLINE && !self.is_filled {
                        self.keep(Piece::of(decoder, chunk))?
                    } else {
                        self.state = State::Working(start(&self.pool, move || Piece::of(decoder, chunk))?);
                        continue;
                    }
                }
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(out)));
            }
        }
    }
}

impl Stream for Decoded {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}
