//! A compressor of one coding, over bytes. It knows nothing of messages.

use std::cell::RefCell;
use std::io::{self, Write as _};
use std::mem;

use brotli::CompressorWriter;
use flate2::{Compress, FlushCompress};
use zstd::stream::raw::{CParameter, Encoder as Zstd, InBuffer, Operation as _, OutBuffer};

use super::super::accept_encoding::Coding;
use crate::MemoryClaim;

/// The least room for output.
const ROOM: usize = 1024;
/// Bodies up to this size are short.
const SHORT: usize = 16 * 1024;
/// Compressors that a thread keeps for whole bodies.
const SPARES: usize = 4;
/// The largest window of a whole body, as a power of two: the least that all decoders must support is 8
/// MiB (RFC 9659 3), and larger bodies are streams.
const WINDOW: u32 = 20;
/// The window of a stream, and its tables, as powers of two. They hold a stream at 250 KiB instead of 800
/// (50 events of 100 bytes, 2026-11).
const STREAM_WINDOW: u32 = 16;
const STREAM_TABLE: u32 = 14;
/// The windows of brotli: a stream holds 720 KiB with 16 bits and 9 MiB with 22 (2026-11).
const BROTLI_WINDOW: u32 = 18;
const BROTLI_STREAM_WINDOW: u32 = 16;
/// The window of a stream at one of the levels 5 to 9: with 16 bits, brotli takes tables of 34 MiB for any of them,
/// instead of 4 for level 5 (2026-11).
const BROTLI_WIDER_WINDOW: u32 = 17;
/// The bytes that brotli hands on at once.
const BROTLI_BUFFER: usize = 4096;

thread_local! {
    static KEPT: RefCell<Vec<(Method, Encoder)>> = const { RefCell::new(Vec::new()) };
}

/// A coding and its level. Higher levels take more time and make less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub coding: Coding,
    pub level: u32,
}

impl Method {
    /// The levels of a coding.
    pub const fn levels(coding: Coding) -> (u32, u32) {
        match coding {
            Coding::Zstd => (1, 19),
            Coding::Brotli => (0, 11),
            Coding::Gzip => (1, 9),
        }
    }

    /// The level for content that is compressed for one response.
    pub const fn default_level(coding: Coding) -> u32 {
        match coding {
            Coding::Zstd => 3,
            Coding::Brotli | Coding::Gzip => 4,
        }
    }

    /// Returns a bound on the memory that a compressor takes, for a stream or a whole body of up to 1 MiB. It
    /// was measured for each level with texts, zeros and noise, and is at least a fifth more (2026-11).
    const fn memory(self, is_stream: bool) -> usize {
        let mib = match (self.coding, self.level, is_stream) {
            (Coding::Gzip, _, _) => 1,
            (Coding::Zstd, _, true) => 2,
            (Coding::Zstd, 0..=6, false) => 6,
            (Coding::Zstd, 7..=9, false) => 15,
            (Coding::Zstd, 10..=11, false) => 27,
            (Coding::Zstd, _, false) => 101,
            (Coding::Brotli, 0..=3, _) => 3,
            (Coding::Brotli, 4, true) => 4,
            (Coding::Brotli, 4..=6, _) => 10,
            (Coding::Brotli, 7, _) => 16,
            (Coding::Brotli, 8, _) => 26,
            (Coding::Brotli, 10, _) => 18,
            (Coding::Brotli, _, _) => 46,
        };
        mib << 20
    }
}

/// Claims the memory that a compressor is about to take.
fn claim(bytes: usize) -> io::Result<MemoryClaim> {
    MemoryClaim::new(bytes).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// The handling of the bytes that the compressor holds back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// It goes on to hold them: later bytes may be like them.
    None,
    /// They are written, and the stream goes on.
    All,
    /// They are written, and the stream ends.
    End,
}

