//! TLS over sockets, in each model, with rustls as the client. `tests/clients` has other clients.

mod common;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use common::{PATIENCE, eventually};
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use transom::{
    Body, Deadline, Error, Handle, Limits, Listener, Method, Model, Reject, Request, Response, Route, Router,
    Server, StatusCode, Timeouts, Tls, TlsVersion, Upgraded,
};

/// The model of the servers that the shared helpers start: here each test starts its own.
const MODEL: Model = Model::EventDriven;
const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];
const SHORT: Duration = Duration::from_millis(150);

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

fn pem(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

/// Returns TLS with the certificate and the key of that name.
fn tls(name: &str) -> Tls {
    Tls::from_files(path(&format!("{name}.pem")), path(&format!("{name}.key"))).unwrap()
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path(&format!("{name}.pem"))).unwrap().map(Result::unwrap).collect()
}

/// The routes of the tests.
fn app() -> Router {
    Router::new()
        .get("/", async |req: Request| {
            let tls = req.tls().expect("the connection has TLS");
            let name = tls.server_name().unwrap_or("none");
            let alpn = String::from_utf8_lossy(tls.alpn().unwrap_or(b"none")).into_owned();
            let kind = if tls.is_resumed() { "resumed" } else { "full" };
            let count = tls.peer_certificates().len();
            format!("{} {} {name} {alpn} {kind} {count} {}", req.scheme(), tls.version(), tls.cipher())
        })
        .post("/echo", async |req: Request| Response::bytes("application/octet-stream", req.into_body()))
        .get("/size/{size}", async |req: Request| vec![b'x'; req.param("size").parse().unwrap()])
        .get("/file/{size}", async |req: Request| {
            let size: u64 = req.param("size").parse().unwrap();
            let path = std::env::temp_dir().join(format!("transom-tls-{}-{size}", std::process::id()));
            fs::write(&path, vec![b'f'; usize::try_from(size).unwrap()]).unwrap();
            let body = Body::file(fs::File::open(&path).unwrap()).unwrap();
            let _ = fs::remove_file(&path);
            Response::bytes("application/octet-stream", body)
        })
        .route(
            Route::new(Method::POST, "/count", async |mut req: Request| {
                let mut count = 0;
                while let Some(Ok(chunk)) = req.body_mut().chunk().await {
                    count += chunk.len();
                }
                count.to_string()
            })
            .streaming()
            .body_limit(1 << 30),
        )
        .get("/upgrade", async |_: Request| {
            Response::upgrade("echo", async |mut stream: Upgraded| {
                let mut line = [0; 5];
                stream.read_exact(&mut line).await.unwrap();
                stream.write_all(&line).await.unwrap();
                stream.close().await.unwrap();
            })
        })
}

fn serve_with(model: Model, tls: &Tls, set: impl FnOnce(&mut Limits, &mut Timeouts)) -> Handle {
    let (mut limits, mut timeouts) = (Limits::default(), Timeouts::default());
    timeouts.stop = SHORT;
    set(&mut limits, &mut timeouts);
    let server = Server::new(app()).model(model).limits(limits).timeouts(timeouts).workers(2);
    server.listen(Listener::bind("127.0.0.1:0").unwrap().tls(tls)).start().unwrap()
}

fn serve(model: Model, tls: &Tls) -> Handle {
    serve_with(model, tls, |_, _| ())
}

/// A client's settings, that trust the authority of the tests.
fn trusting() -> ClientConfig {
    client(rustls::DEFAULT_VERSIONS, None)
}

