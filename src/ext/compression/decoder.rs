//! A decompressor of one coding, over bytes. It knows nothing of messages.

use std::io;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Zstd, Operation as _};

use super::super::accept_encoding::Coding;
use super::cells::Cells;
use crate::MemoryClaim;
use crate::Reject;

/// The largest window of zstd, as a power of two: 8 MiB (RFC 9659 3).
const WINDOW: u32 = 23;

pub(super) struct Decoder {
    kind: Kind,
    /// True while the content may end: a frame has ended, and none has begun.
    is_whole: bool,
    /// True once it has the memory for its window.
    has_window: bool,
}

enum Kind {
    Zstd(Zstd<'static>),
    /// Boxed because it is large.
    Brotli(Box<BrotliState<Cells, Cells, Cells>>),
    Gzip(Decompress),
}

/// Returns the memory that a decompressor may hold: the largest window of the coding, and its tables.
pub(super) const fn memory(coding: Coding) -> usize {
    match coding {
        Coding::Zstd => 9 << 20,
        Coding::Brotli => 17 << 20,
        Coding::Gzip => 64 << 10,
    }
}

/// The outcome of a step.
struct Step {
    taken: usize,
    written: usize,
    has_ended: bool,
}

/// The reasons for which a body is not decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The content is not what its coding says.
    Malformed,
    TooLarge,
    NoMemory,
}

impl From<Failure> for Reject {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Malformed => Self::BadContentCoding,
            Failure::TooLarge => Self::BodyTooLarge,
            Failure::NoMemory => Self::NoMemory,
        }
    }
}

impl Decoder {
    pub fn new(coding: Coding) -> io::Result<Self> {
        let kind = match coding {
            Coding::Zstd => {
                let mut decoder = Zstd::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW))?;
                Kind::Zstd(decoder)
            }
            Coding::Brotli => {
                let alloc = Cells::default;
                // Without the large windows, of up to 1 GiB, that RFC 7932 does not have.
                Kind::Brotli(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())))
            }
            Coding::Gzip => Kind::Gzip(Decompress::new_gzip(15)),
        };
        Ok(Self { kind, is_whole: false, has_window: false })
    }

    /// Decompresses bytes, at most as many as there is room for in `out`, and takes them from `input`.
    /// Returns how many bytes were written. If `out` was filled, there may be more without more input.
    pub fn pull(&mut self, input: &mut &[u8], out: &mut [u8]) -> Result<usize, Failure> {
        let mut filled = 0;
        while filled < out.len() && !(self.is_whole && input.is_empty()) {
            if self.is_whole {
                self.begin_again()?;
            }
            let Step { taken, written, has_ended } = self.step(input, &mut out[filled..])?;
            *input = input.get(taken..).unwrap_or_default();
            filled += written;
            self.is_whole = has_ended;
            if taken == 0 && written == 0 && !has_ended {
                // It waits for more, unless it is at a loss.
                return if input.is_empty() { Ok(filled) } else { Err(Failure::Malformed) };
            }
        }
        Ok(filled)
    }

    /// Begins a frame after the one that has ended (RFC 8878 3.1, RFC 1952 2.2).
    fn begin_again(&mut self) -> Result<(), Failure> {
        self.is_whole = false;
        self.has_window = false;
        match &mut self.kind {
            Kind::Zstd(decoder) => decoder.reinit().map_err(|_| Failure::Malformed),
            Kind::Gzip(stream) => {
                *stream = Decompress::new_gzip(15);
                Ok(())
            }
            Kind::Brotli(_) => Err(Failure::Malformed),
        }
    }

    fn step(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Failure> {
        match &mut self.kind {
            Kind::Zstd(decoder) => {
                // It takes the memory for its window before it writes anything.
                let claim = (!self.has_window).then(|| MemoryClaim::new(memory(Coding::Zstd)));
                if matches!(claim, Some(None)) {
                    return Err(Failure::NoMemory);
                }
                let status = decoder.run_on_buffers(input, out).map_err(|_| Failure::Malformed)?;
                let (taken, written) = (status.bytes_read, status.bytes_written);
                self.has_window |= written > 0;
                Ok(Step { taken, written, has_ended: status.remaining == 0 })
            }
            Kind::Brotli(state) => {
                let (mut input_left, mut taken) = (input.len(), 0);
                let (mut room, mut written, mut total) = (out.len(), 0, 0);
                let result = BrotliDecompressStream(
                    &mut input_left,
                    &mut taken,
                    input,
                    &mut room,
                    &mut written,
                    out,
                    &mut total,
                    state,
                );
                match result {
                    BrotliResult::ResultFailure
                        if state.alloc_u8.is_refused
                            || state.alloc_u32.is_refused
                            || state.alloc_hc.is_refused =>
                    {
                        Err(Failure::NoMemory)
                    }
                    BrotliResult::ResultFailure => Err(Failure::Malformed),
                    result => {
                        Ok(Step { taken, written, has_ended: matches!(result, BrotliResult::ResultSuccess) })
                    }
                }
            }
            Kind::Gzip(stream) => {
                let before = (stream.total_in(), stream.total_out());
                let status = stream.decompress(input, out, FlushDecompress::None);
                let status = status.map_err(|_| Failure::Malformed)?;
                let since = |now: u64, then: u64| usize::try_from(now - then).map_err(|_| Failure::Malformed);
                Ok(Step {
                    taken: since(stream.total_in(), before.0)?,
                    written: since(stream.total_out(), before.1)?,
                    has_ended: status == Status::StreamEnd,
                })
            }
        }
    }

    /// Returns `true` if the content may end here.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }
}

/// The room for output that is taken at once.
const ROOM: usize = 16 * 1024;

