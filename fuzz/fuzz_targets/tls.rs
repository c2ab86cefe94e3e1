//! Fuzzes TLS: any bytes instead of a handshake, and a client whose records the network alters.
//!
//! An input is one byte that says which, and the bytes or what happens to the client.
#![no_main]

use std::io::{Read, Write};
use std::panic;
use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use transom::Tls;
use transom::fuzzing::{End, Server, Talk, TlsTalk};
use transom_fuzz::choices::{Choices, cuts, pieces};
use transom_fuzz::{limits, shown, site};

struct Both {
    server: Server,
    tls: Tls,
    /// One client for each version.
    clients: [Arc<ClientConfig>; 2],
}

/// Lets an assertion of rustls pass that only debug builds have: rustls counts a close_notify as a fatal
/// alert, so a bad record after that close panics. The server catches it, and ends the connection.
fn allow_alerts_after_the_close() {
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |told| {
        if !told.payload().downcast_ref::<&str>().is_some_and(|text| text.contains("self.sent_fatal_alert")) {
            loud(told);
        }
    }));
}

fn both() -> Both {
    allow_alerts_after_the_close();
    let (certificate, key) = (
        include_bytes!("../../tests/certificates/localhost.pem"),
        include_bytes!("../../tests/certificates/localhost.key"),
    );
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let provider = Arc::new(provider);
    let clients = [&rustls::version::TLS13, &rustls::version::TLS12].map(|version| {
        let mut roots = RootCertStore::empty();
        let authority = include_bytes!("../../tests/certificates/authority.pem");
        roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[version]).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        // A resumed session has no certificate to verify.
        config.resumption = rustls::client::Resumption::in_memory_sessions(16);
        Arc::new(config)
    });
    Both { server: site::server(limits()), tls: Tls::from_pem(certificate, key).unwrap(), clients }
}

/// A client, and the bytes on its way to the server.
struct Traveller<'a> {
    tls: ClientConnection,
    talk: TlsTalk<'a>,
    queue: Vec<u8>,
    received: Vec<u8>,
    has_failed: bool,
}

impl Traveller<'_> {
    /// Sends the first bytes of the queue, and reads the answer.
    fn pass(&mut self, length: usize) {
        let length = length.min(self.queue.len());
        let piece: Vec<u8> = self.queue.drain(..length).collect();
        let output = self.talk.give(&piece);
        self.read(&output);
    }

    fn read(&mut self, mut output: &[u8]) {
        while !output.is_empty() && !self.has_failed {
            if !matches!(self.tls.read_tls(&mut output), Ok(1..)) {
                return;
            }
            self.has_failed = self.tls.process_new_packets().is_err();
            let _ = self.tls.reader().read_to_end(&mut self.received);
        }
        self.fetch();
    }

    /// Puts what the client has to send into the queue.
    fn fetch(&mut self) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.queue).unwrap();
        }
    }

    /// Lets the client and the server go on until neither has anything to say.
    fn settle(&mut self) {
        self.fetch();
        loop {
            self.pass(usize::MAX);
            if self.queue.is_empty() {
                return;
            }
        }
    }
}

/// Plays what an input says.
fn travel(both: &Both, mut choices: Choices) {
    let config = Arc::clone(&both.clients[choices.below(2)]);
    let mut tls = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    tls.set_buffer_limit(None);
    let talk = both.server.tls(&both.tls);
    let mut client = Traveller { tls, talk, queue: Vec::new(), received: Vec::new(), has_failed: false };
    client.fetch();
    let (mut sent, mut is_altered, mut is_closed, mut updates) = (Vec::new(), false, false, 0);
    while !choices.is_empty() {
        let at = |choices: &mut Choices, queue: &[u8]| choices.below(256) * queue.len() / 256;
        match choices.below(12) {
            0 => client.settle(),
            1 => client.pass(choices.below(256)),
            2 | 3 => {
                let bytes = choices.bytes();
                // After a fault of the network, the client writes nothing more.
                if !is_closed && client.tls.writer().write_all(bytes).is_ok() {
                    sent.extend_from_slice(bytes);
                }
                client.fetch();
            }
            // More than 32 in a row end the connection, and rightly.
            4 if !client.tls.is_handshaking() && !is_closed && updates < 32 => {
                updates += 1;
                // Not in TLS 1.2.
                let _ = client.tls.refresh_traffic_keys();
                client.fetch();
            }
            5 if !client.tls.is_handshaking() => {
                client.tls.send_close_notify();
                is_closed = true;
                client.fetch();
            }
            6 if !client.queue.is_empty() => {
                let at = at(&mut choices, &client.queue);
                client.queue[at] ^= 1 << choices.below(8);
                is_altered = true;
            }
            7 => {
                let at = at(&mut choices, &client.queue);
                client.queue.splice(at..at, choices.bytes().iter().copied());
                is_altered = true;
            }
            8 => {
                let at = at(&mut choices, &client.queue);
                let end = (at + choices.below(64)).min(client.queue.len());
                client.queue.drain(at..end);
                is_altered = true;
            }
            9 => {
                // A second time.
                let copy = client.queue.clone();
                client.queue.extend(copy.into_iter().take(2000));
                is_altered = true;
            }
            10 => {
                for _ in 0..choices.below(64) {
                    client.pass(1);
                }
            }
            _ => {}
        }
    }
    if !is_altered {
        client.settle();
        assert!(!client.has_failed, "the client finds a fault of the server");
        assert!(!client.tls.is_handshaking(), "the handshake is not done");
        if !is_closed {
            client.tls.send_close_notify();
        }
    }
    client.settle();
    let Traveller { mut tls, talk, mut received, .. } = client;
    let output = talk.end().unwrap_or_else(|| panic!("it hangs: {}", shown(&sent)));
    let mut rest = &output[..];
    while !rest.is_empty() && matches!(tls.read_tls(&mut rest), Ok(1..)) && tls.process_new_packets().is_ok()
    {
        let _ = tls.reader().read_to_end(&mut received);
    }
    if !is_altered {
        site::judge(&sent, &Talk { output: received, end: End::Own }, &limits(), false);
    } else if sent.is_empty() {
        assert!(!received.starts_with(b"HTTP/1.1 2"), "an answer without a request: {}", shown(&received));
    }
}

fuzz_target!(|input: &[u8]| {
    static BOTH: OnceLock<Both> = OnceLock::new();
    let both = BOTH.get_or_init(both);
    let mut choices = Choices::new(input);
    match choices.byte() {
        0..128 => travel(both, choices),
        seed => {
            let mut talk = both.server.tls(&both.tls);
            let bytes = choices.rest();
            for piece in pieces(bytes, &cuts(bytes.len(), seed - 128)) {
                talk.give(piece);
            }
            assert!(talk.end().is_some(), "it hangs: {}", shown(bytes));
        }
    }
});
