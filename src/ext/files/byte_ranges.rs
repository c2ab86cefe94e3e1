//! The body of an answer with many parts of a file: multipart/byteranges (RFC 9110 14.6).

use std::collections::VecDeque;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::Stream;

use super::system::{Patience, read_exact};
use crate::Body;
use crate::Bytes;

/// The most bytes that one read takes.
const CHUNK: u64 = 64 * 1024;

/// A string that no file has by chance, and that nobody can guess.
pub(super) fn boundary() -> String {
    // Each has keys of its own, which come from the system.
    let half = || RandomState::new().hash_one(0_u8);
    format!("{:016x}{:016x}", half(), half())
}

/// Returns the body with these parts of the file.
pub(super) fn body(
    file: File,
    size: u64,
    parts: Vec<Range<u64>>,
    content_type: &str,
    boundary: &str,
) -> Body {
    let mut pieces = VecDeque::with_capacity(2 * parts.len() + 1);
    let mut length = 0;
    let mut line_end = "";
    for part in parts {
        let (first, last) = (part.start, part.end - 1);
        let head = format!(
            "{line_end}--{boundary}\r\ncontent-type: {content_type}\r\ncontent-range: bytes {first}-{last}/{size}\r\n\r\n"
        );
        length += head.len() as u64 + (part.end - part.start);
        pieces.push_back(Piece::Text(head.into()));
        pieces.push_back(Piece::Part(part));
        line_end = "\r\n";
    }
    let end = format!("\r\n--{boundary}--\r\n");
    length += end.len() as u64;
    pieces.push_back(Piece::Text(end.into()));
    Body::sized_stream(length, Pieces { file, pieces })
}

enum Piece {
    Text(Bytes),
    /// Bytes of the file that are not sent yet.
    Part(Range<u64>),
}

struct Pieces {
    file: File,
    pieces: VecDeque<Piece>,
}

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let Some(piece) = self.pieces.pop_front() else { return Poll::Ready(None) };
        let part = match piece {
            Piece::Text(text) => return Poll::Ready(Some(Ok(text))),
            Piece::Part(part) => part,
        };
        let length = (part.end - part.start).min(CHUNK);
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        if let Err(error) = read_exact(&self.file, &mut bytes, part.start, Patience::Blocking) {
            return Poll::Ready(Some(Err(error)));
        }
        let left = part.start + length..part.end;
        if !left.is_empty() {
            self.pieces.push_front(Piece::Part(left));
        }
        Poll::Ready(Some(Ok(bytes.into())))
    }
}
