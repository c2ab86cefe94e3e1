//! A client: a connection that sends one message again and again, and counts what comes back.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// A message to send.
pub struct Message {
    /// The bytes as they are sent, before they are masked.
    payload: Vec<u8>,
    /// The bytes that come back, decompressed.
    text: Vec<u8>,
    is_compressed: bool,
}

impl Message {
    /// Makes a text of that size, in lines of JSON.
    pub fn new(size: usize, is_compressed: bool) -> Self {
        let mut text = String::new();
        let mut number = 0_u32;
        while text.len() < size {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text +=
                &format!("{{\"price\": {}, \"amount\": {}, \"side\": \"buy\"}}\n", number >> 12, number % 97);
        }
        text.truncate(size);
        let payload = if is_compressed { deflate(text.as_bytes()) } else { text.clone().into_bytes() };
        Self { payload, text: text.into_bytes(), is_compressed }
    }

    /// Returns the frame of a client.
    fn frame(&self, key: u32) -> Vec<u8> {
        let mut frame = vec![0x81 | u8::from(self.is_compressed) << 6];
        let length = self.payload.len();
        match u16::try_from(length) {
            Ok(length @ ..126) => frame.push(0x80 | length.to_le_bytes()[0]),
            Ok(length) => {
                frame.push(0x80 | 126);
                frame.extend(length.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        let key = key.to_be_bytes();
        frame.extend(key);
        frame.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1024);
    let mut compress = Compress::new(Compression::new(6), false);
    compress.compress_vec(text, &mut out, FlushCompress::Sync).expect("there is room");
    out.truncate(out.len() - 4);
    out
}

/// The head of a frame that comes, until it is whole; then how much of its payload is left.
#[derive(Default)]
struct Incoming {
    head: [u8; 10],
    has: usize,
    left: u64,
}

impl Incoming {
    /// Takes bytes, and returns how many messages end in them.
    fn take(&mut self, mut bytes: &[u8]) -> Result<u64> {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.has < self.needs() {
                self.head[self.has] = bytes[0];
                self.has += 1;
                bytes = &bytes[1..];
                if self.has < self.needs() {
                    continue;
                }
                ensure!(self.head[0] & 0xf != 8, "the server closes");
                self.left = self.length();
            } else {
                let taken = usize::try_from(self.left)?.min(bytes.len());
                bytes = &bytes[taken..];
                self.left -= taken as u64;
            }
            if self.has >= self.needs() && self.left == 0 {
                // The end of a message, not of a Ping.
                ended += u64::from(self.head[0] & 0x88 == 0x80);
                self.has = 0;
            }
        }
        Ok(ended)
    }

    fn needs(&self) -> usize {
        match (self.has, self.head[1]) {
            (..2, _) => 2,
            (_, 126) => 4,
            (_, 127) => 10,
            _ => 2,
        }
    }

    fn length(&self) -> u64 {
        match self.head[1] {
            126 => u16::from_be_bytes([self.head[2], self.head[3]]).into(),
            127 => self.head[2..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            length => length.into(),
        }
    }
}

pub struct Client {
    stream: TcpStream,
    frame: Vec<u8>,
    /// How much of the frame is sent.
    sent: usize,
    /// True while a message is to come back.
    waits: bool,
    incoming: Incoming,
    buffer: Box<[u8]>,
}

impl Client {
    /// Connects, and looks that a message comes back as it was sent.
    pub fn connect(port: u16, path: &str, message: &Message, number: u32) -> Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let extension = if message.is_compressed {
            "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
        } else {
            ""
        };
        // In one write: uWebSockets answers a request line in two pieces with a 505.
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n{extension}\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        ensure!(head.starts_with("http/1.1 101 "), "no WebSocket: {head}");
        ensure!(head.contains("permessage-deflate") == message.is_compressed, "compression differs");
        let key = number.wrapping_mul(2_654_435_761) | 0x0101_0101;
        let frame = message.frame(key);
        let sent = frame.len();
        let buffer = vec![0; 64 * 1024].into_boxed_slice();
        let mut client = Self { stream, frame, sent, waits: false, incoming: Incoming::default(), buffer };
        if path == "/echo" {
            client.try_out(message)?;
        }
        client.stream.set_nonblocking(true)?;
        Ok(client)
    }

    fn try_out(&mut self, message: &Message) -> Result<()> {
        let (mut writer, frame) = (self.stream.try_clone()?, self.frame.clone());
        // A server may send the begin of a long message before it has read the end.
        let sending = std::thread::spawn(move || writer.write_all(&frame));
        let mut payload = Vec::new();
        let mut is_compressed = false;
        loop {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head)?;
            let length = match head[1] {
                126 => {
                    let mut length = [0; 2];
                    self.stream.read_exact(&mut length)?;
                    u16::from_be_bytes(length).into()
                }
                127 => {
                    let mut length = [0; 8];
                    self.stream.read_exact(&mut length)?;
                    u64::from_be_bytes(length)
                }
                length => length.into(),
            };
            is_compressed |= head[0] & 0x40 != 0;
            let begin = payload.len();
            payload.resize(begin + usize::try_from(length)?, 0);
            self.stream.read_exact(&mut payload[begin..])?;
            if head[0] & 0x80 != 0 {
                break;
            }
        }
        if let Err(error) = sending.join().expect("it does not panic") {
            bail!("the message was not sent: {error}");
        }
        if is_compressed {
            payload.extend([0, 0, 0xff, 0xff]);
            let mut text = Vec::with_capacity(message.text.len() + 64);
            Decompress::new(false).decompress_vec(&payload, &mut text, FlushDecompress::Sync)?;
            payload = text;
        }
        ensure!(payload == message.text, "another message comes back");
        Ok(())
    }

    /// Begins to send the message.
    pub fn begin(&mut self) -> Result<()> {
        self.sent = 0;
        self.waits = true;
        self.write()
    }

    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Writes and reads as far as it goes. Returns how many messages came.
    pub fn work(&mut self, again: bool) -> Result<u64> {
        self.write()?;
        let mut received = 0;
        loop {
            match self.stream.read(&mut self.buffer) {
                Ok(0) => bail!("the server has closed the connection"),
                Ok(length) => {
                    let came = self.incoming.take(&self.buffer[..length])?;
                    received += came;
                    if came > 0 {
                        self.waits = false;
                        if again {
                            self.begin()?;
                        }
                    }
                    // The socket was empty: the next byte is an event of its own.
                    if length < self.buffer.len() {
                        return Ok(received);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(received),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn write(&mut self) -> Result<()> {
        while self.sent < self.frame.len() {
            match self.stream.write(&self.frame[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