fn client(versions: &[&'static rustls::SupportedProtocolVersion], own: Option<&str>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificates("authority").remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let builder = builder.with_root_certificates(roots);
    match own {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let key = PrivateKeyDer::from_pem_file(path(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(certificates(name), key).unwrap()
        }
    }
}

fn connect_tcp(server: &Handle) -> TcpStream {
    let socket = TcpStream::connect(server.local_addr().to_string()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn connect_as(server: &Handle, config: ClientConfig, name: &str) -> Stream {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), connect_tcp(server))
}

fn connect(server: &Handle) -> Stream {
    connect_as(server, trusting(), "localhost")
}

/// Reads a head and a body with a length.
fn answer(stream: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok((head, body))
}

fn try_get(stream: &mut Stream, path: &str) -> io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    stream.flush()?;
    answer(stream).map(|(_, body)| String::from_utf8(body).unwrap())
}

#[track_caller]
fn get(stream: &mut Stream, path: &str) -> String {
    try_get(stream, path).unwrap()
}

/// Returns the words of `GET /`: scheme, version, name, protocol, kind, certificates, cipher.
#[track_caller]
fn facts(stream: &mut Stream) -> Vec<String> {
    get(stream, "/").split(' ').map(str::to_owned).collect()
}

#[test]
fn both_versions_are_spoken_and_told() {
    for model in MODELS {
        let server = serve(model, &tls("localhost"));
        for (version, told) in [(&rustls::version::TLS13, "TLSv1.3"), (&rustls::version::TLS12, "TLSv1.2")] {
            let mut stream = connect_as(&server, client(&[version], None), "localhost");
            let facts = facts(&mut stream);
            assert_eq!(facts[..6], ["https", told, "localhost", "none", "full", "0"], "{model}");
            assert_eq!(facts[6].starts_with("TLS_ECDHE_"), told == "TLSv1.2", "{facts:?}");
            assert!(facts[6].starts_with("TLS_"), "{facts:?}");
            assert_eq!(get(&mut stream, "/size/3"), "xxx", "{model}: the connection is kept");
        }
        assert_eq!(server.stop(PATIENCE).cut, 0);
    }
}

#[test]
fn an_old_version_is_refused_if_a_newer_one_is_asked_for() {
    let builder = Tls::builder().files(path("localhost.pem"), path("localhost.key"));
    let server = serve(Model::EventDriven, &builder.least_version(TlsVersion::Tls13).build().unwrap());
    let mut old = connect_as(&server, client(&[&rustls::version::TLS12], None), "localhost");
    assert!(try_get(&mut old, "/").unwrap_err().to_string().contains("ProtocolVersion"));
    assert_eq!(facts(&mut connect(&server))[1], "TLSv1.3");
}

#[test]
fn bodies_of_every_size_arrive_in_both_directions() {
    for model in MODELS {
        let server = serve(model, &tls("localhost"));
        let mut stream = connect(&server);
        for size in [0, 1, 100, 16_383, 16_384, 16_385, 61_440, 61_441, 200_000, 5_000_000] {
            let body: Vec<u8> = (0_u8..=250).cycle().take(size).collect();
            write!(stream, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n").unwrap();
            stream.write_all(&body).unwrap();
            assert!(answer(&mut stream).unwrap().1 == body, "{model}: {size} bytes of an echo");
            assert_eq!(get(&mut stream, &format!("/size/{size}")).len(), size, "{model}");
            let file = get(&mut stream, &format!("/file/{size}"));
            assert!(file.len() == size && file.bytes().all(|byte| byte == b'f'), "{model}: a file of {size}");
            write!(stream, "POST /count HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            if size > 0 {
                write!(stream, "{size:x}\r\n").unwrap();
                stream.write_all(&body).unwrap();
                stream.write_all(b"\r\n").unwrap();
            }
            stream.write_all(b"0\r\n\r\n").unwrap();
            assert_eq!(answer(&mut stream).unwrap().1, size.to_string().as_bytes(), "{model}");
        }
    }
}

#[test]
fn each_name_has_its_certificate() {
    let tls = Tls::builder()
        .files(path("localhost.pem"), path("localhost.key"))
        .files(path("example.pem"), path("example.key"))
        .files(path("rsa.pem"), path("rsa.key"))
        .build()
        .unwrap();
    let server = serve(Model::EventDriven, &tls);
    for (name, certificate) in [
        ("localhost", "localhost"),
        ("example.org", "example"),
        ("www.example.org", "example"),
        // No name is asked for with an address (RFC 6066 3).
        ("127.0.0.1", "localhost"),
    ] {
        let mut stream = connect_as(&server, trusting(), name);
        let told = if name == "127.0.0.1" { "none" } else { name };
        assert_eq!(facts(&mut stream)[2], told);
        assert_eq!(stream.conn.peer_certificates().unwrap()[0], certificates(certificate)[0], "{name}");
    }
    // A client that does not trust what it gets for a foreign name says so, and is gone.
    let mut foreign = connect_as(&server, trusting(), "example.com");
    assert!(try_get(&mut foreign, "/").is_err());
    assert_eq!(facts(&mut connect(&server))[0], "https");
}

#[test]
fn a_protocol_is_agreed_on_or_the_handshake_fails() {
    for model in MODELS {
        let server = serve(model, &tls("localhost"));
        let offer = |protocols: &[&str]| {
            let mut config = trusting();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            connect_as(&server, config, "localhost")
        };
        assert_eq!(facts(&mut offer(&["h2", "http/1.1"]))[3], "http/1.1", "{model}");
        let error = try_get(&mut offer(&["h2"]), "/").unwrap_err().to_string();
        assert!(error.contains("NoApplicationProtocol"), "{model}: {error}");
    }
}

#[test]
fn certificates_of_clients_are_asked_for_and_verified() {
    for model in MODELS {
        let builder = || {
            Tls::builder()
                .files(path("localhost.pem"), path("localhost.key"))
                .client_authorities_file(path("authority.pem"))
        };
        let server = serve(model, &builder().client_revocations_file(path("revoked.crl")).build().unwrap());
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let try_as = |own| {
                let mut stream = connect_as(&server, client(&[version], own), "localhost");
                try_get(&mut stream, "/").map(|facts| facts.split(' ').nth(5).unwrap().to_owned())
            };
            assert_eq!(try_as(Some("client")).unwrap(), "1", "{model}");
            for (own, alert) in [
                (None, "CertificateRequired"),
                (Some("stranger"), "UnknownCA"),
                (Some("expired"), "CertificateExpired"),
                (Some("revoked"), "CertificateRevoked"),
            ] {
                let error = try_as(own).unwrap_err().to_string();
                assert!(error.contains(alert), "{model}: {own:?}: {error}");
            }
        }
        let server = serve(model, &builder().client_certificates_optional().build().unwrap());
        assert_eq!(facts(&mut connect(&server))[5], "0", "{model}");
        let mut known = connect_as(&server, client(rustls::DEFAULT_VERSIONS, Some("client")), "localhost");
        assert_eq!(facts(&mut known)[5], "1", "{model}");
        let mut stranger =
            connect_as(&server, client(rustls::DEFAULT_VERSIONS, Some("stranger")), "localhost");
        assert!(try_get(&mut stranger, "/").is_err(), "{model}");
    }
}

#[test]
fn sessions_are_resumed() {
    for model in MODELS {
        let tls = tls("localhost");
        let server = serve(model, &tls);
        for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
            let mut config = client(&[version], None);
            config.resumption = Resumption::in_memory_sessions(8);
            let kind = || {
                let mut stream = connect_as(&server, config.clone(), "localhost");
                let kind = facts(&mut stream)[4].clone();
                // TLS 1.3 sends the ticket after the handshake.
                stream.conn.send_close_notify();
                let _ = stream.flush();
                let _ = stream.read(&mut [0]);
                kind
            };
            assert_eq!(kind(), "full", "{model}");
            assert_eq!(kind(), "resumed", "{model}");
            tls.reload().unwrap();
            assert_eq!(kind(), "resumed", "{model}: a reload keeps the keys of tickets");
        }
    }
}

