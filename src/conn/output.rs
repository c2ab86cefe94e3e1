//! The bytes that wait to be written.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};

use crate::base::spare::{LARGEST_SPARE, Spares};

thread_local! {
    static SPARES: Spares<Vec<u8>> = const { Spares::new() };
}

/// The least size of a body that is written without a copy, in bytes. Smaller bodies are copied
/// after their head: for 5 bytes, another slice costs 395 of 3,728 instructions (benches/replay,
/// 2026-11).
pub(super) const BIG: usize = 16 * 1024;

/// The output buffer: one buffer, then perhaps a big body and a buffer for what follows it.
#[derive(Default)]
pub(super) struct Output {
    front: Vec<u8>,
    written: usize,
    /// On the heap, because few answers have a big body.
    rest: Option<Box<Rest>>,
}

#[derive(Default)]
struct Rest {
    big: Bytes,
    back: Vec<u8>,
}

impl Output {
    pub fn len(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.big.len() + rest.back.len());
        self.front.len() - self.written + rest
    }

    pub fn is_empty(&self) -> bool {
        self.written == self.front.len() && self.rest.is_none()
    }

    /// Returns the buffer to append to.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        let buffer = match &mut self.rest {
            None => &mut self.front,
            Some(rest) => &mut rest.back,
        };
        if buffer.capacity() == 0
            && let Some(spare) = SPARES.with(Spares::take)
        {
            *buffer = spare;
        }
        buffer
    }

    /// Returns the buffer to append to, with room for `more` bytes. The error is `OutOfMemory`:
    /// a client that sends many requests and reads nothing decides how much waits here.
    #[inline]
    pub fn room(&mut self, more: usize) -> io::Result<&mut Vec<u8>> {
        let buffer = self.buffer();
        if buffer.capacity() - buffer.len() < more {
            grow(buffer, more)?;
        }
        Ok(buffer)
    }

    /// Appends bytes that are shared already. The error is `OutOfMemory`.
    pub fn push(&mut self, bytes: Bytes) -> io::Result<()> {
        if bytes.len() >= BIG && self.rest.is_none() {
            self.rest = Some(Box::new(Rest { big: bytes, back: Vec::new() }));
        } else {
            self.room(bytes.len())?.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// Returns `true` if a big body waits: the next one would have to be copied.
    pub fn has_big(&self) -> bool {
        self.rest.is_some()
    }

    /// Returns the next bytes to write, at most `most`, if all bytes lie in one buffer.
    pub fn only(&self, most: usize) -> Option<&[u8]> {
        let front = &self.front[self.written..];
        self.rest.is_none().then(|| &front[..front.len().min(most)])
    }

    /// Returns the next bytes to write, at most `most`.
    pub fn slices(&self, mut most: usize) -> [IoSlice<'_>; 3] {
        let front = &self.front[self.written..];
        let (big, back) =
            self.rest.as_ref().map_or((&[][..], &[][..]), |rest| (&rest.big[..], &rest.back[..]));
        [front, big, back].map(|slice| {
            let slice = &slice[..slice.len().min(most)];
            most -= slice.len();
            IoSlice::new(slice)
        })
    }

    /// Notes that `length` bytes have been written.
    pub fn advance(&mut self, mut length: usize) {
        let front = length.min(self.front.len() - self.written);
        self.written += front;
        length -= front;
        if let Some(rest) = &mut self.rest {
            let big = length.min(rest.big.len());
            rest.big.advance(big);
            length -= big;
            if rest.big.is_empty() {
                // The front was written before it.
                give(std::mem::replace(&mut self.front, std::mem::take(&mut rest.back)));
                self.written = length;
                self.rest = None;
            }
        }
    }

    /// Gives the buffer up, whose bytes have all been written.
    pub fn release(&mut self) {
        give(std::mem::take(&mut self.front));
        self.written = 0;
    }
}

#[cold]
fn grow(buffer: &mut Vec<u8>, more: usize) -> io::Result<()> {
    buffer.try_reserve(more).map_err(|_| io::ErrorKind::OutOfMemory.into())
}

fn give(mut buffer: Vec<u8>) {
    if (1..=LARGEST_SPARE).contains(&buffer.capacity()) {
        buffer.clear();
        // When a thread ends, its spares may be gone before its last connection.
        let _ = SPARES.try_with(|spares| spares.give(buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_out_in_order_however_it_is_written() {
        for step in [1, 7, 4096, 100_000] {
            let mut output = Output::default();
            let mut expected = Vec::new();
            for round in 0..6_u8 {
                output.buffer().extend_from_slice(b"small");
                expected.extend_from_slice(b"small");
                let big = vec![round; BIG + usize::from(round) - 3];
                output.push(big.clone().into()).unwrap();
                expected.extend_from_slice(&big);
            }
            assert_eq!(output.len(), expected.len());
            let mut written = Vec::new();
            while !output.is_empty() {
                let next: Vec<u8> =
                    output.slices(step).iter().flat_map(|slice| slice.iter().copied()).collect();
                assert!((1..=step).contains(&next.len()));
                output.advance(next.len());
                written.extend(next);
            }
            assert!(written == expected, "in steps of {step}");
        }
    }

    #[test]
    fn one_big_body_waits_without_a_copy() {
        let mut output = Output::default();
        let big = Bytes::from(vec![0; BIG]);
        output.push(big.clone()).unwrap();
        assert!(output.has_big() && output.slices(usize::MAX)[1].as_ptr() == big.as_ptr());
        output.advance(BIG - 1);
        assert!(output.has_big());
        output.advance(1);
        assert!(!output.has_big());
    }

    #[test]
    fn room_that_there_is_no_memory_for_is_an_error() {
        let mut output = Output::default();
        output.room(10).unwrap().extend_from_slice(b"before");
        // More than any address space.
        let error = output.room(isize::MAX as usize).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(output.only(usize::MAX), Some(&b"before"[..]));
    }
}
