//! The bytes that wait to be written.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

use crate::spare::Spares;

thread_local! {
    static SPARES: Spares<u8> = const { Spares::new() };
}

/// Bodies from here on are written from where they lie; smaller ones are copied
/// behind their head, which costs less than another slice.
const BIG: usize = 16 * 1024;

/// What waits to be written: a buffer, then maybe one big body, then a buffer
/// for what comes behind that.
#[derive(Default)]
pub(super) struct Output {
    front: Vec<u8>,
    written: usize,
    big: Bytes,
    back: Vec<u8>,
}

impl Output {
    pub fn len(&self) -> usize {
        self.front.len() - self.written + self.big.len() + self.back.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer to append to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        let buffer = if self.big.is_empty() { &mut self.front } else { &mut self.back };
        if buffer.capacity() == 0 {
            *buffer = SPARES.with(Spares::take);
        }
        buffer
    }

    /// Appends bytes that are shared already.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.len() >= BIG && self.big.is_empty() {
            self.big = bytes;
        } else {
            self.buffer().extend_from_slice(&bytes);
        }
    }

    /// What is to be written next.
    pub fn slices(&self) -> [IoSlice<'_>; 3] {
        [IoSlice::new(&self.front[self.written..]), IoSlice::new(&self.big), IoSlice::new(&self.back)]
    }

    /// Says that `length` bytes have been written.
    pub fn advance(&mut self, mut length: usize) {
        let front = length.min(self.front.len() - self.written);
        self.written += front;
        length -= front;
        let big = length.min(self.big.len());
        self.big.advance(big);
        length -= big;
        if self.written == self.front.len() && self.big.is_empty() {
            self.front.clear();
            self.big = Bytes::new();
            std::mem::swap(&mut self.front, &mut self.back);
            self.written = length;
        }
    }

    /// Gives the buffers up; all that was in them has been written.
    pub fn release(&mut self) {
        let Self { front, back, written, .. } = self;
        for buffer in [front, back] {
            buffer.clear();
            let buffer = std::mem::take(buffer);
            let _ = SPARES.try_with(|spares| spares.give(buffer));
        }
        *written = 0;
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
                output.push(big.clone().into());
                expected.extend_from_slice(&big);
            }
            assert_eq!(output.len(), expected.len());
            let mut written = Vec::new();
            while !output.is_empty() {
                let next: Vec<u8> =
                    output.slices().iter().flat_map(|slice| slice.iter().copied()).take(step).collect();
                output.advance(next.len());
                written.extend(next);
            }
            assert!(written == expected, "in steps of {step}");
        }
    }
}
