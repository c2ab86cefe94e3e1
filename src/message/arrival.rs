//! How a connection arrived: what the steps before HTTP found out about it.

use super::tls::TlsInfo;
use super::{Address, Peer};

/// What the steps before HTTP found out about a connection.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    /// The TLS session, if the connection has one.
    pub tls: Option<TlsInfo>,
    /// The address to which the client connected, if a proxy told it.
    pub local: Option<Address>,
    /// The proxy at the other end of the socket, if a PROXY header named the client.
    pub proxy: Option<Peer>,
    /// The port to which requests are redirected, if they are.
    pub https_port: Option<u16>,
}

impl Arrival {
    /// Returns the scheme of requests whose scheme no trusted proxy tells.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}
