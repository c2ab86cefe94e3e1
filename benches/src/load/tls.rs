//! TLS for the load generator. Each handshake is a full one with X25519 and AES-128-GCM, so that all
//! servers do the same work. Certificates are not verified: that would be work of the client alone.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use serde::{Deserialize, Serialize};

use super::connection::{Moved, receive, send};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    Tls12,
    Tls13,
}

/// The settings of a client that speaks one version.
pub fn config(version: Version) -> Result<Arc<ClientConfig>, Error> {
    let mut provider = default_provider();
    // OpenSSL gives a client that does not offer P-256 no certificate on that curve in TLS 1.2.
    provider.kx_groups = vec![kx_group::X25519, kx_group::SECP256R1];
    provider.cipher_suites =
        vec![cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256];
    let version = match version {
        Version::Tls12 => &TLS12,
        Version::Tls13 => &TLS13,
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unverified))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// A session of one client, for the name `localhost`.
pub fn client(config: &Arc<ClientConfig>) -> Result<ClientConnection, Error> {
    let name = ServerName::try_from("localhost").map_err(|_| Error::General("the name".into()))?;
    ClientConnection::new(Arc::clone(config), name)
}

/// The TLS of a connection whose socket does not block.
pub struct Session(ClientConnection);

impl Session {
    pub fn new(config: &Arc<ClientConfig>) -> Result<Self, Errno> {
        let mut connection = client(config).map_err(|_| Errno::PROTO)?;
        connection.set_buffer_limit(None);
        Ok(Self(connection))
    }

    /// Goes on with the handshake. True once it is done.
    pub fn shake(&mut self, socket: &OwnedFd, buffer: &mut [u8]) -> Result<bool, Errno> {
        self.flush(socket)?;
        match self.receive(socket, buffer) {
            Moved::Some(_) | Moved::Blocked => Ok(!self.0.is_handshaking()),
            Moved::Ended => Err(Errno::CONNRESET),
            Moved::Failed(error) => Err(error),
        }
    }

    /// True if encrypted bytes wait for room in the socket.
    pub fn holds_back(&self) -> bool {
        self.0.wants_write()
    }

    /// Takes bytes to send, unless earlier ones still wait.
    pub fn send(&mut self, socket: &OwnedFd, bytes: &[u8]) -> Moved {
        let sent = self.flush(socket).and_then(|()| {
            if self.holds_back() {
                return Ok(0);
            }
            let taken = self.0.writer().write(bytes).map_err(|_| Errno::PROTO)?;
            self.flush(socket).map(|()| taken)
        });
        match sent {
            Ok(0) => Moved::Blocked,
            Ok(taken) => Moved::Some(taken),
            Err(error) => Moved::Failed(error),
        }
    }

    /// Reads into the larger part of the buffer; the smaller one takes the encrypted bytes. With what
    /// is left of the last record, they decrypt to less than the larger part holds.
    pub fn receive(&mut self, socket: &OwnedFd, buffer: &mut [u8]) -> Moved {
        let (plain, raw) = buffer.split_at_mut(buffer.len() / 4 * 3);
        loop {
            let received = match receive(socket, raw) {
                Moved::Some(received) => received,
                other => return other,
            };
            let filled = match self.decrypt(&raw[..received], plain) {
                Ok(Some(filled)) => filled,
                Ok(None) => return Moved::Ended,
                Err(error) => return Moved::Failed(error),
            };
            if let Err(error) = self.flush(socket) {
                return Moved::Failed(error);
            }
            if filled > 0 {
                return Moved::Some(filled);
            }
        }
    }

    /// Decrypts all of `raw`. `None` if the server has closed without any data before.
    fn decrypt(&mut self, mut raw: &[u8], plain: &mut [u8]) -> Result<Option<usize>, Errno> {
        let mut filled = 0;
        while !raw.is_empty() {
            self.0.read_tls(&mut raw).map_err(|_| Errno::PROTO)?;
            self.0.process_new_packets().map_err(|_| Errno::PROTO)?;
            loop {
                match self.0.reader().read(&mut plain[filled..]) {
                    Ok(0) if filled == 0 => return Ok(None),
                    Ok(0) => return Ok(Some(filled)),
                    Ok(length) => filled += length,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => return Err(Errno::PROTO),
                }
            }
        }
        Ok(Some(filled))
    }

    /// Sends what is encrypted, as far as the socket takes it.
    pub fn flush(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        while self.0.wants_write() {
            match self.0.write_tls(&mut Socket(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::PIPE)),
            }
        }
        Ok(())
    }
}

struct Socket<'a>(&'a OwnedFd);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match send(self.0, bytes, SendFlags::empty()) {
            Moved::Some(sent) => Ok(sent),
            Moved::Blocked | Moved::Ended => Err(ErrorKind::WouldBlock.into()),
            Moved::Failed(error) => Err(error.into()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Takes any certificate.
#[derive(Debug)]
struct Unverified;

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
