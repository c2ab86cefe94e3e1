//! Compressed messages (RFC 7692 7.2).

use std::cell::RefCell;
use std::mem;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Failure;
use super::offer::{Deflation, MAX_BITS};

/// The last bytes of a flush. A message is sent without them (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// An empty message (RFC 7692 7.2.3.6).
const EMPTY: u8 = 0;
/// Of 1 to 9: as fast as it is good. 1 MiB of JSON lines takes 3.1 ms and becomes 157 KB; at level 3 it takes
/// 4.9 ms and becomes 150 KB, at level 1 2 ms and 240 KB (zlib-rs, 2026-11). Other servers use level 1 of zlib:
/// 4.4 ms and 169 KB.
const LEVEL: u32 = 2;
/// The least room for output.
const ROOM: usize = 1024;
/// Bytes that are decompressed at once.
const BLOCK: usize = 32 * 1024;
/// Compressors, and decompressors, that a thread keeps.
const SPARES: usize = 4;

thread_local! {
    /// Each holds about 300 KiB.
    static DEFLATERS: RefCell<Vec<Deflater>> = const { RefCell::new(Vec::new()) };
    /// Each holds about 50 KiB.
    static INFLATERS: RefCell<Vec<Decompress>> = const { RefCell::new(Vec::new()) };
    /// The memory that all connections of a thread decompress into.
    static BLOCKS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Compresses messages.
pub(crate) struct Deflater {
    stream: Compress,
    bits: u8,
    keeps: bool,
}

impl Deflater {
    pub fn new(deflation: Deflation) -> Self {
        let stream = Compress::new_with_window_bits(Compression::new(LEVEL), false, deflation.bits);
        Self { stream, bits: deflation.bits, keeps: deflation.keeps_own }
    }

    /// Appends a compressed message.
    pub fn deflate(&mut self, mut message: &[u8], out: &mut Vec<u8>) {
        if message.is_empty() {
            return out.push(EMPTY);
        }
        let begun = out.len();
        loop {
            out.reserve(ROOM.max(message.len() / 4));
            let before = self.stream.total_in();
            // A raw stream into a vector cannot fail: it needs no dictionary, and there is room.
            let status = self.stream.compress_vec(message, out, FlushCompress::Sync);
            let taken = usize::try_from(self.stream.total_in() - before).unwrap_or(message.len());
            message = &message[taken..];
            if status.is_err() || (message.is_empty() && out.len() < out.capacity()) {
                break;
            }
        }
        if out[begun..].ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
        if !self.keeps {
            self.stream.reset();
        }
    }
}

/// Lends a compressor of this thread, for messages that each stand alone.
pub(crate) fn with_deflater<R>(deflation: Deflation, run: impl FnOnce(&mut Deflater) -> R) -> R {
    debug_assert!(!deflation.keeps_own, "the windows of connections are their own");
    let fitting = |spares: &RefCell<Vec<Deflater>>| {
        let spares = &mut *spares.borrow_mut();
        let place = spares.iter().position(|spare| spare.bits == deflation.bits)?;
        Some(spares.swap_remove(place))
    };
    let mut deflater = DEFLATERS.try_with(fitting).ok().flatten().unwrap_or_else(|| Deflater::new(deflation));
    let result = run(&mut deflater);
    keep(&DEFLATERS, deflater);
    result
}

/// Keeps a spare for this thread, unless there are enough or the thread ends.
fn keep<T>(spares: &'static std::thread::LocalKey<RefCell<Vec<T>>>, spare: T) {
    let _ = spares.try_with(|spares| {
        let spares = &mut *spares.borrow_mut();
        if spares.len() < SPARES {
            spares.push(spare);
        }
    });
}

/// Takes bytes that were decompressed.
type Take<'a> = dyn FnMut(&[u8]) -> Result<(), Failure> + 'a;

/// Decompresses the messages of a connection. It holds the window of zlib while a message comes, and
/// between messages only if the client keeps its own.
#[derive(Default)]
pub(super) struct Inflater {
    stream: Option<Box<Decompress>>,
    /// True once the client has ended its stream of blocks.
    has_ended: bool,
}

impl Inflater {
    /// Gives what the bytes of a message decompress to to `take`, in pieces.
    pub fn inflate(&mut self, bytes: &[u8], take: &mut Take<'_>) -> Result<(), Failure> {
        let mut block = BLOCKS.try_with(RefCell::take).unwrap_or_default();
        block.resize(BLOCK, 0);
        let inflated = self.inflate_by(bytes, &mut block, take);
        let _ = BLOCKS.try_with(|kept| kept.replace(block));
        inflated
    }

    fn inflate_by(&mut self, mut bytes: &[u8], block: &mut [u8], take: &mut Take<'_>) -> Result<(), Failure> {
        let stream = self.stream.get_or_insert_with(spare_inflater);
        loop {
            if mem::take(&mut self.has_ended) {
                stream.reset(false);
            }
            let (read, made) = (stream.total_in(), stream.total_out());
            let status = stream
                .decompress(bytes, block, FlushDecompress::Sync)
                .map_err(|_| Failure::BadCompression)?;
            let taken = usize::try_from(stream.total_in() - read).unwrap_or(bytes.len());
            let made = usize::try_from(stream.total_out() - made).unwrap_or(block.len());
            bytes = &bytes[taken..];
            take(&block[..made])?;
            self.has_ended = status == Status::StreamEnd;
            let is_full = made == block.len();
            if bytes.is_empty() && (self.has_ended || !is_full) {
                return Ok(());
            }
            if !self.has_ended && taken == 0 && !is_full {
                return Err(Failure::BadCompression);
            }
        }
    }

    /// Ends a message.
    pub fn finish(&mut self, take: &mut Take<'_>, keeps: bool) -> Result<(), Failure> {
        self.inflate(&TAIL, take)?;
        if !keeps {
            self.has_ended = false;
            if let Some(mut stream) = self.stream.take() {
                stream.reset(false);
                keep(&INFLATERS, *stream);
            }
        }
        Ok(())
    }
}

fn spare_inflater() -> Box<Decompress> {
    let spare = INFLATERS.try_with(|spares| spares.borrow_mut().pop()).ok().flatten();
    Box::new(spare.unwrap_or_else(|| Decompress::new_with_window_bits(false, MAX_BITS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflation(keeps: bool, bits: u8) -> Deflation {
        Deflation { keeps_own: keeps, keeps_peer: keeps, bits }
    }

    #[test]
    fn a_message_comes_back_whole_or_in_pieces() {
        let long: Vec<u8> =
            (0_u32..20_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        for keeps in [false, true] {
            for bits in 9..=15 {
                let mut deflater = Deflater::new(deflation(keeps, bits));
                let mut inflater = Inflater::default();
                for message in [&b""[..], b"Hello", b"Hello", b"", &vec![b'x'; 100_000], &long, b"Hello"] {
                    let mut wire = Vec::new();
                    deflater.deflate(message, &mut wire);
                    let mut out = Vec::new();
                    let mut take = |plain: &[u8]| {
                        out.extend_from_slice(plain);
                        Ok(())
                    };
                    for piece in wire.chunks(if message.len() > 10_000 { 4000 } else { 1 }) {
                        inflater.inflate(piece, &mut take).unwrap();
                    }
                    inflater.finish(&mut take, keeps).unwrap();
                    assert!(out == message, "{} bytes, {bits} bits, {keeps}", message.len());
                    assert_eq!(inflater.stream.is_some(), keeps);
                }
            }
        }
    }

    #[test]
    fn rfc7692_7_2_3_examples() {
        let mut inflater = Inflater::default();
        // A block without compression, two blocks, a final block, an empty message.
        for (wire, text) in [
            (&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], "Hello"),
            (b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"),
            (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"),
            (b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"),
            (b"\x00", ""),
        ] {
            let mut out = Vec::new();
            let mut take = |plain: &[u8]| {
                out.extend_from_slice(plain);
                Ok(())
            };
            inflater.inflate(wire, &mut take).unwrap();
            inflater.finish(&mut take, false).unwrap();
            assert_eq!(out, text.as_bytes(), "{wire:x?}");
        }
        let mut wire = Vec::new();
        with_deflater(deflation(false, 15), |deflater| deflater.deflate(b"", &mut wire));
        assert_eq!(wire, [EMPTY]);
    }

    #[test]
    fn a_bomb_stops_where_the_taker_does() {
        let mut wire = Vec::new();
        with_deflater(deflation(false, 15), |deflater| deflater.deflate(&vec![0; 50 << 20], &mut wire));
        assert!(wire.len() < 100_000);
        let mut taken = 0;
        let inflated = Inflater::default().inflate(&wire, &mut |plain| {
            taken += plain.len();
            if taken > 10_000 { Err(Failure::TooBig) } else { Ok(()) }
        });
        assert_eq!(inflated, Err(Failure::TooBig));
        assert!(taken < 100_000, "{taken} bytes");
    }

    #[test]
    fn what_is_no_deflate_stream_is_refused() {
        let inflated = Inflater::default().inflate(b"\xff\xff\xff", &mut |_| Ok(()));
        assert_eq!(inflated, Err(Failure::BadCompression));
    }
}
