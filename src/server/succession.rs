//! The connection between a server and its successor: its messages, and how the two find each other.
//!
//! ```text
//! the server:     listens on a secret abstract name, and starts the successor with the name and a
//!                 secret in an environment variable
//! the successor:  connects, and sends the secret
//! the server:     sends each listener, and that these are all
//! the successor:  says that it serves, or ends the connection
//! ```
//!
//! Each message is a packet of its own (`SOCK_SEQPACKET`, unix(7)).

use std::fmt::Write as _;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recvmsg, sendmsg, socket_with,
};

use crate::base::guard::log_event;
use crate::system::apart;

/// The environment variable of a successor: a name and a secret.
pub(super) const VARIABLE: &str = "TRANSOM_HANDOVER";

/// The longest wait for the other end, which has nothing else to do.
pub(super) const LINK_PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of a message. The name of a socket in systemd has at most 255.
const MOST_BYTES: usize = 512;
/// The random bytes of a name and of a secret.
const RANDOM_BYTES: usize = 16;
/// The message that the successor serves.
const SERVES: &[u8] = b"serves";
/// The message after the last listener.
const ALL: &[u8] = b"all";
/// What a message of a listener begins with.
const LISTENER: &str = "listener";

/// The name and the secret by which a server and its successor find each other.
pub(super) struct Rendezvous {
    name: String,
    secret: String,
}

impl Rendezvous {
    /// Returns a name and a secret that nobody can guess.
    pub fn new() -> io::Result<Self> {
        Ok(Self { name: format!("transom-{}", random()?), secret: random()? })
    }

    /// Reads the value of the variable. `None` if it is malformed.
    pub fn parse(value: &str) -> Option<Self> {
        let (name, secret) = value.split_once(' ')?;
        let is_secret = secret.len() == 2 * RANDOM_BYTES && secret.bytes().all(|it| it.is_ascii_hexdigit());
        let is_name = name.starts_with("transom-") && name.len() < 100;
        (is_secret && is_name).then(|| Self { name: name.to_owned(), secret: secret.to_owned() })
    }

    /// Returns the value of the variable.
    pub fn value(&self) -> String {
        format!("{} {}", self.name, self.secret)
    }

    /// Listens for the successor.
    pub fn listen(&self) -> io::Result<Waiting> {
        let socket = open()?;
        bind(&socket, &self.address()?)?;
        listen(&socket, 8)?;
        Ok(Waiting(socket))
    }

    /// Connects to the predecessor and sends the secret. `None` if no predecessor waits.
    pub fn connect(&self) -> io::Result<Option<Link>> {
        let socket = open()?;
        match connect(&socket, &self.address()?) {
            Ok(()) => {}
            Err(Errno::CONNREFUSED) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let link = Link(socket);
        // The predecessor may be gone, and its name may be another user's.
        link.check_user()?;
        link.send(self.secret.as_bytes(), None)?;
        Ok(Some(link))
    }

    /// Returns `true` if a message is the secret.
    pub fn is_secret(&self, message: &[u8]) -> bool {
        message == self.secret.as_bytes()
    }

    fn address(&self) -> io::Result<SocketAddrUnix> {
        Ok(SocketAddrUnix::new_abstract_name(self.name.as_bytes())?)
    }
}

/// The socket on which a server waits for its successor.
pub(super) struct Waiting(OwnedFd);

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Another thread may be about to execute a program: its fork has the descriptor for a moment,
        // and a process would still connect.
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }
}

fn random() -> io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    let length = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    if length < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    apart(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Waits until there is something to read, an end included, or until `until`. Returns `false` if the
/// time has passed.
pub(super) fn is_readable(socket: impl AsFd, until: Instant) -> io::Result<bool> {
    is_ready(socket, PollFlags::IN, until)
}

fn is_ready(socket: impl AsFd, flags: PollFlags, until: Instant) -> io::Result<bool> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&socket, flags)], Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) if !left.is_zero() => {}
            Ok(count) => return Ok(count > 0),
            Err(error) => return Err(error.into()),
        }
    }
}

/// One end of the connection.
pub(super) struct Link(OwnedFd);

