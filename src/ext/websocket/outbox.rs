//! Encoded frames on their way to the socket.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;

use bytes::{Buf as _, Bytes};

use crate::websocket::{Opcode, put_header};

/// A payload of at least that many bytes is not copied.
const SHARED: usize = 4 * 1024;
/// The same for bytes that many connections send: a place in the queue is as small as this.
const COMMON: usize = 128;
/// The bytes of the longest head of a server's frame (RFC 6455 5.2).
const LONGEST_HEAD: usize = 10;
/// Blocks in one write.
const SLICES: usize = 16;

/// The largest tail that is kept, in bytes.
const LARGEST_SPARE: usize = 512;

thread_local! {
    /// An empty tail that was written, for the next frame of any connection: a small message takes an allocation
    /// less (190 of 3,120 instructions; callgrind, echo, 2026-11).
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Frames, the oldest first.
#[derive(Default)]
pub(super) struct Outbox {
    /// Large payloads, and what came before them.
    /// Boxed, because an idle connection has none.
    #[expect(clippy::box_collection, reason = "keeps an idle connection 48 bytes smaller")]
    blocks: Option<Box<VecDeque<Bytes>>>,
    /// The bytes that follow the last block.
    tail: Vec<u8>,
    /// Bytes that are not written.
    length: usize,
}

impl Outbox {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts bytes at the end, as `put` writes them.
    pub fn put(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let before = self.tail.len();
        put(&mut self.tail);
        self.length += self.tail.len() - before;
    }

    /// Puts a frame at the end.
    pub fn put_frame(
        &mut self,
        opcode: Opcode,
        is_final: bool,
        is_compressed: bool,
        payload: impl AsRef<[u8]> + Into<Bytes>,
    ) {
        let bytes = payload.as_ref();
        let copied = if bytes.len() < SHARED { bytes } else { &[] };
        if self.tail.capacity() == 0 {
            self.tail = SPARE.try_with(RefCell::take).unwrap_or_default();
        }
        // Once for the head and the payload.
        self.tail.reserve(LONGEST_HEAD + copied.len());
        self.put(|tail| {
            put_header(tail, opcode, is_final, is_compressed, bytes.len());
            tail.extend_from_slice(copied);
        });
        if bytes.len() >= SHARED {
            self.push(payload.into());
        }
    }

    /// Puts bytes at the end, without copying them if they are many.
    pub fn push(&mut self, bytes: Bytes) {
        self.push_from(SHARED, bytes);
    }

    /// Puts bytes at the end that other connections send too.
    pub fn push_common(&mut self, bytes: Bytes) {
        self.push_from(COMMON, bytes);
    }

    fn push_from(&mut self, least: usize, bytes: Bytes) {
        if bytes.len() < least {
            return self.put(|tail| tail.extend_from_slice(&bytes));
        }
        let blocks = self.blocks.get_or_insert_default();
        if !self.tail.is_empty() {
            blocks.push_back(mem::take(&mut self.tail).into());
        }
        self.length += bytes.len();
        blocks.push_back(bytes);
    }

    /// Puts all bytes of another queue at the end, of which none is written.
    pub fn append(&mut self, other: Self) {
        for block in other.blocks.into_iter().flat_map(|blocks| *blocks) {
            self.push_from(0, block);
        }
        self.put(|tail| tail.extend_from_slice(&other.tail));
    }

    /// Returns what is to be written, if it is in one piece.
    pub fn single(&self) -> Option<&[u8]> {
        if self.blocks.is_none() { Some(&self.tail) } else { None }
    }

    /// Returns what is to be written next.
    pub fn slices(&self) -> ([IoSlice<'_>; SLICES], usize) {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        let blocks = self.blocks.iter().flat_map(|blocks| blocks.iter().map(|block| &block[..]));
        let blocks = blocks.chain([&self.tail[..]]);
        for (slice, block) in slices.iter_mut().zip(blocks) {
            *slice = IoSlice::new(block);
            count += 1;
        }
        (slices, count)
    }

    /// Notes that the first bytes are written.
    pub fn advance(&mut self, mut length: usize) {
        self.length -= length;
        if self.length == 0 {
            return self.clear();
        }
        while length > 0 {
            let blocks = self.blocks.get_or_insert_default();
            let Some(block) = blocks.front_mut() else {
                blocks.push_back(mem::take(&mut self.tail).into());
                continue;
            };
            let written = length.min(block.len());
            block.advance(written);
            length -= written;
            if block.is_empty() {
                blocks.pop_front();
            }
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        let Self { mut tail, .. } = mem::take(self);
        if (1..=LARGEST_SPARE).contains(&tail.capacity()) {
            tail.clear();
            let _ = SPARE.try_with(|spare| spare.replace(tail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_their_order_however_much_is_written_at_once() {
        let large = Bytes::from((0..SHARED).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>());
        let small = Bytes::from_static(b"small");
        let order = [&small, &large, &large, &small, &small, &large, &small];
        let expected = order.iter().flat_map(|bytes| bytes.iter().copied()).collect::<Vec<_>>();
        for most in [1, 3, 5, 1000, SHARED, SHARED + 2, usize::MAX] {
            let mut outbox = Outbox::default();
            outbox.push(order[0].clone());
            let mut other = Outbox::default();
            for bytes in &order[1..] {
                other.push((*bytes).clone());
            }
            outbox.append(other);
            let mut written = Vec::new();
            while !outbox.is_empty() {
                let (slices, count) = outbox.slices();
                let now: Vec<_> =
                    slices[..count].iter().flat_map(|it| it.iter().copied()).take(most).collect();
                outbox.advance(now.len());
                written.extend(now);
            }
            assert!(written == expected, "{most} at once");
            assert_eq!(outbox.tail.capacity(), 0);
        }
    }
}
