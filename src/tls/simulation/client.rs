//! A client of the simulation that speaks TLS by rustls, and does what a good client does.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::network::{Cut, Network};
use crate::tls::Tls;

#[cfg(feature = "tls")]
use rustls::crypto::aws_lc_rs as crypto;
#[cfg(all(feature = "tls-ring", not(feature = "tls")))]
use rustls::crypto::ring as crypto;

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// Returns the settings of the server.
pub(super) fn server_config() -> Arc<ServerConfig> {
    Tls::from_files(file("localhost.pem"), file("localhost.key")).unwrap().config()
}

/// Returns the settings of a client. The keys of its suites have 32 bytes.
pub(super) fn client_config(version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut provider: CryptoProvider = crypto::default_provider();
    provider.cipher_suites.retain(|suite| format!("{suite:?}").contains("CHACHA20"));
    provider.kx_groups = vec![crypto::kx_group::X25519];
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("authority.pem")).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.enable_secret_extraction = true;
    config
}

pub(super) fn server_name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// The client and what it has sent and received.
pub(super) struct Client {
    pub tls: ClientConnection,
    /// How what it sends is cut.
    cut: Cut,
    /// Encrypted bytes that are on the way.
    queue: VecDeque<u8>,
    /// How many encrypted bytes have been sent.
    pub sent: usize,
    /// Decrypted bytes from the server.
    pub received: Vec<u8>,
    /// True once the server has closed in order.
    pub has_close_notify: bool,
    /// True if its side of the connection ends once it has sent all.
    pub ends: bool,
    pub error: Option<rustls::Error>,
}

impl Client {
    pub fn new(config: &Arc<ClientConfig>, cut: Cut) -> Self {
        let mut tls = ClientConnection::new(Arc::clone(config), server_name()).unwrap();
        tls.set_buffer_limit(None);
        Self {
            tls,
            cut,
            queue: VecDeque::new(),
            sent: 0,
            received: Vec::new(),
            has_close_notify: false,
            ends: false,
            error: None,
        }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).unwrap();
    }

    /// Receives what has come, then sends one piece. Returns `false` if there was nothing to do.
    pub fn step(&mut self, network: &mut Network) -> bool {
        let bytes = network.take();
        let mut rest = &bytes[..];
        while !rest.is_empty() && self.error.is_none() {
            if self.tls.read_tls(&mut rest).unwrap() == 0 {
                break;
            }
            match self.tls.process_new_packets() {
                Ok(state) => self.has_close_notify |= state.peer_has_closed(),
                Err(error) => self.error = Some(error),
            }
            // It has all that has come so far, an error then says that more may come.
            let _ = self.tls.reader().read_to_end(&mut self.received);
        }
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.queue).unwrap();
        }
        let length = self.cut.piece(self.sent, self.queue.len());
        let piece: Vec<_> = self.queue.drain(..length).collect();
        self.sent += length;
        if length > 0 {
            network.give(&piece);
        }
        let ends = self.queue.is_empty() && (self.ends || network.wire.is_closed) && !network.wire.has_ended;
        if ends {
            network.end();
        }
        length > 0 || !bytes.is_empty() || ends
    }
}
