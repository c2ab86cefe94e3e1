//! What the handshake of a TLS connection settled.

use std::fmt;

/// What the handshake of a TLS connection settled; see [`Request::tls`](crate::Request::tls).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TlsInfo {
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
    pub(crate) server_name: Option<String>,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) is_resumed: bool,
}

impl TlsInfo {
    /// Returns the version of the protocol: `TLSv1.3` or `TLSv1.2`.
    pub fn version(&self) -> &str {
        self.version
    }

    /// Returns the cipher suite by its name in the registry of IANA, such as
    /// `TLS_AES_128_GCM_SHA256`.
    pub fn cipher(&self) -> &str {
        self.cipher
    }

    /// Returns the host name that the client asked for (SNI, RFC 6066 3). `None` if it named none, as
    /// when the URL has an IP address.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Returns the protocol that client and server agreed on (ALPN, RFC 7301). `None` if the client
    /// offered none.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// Returns the certificates of the client in DER, its own first, as the client sent them. They were
    /// verified. Empty if the client sent none.
    pub fn peer_certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// Returns `true` if the client resumed an earlier session and saved a full handshake.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }
}

impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("version", &self.version)
            .field("cipher", &self.cipher)
            .field("server_name", &self.server_name)
            .field("alpn", &self.alpn.as_deref().map(String::from_utf8_lossy))
            .field("peer_certificates", &self.certificates.len())
            .field("is_resumed", &self.is_resumed)
            .finish()
    }
}
