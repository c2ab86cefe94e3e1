//! The decoding of a chunked request body in the buffer of its connection. It does not know the connection.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::base::buffer::Buffer;
use crate::config::Limits;
use crate::error::Reject;
use crate::http1::Chunked;

/// The least size of a chunk that is handed over without a copy, in bytes. Smaller chunks are
/// copied together, which costs less than to hand over each.
pub(super) const BIG: usize = 8 * 1024;

/// The state of a chunked body: its decoder, and the data that it has decoded.
#[derive(Default)]
pub(super) struct Chunks {
    pub decoder: Chunked,
    /// Chunks that are decoded and not handed over, at most one buffer's bytes.
    pub ready: VecDeque<Bytes>,
}

impl Chunks {
    /// Decodes the part of a chunked body that is in the input buffer, and returns the number
    /// of bytes of data. More than `allowance` is an error.
    pub fn decode(&mut self, input: &mut Buffer, allowance: u64, limits: &Limits) -> Result<u64, Reject> {
        let Self { decoder, ready } = self;
        let (mut small, mut length, mut consumed) = (Vec::new(), 0, 0);
        let mut lent: Option<Bytes> = None;
        loop {
            let bytes = lent.as_deref().unwrap_or_else(|| input.as_slice());
            if consumed == bytes.len() || decoder.is_done() {
                break;
            }
            let step = decoder.decode(&bytes[consumed..], limits)?;
            let data = consumed + step.data.start..consumed + step.data.end;
            consumed += step.consumed;
            length += data.len() as u64;
            if length > allowance {
                return Err(Reject::BodyTooLarge);
            }
            let is_big = data.len() >= BIG;
            if is_big && lent.is_none() {
                // Only for a big chunk, because the bytes after the body must be put back.
                lent = input.take_all();
            }
            match &lent {
                Some(lent) if is_big => {
                    if !small.is_empty() {
                        ready.push_back(std::mem::take(&mut small).into());
                    }
                    ready.push_back(lent.slice(data));
                }
                Some(lent) => append(&mut small, &lent[data])?,
                None => append(&mut small, &input.as_slice()[data])?,
            }
        }
        if !small.is_empty() {
            ready.push_back(small.into());
        }
        match lent {
            Some(lent) => input.put_back(&lent[consumed..]).ok_or(Reject::NoMemory)?,
            None => input.consume(consumed),
        }
        Ok(length)
    }
}

/// Appends bytes of a body, if there is memory for them.
pub(super) fn append(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Reject> {
    to.try_reserve(bytes.len()).map_err(|_| Reject::NoMemory)?;
    to.extend_from_slice(bytes);
    Ok(())
}
