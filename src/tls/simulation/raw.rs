//! A client of the simulation that makes each record itself, after an ordinary handshake.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use rustls::SupportedCipherSuite;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::crypto::cipher::{
    InboundOpaqueMessage, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundPlainMessage,
};
use rustls::kernel::KernelConnection;
use rustls::unbuffered::ConnectionState;
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedProtocolVersion};

use super::client::{client_config, server_config, server_name};
use super::network::{Cut, Network, Socket, drive};
use crate::tls::handshake::accept;
use crate::tls::stream::TlsStream;

/// The types of records (RFC 8446 5.1).
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const DATA: u8 = 23;

/// The client's keys.
pub(super) struct RawClient {
    pub network: Arc<Mutex<Network>>,
    kernel: KernelConnection<ClientConnectionData>,
    encrypter: Box<dyn MessageEncrypter>,
    sent: u64,
    decrypter: Box<dyn MessageDecrypter>,
    received: u64,
    incoming: Vec<u8>,
}

/// Does a handshake. Returns the server's stream and the client.
pub(super) fn opened(version: &'static SupportedProtocolVersion) -> (TlsStream<Socket>, RawClient) {
    let network = Network::new(Cut::Never, 0);
    let config = Arc::new(client_config(version));
    let mut client = UnbufferedClientConnection::new(config, server_name()).unwrap();
    let mut incoming = Vec::new();
    let accepting = accept(Socket::new(&network), server_config());
    let accepted = drive(pin!(accepting), &network, |network| {
        incoming.extend(network.take());
        advance(&mut client, &mut incoming, network)
    });
    let Some(Ok((stream, _))) = accepted else { panic!("the handshake fails") };
    // The ticket.
    let mut locked = network.lock().unwrap();
    incoming.extend(locked.take());
    advance(&mut client, &mut incoming, &mut locked);
    drop(locked);
    let (secrets, kernel) = client.dangerous_into_kernel_connection().unwrap();
    let suite = kernel.negotiated_cipher_suite();
    let ((sent, tx), (received, rx)) = (secrets.tx, secrets.rx);
    let (encrypter, decrypter) = (encrypter(suite, tx), decrypter(suite, rx));
    (stream, RawClient { network, kernel, encrypter, sent, decrypter, received, incoming })
}

/// Goes on with the handshake. Returns `true` if it sent something.
fn advance(client: &mut UnbufferedClientConnection, incoming: &mut Vec<u8>, network: &mut Network) -> bool {
    let mut outgoing = Vec::new();
    loop {
        let status = client.process_tls_records(incoming);
        let discard = status.discard;
        let mut is_blocked = false;
        match status.state.unwrap() {
            ConnectionState::EncodeTlsData(mut encode) => {
                let mut room = vec![0; 20_000];
                let length = encode.encode(&mut room).unwrap();
                outgoing.extend(&room[..length]);
            }
            ConnectionState::TransmitTlsData(transmit) => transmit.done(),
            _ => is_blocked = true,
        }
        incoming.drain(..discard);
        if is_blocked {
            network.give(&outgoing);
            return !outgoing.is_empty();
        }
    }
}

fn encrypter(suite: SupportedCipherSuite, secrets: ConnectionTrafficSecrets) -> Box<dyn MessageEncrypter> {
    let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else { panic!("another suite") };
    match suite {
        SupportedCipherSuite::Tls12(suite) => suite.aead_alg.encrypter(key, iv.as_ref(), &[]),
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
    }
}

fn decrypter(suite: SupportedCipherSuite, secrets: ConnectionTrafficSecrets) -> Box<dyn MessageDecrypter> {
    let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else { panic!("another suite") };
    match suite {
        SupportedCipherSuite::Tls12(suite) => suite.aead_alg.decrypter(key, iv.as_ref()),
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
    }
}

impl RawClient {
    /// Returns a record.
    pub fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: ContentType::from(kind),
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(content),
        };
        let record = self.encrypter.encrypt(message, self.sent).unwrap();
        self.sent += 1;
        record.encode()
    }

    /// Returns a record of TLS 1.3 with so many bytes of padding, at least one (RFC 8446 5.4).
    pub fn padded_record(&mut self, kind: u8, content: &[u8], padding: usize) -> Vec<u8> {
        // The last byte of the padding goes where the type would.
        let inner = [content, &[kind], &vec![0; padding - 1]].concat();
        self.record(0, &inner)
    }

    /// Uses the next keys, as after a `KeyUpdate`.
    pub fn update_keys(&mut self) {
        let (sent, secrets) = self.kernel.update_tx_secret().unwrap();
        self.encrypter = encrypter(self.kernel.negotiated_cipher_suite(), secrets);
        self.sent = sent;
    }

    /// Uses the next keys of the server.
    pub fn follow_keys(&mut self) {
        let (received, secrets) = self.kernel.update_rx_secret().unwrap();
        self.decrypter = decrypter(self.kernel.negotiated_cipher_suite(), secrets);
        self.received = received;
    }

    pub fn send(&self, bytes: &[u8]) {
        self.network.lock().unwrap().give(bytes);
    }

    /// Returns the type and the content of the next record of the server, if there is one.
    pub fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        self.incoming.extend(self.network.lock().unwrap().take());
        let length = usize::from(u16::from_be_bytes([*self.incoming.get(3)?, *self.incoming.get(4)?]));
        let mut record: Vec<_> = self.incoming.drain(..5 + length).collect();
        let (kind, version) = (ContentType::from(record[0]), ProtocolVersion::TLSv1_2);
        let message = InboundOpaqueMessage::new(kind, version, &mut record[5..]);
        let plain = self.decrypter.decrypt(message, self.received).unwrap();
        self.received += 1;
        Some((u8::from(plain.typ), plain.payload.to_vec()))
    }
}
