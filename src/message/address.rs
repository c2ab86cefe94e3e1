//! The address of a server's end of a connection.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// An address that a server listens on.
///
/// ```
/// use transom::{Address, Router, Server};
/// let server = Server::new(Router::new()).bind("127.0.0.1:0")?.start()?;
/// assert!(server.local_addr().port().unwrap() > 0);
/// # Ok::<(), transom::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// TCP over IPv4 or IPv6, with the real port.
    Tcp(SocketAddr),
    /// A Unix socket, by the path of its file. The path is empty for a socket without a name.
    Unix(PathBuf),
    /// A Unix socket in the abstract namespace of Linux (unix(7)), by its name. It has no file
    /// and ends with its last descriptor.
    Abstract(Vec<u8>),
}

impl Address {
    /// Returns the port of a TCP address.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address) => Some(address.port()),
            Self::Unix(_) | Self::Abstract(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            // `unix:@name` would be read back as an abstract name.
            Self::Unix(path) if path.as_os_str().as_encoded_bytes().starts_with(b"@") => {
                write!(f, "unix:./{}", path.display())
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
        }
    }
}
