//! Each example in C runs as its users run it: as a process on a free port, with clients over
//! sockets. It answers, and ends well on SIGTERM.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Scratch, include_dir, library_dir};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running example; killed by its process id if the test ends first.
struct Example {
    process: Child,
    address: String,
    /// The rest of the line that the example prints, after the address.
    more: String,
    scratch: Scratch,
    /// Kept open, so that the example can print.
    _output: BufReader<ChildStdout>,
}

impl Example {
    /// Compiles an example, starts it on a free port, and waits until it listens.
    fn start(name: &str) -> Self {
        Self::start_with(name, &[], &[])
    }

    fn start_with(name: &str, libraries: &[&str], arguments: &[&str]) -> Self {
        let scratch = Scratch::new(name);
        let program = compile(name, libraries, &scratch);
        let mut process = Command::new(program)
            .arg("127.0.0.1:0")
            .args(arguments)
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let mut example =
            Self { process, address: String::new(), more: String::new(), scratch, _output: output };
        let said = line.trim().strip_prefix("listening on ").and_then(|said| said.split_once("://"));
        let (_, address) = said.unwrap_or_else(|| panic!("{name}: {line:?}"));
        let (address, more) = address.split_once(", ").unwrap_or((address, ""));
        (example.address, example.more) = (address.to_owned(), more.to_owned());
        example
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request, and returns the status and the body of the response.
    fn ask(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let mut stream = self.connect();
        let length = body.len();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    #[track_caller]
    fn expect(&self, method: &str, target: &str, status: u16, body: &str) {
        assert_eq!(self.ask(method, target, ""), (status, body.to_owned()), "{method} {target}");
    }

    /// Ends the example with SIGTERM; it must end well.
    fn stop(mut self) {
        // SAFETY: the call takes no pointers. The child has not been waited for, so no other
        // process has its id.
        assert_eq!(unsafe { libc::kill(self.process.id().cast_signed(), libc::SIGTERM) }, 0);
        let status = wait(&mut self.process).expect("it ends");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(5));
    }
    None
}

fn compile(name: &str, libraries: &[&str], scratch: &Scratch) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let library = library_dir().display();
    let program = scratch.path().join(name);
    let cpp = folder.join(name).with_extension("cpp");
    let (compiler, standard, source) = if cpp.exists() {
        ("c++", "-std=c++17", cpp)
    } else {
        ("cc", "-std=gnu11", folder.join(name).with_extension("c"))
    };
    let output = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread", "-I"])
        .arg(include_dir())
        .arg(source)
        .args([format!("-L{library}"), format!("-Wl,-rpath,{library}"), "-ltransom".into()])
        .args(libraries)
        .arg("-o")
        .arg(&program)
        .output()
        .expect("a compiler is installed");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    program
}

#[test]
fn admin() {
    let example = Example::start("admin");
    let (status, page) = example.ask("GET", "/", "");
    assert!(status == 200 && page.starts_with("<!doctype html>"), "{page}");
    assert_eq!(example.ask("PUT", "/interval/0", "").0, 400);
    assert_eq!(example.ask("PUT", "/interval/1x", "").0, 400);
    let (status, state) = example.ask("PUT", "/interval/1", "");
    assert!(status == 200 && state.contains("\"interval_ms\":1}"), "{state}");
    let done = |state: &str| -> u64 {
        let digits = state.strip_prefix("{\"done\":").and_then(|rest| rest.split(',').next());
        digits.unwrap_or_else(|| panic!("{state}")).parse().unwrap()
    };
    let deadline = Instant::now() + PATIENCE;
    while done(&example.ask("GET", "/status", "").1) < 5 {
        assert!(Instant::now() < deadline, "the worker does not count");
    }
    let paused = example.ask("POST", "/pause", "").1;
    assert!(paused.contains("\"paused\":true"), "{paused}");
    assert_eq!(example.ask("GET", "/status", "").1, paused);
    assert!(example.ask("POST", "/resume", "").1.contains("\"paused\":false"));
    example.stop();
}

#[test]
fn deferred() {
    let example = Example::start("deferred");
    for (number, square) in [("12", "144\n"), ("0", "0\n"), ("999999999", "999999998000000001\n")] {
        example.expect("GET", &format!("/square/{number}"), 200, square);
    }
    thread::scope(|scope| {
        for number in 0..20_u64 {
            let example = &example;
            scope.spawn(move || {
                example.expect("GET", &format!("/square/{number}"), 200, &format!("{}\n", number * number));
            });
        }
    });
    example.stop();
}

