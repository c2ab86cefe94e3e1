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
