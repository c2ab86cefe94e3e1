//! A part of a file that is being sent.

use std::fs::File;
use std::io;
use std::ops::Range;

use bytes::Bytes;

use crate::system::{apart, read_at, read_exact_at};

/// The part of a file that is not sent yet. The file's own position is not used.
pub(crate) struct FilePart {
    file: File,
    left: Range<u64>,
}

impl FilePart {
    /// The most bytes that one read takes.
    pub const CHUNK: u64 = 64 * 1024;
    /// The most bytes that are read of a file whose size is meaningless.
    const UNSIZED: usize = 4 * 1024 * 1024;

    /// Takes the bytes `range` of a regular file, or all of them.
    pub fn new(file: File, range: Option<Range<u64>>) -> io::Result<Self> {
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "only a regular file has a length to send",
            ));
        }
        let left = range.unwrap_or(0..about.len());
        if left.start > left.end || left.end > about.len() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("bytes {} to {} are not all in a file of {}", left.start, left.end, about.len()),
            ));
        }
        Ok(Self { file: apart(file)?, left })
    }

    pub fn len(&self) -> u64 {
        self.left.end - self.left.start
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the position of the next byte in the file.
    pub fn at(&self) -> u64 {
        self.left.start
    }

    /// Records that `length` bytes were sent.
    pub fn advance(&mut self, length: usize) {
        self.left.start += length as u64;
    }

    /// Reads the next bytes; none at the end. Fails if the file has become shorter.
    pub fn read(&mut self) -> io::Result<Bytes> {
        let mut bytes = self.room();
        let length = loop {
            match read_at(&self.file, &mut bytes, self.left.start) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if length == 0 && !bytes.is_empty() {
            return Err(shorter());
        }
        bytes.truncate(length);
        self.advance(length);
        Ok(bytes.into())
    }

    /// Reads all bytes. There must be no more than [`CHUNK`](Self::CHUNK).
    pub fn read_all(self) -> io::Result<Bytes> {
        let mut bytes = self.room();
        read_exact_at(&self.file, &mut bytes, self.left.start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => shorter(),
            _ => error,
        })?;
        Ok(bytes.into())
    }

    /// Reads all bytes up to the end of a file whose size is at most [`CHUNK`](Self::CHUNK). The
    /// system generates the files of `/proc` and `/sys` when they are read: their size is 0, or
    /// more than they hold (proc(5), sysfs(5)).
    pub fn read_to_end(self) -> io::Result<Bytes> {
        let sized = self.len() > 0;
        let mut bytes = if sized { self.room() } else { vec![0; 4096] };
        let mut filled = 0;
        loop {
            if filled == bytes.len() {
                if sized {
                    break;
                }
                if filled >= Self::UNSIZED {
                    return Err(io::Error::new(
                        io::ErrorKind::FileTooLarge,
                        format!("a file whose size is not known holds more than {} bytes", Self::UNSIZED),
                    ));
                }
                bytes.try_reserve_exact(filled)?;
                bytes.resize(2 * filled, 0);
            }
            match read_at(&self.file, &mut bytes[filled..], self.left.start + filled as u64) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes.into())
    }

    fn room(&self) -> Vec<u8> {
        vec![0; usize::try_from(self.len().min(Self::CHUNK)).unwrap_or_default()]
    }
}

fn shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter")
}