#[test]
fn epoll() {
    let example = Example::start("epoll");
    let (status, text) = example.ask("GET", "/ticks", "");
    assert!(status == 200 && text.starts_with("ticks: "), "{text}");
    example.expect("GET", "/a/b", 404, "404 Not Found\n");
    example.stop();
}

#[test]
fn uv() {
    if !Path::new("/usr/include/uv.h").exists() {
        println!("libuv is not installed: its example is not run");
        return;
    }
    let example = Example::start_with("uv", &["-luv"], &[]);
    let (status, text) = example.ask("GET", "/ticks", "");
    assert!(status == 200 && text.starts_with("ticks: "), "{text}");
    example.stop();
}

#[test]
fn sse() {
    let example = Example::start("sse");
    let mut clients: Vec<_> = (0..5)
        .map(|_| {
            let mut stream = example.connect();
            stream.write_all(b"GET /ticks HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
            BufReader::new(stream)
        })
        .collect();
    let next_id = |client: &mut BufReader<TcpStream>| {
        let mut line = String::new();
        while !line.starts_with("id: ") {
            line.clear();
            assert_ne!(client.read_line(&mut line).unwrap(), 0, "the stream ended");
        }
        line["id: ".len()..].trim().parse::<u64>().unwrap()
    };
    for client in &mut clients {
        let first = next_id(client);
        assert_eq!(next_id(client), first + 1);
    }
    // One leaves; the others go on.
    clients.pop();
    for client in &mut clients {
        next_id(client);
    }
    // A stop ends the streams well: the last chunk comes.
    let reader = thread::spawn(move || {
        let mut rest = String::new();
        clients[0].read_to_string(&mut rest).unwrap();
        rest
    });
    example.stop();
    let rest = reader.join().unwrap();
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest:?}");
}

#[test]
fn chat() {
    let example = Example::start("chat");
    assert!(example.ask("GET", "/", "").1.contains("new WebSocket"));
    assert_eq!(example.ask("GET", "/chat", "").0, 426);
    let say = |client: &mut TcpStream, said: &str| {
        let frame = [0x81, 0x80 | u8::try_from(said.len()).unwrap(), 0, 0, 0, 0];
        client.write_all(&[&frame, said.as_bytes()].concat()).unwrap();
    };
    let hear = |client: &mut TcpStream, said: &str| {
        let mut heard = vec![0; 2 + said.len()];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(heard[2..], *said.as_bytes());
    };
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = example.connect();
        let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        write!(client, "GET /chat HTTP/1.1\r\nHost: test\r\n{upgrade}{key}\r\n").unwrap();
        let mut opening = Vec::new();
        while !opening.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            opening.push(byte[0]);
        }
        // A client is a member by the time at which it is heard.
        say(&mut client, "here");
        clients.push(client);
        for client in &mut clients {
            hear(client, "here");
        }
    }
    // All get what one says, and the others what is said when one has left.
    for said in ["hello", "again"] {
        say(&mut clients[0], said);
        for client in &mut clients {
            hear(client, said);
        }
        clients.pop();
    }
    let reader = thread::spawn(move || {
        let mut close = [0; 4];
        clients[0].read_exact(&mut close).unwrap();
        close
    });
    example.stop();
    assert_eq!(reader.join().unwrap()[2..], [3, 0xe9]);
}

/// Sends a request with this head and body, and returns the head and the body of the response.
fn exchange(example: &Example, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = example.connect();
    let length = body.len();
    let fields = format!("Host: test\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}\r\n{fields}").as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap().to_ascii_lowercase(), body)
}

#[track_caller]
fn begins(head: &str, status: u16) {
    assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
}

