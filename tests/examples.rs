//! Each example runs as its users run it: as a process, with a client over sockets. It takes a
//! free port, prints where it listens, answers, and ends.

mod common;

const MODEL: Model = Model::EventDriven;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use transom::Model;

use common::{Client, PATIENCE};

/// Builds the examples, and returns the folder in which they are.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // This test is in target/<profile>/deps/.
        let exe = std::env::current_exe().unwrap();
        let profile = exe.parent().and_then(Path::parent).unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--examples"]);
        if cfg!(feature = "serde") {
            build.args(["--features", "serde"]);
        }
        if cfg!(feature = "files") {
            build.args(["--features", "files"]);
        }
        if cfg!(feature = "metrics") {
            build.args(["--features", "metrics"]);
        }
        if cfg!(feature = "tower") {
            build.args(["--features", "tower"]);
        }
        if cfg!(feature = "tracing") {
            build.args(["--features", "tracing"]);
        }
        if cfg!(feature = "sse") {
            build.args(["--features", "sse"]);
        }
        if cfg!(feature = "tls") {
            build.args(["--features", "tls"]);
        }
        if cfg!(feature = "websocket") {
            build.args(["--features", "websocket"]);
        }
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the examples do not build");
        profile.join("examples")
    })
}

/// A running example; killed by its process id when the test ends.
struct Example {
    process: Child,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
    /// The line that names the address.
    line: String,
}

