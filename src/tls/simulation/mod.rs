//! TLS over a network that cuts the records: HTTP with a good client in this file, streams of clients
//! that mean harm in `hostile`.

mod client;
mod hostile;
mod network;
mod raw;

use std::pin::pin;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use super::handshake::accept;
use crate::base::pool::Pool;
use crate::base::threads::Threads;
use crate::config::Config;
use crate::conn::{App, Session, serve};
use crate::handler::Router;
use crate::message::{Request, Response};
use client::{Client, client_config, server_config};
use network::{Cut, Network, Socket, drive};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

/// How a connection is cut.
#[derive(Clone, Copy, Debug)]
struct Manner {
    to_server: Cut,
    to_client: Cut,
    /// How many bytes the transport holds back until it is flushed.
    holds: usize,
    /// True if the client ends its side without a `close_notify`.
    is_blunt: bool,
}

impl Manner {
    fn both(cut: Cut) -> Self {
        Self { to_server: cut, to_client: cut, holds: 0, is_blunt: false }
    }
}

fn app() -> App {
    let router = Router::new()
        .get("/", async |_: Request| "hello")
        .post("/echo", async |req: Request| Response::bytes("application/octet-stream", req.into_body()));
    let (table, _) = router.build().unwrap();
    let pool = Pool::new("simulation", 1, 1, Threads::new(Box::new(|| Box::new(()))));
    App::new(table, Config::default(), pool)
}

/// Sends requests with bodies of these sizes and new keys between them, and checks the answers. Returns
/// how many encrypted bytes went each way.
fn talk(version: &'static SupportedProtocolVersion, sizes: &[usize], manner: Manner) -> (usize, usize) {
    let app = app();
    let session = Session::unknown();
    let network = Network::new(manner.to_client, manner.holds);
    let mut client = Client::new(&Arc::new(client_config(version)), manner.to_server);
    let socket = Socket::new(&network);
    let task = async {
        let Ok((stream, _)) = accept(socket, server_config()).await else {
            panic!("the handshake fails: {version:?} {manner:?}")
        };
        serve(stream, &app, &session).await;
    };
    let mut bodies = Vec::new();
    let mut is_asked = false;
    let ended = drive(pin!(task), &network, |network| {
        let has_moved = client.step(network);
        if is_asked || client.tls.is_handshaking() {
            return has_moved;
        }
        is_asked = true;
        for &size in sizes {
            let body: Vec<u8> = (0_u8..=250).cycle().take(size).collect();
            client.write(
                format!("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n").as_bytes(),
            );
            client.write(&body);
            bodies.push(body);
            if version == &TLS13 {
                client.tls.refresh_traffic_keys().unwrap();
            }
            client.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            bodies.push(b"hello".to_vec());
        }
        client.ends = true;
        if !manner.is_blunt {
            client.tls.send_close_notify();
        }
        true
    });
    assert_eq!(ended, Some(()), "it hangs: {version:?} {manner:?}");
    client.step(&mut network.lock().unwrap());
    assert_eq!(client.error, None, "{version:?} {manner:?}");
    assert!(client.has_close_notify, "{version:?} {manner:?}");
    let answers = answers(&client.received);
    assert!(answers == bodies, "{version:?} {manner:?}: {} answers", answers.len());
    let written = network.lock().unwrap().written;
    (client.sent, written)
}

/// Returns the bodies of the answers. Each has a length.
fn answers(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = std::str::from_utf8(&bytes[..end]).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let end = end + 4;
        let length: usize = length.unwrap().parse().unwrap();
        bodies.push(bytes[end..(end + length).min(bytes.len())].to_vec());
        bytes = &bytes[(end + length).min(bytes.len())..];
    }
    assert!(bytes.is_empty(), "{} bytes of an answer that is not whole", bytes.len());
    bodies
}

#[test]
fn records_may_be_cut_at_every_byte() {
    for version in VERSIONS {
        let (sent, written) = talk(version, &[3], Manner::both(Cut::Never));
        for at in 1..=sent.max(written) {
            let is_blunt = at % 2 == 0;
            talk(version, &[3], Manner { is_blunt, ..Manner::both(Cut::At(at)) });
        }
    }
}

#[test]
fn records_may_come_in_small_pieces() {
    for version in VERSIONS {
        for size in [1, 2, 3, 7, 64] {
            talk(version, &[0, 100], Manner::both(Cut::Each(size)));
        }
        for seed in 0..40 {
            let (to_server, to_client) = (Cut::Seed(seed), Cut::Seed(!seed));
            talk(version, &[10, 2000], Manner { to_server, to_client, holds: 0, is_blunt: seed % 3 == 0 });
        }
    }
}

#[test]
fn bodies_end_where_records_do() {
    for version in VERSIONS {
        for size in [0, 1, 16_383, 16_384, 16_385, 61_439, 61_440, 61_441, 200_000] {
            for cut in [Cut::Never, Cut::Each(5000), Cut::Seed(size as u64)] {
                talk(version, &[size], Manner::both(cut));
            }
        }
    }
}

#[test]
fn a_transport_may_hold_back_what_is_written_until_it_is_flushed() {
    for version in VERSIONS {
        for holds in [1, 100, 20_000] {
            for cut in [Cut::Never, Cut::Each(50)] {
                talk(version, &[5, 3000], Manner { holds, ..Manner::both(cut) });
            }
        }
    }
}
