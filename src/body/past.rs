//! What of a body went past its pipe, for the connection that sends the rest.

use std::io;

use bytes::Bytes;

/// The chunks that went past a pipe.
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
