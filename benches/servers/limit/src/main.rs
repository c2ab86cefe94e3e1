//! The limit that other servers are compared with: a bare edge-triggered epoll loop with one
//! canned answer. It looks for the end of each request's head and reads nothing else of it:
//! no method, no path, no header but `Connection: close`, no limits, no deadlines.
//!
//!     serve-limit --port 8080

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
const END: &[u8] = b"\r\n\r\n";
const CLOSE: &[u8] = b"\r\nConnection: close\r\n";
/// A head longer than this is not served.
const ROOM: usize = 16 * 1024;
const LISTENER: u64 = u64::MAX;

/// A connection between events: the start of a head that has not ended, and answers that the
/// socket did not take. Both are almost always empty, and then hold no memory.
struct Connection {
    socket: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
}

fn main() -> io::Result<()> {
    let port = std::env::args().skip_while(|word| word != "--port").nth(1);
    let port = port.and_then(|port| port.parse().ok()).ok_or_else(|| io::Error::other("--port PORT"))?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    net::bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    net::listen(&listener, 4096)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = Vec::with_capacity(1024);
    let mut buffer = vec![0; ROOM];
    let mut answers = Vec::with_capacity(ROOM);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            // The process was stopped and goes on.
            Err(Errno::INTR) => continue,
            waited => waited?,
        };
        for event in &events {
            if event.data.u64() == LISTENER {
                while let Ok(socket) = net::accept_with(&listener, flags) {
                    sockopt::set_tcp_nodelay(&socket, true)?;
                    let slot = free.pop().unwrap_or(connections.len());
                    let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    epoll::add(&epoll, &socket, EventData::new_u64(slot as u64), wanted)?;
                    let connection = Some(Connection { socket, input: Vec::new(), output: Vec::new() });
                    if slot == connections.len() {
                        connections.push(connection);
                    } else {
                        connections[slot] = connection;
                    }
                }
                continue;
            }
            let slot = event.data.u64() as usize;
            let Some(connection) = connections.get_mut(slot).and_then(Option::as_mut) else { continue };
            if !turn(connection, event.flags, &mut buffer, &mut answers) {
                connections[slot] = None;
                free.push(slot);
            }
        }
    }
}

/// Serves what has arrived. False when the connection is at its end.
fn turn(connection: &mut Connection, flags: EventFlags, buffer: &mut [u8], answers: &mut Vec<u8>) -> bool {
    if !connection.output.is_empty() && !flush(connection) {
        return false;
    }
    if !flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
        return true;
    }
    loop {
        let kept = connection.input.len();
        buffer[..kept].copy_from_slice(&connection.input);
        let read = match net::recv(&connection.socket, &mut buffer[kept..], RecvFlags::empty()) {
            Ok((0, _)) => return false,
            Ok((read, _)) => read,
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        };
        let filled = kept + read;
        let (heads, rest, close) = heads(&buffer[..filled]);
        connection.input.clear();
        if rest > 0 {
            connection.input.extend_from_slice(&buffer[filled - rest..filled]);
        } else {
            connection.input.shrink_to_fit();
        }
        if connection.input.len() == buffer.len() || !answer(connection, heads, answers) || close {
            return false;
        }
        // A read that leaves room has emptied the socket: the next edge will tell of more.
        if filled < buffer.len() && !flags.contains(EventFlags::RDHUP) {
            return true;
        }
    }
}

/// How many heads end in `bytes`, how many bytes are left behind the last of them, and whether
/// one of them says `Connection: close`, spelt as clients spell it.
fn heads(bytes: &[u8]) -> (usize, usize, bool) {
    let (mut heads, mut start, mut close) = (0, 0, false);
    for at in memchr::memchr_iter(b'\n', bytes) {
        let line = &bytes[start..=at];
        if line.ends_with(END) {
            heads += 1;
            start = at + 1;
        } else if line.ends_with(CLOSE) {
            close = true;
        }
    }
    (heads, bytes.len() - start, close && heads > 0)
}

fn answer(connection: &mut Connection, count: usize, answers: &mut Vec<u8>) -> bool {
    if count == 0 {
        return true;
    }
    while answers.len() < count * ANSWER.len() {
        answers.extend_from_slice(ANSWER);
    }
    if !connection.output.is_empty() {
        connection.output.extend_from_slice(&answers[..count * ANSWER.len()]);
        return true;
    }
    let all = &answers[..count * ANSWER.len()];
    match net::send(&connection.socket, all, SendFlags::NOSIGNAL) {
        Ok(sent) if sent == all.len() => true,
        Ok(sent) => {
            connection.output.extend_from_slice(&all[sent..]);
            true
        }
        Err(Errno::AGAIN) => {
            connection.output.extend_from_slice(all);
            true
        }
        Err(_) => false,
    }
}

/// Sends what waits. False when the connection has failed.
fn flush(connection: &mut Connection) -> bool {
    match net::send(&connection.socket, &connection.output, SendFlags::NOSIGNAL) {
        Ok(sent) => {
            connection.output.drain(..sent);
            connection.output.shrink_to_fit();
            true
        }
        Err(Errno::AGAIN) => true,
        Err(_) => false,
    }
}