#[test]
fn files() {
    let example = Example::start("files");
    let file: Vec<u8> = (0..8 * 1024 * 1024_u32).map(|i| (i / 7919 % 251).to_le_bytes()[0]).collect();
    let size = file.len();
    let get = |fields: &str| exchange(&example, &format!("GET /a.bin HTTP/1.1{fields}"), b"");

    begins(&exchange(&example, "PUT /a.bin HTTP/1.1", &file).0, 201);
    let (head, body) = get("");
    begins(&head, 200);
    assert!(head.contains("accept-ranges: bytes\r\n"), "{head}");
    assert!(body == file, "{} bytes came back", body.len());
    let etag = head.split("etag: ").nth(1).and_then(|rest| rest.lines().next()).expect("an ETag").to_owned();

    for (range, part) in [
        ("0-99", 0..100),
        ("1000000-1000000", 1_000_000..1_000_001),
        ("8388600-", size - 8..size),
        ("-5", size - 5..size),
        ("100-99999999999999999999999999", 100..size),
        ("-99999999999999999999999999", 0..size),
    ] {
        let (head, body) = get(&format!("\r\nRange: bytes={range}"));
        begins(&head, 206);
        let told = format!("content-range: bytes {}-{}/{size}\r\n", part.start, part.end - 1);
        assert!(head.contains(&told), "{range}: {head}");
        assert!(body == file[part], "{range}: {} bytes", body.len());
    }
    for range in ["8388608-", "99999999999999999999-", "-0"] {
        let (head, body) = get(&format!("\r\nRange: bytes={range}"));
        begins(&head, 416);
        assert!(head.contains(&format!("content-range: bytes */{size}\r\n")), "{range}: {head}");
        assert_eq!(body, b"");
    }
    for range in ["bytes=", "bytes=-", "bytes=9-1", "bytes=1-2,4-5", "bytes=a-b", "lines=1-2", "bytes=1-2x"] {
        let (head, body) = get(&format!("\r\nRange: {range}"));
        begins(&head, 200);
        assert_eq!(body.len(), size, "{range}");
    }

    begins(&get(&format!("\r\nIf-None-Match: {etag}")).0, 304);
    begins(&get(&format!("\r\nRange: bytes=0-1\r\nIf-Range: {etag}")).0, 206);
    begins(&get("\r\nRange: bytes=0-1\r\nIf-Range: \"other\"").0, 200);
    let (head, body) = exchange(&example, "HEAD /a.bin HTTP/1.1\r\nRange: bytes=0-1", b"");
    begins(&head, 200);
    assert!(head.contains(&format!("content-length: {size}\r\n")) && body.is_empty(), "{head}");

    begins(&exchange(&example, "GET /none HTTP/1.1", b"").0, 404);
    let long = "x".repeat(200);
    for name in [".hidden", "..", "%2e%2e%2fescaped", "a%2Fb", "a%00b", "a%5Cb", "%C3%A9", "a%20b", &long] {
        for method in ["GET", "PUT"] {
            let (head, _) = exchange(&example, &format!("{method} /{name} HTTP/1.1"), b"");
            begins(&head, 400);
        }
    }

    // Nothing is left of an upload that is too large, nor of one that breaks off.
    let mut stream = example.connect();
    let head = "PUT /large HTTP/1.1\r\nHost: test\r\nContent-Length: 9999999999\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let mut stream = example.connect();
    stream.write_all(b"PUT /cut HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n1234").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let _ = stream.read_to_string(&mut answer);
    let folder = example.scratch.path();
    let uploads = || {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != "files").collect::<Vec<_>>()
    };
    let deadline = Instant::now() + PATIENCE;
    while uploads() != ["a.bin"] {
        assert!(Instant::now() < deadline, "left: {:?}", uploads());
        thread::sleep(Duration::from_millis(5));
    }
    example.stop();
}

#[test]
fn tls() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let certificates = root.join("../../tests/certificates");
    let scratch = Scratch::new("tls-files");
    let copy = |name: &str| {
        for end in ["pem", "key"] {
            let from = certificates.join(format!("{name}.{end}"));
            std::fs::copy(from, scratch.path().join(format!("site.{end}"))).unwrap();
        }
    };
    copy("localhost");
    let files = ["site.pem", "site.key"].map(|name| scratch.path().join(name).to_str().unwrap().to_owned());
    let mut example = Example::start_with("tls", &[], &[&files[0], &files[1], "127.0.0.1:0"]);
    let port = example.address.rsplit(':').next().unwrap().to_owned();

    // Python's ssl module is the client.
    let ask = |name: &str| {
        let mut client = Command::new("python3")
            .arg(root.join("tests/support/tls_client.py"))
            .arg(&certificates)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(client.stdin.take().unwrap(), "{port} {name}").unwrap();
        String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap()
    };
    let said = ask("localhost");
    assert!(said.starts_with("localhost hello by TLSv1.3"), "{said}");
    let said = ask("www.example.org");
    assert!(said.starts_with("failed: "), "{said}");

    copy("example");
    // SAFETY: as in `stop`.
    assert_eq!(unsafe { libc::kill(example.process.id().cast_signed(), libc::SIGHUP) }, 0);
    let deadline = Instant::now() + PATIENCE;
    while !ask("www.example.org").contains("hello by TLSv1.3") {
        assert!(Instant::now() < deadline, "the new certificate is not used");
    }

    let plain = example.more.strip_prefix("redirects on http://").expect("a second address").to_owned();
    example.address = plain;
    let (head, _) = exchange(&example, "GET /a HTTP/1.1", b"");
    begins(&head, 308);
    assert!(head.contains(&format!("location: https://test:{port}/a\r\n")), "{head}");
    example.stop();
}

