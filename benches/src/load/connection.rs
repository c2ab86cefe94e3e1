//! A connection of the load generator: its socket, what is to be sent, what is awaited.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustls::ClientConfig;

use super::answer::Answer;
use super::events::Stream;
use super::tls::Session;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Closed,
    Connecting,
    /// Connected, nothing asked.
    Idle,
    /// Asked, not all answered.
    Busy,
    /// All is answered and the server will close.
    Ending,
}

/// A connection. Times are nanoseconds on the clock of the run.
pub struct Connection {
    pub socket: Option<OwnedFd>,
    pub state: State,
    pub answer: Answer,
    /// Where the stream of events stands, if that is what is asked for.
    pub stream: Option<Stream>,
    tls: Option<Box<Session>>,
    /// Bytes of the head and then of the body that are still to be sent.
    unsent_head: usize,
    unsent_body: u64,
    /// Requests that are not answered.
    pub awaited: usize,
    /// When the requests under way began; in an open loop when they should have.
    pub began: u64,
    /// When the state was entered, for the timeout.
    pub since: u64,
    pub answered: u64,
    /// Whether the last answer left the connection open.
    pub keep: bool,
}

/// How a send or a receive went.
pub enum Moved {
    Some(usize),
    Blocked,
    Ended,
    Failed(Errno),
}

impl Connection {
    pub fn new(events: bool) -> Self {
        Self {
            socket: None,
            state: State::Closed,
            answer: Answer::default(),
            stream: events.then(Stream::default),
            tls: None,
            unsent_head: 0,
            unsent_body: 0,
            awaited: 0,
            began: 0,
            since: 0,
            answered: 0,
            keep: true,
        }
    }

    /// Begins to connect; the event that the socket is writable tells the end of it.
    pub fn open(
        &mut self,
        epoll: &OwnedFd,
        token: u64,
        port: u16,
        tls: Option<&Arc<ClientConfig>>,
        now: u64,
    ) -> Result<(), Errno> {
        self.tls = tls.map(Session::new).transpose()?.map(Box::new);
        let socket = connect(port)?;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(epoll, &socket, EventData::new_u64(token), flags)?;
        self.socket = Some(socket);
        self.answer = match &mut self.stream {
            Some(stream) => {
                *stream = Stream::default();
                Answer::keeping()
            }
            None => Answer::default(),
        };
        (self.unsent_head, self.unsent_body, self.awaited) = (0, 0, 0);
        self.keep = true;
        self.enter(State::Connecting, now);
        Ok(())
    }

    /// Closes with a reset, so that no port is left in TIME_WAIT.
    pub fn drop_socket(&mut self, now: u64) {
        if let Some(socket) = self.socket.take() {
            let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
        }
        self.enter(State::Closed, now);
    }

    pub fn enter(&mut self, state: State, now: u64) {
        self.state = state;
        self.since = now;
    }

    /// Whether the server may close now: nothing is asked, or it has said that it closes. Requests
    /// behind that answer are not served, and no error.
    pub fn may_end(&self) -> bool {
        self.state != State::Busy || !self.keep
    }

    /// How the connect went, once the socket is writable.
    pub fn connected(&self) -> Result<(), Errno> {
        self.socket.as_ref().map_or(Err(Errno::NOTCONN), |socket| sockopt::socket_error(socket)?)
    }

    pub fn ask(&mut self, count: usize, heads: usize, body: u64) {
        self.awaited = count;
        self.unsent_head = heads;
        self.unsent_body = body;
    }

    pub fn all_sent(&self) -> bool {
        let holds_back = self.tls.as_ref().is_some_and(|tls| tls.holds_back());
        self.unsent_head == 0 && self.unsent_body == 0 && !holds_back
    }

    /// Goes on with the handshake of TLS, if there is to be one. True once data can be sent.
    pub fn shake(&mut self, buffer: &mut [u8]) -> Result<bool, Errno> {
        match (&mut self.tls, &self.socket) {
            (Some(tls), Some(socket)) => tls.shake(socket, buffer),
            _ => Ok(true),
        }
    }

    /// True if a read that leaves room has emptied the socket.
    pub fn shows_end(&self) -> bool {
        self.tls.is_none()
    }

    /// Reads from the socket. `None` without one.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Option<Moved> {
        let socket = self.socket.as_ref()?;
        Some(match &mut self.tls {
            Some(tls) => tls.receive(socket, buffer),
            None => receive(socket, buffer),
        })
    }

    /// Sends what the socket takes; the number of body bytes, or the error.
    pub fn send(&mut self, heads: &[u8], filler: &[u8]) -> Result<u64, Errno> {
        let Some(socket) = &self.socket else { return Ok(0) };
        let mut send = |bytes: &[u8], flags| match &mut self.tls {
            Some(tls) => tls.send(socket, bytes),
            None => send(socket, bytes, flags),
        };
        let mut sent_body = 0;
        while self.unsent_head > 0 {
            let more = if self.unsent_body > 0 { SendFlags::MORE } else { SendFlags::empty() };
            match send(&heads[heads.len() - self.unsent_head..], more) {
                Moved::Some(sent) => self.unsent_head -= sent,
                Moved::Failed(error) => return Err(error),
                Moved::Blocked | Moved::Ended => return Ok(0),
            }
        }
        while self.unsent_body > 0 {
            let size = self.unsent_body.min(filler.len() as u64) as usize;
            match send(&filler[..size], SendFlags::empty()) {
                Moved::Some(sent) => {
                    self.unsent_body -= sent as u64;
                    sent_body += sent as u64;
                }
                Moved::Failed(error) => return Err(error),
                Moved::Blocked | Moved::Ended => break,
            }
        }
        if let Some(tls) = &mut self.tls {
            tls.flush(socket)?;
        }
        Ok(sent_body)
    }
}

/// A socket that is connecting to `port` of the loopback.
pub fn connect(port: u16) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

pub fn send(socket: &OwnedFd, bytes: &[u8], flags: SendFlags) -> Moved {
    match net::send(socket, bytes, flags | SendFlags::NOSIGNAL) {
        Ok(sent) => Moved::Some(sent),
        Err(Errno::AGAIN) => Moved::Blocked,
        Err(error) => Moved::Failed(error),
    }
}

pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Moved {
    match net::recv(socket, buffer, RecvFlags::empty()) {
        Ok((0, _)) => Moved::Ended,
        Ok((received, _)) => Moved::Some(received),
        Err(Errno::AGAIN) => Moved::Blocked,
        Err(error) => Moved::Failed(error),
    }
}

/// An error of a socket in words.
pub fn describe(error: Errno) -> String {
    match error {
        Errno::CONNREFUSED => "refused".into(),
        Errno::CONNRESET | Errno::PIPE => "reset".into(),
        Errno::TIMEDOUT => "timed out".into(),
        other => other.kind().to_string(),
    }
}
