//! Each example in C runs as its users run it: as a process on a free port, with clients over
//! sockets. It answers, and ends well on SIGTERM.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Scratch, include_dir, library_dir};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running example; killed by its process id if the test ends first.
struct Example {
    process: Child,
    address: String,
    _scratch: Scratch,
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
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").map(str::to_owned);
        let mut example = Self { process, address: String::new(), _scratch: scratch };
        example.address = address.unwrap_or_else(|| panic!("{name}: {line:?}"));
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