/// The port of libmicrohttpd's example.
#[test]
fn simplepost() {
    let example = Example::start("simplepost");
    let post = |kind: &str, body: &[u8]| {
        let (head, body) =
            exchange(&example, &format!("POST /namepost HTTP/1.1\r\nContent-Type: {kind}"), body);
        (head[9..12].to_owned(), String::from_utf8(body).unwrap())
    };
    let form = "application/x-www-form-urlencoded";
    let (status, page) = example.ask("GET", "/", "");
    assert!(status == 200 && page.contains("<form action=/namepost method=post>"), "{page}");
    let (status, page) = post(form, b"name=Ada+L%2E");
    assert!(status == "200" && page.contains("<h1>Welcome, Ada L.!</h1>"), "{page}");
    let (_, page) = post(form, b"x=1&name=%3Cb%3E%22%26%27%00");
    assert!(page.contains("<h1>Welcome, &#60;b&#62;&#34;&#38;&#39;&#0;!</h1>"), "{page}");
    for (kind, body) in
        [(form, "name="), (form, "other=1"), (form, "name=aaaaaaaaaaaaaaaaaaaaa"), ("text/plain", "name=Ada")]
    {
        assert_eq!(post(kind, body.as_bytes()).0, "400", "{kind} {body}");
    }
    assert_eq!(post(form, b"name=%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C%3C").0, "200");
    assert_eq!(example.ask("PUT", "/", "").0, 400);
    example.stop();
}

/// The port of `CivetWeb`'s example.
#[test]
fn rest() {
    let mut example = Example::start("rest");
    let version = env!("CARGO_PKG_VERSION");
    let state = |first: &str, second: &str, request: u32| {
        format!(
            "{{\"version\":\"{version}\",\"path1\":\"{first}\",\"path2\":\"{second}\",\"request\":{request}}}\n"
        )
    };
    example.expect("GET", "/res/a/b", 200, &state("a", "b", 1));
    example.expect("GET", "/res/%22%5C/%0A%C3%A9", 200, &state("\\u0022\\u005c", "\\u000aé", 2));
    for method in ["PUT", "POST", "PATCH"] {
        assert_eq!(example.ask(method, "/res/a/b", " {\"request\": 41}\n"), (201, String::new()));
        example.expect("GET", "/res/a/b", 200, &state("a", "b", 42));
    }
    for body in
        ["", "{}", "{\"request\":-1}", "{\"request\":1.5}", "{\"request\":99999999999}", "{\"request\":1}x"]
    {
        assert_eq!(example.ask("PUT", "/res/a/b", body).0, 400, "{body}");
    }
    example.expect("DELETE", "/res/a/b", 204, "");
    example.expect("GET", "/res/a", 404, "404 Not Found\n");
    assert_eq!(example.ask("OPTIONS", "/res/a/b", "").0, 405);
    example.expect("GET", "/exit", 200, "Server will shut down.\nBye!\n");
    let status = wait(&mut example.process).expect("it ends");
    assert!(status.success(), "{status}");
}

/// The port of cpp-httplib's example, in C++.
#[test]
fn server() {
    if Command::new("c++").arg("--version").output().is_err() {
        eprintln!("skipped: there is no C++ compiler");
        return;
    }
    let mut example = Example::start("server");
    example.expect("GET", "/hi", 200, "Hello World!\n");
    assert_eq!(example.ask("GET", "/", "").0, 302);
    assert!(example.ask("GET", "/dump", "").1.starts_with("Host: test\n"));
    example.expect("GET", "/none", 404, "<p>Error Status: <span style='color:red;'>404</span></p>");
    assert_eq!(example.ask("GET", "/stop", "").0, 204);
    let status = wait(&mut example.process).expect("it ends");
    assert!(status.success(), "{status}");
}

/// Every example has a test here or in `c_programs.rs`.
#[test]
fn every_example_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let tests = concat!(include_str!("examples.rs"), include_str!("c_programs.rs"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_some_and(|extension| extension == "c" || extension == "cpp") {
            assert!(tests.contains(&format!("fn {name}")), "{name} is not run");
        }
    }
}
