//! The other end of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The client that sent a request: the other end of the connection, or the client that a trusted
/// proxy named ([`Listener::proxy_protocol`](crate::Listener::proxy_protocol)).
///
/// ```
/// use transom::Peer;
/// let peer = Peer::Tcp("127.0.0.1:1234".parse()?);
/// assert_eq!(peer.to_string(), "127.0.0.1:1234");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP client with its address and port.
    Tcp(SocketAddr),
    /// A client that a trusted proxy named without a port.
    Ip(IpAddr),
    /// A client on a Unix socket. It has no address.
    Unix,
    /// A client on a transport that the embedding program brought: its address is not known.
    Unknown,
}

impl Peer {
    /// Returns the IP address of the client. An IPv4-mapped IPv6 address, which an IPv6 socket gives
    /// to an IPv4 client, is returned as IPv4. `None` on a Unix socket, or if it is not known.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip().to_canonical()),
            Self::Ip(address) => Some(address.to_canonical()),
            Self::Unix | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}