impl Link {
    /// Takes a connection from the backlog, if it is one of this user. The others are closed.
    pub fn accept(listener: impl AsFd) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let link = Self(apart(accept_with(listener, flags)?)?);
        link.check_user()?;
        Ok(link)
    }

    /// Checks that the other process has this one's user.
    fn check_user(&self) -> io::Result<()> {
        let peer = rustix::net::sockopt::socket_peercred(&self.0)?;
        if peer.uid != rustix::process::geteuid() {
            let text = format!("process {} of user {} is at the other end", peer.pid, peer.uid.as_raw());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(())
    }

    /// Returns the id of the process at the other end; 0 if it is not visible from here.
    pub fn peer(&self) -> i32 {
        rustix::net::sockopt::socket_peercred(&self.0).map_or(0, |peer| peer.pid.as_raw_pid())
    }

    /// Sends a message.
    fn send(&self, message: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors: &[BorrowedFd<'_>] = descriptor.as_slice();
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // The messages of some hundred listeners fill the socket.
        if !is_ready(&self.0, PollFlags::OUT, Instant::now() + LINK_PATIENCE)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sendmsg(&self.0, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for a message until `until`. A message that is empty is the end of the connection.
    pub fn receive(&self, until: Instant) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
        if !is_readable(&self.0, until)? {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut bytes = vec![0; MOST_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?
        };
        bytes.truncate(received.bytes);
        let mut descriptor = None;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                descriptor = descriptors.next();
            }
        }
        Ok((bytes, descriptor.map(apart).transpose()?))
    }

    /// Sends a listener: its descriptor, its file and its name.
    pub fn send_listener(
        &self,
        descriptor: BorrowedFd<'_>,
        file: Option<(u64, u64)>,
        name: Option<&str>,
    ) -> io::Result<()> {
        let (device, inode) = file.unwrap_or_default();
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        self.send(format!("{LISTENER} {device} {inode}{name}").as_bytes(), Some(descriptor))
    }

    /// Says that all listeners were sent.
    pub fn send_all(&self) -> io::Result<()> {
        self.send(ALL, None)
    }

    /// Waits for the next listener. `None` after the last one.
    pub fn receive_listener(&self, until: Instant) -> io::Result<Option<Passed>> {
        let (message, descriptor) = self.receive(until)?;
        if message == ALL {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&message);
        let passed = descriptor.and_then(|descriptor| Passed::parse(&text, descriptor));
        passed.map(Some).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Waits until the successor serves. Returns `false` if it has ended the connection.
    pub fn serves(&self, until: Instant) -> io::Result<bool> {
        Ok(self.receive(until)?.0 == SERVES)
    }
}

/// A listener as it was passed.
pub(super) struct Passed {
    pub descriptor: OwnedFd,
    pub file: Option<(u64, u64)>,
    pub name: Option<String>,
}

impl Passed {
    fn parse(message: &str, descriptor: OwnedFd) -> Option<Self> {
        let mut words = message.splitn(4, ' ');
        let is_listener = words.next()? == LISTENER;
        let (device, inode) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let file = (inode != 0).then_some((device, inode));
        is_listener.then(|| Self { descriptor, file, name: words.next().map(str::to_owned) })
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// One listener's part in telling the predecessor that this process serves. The predecessor is told
/// when each listener either serves or is dropped, if one serves.
#[derive(Debug)]
pub(super) struct Announcement(Arc<Announced>);

#[derive(Debug)]
struct Announced {
    link: OwnedFd,
    left: AtomicUsize,
    serves: AtomicBool,
}

impl Announcement {
    /// Returns the parts of so many listeners.
    pub fn parts(link: Link, count: usize) -> Vec<Self> {
        let left = AtomicUsize::new(count);
        let announced = Arc::new(Announced { link: link.0, left, serves: AtomicBool::new(false) });
        (0..count).map(|_| Self(Arc::clone(&announced))).collect()
    }

    /// The listener serves.
    pub fn serves(self) {
        self.0.serves.store(true, Ordering::Release);
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        let announced = &self.0;
        if announced.left.fetch_sub(1, Ordering::AcqRel) == 1 && announced.serves.load(Ordering::Acquire) {
            let sent = rustix::net::send(&announced.link, SERVES, SendFlags::NOSIGNAL);
            if let Err(error) = sent {
                // Perhaps it was killed. This process serves, whatever becomes of the other.
                let line = format_args!("the predecessor was not told that this server serves: {error}");
                log_event(Level::Warn, line);
            }
        }
    }
}
