//! A decoder of the chunked transfer coding (RFC 9112 7.1), over slices.

use std::ops::Range;

use super::trailers;
use crate::config::Limits;
use crate::error::Reject;
use crate::fields::{Headers, is_token};

/// The most hex digits that a chunk size may have.
const SIZE_DIGITS: u8 = 16;

/// A decoder of one chunked body, which keeps its position between slices.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    state: ChunkState,
    /// The bytes left of this chunk. While the size is read: the size so far.
    left: u64,
    /// The bytes of data that were decoded so far.
    data: u64,
    /// The bytes of chunk extensions so far.
    extensions: u64,
    /// The trailer section so far, as received.
    trailers: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ChunkState {
    #[default]
    SizeStart,
    Size(u8),
    /// White space after the size. Only an extension may follow.
    Gap,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

/// The result of one step: the number of bytes consumed, and the range of data among them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub consumed: usize,
    pub data: Range<usize>,
}

impl Chunked {
    /// Returns `true` if the body has ended.
    pub fn is_done(&self) -> bool {
        self.state == ChunkState::End
    }

    /// Returns the trailer fields, once the body has ended.
    pub fn trailers(&self) -> Headers {
        trailers::received(&self.trailers)
    }

    /// Decodes `input` up to the end of its first range of data, or all of it if it holds no data.
    pub fn decode(&mut self, input: &[u8], limits: &Limits) -> Result<Step, Reject> {
        let mut at = 0;
        while let Some(&b) = input.get(at) {
            if self.state == ChunkState::Data {
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len() - at);
                self.left -= length as u64;
                self.data += length as u64;
                if self.left == 0 {
                    self.state = ChunkState::DataCr;
                }
                return Ok(Step { consumed: at + length, data: at..at + length });
            }
            if self.state == ChunkState::End {
                break;
            }
            self.state = self.next(b, limits)?;
            at += 1;
        }
        Ok(Step { consumed: at, data: 0..0 })
    }

    fn next(&mut self, b: u8, limits: &Limits) -> Result<ChunkState, Reject> {
        match (self.state, b) {
            (ChunkState::SizeStart, _) => {
                self.left = hex(b).ok_or(Reject::BadChunk)?;
                Ok(ChunkState::Size(1))
            }
            (ChunkState::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < SIZE_DIGITS => {
                // Sixteen digits fit into a `u64`.
                self.left = self.left << 4 | hex(b).unwrap_or_default();
                Ok(ChunkState::Size(digits + 1))
            }
            (ChunkState::Size(_) | ChunkState::Extension, b'\r') => Ok(ChunkState::SizeLf),
            (ChunkState::Size(_) | ChunkState::Gap, b' ' | b'\t') => self.extension(ChunkState::Gap, limits),
            (ChunkState::Size(_) | ChunkState::Gap, b';') => self.extension(ChunkState::Extension, limits),
            (ChunkState::Extension, b) if is_text(b) => self.extension(ChunkState::Extension, limits),
            (ChunkState::SizeLf, b'\n') => {
                Ok(if self.left == 0 { ChunkState::TrailerStart } else { ChunkState::Data })
            }
            (ChunkState::DataCr, b'\r') => Ok(ChunkState::DataLf),
            (ChunkState::DataLf, b'\n') => Ok(ChunkState::SizeStart),
            (ChunkState::TrailerStart, b'\r') => Ok(ChunkState::EndLf),
            (ChunkState::TrailerStart | ChunkState::TrailerName, b) if is_token(b) => {
                self.trailer(b, ChunkState::TrailerName, limits)
            }
            (ChunkState::TrailerName, b':') => self.trailer(b, ChunkState::TrailerValue, limits),
            (ChunkState::TrailerValue, b'\r') => self.trailer(b, ChunkState::TrailerLf, limits),
            (ChunkState::TrailerValue, b) if is_text(b) => self.trailer(b, ChunkState::TrailerValue, limits),
            (ChunkState::TrailerLf, b'\n') => self.trailer(b, ChunkState::TrailerStart, limits),
            (ChunkState::EndLf, b'\n') => Ok(ChunkState::End),
            (
                ChunkState::TrailerStart
                | ChunkState::TrailerName
                | ChunkState::TrailerValue
                | ChunkState::TrailerLf
                | ChunkState::EndLf,
                _,
            ) => Err(Reject::BadTrailer),
            _ => Err(Reject::BadChunk),
        }
    }

    /// Counts an byte of an extension. The limit applies to the bytes beyond those of the data,
    /// so that each chunk of a long body may have an extension.
    fn extension(&mut self, next: ChunkState, limits: &Limits) -> Result<ChunkState, Reject> {
        self.extensions += 1;
        if self.extensions > self.data.saturating_add(limits.chunk_extensions as u64) {
            return Err(Reject::ChunkExtensionsTooLarge);
        }
        Ok(next)
    }

    fn trailer(&mut self, b: u8, next: ChunkState, limits: &Limits) -> Result<ChunkState, Reject> {
        self.trailers.push(b);
        if self.trailers.len() > limits.trailers { Err(Reject::TrailersTooLarge) } else { Ok(next) }
    }
}

