//! Restarts under load, by hand-over: no request is lost. Each process is this test binary once more.
//!
//! The clients keep their connections. Before a request they look whether the server has closed the
//! connection, and then open another; no request is sent twice. `timeouts.stop_delay` is what makes
//! this enough: the server tells each client in an answer before it closes (RFC 9112 9.6).
#![cfg(target_os = "linux")]

mod common;

const MODEL: Model = Model::EventDriven;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use transom::{
    Body, Handle, HttpResult, Listener, Model, OrStatus, Request, Response, Router, Server, StatusCode,
    blocking,
};

use common::{Client, PATIENCE, configured, eventually};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];
/// The variable that names the model of a process.
const ROLE: &str = "TRANSOM_TEST_ROLE";
const HAND_OVERS: usize = 10;
const CLIENTS: usize = 6;
/// Requests between two hand-overs, at least.
const BETWEEN: u64 = 300;
/// The size of an upload and of a stream, in bytes.
const SIZE: usize = 256 * 1024;

static SERVER: OnceLock<Handle> = OnceLock::new();

/// Serves until the server is handed over or stopped.
#[test]
fn in_a_role() {
    let Ok(model) = std::env::var(ROLE) else { return };
    let hand_over = |_: Request| {
        let server = SERVER.wait();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "in_a_role", "--nocapture"]);
        let successor =
            server.hand_over(&mut command, PATIENCE).or_status(StatusCode::CONFLICT, "not now")?;
        server.stopper().stop(PATIENCE);
        HttpResult::Ok(successor.id().to_string())
    };
    let stream = async |_: Request| {
        let (writer, body) = Body::channel();
        thread::spawn(move || {
            // An error is a client that has left.
            let _ = (0..4).try_for_each(|_| writer.write_blocking(vec![b'x'; SIZE / 4], None));
            writer.finish()
        });
        Response::new(StatusCode::OK).body(body)
    };
    let app = Router::new()
        .get("/", async |_: Request| "well")
        .get("/stream", stream)
        .post("/upload", async |req: Request| req.bytes().len().to_string())
        .post("/hand-over", blocking(hand_over))
        .post("/stop", async |_: Request| SERVER.wait().stopper().stop(PATIENCE));
    let server = configured(app, |_, timeouts| timeouts.stop_delay = PATIENCE / 4);
    let server = server.model(model.parse().unwrap()).workers(2);
    let passed = Listener::inherited().unwrap();
    let server = if passed.is_empty() {
        server.bind("127.0.0.1:0").unwrap()
    } else {
        passed.into_iter().fold(server, Server::listen)
    };
    let server = SERVER.get_or_init(|| server.start().unwrap());
    print_line(&format!("listening on {}\n", server.local_addr()));
    print_line(&format!("ended with {} cut\n", server.wait().unwrap().cut));
}

/// Prints a line at once: that of another process does not get into it.
fn print_line(line: &str) {
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The first process, and those that come after it.
struct Family(Child);

impl Drop for Family {
    fn drop(&mut self) {
        // They are a process group of their own.
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Sets a flag when dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client that keeps its connection.
struct Keeping {
    address: SocketAddr,
    client: Option<Client>,
}

impl Keeping {
    /// Returns the connection, or a new one if the server has closed it.
    fn client(&mut self) -> &mut Client {
        let is_closed = self.client.as_ref().is_some_and(|client| {
            let now = Timespec { tv_sec: 0, tv_nsec: 0 };
            poll(&mut [PollFd::new(&client.writer(), PollFlags::IN)], Some(&now)).unwrap() > 0
        });
        if is_closed {
            self.client = None;
        }
        self.client.get_or_insert_with(|| Client::tcp(self.address))
    }

    /// Sends a request, and checks that its answer is whole.
    fn ask(&mut self, request: &[u8], expected: impl Fn(&[u8]) -> bool) -> Result<(), String> {
        let client = self.client();
        let answer = client.try_send(request).and_then(|()| client.try_answer());
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.closes() {
            self.client = None;
        }
        if answer.status != 200 || !expected(&answer.body) {
            return Err(format!("{} with {} bytes", answer.status, answer.body.len()));
        }
        Ok(())
    }
}

/// Asks again and again until the end. Returns what went wrong.
fn load(address: SocketAddr, number: usize, over: &AtomicBool, asked: &AtomicU64) -> Vec<String> {
    let mut client = Keeping { address, client: None };
    let upload = [format!("POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n").into_bytes()];
    let upload = [upload.concat(), vec![b'x'; SIZE]].concat();
    let mut failures = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let result = match number % 3 {
            0 => client.ask(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", |body| body == b"well"),
            1 => client.ask(&upload, |body| body == SIZE.to_string().as_bytes()),
            _ => client.ask(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", |body| body.len() == SIZE),
        };
        if let Err(failure) = result {
            failures.push(format!("client {number}, request {}: {failure}", asked.load(Ordering::Relaxed)));
            client.client = None;
        }
        asked.fetch_add(1, Ordering::Relaxed);
    }
    failures
}

fn no_request_is_lost(model: Model) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "in_a_role", "--nocapture"]).env(ROLE, model.to_string());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut family = Family(command.spawn().unwrap());
    let mut output = BufReader::new(family.0.stderr.take().unwrap()).lines();
    // Each process prints where it listens, and that it has ended.
    let mut next =
        || output.find_map(|line| line.ok().filter(|line| line.contains(" on ") || line.contains(" cut")));
    let first = next().unwrap();
    let address: SocketAddr = first.strip_prefix("listening on ").unwrap().parse().unwrap();
    let (over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let failures = thread::scope(|scope| {
        let (over, asked) = (&over, &asked);
        // Ends the clients, also after a panic.
        let end = End(over);
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || load(address, number, over, asked))).collect();
        let mut seen = vec![family.0.id().to_string()];
        while seen.len() <= HAND_OVERS {
            let before = asked.load(Ordering::Relaxed);
            eventually("the clients go on", || asked.load(Ordering::Relaxed) > before + BETWEEN);
            let answer = Client::tcp(address).post("/hand-over", "");
            if answer.status == 200 {
                seen.push(answer.text().to_owned());
                // The next process serves before this one ends, and may print it later.
                let mut lines = [next().unwrap(), next().unwrap()];
                lines.sort();
                assert_eq!(lines, ["ended with 0 cut".to_owned(), first.clone()]);
            }
        }
        drop(end);
        seen.dedup();
        assert_eq!(seen.len(), HAND_OVERS + 1);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let asked = asked.load(Ordering::Relaxed);
    assert!(failures.is_empty(), "{model}: {} of {asked} failed: {failures:#?}", failures.len());
    println!("{model}: {asked} requests");
}

#[test]
fn no_request_is_lost_in_ten_hand_overs() {
    for model in MODELS {
        no_request_is_lost(model);
    }
}