#[test]
fn a_request_without_tls_gets_an_answer_that_a_person_understands() {
    for model in MODELS {
        let server = serve(model, &tls("localhost"));
        let mut plain = connect_tcp(&server);
        plain.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        let (head, body) = answer(&mut plain).unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{model}: {head}");
        assert!(String::from_utf8(body).unwrap().contains("use https"), "{model}");
        assert_eq!(server.stats().refused(Reject::PlainHttp), 1, "{model}");
    }
}

#[test]
fn a_handshake_on_a_port_without_tls_gets_an_answer_and_has_a_reason_of_its_own() {
    for model in MODELS {
        let server = Server::new(app()).model(model).bind("127.0.0.1:0").unwrap().start().unwrap();
        let mut stream = connect(&server);
        assert!(try_get(&mut stream, "/").is_err(), "{model}");
        assert_eq!(server.stats().refused(Reject::TlsHello), 1, "{model}");
    }
}

#[test]
fn a_silent_client_and_one_that_leaves_in_the_handshake_are_gone() {
    for model in MODELS {
        let server = serve_with(model, &tls("localhost"), |_, timeouts| timeouts.handshake = Some(SHORT));
        let mut silent = connect_tcp(&server);
        assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0, "{model}: the deadline closes it");
        let mut halfway = connect_tcp(&server);
        halfway.write_all(&[22, 3, 1, 2, 0]).unwrap();
        assert_eq!(halfway.read(&mut [0]).unwrap_or(0), 0, "{model}: half a record");
        let leaver = connect_tcp(&server);
        (&leaver).write_all(&[22, 3, 1]).unwrap();
        socket2::SockRef::from(&leaver).set_linger(Some(Duration::ZERO)).unwrap();
        drop(leaver);
        let mut garbage = connect_tcp(&server);
        garbage.write_all(&[22, 3, 1, 0, 4, 9, 0, 0, 0]).unwrap();
        let mut alert = Vec::new();
        let _ = garbage.read_to_end(&mut alert);
        assert_eq!(alert.first(), Some(&21), "{model}: an alert (RFC 8446 6)");
        assert_eq!(facts(&mut connect(&server))[0], "https", "{model}");
        let report = server.stop(PATIENCE);
        let stats = server.stats();
        assert_eq!((stats.tls_handshakes, stats.tls_failures), (1, 4), "{model}");
        // The server may be slow to read what the others sent.
        assert!((2..=4).contains(&stats.expired(Deadline::Handshake)), "{model}");
        assert_eq!((report.cut, report.pending), (0, 0), "{model}");
    }
}

