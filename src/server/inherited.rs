//! Listening sockets that another process passed to this one: systemd, or a predecessor.

use super::listener::Listener;
use crate::error::Result;

impl Listener {
    /// Takes over the listening sockets that another process passed to this one: a predecessor, with
    /// [`Handle::hand_over`](crate::Handle::hand_over), or systemd, with socket activation
    /// (`sd_listen_fds(3)`). There are none if the process was started in another way.
    ///
    /// The listeners have the order in which they were passed, and their [`name`](Self::name)s. Each
    /// is closed in a program that this process executes (`FD_CLOEXEC`). Only the process that the
    /// sockets are meant for gets them (`LISTEN_PID`), and only the first call does: a later one finds
    /// none. The environment is not changed.
    ///
    /// A predecessor learns that this process serves once each of the listeners either belongs to a
    /// server that has started, or was dropped.
    ///
    /// ```no_run
    /// use transom::{Listener, Request, Router, Server};
    ///
    /// let app = Router::new().get("/", async |_: Request| "hello");
    /// let server = Server::new(app);
    /// let passed = Listener::inherited()?;
    /// let server = if passed.is_empty() {
    ///     server.bind("127.0.0.1:8080")?
    /// } else {
    ///     passed.into_iter().fold(server, Server::listen)
    /// };
    /// server.run()?;
    /// # Ok::<(), transom::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BadDescriptor`](crate::Error::BadDescriptor) if a descriptor is no listening TCP or Unix stream socket;
    /// [`Error::HandOver`](crate::Error::HandOver) if the predecessor fails. On systems other than Linux
    /// there are none, and no error.
    pub fn inherited() -> Result<Vec<Self>> {
        #[cfg(target_os = "linux")]
        return passed::take();
        #[cfg(not(target_os = "linux"))]
        Ok(Vec::new())
    }
}

#[cfg(target_os = "linux")]
mod passed {
    use std::env;
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use rustix::net::{AddressFamily, SocketType, sockopt};

    use crate::server::succession::{Announcement, LINK_PATIENCE, Link, Rendezvous, VARIABLE};
    use crate::system::apart;

    use super::Listener;
    use crate::error::{Error, Result};

    /// The number of the first descriptor that systemd passes (`SD_LISTEN_FDS_START`).
    const FIRST: u32 = 3;
    /// The most descriptors that systemd passes to a service, and many more.
    const MOST: u32 = 65_536;

    /// Takes the listeners that were passed to this process.
    pub(super) fn take() -> Result<Vec<Listener>> {
        match env::var(VARIABLE) {
            Ok(value) => {
                let refused = |reason: &str| Error::HandOver { reason: format!("{VARIABLE} {reason}") };
                let rendezvous = Rendezvous::parse(&value).ok_or_else(|| refused("is malformed"))?;
                let failed = |error: io::Error| refused(&format!("names a predecessor that fails: {error}"));
                // A predecessor that no longer waits has its successor: an ancestor of this process.
                match rendezvous.connect().map_err(failed)? {
                    Some(link) => receive(link).map_err(|error| match error {
                        Error::Io(error) => failed(error),
                        error => error,
                    }),
                    None => from_systemd(),
                }
            }
            Err(_) => from_systemd(),
        }
    }

    /// Receives the listeners of the predecessor.
    fn receive(link: Link) -> Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        while let Some(passed) = link.receive_listener(Instant::now() + LINK_PATIENCE)? {
            let number = passed.descriptor.as_raw_fd();
            listeners.push(listener(passed.descriptor, number, passed.name, passed.file)?);
        }
        let parts = Announcement::parts(link, listeners.len());
        for (listener, part) in listeners.iter_mut().zip(parts) {
            listener.announcement = Some(part);
        }
        Ok(listeners)
    }

    /// Takes the descriptors that systemd passed, once in the life of the process.
    fn from_systemd() -> Result<Vec<Listener>> {
        /// Descriptors are the process's, so their first owner is known to all of it.
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let Some(count) = passed_by_systemd()? else { return Ok(Vec::new()) };
        if count == 0 || TAKEN.swap(true, Ordering::AcqRel) {
            return Ok(Vec::new());
        }
        let malformed = |_| bad(FIRST, "LISTEN_FDS, LISTEN_PID or LISTEN_FDNAMES is malformed");
        let passed = sd_listen_fds::get().map_err(malformed)?;
        let mut owned = Vec::new();
        let mut missing = None;
        for ((name, descriptor), number) in passed.into_iter().zip(FIRST..) {
            let descriptor = descriptor.into_std();
            match rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC) {
                Ok(()) => owned.push((name.filter(|name| !name.is_empty()), number, descriptor)),
                Err(error) => {
                    // The number is not open, and closing it is a fault.
                    std::mem::forget(descriptor);
                    missing = missing.or(Some(bad(number, &error.to_string())));
                }
            }
        }
        if let Some(error) = missing {
            return Err(error);
        }
        let made = owned.into_iter().map(|(name, number, descriptor)| {
            listener(descriptor, i32::try_from(number).unwrap_or(-1), name, None)
        });
        made.collect()
    }

    /// Returns how many descriptors systemd has passed to this process; `None` if they are for another.
    fn passed_by_systemd() -> Result<Option<u32>> {
        let (Ok(process), Ok(count)) = (env::var("LISTEN_PID"), env::var("LISTEN_FDS")) else {
            return Ok(None);
        };
        if process.parse() != Ok(std::process::id()) {
            return Ok(None);
        }
        match count.parse() {
            Ok(count @ 0..=MOST) => Ok(Some(count)),
            _ => Err(bad(FIRST, &format!("LISTEN_FDS is {count:?}, and no number of descriptors"))),
        }
    }

    /// Returns the listener of a descriptor, if it is one.
    fn listener(
        descriptor: OwnedFd,
        number: i32,
        name: Option<String>,
        file: Option<(u64, u64)>,
    ) -> Result<Listener> {
        let failed = |reason: &str| {
            let named = name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            Error::BadDescriptor { descriptor: number, reason: format!("{reason}{named}") }
        };
        let system = |error: io::Error| failed(&error.to_string());
        let descriptor = apart(descriptor)?;
        let domain = sockopt::socket_domain(&descriptor).map_err(|error| system(error.into()))?;
        if sockopt::socket_type(&descriptor).map_err(|error| system(error.into()))? != SocketType::STREAM {
            return Err(failed("it is no stream socket"));
        }
        if !sockopt::socket_acceptconn(&descriptor).map_err(|error| system(error.into()))? {
            return Err(failed("the socket does not listen"));
        }
        let listener = match domain {
            AddressFamily::UNIX => Listener::of_passed_unix(descriptor.into(), file),
            AddressFamily::INET | AddressFamily::INET6 => {
                Listener::try_from(std::net::TcpListener::from(descriptor))
            }
            _ => return Err(failed("it is neither a TCP nor a Unix socket")),
        };
        listener.map(|listener| listener.named(name.map(Arc::from)))
    }

    fn bad(number: u32, reason: &str) -> Error {
        Error::BadDescriptor { descriptor: i32::try_from(number).unwrap_or(-1), reason: reason.to_owned() }
    }
}
