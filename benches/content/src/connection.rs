//! A kept-alive connection of the load.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context as _, Result, ensure};

/// The properties in which all answers of a run must be alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The bytes of the body as they came, with the sizes of chunks.
    pub length: u64,
}

/// How far an answer has come.
enum Progress {
    Head(Vec<u8>),
    /// Bytes of the body that have come, and how many there are.
    Body(u16, u64, u64),
    /// The bytes of a chunked body so far, and its last ones.
    Chunks(u16, u64, Vec<u8>),
}

pub struct Connection {
    stream: TcpStream,
    progress: Progress,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// The end of a chunked body. The chance that compressed bytes at the end of a read look the same is
/// negligible, and the next answer would then be refused.
const LAST: &[u8] = b"\r\n0\r\n\r\n";

impl Connection {
    pub fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, progress: Progress::Head(Vec::new()) })
    }

    /// Sends a request, which the buffer of the socket has room for.
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.progress = Progress::Head(Vec::new());
        let sent = self.stream.write(request)?;
        ensure!(sent == request.len(), "the socket took {sent} bytes of {}", request.len());
        Ok(())
    }

    /// Reads what has come, and returns the answer if it is whole.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<Answer>> {
        loop {
            let length = match self.stream.read(buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            ensure!(length > 0, "the server has closed the connection");
            if let Some(answer) = self.take(&buffer[..length])? {
                return Ok(Some(answer));
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Option<Answer>> {
        match &mut self.progress {
            Progress::Head(head) => {
                head.extend_from_slice(bytes);
                let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
                let rest = head.split_off(end + 4);
                self.progress = begin(&String::from_utf8_lossy(head).to_ascii_lowercase())?;
                self.take(&rest)
            }
            Progress::Body(status, came, whole) => {
                *came += bytes.len() as u64;
                ensure!(came <= whole, "{came} bytes came of {whole}");
                let answer = Answer { status: *status, length: *whole };
                Ok((came == whole).then_some(answer))
            }
            Progress::Chunks(status, came, last) => {
                *came += bytes.len() as u64;
                last.extend_from_slice(&bytes[bytes.len().saturating_sub(LAST.len())..]);
                last.drain(..last.len().saturating_sub(LAST.len()));
                let answer = Answer { status: *status, length: *came };
                Ok((last == LAST).then_some(answer))
            }
        }
    }
}

/// Reads a head in lower case.
fn begin(head: &str) -> Result<Progress> {
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    if status == 304 {
        return Ok(Progress::Body(status, 0, 0));
    }
    for line in head.lines() {
        match line.split_once(':') {
            Some(("content-length", length)) => return Ok(Progress::Body(status, 0, length.trim().parse()?)),
            Some(("transfer-encoding", _)) => return Ok(Progress::Chunks(status, 0, Vec::new())),
            _ => {}
        }
    }
    anyhow::bail!("no length: {head}")
}