fn hex(b: u8) -> Option<u64> {
    (b as char).to_digit(16).map(u64::from)
}

/// Returns `true` if the byte may stand in an extension or in a trailer's value: no control byte
/// except HTAB.
const fn is_text(b: u8) -> bool {
    b == b'\t' || (b >= 0x20 && b != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` in pieces of `size`. Returns the data and the number of bytes consumed.
    fn decode(input: &[u8], size: usize) -> Result<Option<(Vec<u8>, usize)>, Reject> {
        let (mut decoder, mut data, mut consumed) = (Chunked::default(), Vec::new(), 0);
        for piece in input.chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() && !decoder.is_done() {
                let step = decoder.decode(rest, &Limits::default())?;
                data.extend_from_slice(&rest[step.data]);
                rest = &rest[step.consumed..];
                consumed += step.consumed;
            }
        }
        Ok(decoder.is_done().then_some((data, consumed)))
    }

    #[test]
    fn rfc9112_7_1_decodes_at_every_split() {
        let input = b"4;a=\"b c\"\r\nWiki\r\n5 ;x\r\npedia\r\n000\r\nX-T: v \r\nY:\r\n\r\nGET";
        for size in 1..=input.len() {
            assert_eq!(
                decode(input, size),
                Ok(Some((b"Wikipedia".to_vec(), input.len() - 3))),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn rfc9112_7_1_malformed_is_refused_at_every_split() {
        let bad: &[&[u8]] = &[
            b"\r\n",
            b"+1\r\na",
            b"-1\r\n",
            b"0x1\r\na",
            b" 1\r\na",
            b"1 \r\na",
            b"1\na",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"g\r\n",
            b"10000000000000005\r\n",
            b"1;\x00\r\na",
            b"1;a\na",
            b"1\rXa",
            b"0\r\n\n",
            b"0\r\nGET / HTTP/1.1\r\n",
            b"0\r\n a: b\r\n",
            b"0\r\n: b\r\n",
            b"0\r\na\r\n",
            b"0\r\na: b\n",
            b"0\r\n\rX",
        ];
        for input in bad {
            for size in 1..=input.len() {
                let refused = decode(input, size);
                assert!(
                    matches!(refused, Err(Reject::BadChunk | Reject::BadTrailer)),
                    "{} in pieces of {size}: {refused:?}",
                    input.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn the_largest_size_does_not_wrap() {
        let mut decoder = Chunked::default();
        decoder.decode(b"ffffffffffffffff\r\n", &Limits::default()).unwrap();
        let step = decoder.decode(b"abc", &Limits::default()).unwrap();
        assert_eq!(step, Step { consumed: 3, data: 0..3 });
        assert_eq!(decoder.left, u64::MAX - 3);
    }

    #[test]
    fn limits_of_extensions_and_trailers() {
        let limits = Limits { chunk_extensions: 4, trailers: 8, ..Limits::default() };
        let decode = |input: &[u8]| Chunked::default().decode(input, &limits).map(|_| ());
        assert_eq!(decode(b"1;abc\r\n"), Ok(()));
        assert_eq!(decode(b"1;abcd\r\n"), Err(Reject::ChunkExtensionsTooLarge));
        assert_eq!(decode(b"0\r\na: bcd\r\n\r\n"), Ok(()));
        assert_eq!(decode(b"0\r\na: bcde\r\n\r\n"), Err(Reject::TrailersTooLarge));
    }
}
