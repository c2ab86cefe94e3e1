//! The PROXY protocol: the client that a trusted proxy names is the peer of its connection.

mod common;

const MODEL: Model = Model::EventDriven;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use transom::{Handle, Limits, Listener, Model, Network, Reject, Request, Router, Server};

use common::{Logs, PATIENCE, SHORT, configured, eventually, socket_path};

#[cfg(target_os = "linux")]
const MODELS: &[Model] = &[Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];
#[cfg(not(target_os = "linux"))]
const MODELS: &[Model] = &[Model::EventDriven];

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const LINE: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";

/// Answers with the client, the proxy, and the address that the client came to.
fn app() -> Router {
    Router::new().get("/", async |req: Request| {
        let local = req.local_addr().map_or("nowhere".into(), |address| address.to_string());
        format!("{} by {} at {local}", req.peer(), host(&req.connection_peer().to_string()))
    })
}

/// An address without its port, which is another for each connection.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn serve(model: Model, trusted: &[&str], set: impl FnOnce(Server) -> Server) -> Handle {
    let listener = Listener::bind("127.0.0.1:0").unwrap().proxy_protocol(networks(trusted));
    let server = configured(app(), |_, timeouts| timeouts.handshake = Some(10 * SHORT));
    set(server.model(model).workers(1)).listen(listener).start().unwrap()
}

fn connect(server: &Handle) -> TcpStream {
    let client = TcpStream::connect(server.local_addr().to_string()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Reads until the server closes.
fn rest(mut client: impl std::io::Read) -> String {
    let mut rest = String::new();
    // A reset is an end too.
    let _ = client.read_to_string(&mut rest);
    rest
}

fn ask(server: &Handle, header: &[u8]) -> String {
    let mut client = connect(server);
    client.write_all(&[header, REQUEST.as_bytes()].concat()).unwrap();
    rest(client)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// A header of version 2 for a connection over IPv4.
fn binary(command: u8, extensions: &[u8]) -> Vec<u8> {
    let block = [&[192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb][..], extensions].concat();
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, 0x11][..], &length, &block].concat()
}

#[test]
fn a_client_is_the_one_that_a_trusted_proxy_names() {
    for &model in MODELS {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&seen);
        let server = serve(model, &["127.0.0.0/8"], |server| {
            server.on_exchange(move |exchange| {
                let local = exchange.local_addr().map(|address| address.to_string());
                told.lock().unwrap().push((exchange.peer().to_string(), local.unwrap_or_default()));
            })
        });
        let named = "192.0.2.7:4711 by 127.0.0.1 at 198.51.100.1:443";
        assert_eq!(body(&ask(&server, LINE.as_bytes())), named, "{model}");
        assert_eq!(body(&ask(&server, &binary(0x21, &[4, 0, 1, 0]))), named, "{model}");
        let line = "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n";
        let answer = ask(&server, line.as_bytes());
        assert_eq!(body(&answer), "[2001:db8::7]:4711 by 127.0.0.1 at [2001:db8::1]:443", "{model}");
        server.stop(PATIENCE);
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0], ("192.0.2.7:4711".into(), "198.51.100.1:443".into()), "{model}");
        assert_eq!(seen.len(), 3, "{model}");
    }
}

#[test]
fn a_proxy_that_speaks_for_itself_keeps_its_own_addresses() {
    for &model in MODELS {
        let server = serve(model, &["127.0.0.1"], |server| server);
        for header in ["PROXY UNKNOWN\r\n".as_bytes(), &binary(0x20, &[]), &binary(0x20, &[9])] {
            let mut client = connect(&server);
            let (own, local) = (client.local_addr().unwrap(), server.local_addr());
            client.write_all(&[header, REQUEST.as_bytes()].concat()).unwrap();
            assert_eq!(body(&rest(client)), format!("{own} by 127.0.0.1 at {local}"), "{model}");
        }
    }
}