pub(super) enum Encoder {
    Zstd(Zstd<'static>),
    /// A stream has a method: brotli takes memory while it compresses, and the rest of this folder claims it
    /// only for whole bodies.
    Brotli(Brotli, Option<Method>),
    Gzip(Compress),
}

/// Boxed because it is large. `None` after the end.
type Brotli = Option<Box<CompressorWriter<Vec<u8>>>>;

impl Encoder {
    /// Returns a compressor for a stream. Fails if there is no memory for it.
    pub fn of_stream(method: Method) -> io::Result<Self> {
        let _claim = claim(method.memory(true))?;
        let mut encoder = Self::new(method, true)?;
        if let Self::Zstd(encoder) = &mut encoder {
            // It takes all its memory now.
            encoder.run(&mut InBuffer::around(b""), &mut OutBuffer::around(&mut [0; 16][..]))?;
        }
        Ok(encoder)
    }

    fn new(method: Method, is_stream: bool) -> io::Result<Self> {
        let Method { coding, level } = method;
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = Zstd::new(level.cast_signed())?;
                if is_stream {
                    encoder.set_parameter(CParameter::WindowLog(STREAM_WINDOW))?;
                    encoder.set_parameter(CParameter::HashLog(STREAM_TABLE))?;
                    encoder.set_parameter(CParameter::ChainLog(STREAM_TABLE))?;
                } else {
                    encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
                }
                Self::Zstd(encoder)
            }
            Coding::Brotli => {
                let window = match level {
                    _ if !is_stream => BROTLI_WINDOW,
                    5..=9 => BROTLI_WIDER_WINDOW,
                    _ => BROTLI_STREAM_WINDOW,
                };
                let writer = CompressorWriter::new(Vec::new(), BROTLI_BUFFER, level, window);
                Self::Brotli(Some(Box::new(writer)), is_stream.then_some(method))
            }
            Coding::Gzip => Self::Gzip(Compress::new_gzip(flate2::Compression::new(level), 15)),
        })
    }

    /// Compresses bytes and appends the output.
    pub fn push(&mut self, input: &[u8], flush: Flush, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => push_zstd(encoder, input, flush, out),
            Self::Brotli(writer, method) => {
                let _claim = method.map(|method| claim(method.memory(true))).transpose()?;
                push_brotli(writer, input, flush, out)
            }
            Self::Gzip(stream) => push_gzip(stream, input, flush, out),
        }
    }

    /// Makes the compressor ready for another body. Returns `false` if it cannot be used again.
    fn reset(&mut self) -> bool {
        match self {
            Self::Zstd(encoder) => encoder.reinit().is_ok(),
            Self::Brotli(_, _) => false,
            Self::Gzip(stream) => {
                stream.reset();
                true
            }
        }
    }
}

/// Compresses a whole body, with a compressor that this thread keeps.
pub(super) fn encode(method: Method, body: &[u8]) -> io::Result<Vec<u8>> {
    let kept = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        kept.iter().position(|(of, _)| *of == method).map(|place| kept.swap_remove(place).1)
    });
    let kept = kept.ok().flatten();
    // One that is kept has its memory. The headroom is enough for the output of a short body.
    let taken = if kept.is_some() { 0 } else { method.memory(false) };
    let output = if body.len() <= SHORT { 0 } else { body.len() };
    let _claim = (taken + output > 0).then(|| claim(taken + output)).transpose()?;
    let mut encoder = match kept {
        Some(encoder) => encoder,
        None => Encoder::new(method, false)?,
    };
    let mut out = Vec::new();
    out.try_reserve(body.len() / 4 + ROOM)?;
    encoder.push(body, Flush::End, &mut out)?;
    if encoder.reset() {
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < SPARES {
                kept.push((method, encoder));
            }
        });
    }
    Ok(out)
}