#[test]
fn only_so_many_handshakes_are_under_way() {
    for model in [Model::ThreadPerConnection, Model::EventDriven] {
        let server = serve_with(model, &tls("localhost"), |limits, _| limits.handshakes = 1);
        let silent = connect_tcp(&server);
        eventually("it has the place", || server.stats().opening == 1);
        // Others are closed without an answer.
        try_get(&mut connect(&server), "/").expect_err(&format!("{model}"));
        assert_eq!(server.stats().refused(Reject::TooManyConnections), 1, "{model}");
        drop(silent);
        eventually("the place is free", || try_get(&mut connect(&server), "/").is_ok());
    }
}

#[test]
fn a_plain_request_that_was_answered_keeps_nobody_from_a_handshake() {
    for model in [Model::ThreadPerConnection, Model::EventDriven] {
        let server = serve_with(model, &tls("localhost"), |limits, timeouts| {
            limits.handshakes = 1;
            (timeouts.linger, timeouts.linger_idle) = (Some(PATIENCE * 2), Some(PATIENCE * 2));
        });
        let mut plain = connect_tcp(&server);
        plain.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert!(answer(&mut plain).unwrap().0.starts_with("HTTP/1.1 400 "), "{model}");
        // Its client does not close, and the server lingers.
        assert_eq!(facts(&mut connect(&server))[0], "https", "{model}");
        let stats = server.stats();
        assert_eq!((stats.opening, stats.refused(Reject::TooManyConnections)), (0, 0), "{model}");
        assert!(stats.connections >= 1, "{model}");
        drop(plain);
    }
}