#[test]
fn a_header_may_come_byte_by_byte_and_the_request_right_behind_it() {
    for &model in MODELS {
        let server = serve(model, &["127.0.0.1"], |server| server);
        for header in [LINE.as_bytes(), &binary(0x21, &[4, 0, 2, 1, 2])] {
            let mut client = connect(&server);
            client.set_nodelay(true).unwrap();
            for byte in [header, REQUEST.as_bytes()].concat() {
                client.write_all(&[byte]).unwrap();
            }
            assert!(body(&rest(client)).starts_with("192.0.2.7:4711 by 127.0.0.1"), "{model}");
        }
    }
}

#[test]
fn a_connection_that_is_not_from_a_trusted_proxy_is_closed_and_counted() {
    for &model in MODELS {
        let server = serve(model, &["10.0.0.0/8", "::1", "unix"], |server| server);
        assert_eq!(ask(&server, LINE.as_bytes()), "", "{model}");
        assert_eq!(rest(connect(&server)), "", "{model}: before a byte was sent");
        eventually("the count", || server.stats().refused(Reject::UntrustedProxy) == 2);
        Logs::expect("closed a connection of 127.0.0.1:");
    }
}

#[test]
fn a_trusted_connection_without_a_whole_header_is_closed_and_counted() {
    for &model in MODELS {
        let server = serve(model, &["127.0.0.1"], |server| server);
        assert_eq!(ask(&server, b""), "", "{model}: no header");
        assert_eq!(ask(&server, b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n"), "", "{model}: malformed");
        assert_eq!(ask(&server, &binary(0x21, &[3, 0, 4, 0, 0, 0, 0])), "", "{model}: a wrong checksum");
        let mut client = connect(&server);
        client.write_all(&LINE.as_bytes()[..20]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(client), "", "{model}: cut short");
        eventually("the count", || server.stats().refused(Reject::BadProxyHeader) == 4);
        // A health check that sends nothing is no fault.
        drop(connect(&server));
        assert!(ask(&server, LINE.as_bytes()).starts_with("HTTP/1.1 200 "), "{model}");
        assert_eq!(server.stats().all_refused(), 4, "{model}");
    }
}

#[test]
fn a_header_has_the_deadline_of_a_handshake_whatever_comes_of_it() {
    for &model in MODELS {
        let server = serve(model, &["127.0.0.1"], |server| server);
        let mut client = connect(&server);
        client.write_all(&LINE.as_bytes()[..20]).unwrap();
        assert_eq!(rest(client), "", "{model}");
    }
}

#[test]
fn the_limit_for_one_address_counts_the_client_that_the_header_names() {
    for &model in MODELS.iter().filter(|&&model| model != Model::Sequential) {
        let mut limits = Limits::default();
        limits.connections_per_address = Some(1);
        let server = serve(model, &["127.0.0.1"], |server| server.limits(limits.clone()));
        let mut first = connect(&server);
        first.write_all(format!("{LINE}GET / HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).unwrap();
        first.read_exact(&mut [0]).unwrap();
        assert!(ask(&server, LINE.as_bytes()).starts_with("HTTP/1.1 503 "), "{model}");
        assert!(ask(&server, LINE.replace('7', "8").as_bytes()).starts_with("HTTP/1.1 200 "), "{model}");
    }
}

#[test]
fn a_unix_socket_may_have_a_proxy_too() {
    for &model in MODELS {
        let path = socket_path();
        let address = format!("unix:{}", path.display());
        let listener = Listener::bind(&address).unwrap().proxy_protocol([Network::UNIX]);
        let server = configured(app(), |_, _| ()).model(model).listen(listener).start().unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(format!("{LINE}{REQUEST}").as_bytes()).unwrap();
        assert_eq!(body(&rest(client)), "192.0.2.7:4711 by unix at 198.51.100.1:443", "{model}");
        server.stop(PATIENCE);
    }
}

#[test]
fn other_listeners_of_the_server_take_no_header() {
    for &model in MODELS {
        let server = configured(app(), |_, _| ()).model(model).bind("127.0.0.1:0").unwrap().start().unwrap();
        assert!(ask(&server, LINE.as_bytes()).starts_with("HTTP/1.1 400 "), "{model}");
    }
}
