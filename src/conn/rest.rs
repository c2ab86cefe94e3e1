//! The part of a request body that has not been read.

use bytes::Bytes;

use super::chunks::{Chunks, append};
use crate::base::buffer::Buffer;
use crate::config::Limits;
use crate::error::Reject;
use crate::fields::Headers;
use crate::http1::Framing;

/// The part of the body that has not been read.
pub(super) enum Rest {
    Done,
    Length(u64),
    /// On the heap, because few requests have a chunked body.
    Chunked(Box<Chunks>),
}

/// A part of the body that was taken from the input.
pub(super) struct Piece {
    pub chunk: Bytes,
    /// The bytes of the body that were decoded for it, which may be more.
    pub length: u64,
    /// The trailer fields, at the end of a chunked body.
    pub trailers: Option<Headers>,
}

impl Rest {
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::None => Self::Done,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::default()),
        }
    }

    /// Returns the length in bytes, if it is known and something is left.
    pub fn length(&self) -> Option<u64> {
        if let Self::Length(length) = self { Some(*length) } else { None }
    }

    /// Passes over bytes of a body of known length, which somebody else has read.
    pub fn pass(&mut self, bytes: u64) {
        if let Self::Length(left) = self {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                *self = Self::Done;
            }
        }
    }

    /// Takes a part of the body from the input, empty if there is none. More than `allowance` bytes are an error.
    pub fn take(&mut self, input: &mut Buffer, allowance: u64, limits: &Limits) -> Result<Piece, Reject> {
        match self {
            Self::Done => Ok(Piece { chunk: Bytes::new(), length: 0, trailers: None }),
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                let all = if length == input.len() { input.take_all() } else { None };
                let chunk = if let Some(all) = all {
                    all
                } else {
                    let mut chunk = Vec::new();
                    append(&mut chunk, &input.as_slice()[..length])?;
                    input.consume(length);
                    chunk.into()
                };
                self.pass(length as u64);
                Ok(Piece { chunk, length: length as u64, trailers: None })
            }
            Self::Chunked(chunks) => {
                let waits = !chunks.ready.is_empty();
                let length = if waits { 0 } else { chunks.decode(input, allowance, limits)? };
                let chunk = chunks.ready.pop_front().unwrap_or_default();
                let is_over = chunks.decoder.is_done() && chunks.ready.is_empty();
                let trailers = is_over.then(|| chunks.decoder.trailers());
                if is_over {
                    *self = Self::Done;
                }
                Ok(Piece { chunk, length, trailers })
            }
        }
    }
}
