//! The part of a body that its writer has sent itself, past the pipe to the connection.

use std::io;

use bytes::Bytes;

/// The chunks that a writer has sent itself, summed up.
pub(crate) struct Past {
    /// The bytes of the chunks.
    pub bytes: u64,
    /// The bytes that were written, with those that frame the chunks.
    pub octets: usize,
    /// The end of the last chunk, framed, which was not written. The error is `OutOfMemory`.
    pub rest: io::Result<Bytes>,
}

impl Default for Past {
    fn default() -> Self {
        Self { bytes: 0, octets: 0, rest: Ok(Bytes::new()) }
    }
}