fn push_zstd(encoder: &mut Zstd<'_>, input: &[u8], flush: Flush, out: &mut Vec<u8>) -> io::Result<()> {
    let mut input = InBuffer::around(input);
    loop {
        out.try_reserve(ROOM)?;
        let room = out.capacity();
        let begun = out.len();
        let mut output = OutBuffer::around_pos(out, begun);
        let left = if input.pos() < input.src.len() {
            encoder.run(&mut input, &mut output)?;
            1
        } else {
            match flush {
                Flush::None => 0,
                Flush::All => encoder.flush(&mut output)?,
                Flush::End => encoder.finish(&mut output, true)?,
            }
        };
        if left == 0 && out.len() < room {
            return Ok(());
        }
    }
}

fn push_brotli(writer: &mut Brotli, input: &[u8], flush: Flush, out: &mut Vec<u8>) -> io::Result<()> {
    let Some(encoder) = writer else { return Ok(()) };
    encoder.write_all(input)?;
    match flush {
        Flush::None => {}
        Flush::All => encoder.flush()?,
        Flush::End => {
            if let Some(encoder) = writer.take() {
                out.extend_from_slice(&encoder.into_inner());
            }
            return Ok(());
        }
    }
    out.append(&mut mem::take(encoder.get_mut()));
    Ok(())
}

fn push_gzip(stream: &mut Compress, mut input: &[u8], flush: Flush, out: &mut Vec<u8>) -> io::Result<()> {
    let how = match flush {
        Flush::None => FlushCompress::None,
        Flush::All => FlushCompress::Sync,
        Flush::End => FlushCompress::Finish,
    };
    loop {
        out.try_reserve(ROOM)?;
        let before = stream.total_in();
        let status = stream.compress_vec(input, out, how)?;
        let taken = usize::try_from(stream.total_in() - before).unwrap_or(input.len());
        input = input.get(taken..).unwrap_or_default();
        let has_room = out.len() < out.capacity();
        if status == flate2::Status::StreamEnd || (flush != Flush::End && input.is_empty() && has_room) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::decoder::{Decoder, decode};
    use super::*;

    /// Text that is like JSON.
    fn text(length: usize) -> Vec<u8> {
        let lines = (0_u32..)
            .map(|n| format!("{{\"id\":{},\"name\":\"user {}\"}}\n", n.wrapping_mul(2_654_435_761), n % 97));
        lines.flat_map(String::into_bytes).take(length).collect()
    }

    #[test]
    fn a_body_comes_back_whole() {
        for coding in Coding::ALL {
            let (least, most) = Method::levels(coding);
            for level in [least, Method::default_level(coding), most] {
                let method = Method { coding, level };
                for length in [0, 1, 1000, 20_000, if level == most { 0 } else { 300_000 }] {
                    let body = text(length);
                    let coded = encode(method, &body).unwrap();
                    assert!(length < 1000 || coded.len() < length / 2, "{method:?} {length} {}", coded.len());
                    assert!(decode(coding, &coded, usize::MAX).unwrap() == body, "{method:?} {length}");
                }
            }
        }
    }

    #[test]
    fn what_is_flushed_can_be_read_at_once() {
        for coding in Coding::ALL {
            let method = Method { coding, level: Method::default_level(coding) };
            let mut encoder = Encoder::of_stream(method).unwrap();
            let mut decoder = Decoder::new(coding).unwrap();
            let mut read = |coded: &[u8]| {
                let mut out = [0; 100];
                let written = decoder.pull(&mut &coded[..], &mut out).unwrap();
                (out[..written].to_vec(), decoder.is_whole())
            };
            for event in ["data: one\n\n", "data: two\n\n", ""] {
                let mut coded = Vec::new();
                encoder.push(event.as_bytes(), Flush::All, &mut coded).unwrap();
                assert_eq!(read(&coded), (event.as_bytes().to_vec(), false), "{coding:?}");
            }
            let mut coded = Vec::new();
            encoder.push(b"end", Flush::None, &mut coded).unwrap();
            encoder.push(b"", Flush::End, &mut coded).unwrap();
            assert_eq!(read(&coded), (b"end".to_vec(), true), "{coding:?}");
        }
    }
}
