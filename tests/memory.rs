//! A server whose process has little memory refuses requests that it has none for, lives, and
//! serves when there is some again. The server runs in a process of its own: this test once
//! more, with a limit on its address space.

mod common;

const MODEL: Model = Model::EventDriven;

use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use transom::{Method, Model, Request, Response, Route, Router};

use common::{Client, PATIENCE, Signal, configured, eventually};

/// Set in the process of the server.
const INSIDE: &str = "TRANSOM_TEST_LITTLE_MEMORY";

/// Address space of the server, KiB.
const SPACE: u32 = 256 * 1024;

/// Clients at once. Their bodies together are more than all of that.
const CLIENTS: usize = 32;
const BODY: usize = 9 << 20;

#[test]
fn without_memory_the_event_driven_model_refuses_and_recovers() {
    with_little_memory("without_memory_the_event_driven_model_refuses_and_recovers", Model::EventDriven);
}

#[test]
fn without_memory_a_thread_per_connection_refuses_and_recovers() {
    with_little_memory(
        "without_memory_a_thread_per_connection_refuses_and_recovers",
        Model::ThreadPerConnection,
    );
}

fn with_little_memory(name: &str, model: Model) {
    if std::env::var_os(INSIDE).is_some() {
        return serve(model);
    }
    let server = Limited::start(name);
    let fields = format!("Content-Length: {BODY}");
    let whole = Upload { fields: &fields, piece: vec![b'x'; 64 << 10], end: b"" };
    let chunks = Upload { fields: CHUNKED, piece: chunk(64 << 10), end: b"0\r\n\r\n" };
    let small_chunks = Upload { fields: CHUNKED, piece: chunk(1000).repeat(60), end: b"0\r\n\r\n" };
    for upload in [&whole, &chunks, &small_chunks] {
        let answered = server.crowd("/echo", upload);
        assert!(answered < CLIENTS, "there was memory for all");
        server.is_well();
    }
    // Of these nobody takes any.
    server.crowd("/unread", &whole);
    server.is_well();
    server.stop();
}

/// The server, until its input ends.
fn serve(model: Model) {
    let echo = async |req: Request| Response::bytes("application/octet-stream", req.into_body());
    let unread = async |_: Request| {
        transom::sleep(Duration::from_millis(300)).await;
        "unread"
    };
    let app = Router::new()
        .get("/", async |_: Request| "well")
        .post("/echo", echo)
        .route(Route::new(Method::POST, "/unread", unread).streaming());
    let server = configured(app, |_, _| ()).model(model).workers(2);
    let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    println!("\nlistening on {}", server.local_addr());
    let _ = io::stdin().read(&mut [0]);
    server.stop(Duration::from_secs(5));
}

#[cfg(feature = "compression")]
mod compressed {
    use std::io::Write as _;

    use transom::{Coding, Compression, Decompression, HttpResult};

    use super::*;

    /// Bytes that brotli and zstd cannot make shorter.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..length / 8).flat_map(|_| next()).collect()
    }

    /// Content whose decompressor holds 16 MiB with brotli, and 8 MiB with zstd.
    fn coded(coding: &str) -> Vec<u8> {
        let content = noise(2 << 20);
        if coding == "br" {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 24);
            writer.write_all(&content).unwrap();
            writer.into_inner()
        } else {
            let mut writer = zstd::Encoder::new(Vec::new(), 1).unwrap();
            writer.window_log(23).unwrap();
            writer.write_all(&content).unwrap();
            writer.finish().unwrap()
        }
    }

    fn serve() {
        let streamed = async |mut req: Request| -> HttpResult<String> {
            let mut length = 0;
            while let Some(chunk) = req.body_mut().chunk().await {
                length += chunk?.len();
            }
            Ok(length.to_string())
        };
        let lines = "a line of a text that is compressed\n".repeat(3_000);
        let compression = Compression::new().level(Coding::Brotli, 9).level(Coding::Zstd, 19);
        let app = Router::new()
            .wrap(compression)
            .get("/", async |_: Request| "well")
            .get("/text", async move |_: Request| lines.clone())
            .route(
                Route::new(Method::POST, "/streamed", streamed)
                    .streaming()
                    .wrap(Decompression::new().max_memory(usize::MAX)),
            );
        let server = configured(app, |_, _| ()).workers(2);
        let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
        println!("\nlistening on {}", server.local_addr());
        let _ = io::stdin().read(&mut [0]);
        server.stop(Duration::from_secs(5));
    }

    /// Clients that all have sent half of a compressed request before one of them sends the rest, while
    /// others ask for a text. Returns how many requests are served, and how many texts are compressed.
    fn crowd(server: &Limited, coding: &str, body: &[u8]) -> (usize, usize) {
        let (half, over) = (Signal::new(), Signal::new());
        let visit = |mut client: Client| {
            let head = format!(
                "POST /streamed HTTP/1.1\r\nHost: h\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            client.set_write_timeout(Duration::from_secs(1));
            let (first, rest) = body.split_at(body.len() / 2);
            let started = client.try_send(head).and_then(|()| client.try_send(first));
            half.set();
            over.reached(1, PATIENCE);
            let finished = started.and_then(|()| client.try_send(rest));
            let status = client.try_answer().map_or(0, |answer| answer.status);
            assert!([0, 200, 503].contains(&status), "{status} {finished:?}");
            usize::from(status == 200)
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| Client::tcp(server.address)).collect();
        thread::scope(|scope| {
            let clients: Vec<_> = clients.into_iter().map(|client| scope.spawn(|| visit(client))).collect();
            half.wait_for(CLIENTS as u64);
            let asks = || {
                let mut client = Client::tcp(server.address);
                let asked = client.try_send(format!(
                    "GET /text HTTP/1.1\r\nHost: h\r\nAccept-Encoding: {coding}\r\nConnection: close\r\n\r\n"
                ));
                let answer = asked.and_then(|()| client.try_answer());
                answer.is_ok_and(|answer| answer.header("content-encoding").is_some())
            };
            let texts: Vec<_> = (0..16).map(|_| scope.spawn(asks)).collect();
            let compressed = texts.into_iter().map(|text| usize::from(text.join().unwrap())).sum();
            over.set();
            (clients.into_iter().map(|client| client.join().unwrap()).sum(), compressed)
        })
    }

    #[test]
    fn without_memory_texts_go_as_they_are_and_compressed_requests_are_refused() {
        if std::env::var_os(INSIDE).is_some() {
            return serve();
        }
        let server = Limited::start(
            "compressed::without_memory_texts_go_as_they_are_and_compressed_requests_are_refused",
        );
        for coding in ["br", "zstd"] {
            let body = coded(coding);
            for _ in 0..3 {
                let (answered, compressed) = crowd(&server, coding, &body);
                assert!(answered < CLIENTS, "{coding}: there was memory for all");
                assert!(compressed < 16, "{coding}: there was memory for all");
                server.is_well();
            }
        }
        server.stop();
    }
}