/// Output that is larger than this is claimed before it is allocated.
const LARGE: usize = 64 * 1024;

/// Makes room for output, and fills it with zeros.
pub(super) fn extend(out: &mut Vec<u8>, room: usize) -> Result<(), Failure> {
    // The bytes before stay allocated until they have been moved.
    let length = out.len() + room;
    let claim = (length >= LARGE).then(|| MemoryClaim::new(length));
    if matches!(claim, Some(None)) || out.try_reserve_exact(room).is_err() {
        return Err(Failure::NoMemory);
    }
    out.resize(length, 0);
    Ok(())
}

/// Decompresses a whole body, to at most `limit` bytes.
pub(super) fn decode(coding: Coding, mut body: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let mut decoder = Decoder::new(coding).map_err(|_| Failure::NoMemory)?;
    let mut out: Vec<u8> = Vec::new();
    loop {
        let begun = out.len();
        // One byte more than may come, so that too much is noticed.
        let room = ROOM.max(begun).min((limit - begun).saturating_add(1));
        extend(&mut out, room)?;
        let written = decoder.pull(&mut body, &mut out[begun..])?;
        out.truncate(begun + written);
        if out.len() > limit {
            return Err(Failure::TooLarge);
        }
        if written < room {
            return if decoder.is_whole() { Ok(out) } else { Err(Failure::Malformed) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoder::{Method, encode};
    use super::*;

    const METHODS: [Method; 3] = [
        Method { coding: Coding::Zstd, level: 3 },
        Method { coding: Coding::Brotli, level: 4 },
        Method { coding: Coding::Gzip, level: 4 },
    ];

    fn pull_all(decoder: &mut Decoder, input: &mut &[u8], back: &mut Vec<u8>) {
        let mut out = [0; 100];
        loop {
            let written = decoder.pull(input, &mut out).unwrap();
            back.extend_from_slice(&out[..written]);
            if written < out.len() {
                assert!(input.is_empty());
                return;
            }
        }
    }

    #[test]
    fn content_comes_back_in_pieces_of_any_size() {
        let body: Vec<u8> = (0_u32..20_000).flat_map(|n| (n / 7).to_string().into_bytes()).collect();
        for method in METHODS {
            let coded = encode(method, &body).unwrap();
            for size in [1, 7, 1000, coded.len()] {
                let (mut decoder, mut back) = (Decoder::new(method.coding).unwrap(), Vec::new());
                for mut piece in coded.chunks(size) {
                    assert!(!decoder.is_whole());
                    pull_all(&mut decoder, &mut piece, &mut back);
                }
                assert!(decoder.is_whole());
                assert!(back == body, "{method:?} {size}");
            }
        }
    }

    #[test]
    fn members_that_follow_each_other_are_one_body() {
        for method in [METHODS[0], METHODS[2]] {
            let coded = [encode(method, b"one ").unwrap(), encode(method, b"two").unwrap()].concat();
            assert_eq!(decode(method.coding, &coded, 7).unwrap(), b"one two");
            let (mut decoder, mut back) = (Decoder::new(method.coding).unwrap(), Vec::new());
            for byte in &coded {
                pull_all(&mut decoder, &mut &[*byte][..], &mut back);
            }
            assert_eq!(back, b"one two", "{method:?}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit_in_bounded_memory() {
        for method in METHODS {
            let coded = encode(method, &vec![0; 8 << 20]).unwrap();
            assert!(coded.len() < 100_000, "{method:?}");
            assert_eq!(decode(method.coding, &coded, 100_000), Err(Failure::TooLarge), "{method:?}");
            // A step writes no more than there is room for.
            let (mut decoder, mut out, mut input) =
                (Decoder::new(method.coding).unwrap(), [1; 1000], &coded[..]);
            for _ in 0..3 {
                assert_eq!(decoder.pull(&mut input, &mut out), Ok(1000), "{method:?}");
            }
        }
    }

    #[test]
    fn the_limit_is_the_size_that_may_come() {
        for method in METHODS {
            for size in [1, 1000, 100_000] {
                let coded = encode(method, &vec![b'x'; size]).unwrap();
                assert_eq!(decode(method.coding, &coded, size).unwrap().len(), size, "{method:?}");
                assert_eq!(decode(method.coding, &coded, size - 1), Err(Failure::TooLarge), "{method:?}");
            }
        }
    }

    #[test]
    fn what_is_malformed_or_cut_short_is_refused() {
        for method in METHODS {
            let coded = encode(method, b"some text, some text, some text").unwrap();
            for length in 0..coded.len() {
                let cut = decode(method.coding, &coded[..length], 1000);
                assert_eq!(cut, Err(Failure::Malformed), "{method:?}, {length} bytes");
            }
            let junk: Vec<u8> = (0_u8..200).map(|n| n.wrapping_mul(31) ^ 0x5a).collect();
            assert_eq!(decode(method.coding, &junk, 1 << 20), Err(Failure::Malformed), "{method:?}");
        }
        let mut coded = encode(METHODS[2], b"text").unwrap();
        *coded.last_mut().unwrap() ^= 1;
        assert_eq!(decode(Coding::Gzip, &coded, 100), Err(Failure::Malformed), "the length of the trailer");
    }

    #[test]
    fn rfc9659_3_a_window_of_more_than_8_mib_is_refused() {
        // A frame whose header has a window of 16 MiB, and an empty last block (RFC 8878 3.1.1).
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (24 - 10) << 3, 0x01, 0, 0];
        assert_eq!(decode(Coding::Zstd, &frame, 100), Err(Failure::Malformed));
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (23 - 10) << 3, 0x01, 0, 0];
        assert_eq!(decode(Coding::Zstd, &frame, 100), Ok(Vec::new()));
    }
}