impl Example {
    /// Starts an example on a free port, and waits until it listens.
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(folder().join(name))
            .arg("127.0.0.1:0")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            sender.send((line, output))
        });
        let Ok((line, output)) = receiver.recv_timeout(PATIENCE) else {
            let _ = process.kill();
            panic!("{name} does not say where it listens");
        };
        let (address, _) = line.trim().split_once(", ").unwrap_or((line.trim(), ""));
        let address = address.split_once("://").map(|(_, address)| address);
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{name} says no address but {line:?}"));
        Self { process, output, address, line }
    }

    fn connect(&self) -> Client {
        Client::tcp(self.address)
    }

    /// Waits until the example ends by itself, and returns what it still printed.
    fn finish(mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while self.process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the example does not end");
            thread::sleep(Duration::from_millis(10));
        }
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder of its own, removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("transom-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(client: &mut Client, path: &str, body: &[u8]) -> common::Answer {
    client.send(format!("PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.send(body);
    client.answer()
}

#[test]
fn state_is_shared_by_all_handlers() {
    let example = Example::start("state", &[]);
    let mut client = example.connect();
    assert_eq!(client.get("/notes/today").status, 404);
    assert_eq!(put(&mut client, "/notes/today", b"buy milk").status, 204);
    example.connect().get("/notes/today").expect(200, "buy milk");
    assert_eq!(put(&mut client, "/notes/today", b"\xff").status, 400);
    client.get("/visits").expect(200, "1");
    example.connect().get("/visits").expect(200, "2");
}

#[cfg(feature = "serde")]
#[test]
fn a_json_api_answers_in_json_whatever_happens() {
    let example = Example::start("json_api", &[]);
    let mut client = example.connect();
    let mut create = |body: &str| {
        client.send(format!(
            "POST /users HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        client.answer()
    };
    create(r#"{"name":"ada"}"#).expect(200, r#"{"name":"ada"}"#);
    create(r#"{"name":""}"#).expect(400, r#"{"error":"a user has a name"}"#);
    assert_eq!(create("{").status, 400);
    assert_eq!(create(r#"{"nam":"ada"}"#).status, 422);
    client.get("/users/0").expect(200, r#"{"name":"ada"}"#);
    client.get("/users/1").expect(404, r#"{"error":"no such user"}"#);
    let answers = [client.get("/nowhere"), client.get("/users")];
    assert_eq!(answers.each_ref().map(|answer| answer.status), [404, 405]);
    assert_eq!(answers[1].header("allow"), Some("POST"));
    client.send("GET / HTTP/1.1\r\n\r\n");
    let refusal = client.answer();
    assert_eq!(refusal.status, 400);
    for answer in answers.iter().chain([&refusal]) {
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
        assert!(answer.text().starts_with(r#"{"error":"#), "{answer:?}");
    }
}

#[test]
fn an_upload_is_on_disk_when_it_is_answered() {
    let scratch = Scratch::new("upload");
    let example = Example::start("upload", &[scratch.0.to_str().unwrap()]);
    let content: Vec<u8> = (0..1_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    let mut client = example.connect();
    put(&mut client, "/files/data.bin", &content).expect(201, "1000000 bytes in data.bin\n");
    assert_eq!(fs::read(scratch.0.join("data.bin")).unwrap(), content);
    assert_eq!(put(&mut client, "/files/%2e%2e", b"x").status, 400);
    // A client that leaves in the middle leaves nothing.
    let mut leaver = example.connect();
    leaver.send("PUT /files/half HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf");
    leaver.reset();
    let names =
        || fs::read_dir(&scratch.0).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    common::eventually("the half file is gone", || names() == ["data.bin"]);
}

#[cfg(feature = "files")]
#[test]
fn a_download_stays_within_its_folder() {
    let scratch = Scratch::new("download");
    let content = vec![b'x'; 300_000];
    fs::write(scratch.0.join("page.html"), &content).unwrap();
    let example = Example::start("download", &[scratch.0.to_str().unwrap()]);
    let mut client = example.connect();
    let answer = client.get("/files/page.html");
    assert_eq!((answer.status, answer.body == content), (200, true));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    for path in ["/files/none", "/files/..%2f..%2fetc/passwd", "/files/%2fetc%2fpasswd"] {
        assert_eq!(client.get(path).status, 404, "{path}");
    }
    assert!(client.get("/files/").text().contains("page.html</a>"));
}

#[cfg(feature = "websocket")]
#[test]
fn a_chat_sends_what_one_says_to_all_in_the_room() {
    let example = Example::start("chat", &[]);
    let mut browser = example.connect();
    let page = browser.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let enter = |room: &str| {
        let mut client = example.connect();
        client.send(format!(
            "GET /rooms/{room} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        assert_eq!(client.head().status, 101);
        client
    };
    let next = |client: &mut Client| {
        let head = client.take(2).unwrap();
        assert_eq!(head[0], 0x81);
        String::from_utf8(client.take(head[1].into()).unwrap()).unwrap()
    };
    let (mut first, mut other) = (enter("lobby"), enter("kitchen"));
    assert_eq!(next(&mut first), "* somebody enters lobby: 1 here");
    assert_eq!(next(&mut other), "* somebody enters kitchen: 1 here");
    let mut second = enter("lobby");
    for member in [&mut first, &mut second] {
        assert_eq!(next(member), "* somebody enters lobby: 2 here");
    }
    first.send(b"\x81\x82\0\0\0\0hi");
    for member in [&mut first, &mut second] {
        assert_eq!(next(member), "hi");
    }
    second.send(b"\x88\x80\0\0\0\0");
    assert_eq!(next(&mut first), "* somebody leaves lobby: 1 here");
    let id = example.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let close = other.take(4).unwrap();
    assert_eq!((close[0], &close[2..]), (0x88, &[3, 0xe9][..]));
}

#[test]
#[cfg(feature = "sse")]
fn a_stream_of_events_ends_in_order_when_the_server_stops() {
    let example = Example::start("sse", &[]);
    let mut client = example.connect();
    client.request("/events");
    assert_eq!(client.head().header("content-type"), Some("text/event-stream"));
    let text = |chunk: Vec<u8>| String::from_utf8(chunk).unwrap();
    let first = text(client.try_chunk().unwrap().unwrap());
    let id = first.strip_prefix("event: tick\nid: ").and_then(|rest| rest.lines().next()).unwrap();
    let id: u64 = id.parse().unwrap();
    // Another client has got that event, and gets the next ones, however late it comes.
    let mut client = example.connect();
    client.send(format!("GET /events HTTP/1.1\r\nHost: h\r\nLast-Event-ID: {id}\r\n\r\n"));
    client.head();
    let mut chunk = || client.try_chunk().unwrap().map(text);
    for next in [id + 1, id + 2] {
        assert_eq!(chunk().unwrap(), format!("event: tick\nid: {next}\ndata: tick {next}\n\n"));
    }
    let id = example.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    while let Some(event) = chunk() {
        if event.starts_with("event: bye") {
            break;
        }
    }
    assert_eq!(chunk(), None);
    assert_eq!(example.finish(), "finished 2, cut 0\n");
}

#[test]
fn an_upgraded_connection_speaks_another_protocol() {
    let example = Example::start("upgrade", &[]);
    let mut client = example.connect();
    let answer = client.get("/shout");
    assert_eq!((answer.status, answer.header("upgrade")), (426, Some("shout")));
    client.send("GET /shout HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\nhello\n");
    assert_eq!(client.head().status, 101);
    assert_eq!(client.take(6).unwrap(), b"HELLO\n");
    client.send("again\n");
    assert_eq!(client.take(6).unwrap(), b"AGAIN\n");
    client.half_close();
    client.expect_closed();
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_starts_its_successor_on_a_signal() {
    let example = Example::start("handover", &[]);
    let mut client = example.connect();
    let first = client.get("/").text().to_owned();
    assert_eq!(first.trim(), example.process.id().to_string());
    assert!(Command::new("kill").args(["-HUP", first.trim()]).status().unwrap().success());
    let mut second = first.clone();
    common::eventually("the successor serves", || {
        example.connect().get("/").text().clone_into(&mut second);
        second != first
    });
    // The old process answers once more on a connection that was kept.
    let answer = client.get("/");
    assert_eq!((answer.text(), answer.closes()), (&*first, true));
    assert!(Command::new("kill").args(["-TERM", second.trim()]).status().unwrap().success());
    let output = example.finish();
    assert!(output.contains("cut 0\n"), "{output}");
}

#[cfg(feature = "tls")]
#[test]
fn https_has_redirects_to_it_and_a_certificate_that_is_renewed() {
    let from = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name);
    let scratch = Scratch::new("tls");
    let copy = |name: &str| {
        for end in ["pem", "key"] {
            fs::copy(from(&format!("{name}.{end}")), scratch.0.join(format!("site.{end}"))).unwrap();
        }
    };
    copy("localhost");
    let files = ["site.pem", "site.key"].map(|name| scratch.0.join(name).to_str().unwrap().to_owned());
    let example = Example::start("tls", &[&files[0], &files[1], "127.0.0.1:0"]);
    let plain = example.line.trim().rsplit_once("http://").unwrap().1.parse().unwrap();
    let redirect = Client::tcp(plain).get("/");
    let location = format!("https://h:{}/", example.address.port());
    assert_eq!((redirect.status, redirect.header("location")), (308, Some(&*location)));

    assert_eq!(
        tls::get(example.address),
        (tls::certificate(&from("localhost.pem")), "hello by TLSv1.3\n".into())
    );
    copy("renewed");
    let id = example.process.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    let renewed = tls::certificate(&from("renewed.pem"));
    common::eventually("the new certificate is in use", || tls::get(example.address).0 == renewed);
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(example.finish().ends_with("cut 0\n"));
}

/// A client with TLS.
#[cfg(feature = "tls")]
mod tls {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::path::Path;
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    use super::common::PATIENCE;

    /// Reads the first certificate of a file.
    pub fn certificate(path: &Path) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(path).unwrap()
    }

    /// Returns the certificate of the server, and the body that it answers with.
    pub fn get(address: SocketAddr) -> (CertificateDer<'static>, String) {
        let authority = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates/authority.pem");
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&authority)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let body = answer.split_once("\r\n\r\n").expect("a head").1.to_owned();
        (stream.conn.peer_certificates().unwrap()[0].clone(), body)
    }
}

#[test]
fn the_loop_of_a_program_answers_requests() {
    let example = Example::start("embedded", &[]);
    let mut client = example.connect();
    common::eventually("the loop ticks", || client.get("/ticks").text() != "0\n");
    client.post("/quit", "").expect(200, "bye\n");
    assert!(example.finish().ends_with("cut 0\n"));
}

#[test]
fn a_server_runs_on_the_executor_of_its_program() {
    let example = Example::start("host_executor", &[]);
    let mut client = example.connect();
    common::eventually("the clock runs", || client.get("/").text() != "up 0 ms\n");
    client.post("/quit", "").expect(200, "bye\n");
    assert!(example.finish().ends_with("cut 0\n"));
}

#[test]
fn an_application_that_is_tested_without_sockets_serves_too() {
    let example = Example::start("testing", &[]);
    let mut client = example.connect();
    client.post("/guests", "ada").expect(201, "guest 1\n");
    client.post("/guests", "").expect(400, "a guest has a name\n");
}

#[cfg(feature = "tower")]
#[test]
fn an_axum_router_serves_with_its_layers() {
    let example = Example::start("axum", &[]);
    let mut client = example.connect();
    client.get("/").expect(200, "the axum router is under /api\n");
    client.send("GET /api/users/1 HTTP/1.1\r\nHost: h\r\nOrigin: http://example.org\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, r#""grace""#));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(client.get("/api/users/7").status, 404);
    client.post("/api/echo", "text").expect(200, "text");
    let text = "long ".repeat(1000);
    client.send(format!(
        "POST /api/echo HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    ));
    let answer = client.answer();
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!(answer.body.len() < text.len() / 10, "{} bytes", answer.body.len());
}

#[cfg(feature = "tracing")]
#[test]
fn a_traced_request_belongs_to_the_trace_of_its_client() {
    let mut example = Example::start("tracing", &[]);
    let mut client = example.connect();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    client.send(format!("GET /users/7 HTTP/1.1\r\nHost: h\r\ntraceparent: {parent}\r\n\r\n"));
    let answer = client.answer();
    assert!(
        answer.text().starts_with("traceparent: 00-0af7651916cd43dd8448eb211c80319c-"),
        "{}",
        answer.text()
    );
    assert!(answer.header("traceresponse").is_some());
    let mut line = String::new();
    example.output.read_line(&mut line).unwrap();
    assert!(line.contains("looking for a user") && line.contains("http.route=\"/users/{id}\""), "{line}");
}

#[cfg(feature = "metrics")]
#[test]
fn otlp() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let example = Example::start("otlp", &[&collector.local_addr().unwrap().to_string()]);
    example.connect().get("/").expect(200, "hello\n");
    // The first snapshot may come before the request is counted.
    for body in std::iter::repeat_with(|| received(&collector)).take(20) {
        assert!(
            body.starts_with(r#"{"resourceMetrics":[{"resource":{}"#) && body.ends_with("]}]}]}"),
            "{body}"
        );
        if body.contains(r#"{"key":"http.route","value":{"stringValue":"/"}}"#) {
            assert!(body.contains(r#""count":"1","sum":"#), "{body}");
            assert!(body.contains(r#""explicitBounds":[0.0001, 0.00025"#), "{body}");
            return;
        }
    }
    panic!("the request is not counted");
}

/// Receives a request to a collector, and returns its body.
#[cfg(feature = "metrics")]
fn received(collector: &TcpListener) -> String {
    let (stream, _) = collector.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(&stream);
    let (mut line, mut length) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the head ends");
        if let Some(value) = line.strip_prefix("Content-Length: ") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (&stream).write_all(b"HTTP/1.0 200 OK\r\n\r\n{}").unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn each_example_is_short_and_the_readme_links_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for path in fs::read_dir(root.join("examples")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        // The application of the conformance probe is no example to learn from; the page is a part of `chat.rs`.
        if !["conformance.rs", "chat.html"].contains(&name) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 60, "{name} has {lines} lines");
            assert!(readme.contains(&format!("](examples/{name})")), "the README does not link {name}");
        }
    }
}

#[test]
fn an_error_that_main_returns_is_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(folder().join("state")).arg(&address).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    let start = format!("Error: cannot listen on {address}: ");
    assert!(text.starts_with(&start) && text.lines().count() == 1 && !text.contains('{'), "{text}");
}
