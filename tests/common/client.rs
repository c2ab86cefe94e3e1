//! A blocking HTTP client that takes nothing for granted.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use transom::{Address, Handle};

use super::PATIENCE;

/// One connection, over TCP or a Unix socket. Reads and writes give up after
/// [`PATIENCE`], so that a test that goes wrong ends.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    /// What was read and not yet used.
    pending: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Client {
    /// Connects to the first address of a server.
    #[track_caller]
    pub fn connect(server: &Handle) -> Self {
        Self::connect_to(server.local_addr())
    }

    #[track_caller]
    pub fn connect_to(address: &Address) -> Self {
        match address {
            Address::Tcp(address) => Self::tcp(*address),
            Address::Unix(path) => Self::unix(path),
            _ => panic!("an address of a new kind"),
        }
    }

    #[track_caller]
    pub fn tcp(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        Self::join(socket, &address.into())
    }

    #[track_caller]
    pub fn unix(path: &Path) -> Self {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        Self::join(socket, &SockAddr::unix(path).unwrap())
    }

    /// Connects with the smallest receive buffer there is, so that little of
    /// what it does not read is on its way.
    #[track_caller]
    pub fn narrow(server: &Handle) -> Self {
        let Address::Tcp(address) = *server.local_addr() else { panic!("no TCP address") };
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(1).unwrap();
        Self::join(socket, &address.into())
    }

    #[track_caller]
    fn join(socket: Socket, address: &SockAddr) -> Self {
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, pending: Vec::new() }
    }

    /// Connects, and returns `true` if a request gets its answer. A server without room may end the
    /// connection at any time.
    pub fn is_served(server: &Handle) -> bool {
        let mut client = Self::connect(server);
        let asked = client.try_send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        asked.and_then(|()| client.try_answer()).is_ok_and(|answer| answer.status == 200)
    }

    pub fn set_write_timeout(&self, timeout: Duration) {
        self.socket.set_write_timeout(Some(timeout)).unwrap();
    }

    pub fn set_read_timeout(&self, timeout: Duration) {
        self.socket.set_read_timeout(Some(timeout)).unwrap();
    }

    /// A second hand on the same connection, to write while the first reads.
    pub fn writer(&self) -> Socket {
        self.socket.try_clone().unwrap()
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what the server may no longer want.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Sends the head of a GET and nothing more.
    #[track_caller]
    pub fn request(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.request(path);
        self.answer()
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        self.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()));
        self.send(body);
        self.answer()
    }

    /// The next answer, whole.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        match self.try_answer() {
            Ok(answer) => answer,
            Err(error) => panic!("no whole answer: {error}; left over: {:?}", self.left_over()),
        }
    }

    /// The next answer; an error if the connection ends before it is whole.
    pub fn try_answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.try_head()?;
        let has_none = matches!(answer.status, 100..200 | 204 | 304);
        if has_none {
        } else if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.try_chunk()? {
                answer.body.extend(chunk);
            }
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.take(length.parse().unwrap())?;
        } else {
            while self.fill()? > 0 {}
            answer.body = std::mem::take(&mut self.pending);
        }
        Ok(answer)
    }

    /// The next answer's head: to HEAD, or before a body that is read in parts.
    #[track_caller]
    pub fn head(&mut self) -> Answer {
        self.try_head().unwrap()
    }

    fn try_head(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.pending.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill_some()?;
        };
        let head = String::from_utf8(self.take(end)?).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        Ok(Answer {
            status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
            head,
            body: Vec::new(),
        })
    }

    /// The next chunk of a chunked body; `None` is its proper end.
    pub fn try_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = loop {
            if let Some(at) = self.pending.windows(2).position(|window| window == b"\r\n") {
                break self.take(at + 2)?;
            }
            self.fill_some()?;
        };
        let size = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("no chunk size: {size:?}"));
        let mut chunk = self.take(size + 2)?;
        assert_eq!(chunk.split_off(size), b"\r\n");
        Ok((size > 0).then_some(chunk))
    }

    /// Reads exactly that much.
    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.pending.len() < length {
            self.fill_some()?;
        }
        let rest = self.pending.split_off(length);
        Ok(std::mem::replace(&mut self.pending, rest))
    }

    /// Waits for the connection to end, in order or by a reset, and says how
    /// many bytes came before that.
    #[track_caller]
    pub fn until_closed(&mut self) -> usize {
        let mut count = std::mem::take(&mut self.pending).len();
        loop {
            match self.fill() {
                Ok(0) => return count,
                Ok(length) => count += length,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return count,
                Err(error) => panic!("the connection does not end: {error}"),
            }
            self.pending.clear();
        }
    }

    /// Waits for the connection to end, with nothing more sent.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        let count = self.until_closed();
        assert_eq!(count, 0, "bytes came before the end");
    }

    /// Asserts that for so long nothing comes and the connection stays.
    #[track_caller]
    pub fn expect_silence(&mut self, length: Duration) {
        let begun = Instant::now();
        self.socket.set_read_timeout(Some(length)).unwrap();
        let read = self.fill();
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let kind = read.map_err(|error| error.kind());
        assert_eq!(
            kind,
            Err(io::ErrorKind::WouldBlock),
            "after {:?}: {:?}",
            begun.elapsed(),
            self.left_over()
        );
    }

    pub fn half_close(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Breaks the connection with a reset.
    pub fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn left_over(&self) -> String {
        String::from_utf8_lossy(&self.pending[..self.pending.len().min(500)]).into_owned()
    }

    fn fill_some(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(length) => {
                    self.pending.extend_from_slice(&buffer[..length]);
                    return Ok(length);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Answer {
    /// The first field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (other, value) = line.split_once(':')?;
            other.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Whether it says that the connection ends behind it.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    #[track_caller]
    pub fn expect(&self, status: u16, text: &str) {
        assert_eq!((self.status, self.text()), (status, text), "{}", self.head);
    }
}
