//! What a thread needs that sends a chunk of a body, or receives a part of one, itself, past the thread of the
//! connection.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::Bytes;

/// A socket to which any thread may write that its connection lets.
pub(crate) trait SharedSocket: Send + Sync {
    /// Writes without waiting, and returns the number of bytes that were written.
    fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// A socket that another thread reads while its connection does not.
pub(crate) trait SharedReads: Send + Sync {
    /// Reads without waiting, and returns the number of bytes that were read, 0 at the end.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Blocks the thread until a read would not wait, for at most so long. Returns `false` if it still would.
    fn wait_readable(&self, timeout: Duration) -> bool;
}

/// Writes a chunk of a body to the client as its connection would, while the connection has nothing to write.
pub(crate) trait Shortcut: Send + Sync {
    /// Writes a chunk without waiting. Returns `None` if nothing of it was written.
    fn send(&self, chunk: &[u8]) -> Option<Sent>;
}

/// A chunk that was written, whole or in part.
pub(crate) struct Sent {
    /// The number of bytes that were written, with those that frame the chunk.
    pub octets: usize,
    /// The rest, which the connection must write before all else, as it is. The error is `OutOfMemory`.
    pub rest: io::Result<Bytes>,
}