const CHUNKED: &str = "Transfer-Encoding: chunked";

fn chunk(size: usize) -> Vec<u8> {
    [format!("{size:x}\r\n").into_bytes(), vec![b'x'; size], b"\r\n".to_vec()].concat()
}

/// A request of about [`BODY`] bytes.
struct Upload<'a> {
    fields: &'a str,
    piece: Vec<u8>,
    end: &'a [u8],
}

impl Upload<'_> {
    fn head(&self, path: &str) -> String {
        format!("POST {path} HTTP/1.1\r\nHost: h\r\n{}\r\n\r\n", self.fields)
    }

    /// Sends all but one piece.
    fn start(&self, path: &str, client: &mut Client) -> io::Result<()> {
        client.try_send(self.head(path))?;
        (1..BODY / self.piece.len()).try_for_each(|_| client.try_send(&self.piece))
    }

    fn finish(&self, client: &mut Client) -> io::Result<()> {
        client.try_send(&self.piece)?;
        client.try_send(self.end)
    }
}

/// The process of a server with little memory.
struct Limited {
    process: Child,
    /// Open, as the test harness writes to it in the end.
    _output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Limited {
    fn start(name: &str) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -v \"$2\" && exec \"$0\" --nocapture --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .args([name, &SPACE.to_string()])
            .env(INSIDE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut lines = output.by_ref().lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("listening on ")?.parse().ok());
        Self { process, _output: output, address: address.expect("it says where it listens") }
    }

    /// Clients that all have sent most of a request before one of them sends the rest: how
    /// many are served. Meanwhile others send half a head, or ask and do not read.
    fn crowd(&self, path: &str, upload: &Upload<'_>) -> usize {
        let (full, over) = (Signal::new(), Signal::new());
        let visit = |mut client: Client| {
            // One that waits in the backlog does so while the others are there.
            client.set_write_timeout(Duration::from_secs(1));
            let started = upload.start(path, &mut client);
            full.set();
            over.reached(1, PATIENCE);
            let is_blocked = started.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            let finished = started.and_then(|()| upload.finish(&mut client));
            if is_blocked {
                return 0;
            }
            // What was said may be there though not all could be sent.
            let status = client.try_answer().map_or(0, |answer| answer.status);
            assert!([0, 200, 503].contains(&status), "{status} {finished:?}");
            usize::from(status == 200)
        };
        let half = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(30_000));
        let echo = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n";
        let asks = [echo, &"x".repeat(60_000)].concat().repeat(4);
        let clients: Vec<_> = (0..CLIENTS).map(|_| Client::tcp(self.address)).collect();
        thread::scope(|scope| {
            let clients: Vec<_> = clients.into_iter().map(|client| scope.spawn(|| visit(client))).collect();
            full.wait_for(CLIENTS as u64);
            let others: Vec<_> = (0..400)
                .map(|number| {
                    let mut other = Client::tcp(self.address);
                    other.set_write_timeout(Duration::from_millis(5));
                    let _ = other.try_send(if number % 4 == 0 { &asks } else { &half });
                    other
                })
                .collect();
            over.set();
            let served = clients.into_iter().map(|client| client.join().unwrap()).sum();
            drop(others);
            served
        })
    }

    /// It answers, in the end.
    fn is_well(&self) {
        eventually("an answer", || {
            let mut client = Client::tcp(self.address);
            let asked = client.try_send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            asked.and_then(|()| client.try_answer()).is_ok_and(|answer| answer.status == 200)
        });
    }

    /// It ends as it should.
    fn stop(mut self) {
        drop(self.process.stdin.take());
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