#[test]
fn both_sides_close_in_order() {
    for model in MODELS {
        let server = serve(model, &tls("localhost"));
        // The server closes: the client sees a close_notify, not a bare end.
        let mut stream = connect(&server);
        stream.write_all(b"GET /size/9 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap_or_else(|error| panic!("{model}: {error}"));
        assert!(rest.ends_with(b"xxxxxxxxx"), "{model}");
        // The client closes its side in order after a request, and reads on.
        let mut stream = connect(&server);
        stream.write_all(b"GET /size/9 HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap_or_else(|error| panic!("{model}: {error}"));
        assert!(rest.ends_with(b"xxxxxxxxx"), "{model}");
        // The client closes only the transport after a request, as many do.
        let mut stream = connect(&server);
        stream.write_all(b"GET /size/9 HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        stream.flush().unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap_or_else(|error| panic!("{model}: {error}"));
        assert!(rest.ends_with(b"xxxxxxxxx"), "{model}");
    }
}

#[test]
fn a_client_is_told_to_go_on() {
    for model in MODELS {
        let server = serve(model, &tls("localhost"));
        let mut stream = connect(&server);
        stream
            .write_all(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            .unwrap();
        assert!(answer(&mut stream).unwrap().0.starts_with("HTTP/1.1 100 "), "{model}");
        stream.write_all(b"hello").unwrap();
        assert_eq!(answer(&mut stream).unwrap().1, b"hello", "{model}");
    }
}

#[test]
fn an_upgraded_connection_stays_encrypted() {
    for model in MODELS {
        let server = serve(model, &tls("localhost"));
        let mut stream = connect(&server);
        stream
            .write_all(b"GET /upgrade HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            .unwrap();
        assert!(answer(&mut stream).unwrap().0.starts_with("HTTP/1.1 101 "), "{model}");
        stream.write_all(b"hello").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap_or_else(|error| panic!("{model}: {error}"));
        assert_eq!(rest, b"hello", "{model}");
    }
}

#[test]
fn requests_in_a_row_and_all_at_once_are_answered_in_order() {
    for model in MODELS {
        let server = serve(model, &tls("localhost"));
        let mut stream = connect(&server);
        for size in 0..50 {
            write!(stream, "GET /size/{size} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        }
        for size in 0..50 {
            assert_eq!(answer(&mut stream).unwrap().1.len(), size, "{model}");
        }
    }
}

#[test]
fn what_cannot_be_used_is_told_with_the_name_of_the_file() {
    let told = |certificate: &str, key: &str| match Tls::from_files(path(certificate), path(key)) {
        Err(Error::Tls { subject, reason }) => (subject.rsplit('/').next().unwrap().to_owned(), reason),
        other => panic!("{other:?}"),
    };
    for (certificate, key, subject, reason) in [
        ("none.pem", "localhost.key", "none.pem", "No such file"),
        ("localhost.key", "localhost.key", "localhost.key", "no certificate in PEM"),
        ("localhost.pem", "localhost.pem", "localhost.pem", "no private key in PEM"),
        ("localhost.pem", "renewed.key", "renewed.key", "the key is not that of the certificate"),
        ("localhost.pem", "passphrase.key", "passphrase.key", "has a passphrase"),
    ] {
        let (at, why) = told(certificate, key);
        assert!(at == subject && why.contains(reason), "{at}: {why}");
    }
    for builder in [
        Tls::builder(),
        Tls::builder().files(path("localhost.pem"), path("localhost.key")).client_certificates_optional(),
        Tls::builder().files(path("localhost.pem"), path("localhost.key")).protocols([""]),
        Tls::builder().files(path("localhost.pem"), path("localhost.key")).client_authorities(b"nothing"),
    ] {
        assert!(matches!(builder.build(), Err(Error::Tls { .. })));
    }
    let error = Tls::from_pem(b"", b"").unwrap_err().to_string();
    assert_eq!(error, "TLS: the certificate: there is no certificate in PEM in it");
}

#[test]
fn a_reload_under_load_fails_no_request_and_a_bad_one_changes_nothing() {
    for model in [Model::ThreadPerConnection, Model::EventDriven] {
        let folder = std::env::temp_dir().join(format!("transom-tls-reload-{model}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (certificate, key) = (folder.join("site.pem"), folder.join("site.key"));
        let install = |name: &str| {
            fs::write(&certificate, pem(&format!("{name}.pem"))).unwrap();
            fs::write(&key, pem(&format!("{name}.key"))).unwrap();
        };
        install("localhost");
        let tls = Tls::from_files(&certificate, &key).unwrap();
        let server = serve(model, &tls);
        let (is_over, done) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let mut stream = connect(&server);
                        for _ in 0..3 {
                            assert_eq!(facts(&mut stream)[0], "https");
                        }
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let leaf = || {
                let mut stream = connect(&server);
                facts(&mut stream);
                stream.conn.peer_certificates().unwrap()[0].clone()
            };
            for round in 0..6 {
                let name = ["renewed", "localhost"][round % 2];
                install(name);
                tls.reload().unwrap();
                assert_eq!(leaf(), certificates(name)[0], "{model}");
            }
            fs::write(&key, "no key").unwrap();
            let error = tls.reload().unwrap_err().to_string();
            assert!(error.contains("site.key: there is no private key"), "{error}");
            assert_eq!(leaf(), certificates("localhost")[0], "{model}: the old one stays");
            tls.replace(&pem("renewed.pem"), &pem("renewed.key")).unwrap();
            assert_eq!(leaf(), certificates("renewed")[0], "{model}");
            assert!(tls.replace(&pem("renewed.pem"), &pem("localhost.key")).is_err());
            assert_eq!(leaf(), certificates("renewed")[0], "{model}");
            let begun = Instant::now();
            while done.load(Ordering::Relaxed) < 20 && begun.elapsed() < PATIENCE {
                std::thread::yield_now();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        assert!(done.load(Ordering::Relaxed) >= 20, "{model}");
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn files_that_change_are_read_again_if_that_is_asked_for() {
    let folder = std::env::temp_dir().join(format!("transom-tls-watch-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let (certificate, key) = (folder.join("site.pem"), folder.join("site.key"));
    fs::write(&certificate, pem("localhost.pem")).unwrap();
    fs::write(&key, pem("localhost.key")).unwrap();
    let tls = Tls::builder().files(&certificate, &key).watch(Duration::ZERO).build().unwrap();
    let server = serve(Model::EventDriven, &tls);
    let leaf = || {
        let mut stream = connect(&server);
        facts(&mut stream);
        stream.conn.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(leaf(), certificates("localhost")[0]);
    fs::write(&certificate, pem("renewed.pem")).unwrap();
    assert_eq!(leaf(), certificates("localhost")[0], "the key is still the old one");
    fs::write(&key, pem("renewed.key")).unwrap();
    assert_eq!(leaf(), certificates("renewed")[0]);
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_port_without_tls_redirects_to_one_with_it() {
    for model in MODELS {
        let app = Router::new()
            .get("/.well-known/acme-challenge/{token}", async |req: Request| req.param("token").to_owned())
            .get("/", async |_: Request| StatusCode::IM_A_TEAPOT);
        let listener = Listener::bind("127.0.0.1:0").unwrap().redirect_to_https(8443);
        let server = Server::new(app).model(model).listen(listener).start().unwrap();
        let mut stream = connect_tcp(&server);
        for (target, host, location) in [
            ("/", "example.org", "https://example.org:8443/"),
            ("/a%20b?c=d&e", "example.org:8080", "https://example.org:8443/a%20b?c=d&e"),
            ("http://other/x", "example.org", "https://other:8443/x"),
            ("/v6", "[::1]:80", "https://[::1]:8443/v6"),
        ] {
            write!(stream, "POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi").unwrap();
            let (head, _) = answer(&mut stream).unwrap();
            assert!(head.starts_with("HTTP/1.1 308 "), "{model}: {head}");
            assert!(
                head.to_ascii_lowercase().contains(&format!("location: {location}\r\n")),
                "{model}: {head}"
            );
        }
        stream.write_all(b"GET /.well-known/acme-challenge/abc HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        assert_eq!(answer(&mut stream).unwrap().1, b"abc", "{model}");
    }
}

#[test]
fn the_hook_for_exchanges_is_told_the_scheme() {
    for model in MODELS {
        let (told, heard) = mpsc::channel();
        let server = Server::new(app())
            .model(model)
            .on_exchange(move |exchange| told.send(exchange.scheme().to_owned()).unwrap())
            .listen(Listener::bind("127.0.0.1:0").unwrap().tls(&tls("localhost")))
            .start()
            .unwrap();
        let mut stream = connect(&server);
        assert_eq!(facts(&mut stream)[0], "https", "{model}");
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "https", "{model}");
        stream.write_all(b"no request\r\n\r\n").unwrap();
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "https", "{model}: a head that is refused");
    }
}

#[test]
fn a_stop_ends_handshakes_and_finishes_requests() {
    for model in [Model::ThreadPerConnection, Model::EventDriven] {
        let server = serve(model, &tls("localhost"));
        let mut silent = connect_tcp(&server);
        let mut idle = connect(&server);
        assert_eq!(facts(&mut idle)[0], "https");
        let begun = Instant::now();
        let report = server.stop(PATIENCE);
        assert!(begun.elapsed() < PATIENCE / 2, "{model}");
        assert_eq!((report.cut, report.pending), (0, 0), "{model}");
        assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0, "{model}");
        assert_eq!(idle.read(&mut [0]).unwrap(), 0, "{model}: an idle connection closes in order");
    }
}

#[test]
fn the_host_may_bring_settings_of_rustls() {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            certificates("localhost"),
            PrivateKeyDer::from_pem_file(path("localhost.key")).unwrap(),
        )
        .unwrap();
    let tls = Tls::rustls(Arc::new(config));
    let server = serve(Model::EventDriven, &tls);
    assert_eq!(facts(&mut connect(&server))[2], "localhost");
    assert!(tls.reload().is_err());
}
