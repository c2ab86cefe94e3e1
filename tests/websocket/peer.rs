//! A client that sends whatever bytes a test wants, and reads frames.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use transom::Handle;

use crate::common::PATIENCE;

// The first bytes of frames that are final.
pub const CONTINUATION: u8 = 0x80;
pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// A handshake for `/`.
pub const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Returns a masked frame with that first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ ..65536 => {
            frame.push(0x80 | 0x7e);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 0x7f);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Returns the code of a Close frame.
pub fn close_code(frame: Option<&(u8, Vec<u8>)>) -> Option<u16> {
    match frame {
        Some((CLOSE, payload)) => payload.first_chunk().map(|code| u16::from_be_bytes(*code)),
        _ => None,
    }
}

/// A client's connection after its handshake.
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Connects to `/`, with more fields in the handshake.
    pub fn connect(server: &Handle, fields: &str) -> Self {
        Self::connect_to(server, "/", fields)
    }

    pub fn connect_to(server: &Handle, path: &str, fields: &str) -> Self {
        let mut stream = TcpStream::connect(server.local_addr().to_string()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let head = HANDSHAKE.replacen('/', path, 1);
        let (head, end) = head.split_at(head.len() - 2);
        stream.write_all([head, fields, end].concat().as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend(byte);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
        Self { stream }
    }

    /// Returns the same connection, for another thread.
    pub fn again(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes. Returns `false` once the server has closed the connection.
    pub fn can_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Reads a frame that is not masked: its first byte and its payload. `None` at the end.
    pub fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.array())),
            127 => u64::from_be_bytes(self.array()),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).unwrap();
        Some((head[0], payload))
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads and drops everything up to the end.
    pub fn until_end(&mut self) {
        std::io::copy(&mut self.stream, &mut std::io::sink()).ok();
    }

    pub fn shutdown(&self, how: Shutdown) {
        self.stream.shutdown(how).ok();
    }
}
