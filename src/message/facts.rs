//! Facts of a connection that cost a system call to learn.

use super::Address;

/// The process at the other end of a Unix socket, as the kernel saw it when the client
/// connected (unix(7), `SO_PEERCRED`).
///
/// ```
/// use transom::{Request, Router};
///
/// const OWNER: u32 = 1000;
/// Router::new().post("/reload", async |req: Request| {
///     match req.peer_credentials() {
///         Some(client) if client.uid == OWNER || client.uid == 0 => "reloaded",
///         _ => "not for you",
///     }
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The process. `None` if the process has no number in the PID namespace of this process, for
    /// example because it runs in another container.
    pub pid: Option<u32>,
    /// The effective user of the process.
    pub uid: u32,
    /// The effective group of the process.
    pub gid: u32,
}

/// The socket of a connection, for as long as the connection lives.
pub(crate) trait ConnectionFacts: Send + Sync {
    /// The address at which the connection came in.
    fn local_addr(&self) -> Option<Address>;

    /// The process at the other end of a Unix socket.
    fn peer_credentials(&self) -> Option<Credentials>;
}

impl Credentials {
    /// `pid` is 0 if the process has no number here.
    #[cfg(target_os = "linux")]
    pub(crate) fn new(pid: u32, uid: u32, gid: u32) -> Self {
        Self { pid: (pid != 0).then_some(pid), uid, gid }
    }
}
