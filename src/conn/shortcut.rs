//! The socket of a connection, for a writer that sends chunks of the body itself.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;

use crate::base::memory::make_room;
use crate::base::shortcut::{Sent, SharedSocket, Shortcut};
use crate::http1::{CHUNK_END, chunk_start};

/// The socket of a connection, with the framing of the body that it sends.
pub(super) struct FramedSocket {
    pub socket: Arc<dyn SharedSocket>,
    pub chunked: bool,
}

impl Shortcut for FramedSocket {
    fn send(&self, chunk: &[u8]) -> Option<Sent> {
        let (text, length) = chunk_start(chunk.len());
        let parts = if self.chunked { [&text[..length], chunk, CHUNK_END] } else { [&[], chunk, &[]] };
        // After an error, the connection writes the chunk, and gets the error itself.
        let octets = self.socket.send(&parts.map(IoSlice::new)).ok().filter(|octets| *octets > 0)?;
        Some(Sent { octets, rest: rest(parts, octets) })
    }
}

/// Returns what follows the first `written` bytes of the parts.
fn rest(parts: [&[u8]; 3], mut written: usize) -> io::Result<Bytes> {
    let left = parts.map(|part| {
        let skipped = written.min(part.len());
        written -= skipped;
        &part[skipped..]
    });
    let mut rest = Vec::new();
    let length: usize = left.iter().map(|part| part.len()).sum();
    if length > 0 {
        make_room(&mut rest, length, 0).map_err(|_| io::ErrorKind::OutOfMemory)?;
        for part in left {
            rest.extend_from_slice(part);
        }
    }
    Ok(rest.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A socket that takes so many bytes, and then no more.
    struct Narrow(usize, Mutex<Vec<u8>>);

    impl SharedSocket for Narrow {
        fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let mut taken = self.1.lock().unwrap();
            let room = self.0 - taken.len();
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(room).collect();
            taken.extend_from_slice(&bytes);
            if bytes.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(bytes.len()) }
        }
    }

    #[test]
    fn what_was_sent_and_the_rest_are_the_chunk() {
        for (chunked, whole) in [(true, &b"b\r\nhello world\r\n"[..]), (false, b"hello world")] {
            for room in 0..=whole.len() {
                let socket = Arc::new(Narrow(room, Mutex::default()));
                let framed = FramedSocket { socket: Arc::clone(&socket) as _, chunked };
                let sent = framed.send(b"hello world");
                let mut all = socket.1.lock().unwrap().clone();
                assert_eq!(all.len(), room);
                assert_eq!(sent.as_ref().map_or(0, |sent| sent.octets), room);
                let Some(sent) = sent else { continue };
                all.extend_from_slice(&sent.rest.unwrap());
                assert_eq!(all, whole, "after {room} bytes");
            }
        }
    }
}
