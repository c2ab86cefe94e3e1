//! What the allocator is asked for. It counts for all threads, so it is alone in its
//! process: the test harness has a thread that allocates too, when it gets round to it.

mod common;

const MODEL: Model = Model::EventDriven;

use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use transom::{
    Body, Handle, HttpError, Method, Model, Request, Responder, Response, Route, Router, StatusCode, wait,
};

use common::{PATIENCE, Place, Work, configured, start_single};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests before it is counted, so that everything there is has been used once.
const FIRST: usize = 100;
const COUNTED: usize = 1_000;

/// Sends a request and reads its answer, of that many bytes, without the heap.
fn ask(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) {
    stream.write_all(request).unwrap();
    stream.read_exact(answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
}

fn app() -> Router {
    Router::new()
        .get("/plain", async |_: Request| "hello")
        .get("/users/{name}/{part}", async |req: Request| match req.param("name") {
            "ann" => Ok(Response::bytes("text/plain", "hello").header("x-part", req.param("part"))),
            _ => Err(HttpError::respond(StatusCode::NOT_FOUND)),
        })
        .get("/twice", async |_: Request| {
            // It waits, and so is put aside.
            futures_lite::future::yield_now().await;
            "hello"
        })
}

/// A small request and its answer take nothing from the heap, also if each exchange is told of,
/// and an idle connection holds little of it.
fn main() {
    #[cfg(feature = "tls")]
    if let Ok(address) = std::env::var(tls::ADDRESS) {
        return tls::be_the_clients(&address);
    }
    let told = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&told);
    let telling = configured(app(), |_, _| ())
        .workers(1)
        .on_exchange(move |exchange| {
            assert!(exchange.target().is_some());
            count.fetch_add(1, Ordering::Relaxed);
        })
        .bind("127.0.0.1:0")
        .unwrap()
        .start()
        .unwrap();
    // Kept to the end: what the end of a server takes is not counted.
    let single = start_single(app());
    measure(&single);
    measure(&telling);
    assert!(told.load(Ordering::Relaxed) > COUNTED);
    hold_idle(&start_single(app()));
    #[cfg(feature = "websocket")]
    websocket::hold_idle();
    #[cfg(feature = "websocket")]
    websocket::reserve_what_comes();
    websocket::share_a_message();
    #[cfg(feature = "tls")]
    tls::hold_idle();
    for model in [Model::EventDriven, Model::ThreadPerConnection, Model::Sequential] {
        for place in [Place::Job, Place::Elsewhere] {
            let server = configured(bodies(place), |_, _| ()).model(model).workers(1);
            let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
            for path in ["/count", "/echo"] {
                let (median, most) = stream(&server, path);
                assert!(
                    median <= STREAMED_MEDIAN && most <= STREAMED_MOST,
                    "{path} in {model}, {place:?}: {median} to {most} bytes for a body"
                );
            }
        }
    }
}

/// The size of a body that comes and goes in pieces.
const STREAMED: usize = 32 << 20;
const PIECE: usize = 64 << 10;
/// The bytes of the heap that such a body may hold while it comes, and while it is sent back.
const STREAMED_MEDIAN: usize = 512 << 10;
/// The same for a moment, in which the server asks the allocator for more than it needs to see if
/// there is memory.
const STREAMED_MOST: usize = 12 << 20;

/// Routes that read a body in pieces, and send it back or its length.
fn bodies(place: Place) -> Router {
    let count = |mut request: Request, responder: Responder| {
        let mut length = 0;
        while let Some(chunk) = wait(request.body_mut().chunk(), None).unwrap() {
            length += chunk.unwrap().len();
        }
        assert_eq!(length, STREAMED);
        responder.send(Response::text("counted")).unwrap();
    };
    let echo = |mut request: Request, responder: Responder| {
        let (writer, body) = Body::sized_channel(STREAMED as u64);
        responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
        while let Some(chunk) = wait(request.body_mut().chunk(), None).unwrap() {
            writer.write_blocking(chunk.unwrap(), None).unwrap();
        }
        writer.finish().unwrap();
    };
    Router::new()
        .route(Route::new(Method::POST, "/count", Work(place, count)).streaming().body_limit(u64::MAX))
        .route(Route::new(Method::POST, "/echo", Work(place, echo)).streaming().body_limit(u64::MAX))
}

/// Sends a body, reads the answer, and returns how many bytes of the heap were held meanwhile: the
/// median and the most.
fn stream(server: &Handle, path: &str) -> (usize, usize) {
    let mut stream = TcpStream::connect(server.local_addr().to_string()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {STREAMED}\r\n\r\n");
    let (piece, mut reader, mut buffer) = (vec![b'x'; PIECE], stream.try_clone().unwrap(), vec![0; PIECE]);
    let mut samples = vec![0; STREAMED / PIECE];
    let counted = Region::new(ALLOCATOR);
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut total = 0;
            loop {
                match reader.read(&mut buffer).unwrap() {
                    0 => return total,
                    length => total += length,
                }
            }
        });
        stream.write_all(head.as_bytes()).unwrap();
        for sample in &mut samples {
            stream.write_all(&piece).unwrap();
            let change = counted.change();
            *sample = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
        }
        let total = reading.join().unwrap();
        assert!(if path == "/echo" { total > STREAMED } else { total > 0 }, "{path}: {total} bytes came");
        samples.sort_unstable();
        (samples[samples.len() / 2], samples[samples.len() - 1])
    })
}

/// Idle connections that are counted: tables that double have room for 256.
const IDLE: usize = 240;
/// The most bytes of the heap that an idle connection may hold. The bench (idle) counts 3 bytes more,
/// of resident memory.
const MOST_IDLE: usize = 1016;
/// A block of the heap is at most this much larger than what was asked for: glibc adds 8 bytes and
/// rounds up to a multiple of 16.
const PER_BLOCK: usize = 16;

/// Checks what connections hold that have had an answer and are idle: all blocks of the heap, in
/// the tables of the server and the reactor too.
fn hold_idle(server: &Handle) {
    let connect = || {
        let stream = TcpStream::connect(server.local_addr().to_string()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let request = b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n";
    let (mut last, mut answer) = (connect(), vec![0; 4096]);
    last.write_all(request).unwrap();
    let length = last.read(&mut answer).unwrap();
    let answer = &mut answer[..length];
    let mut streams = Vec::with_capacity(IDLE);
    ask(&mut last, request, answer);
    let counted = Region::new(ALLOCATOR);
    for _ in 0..IDLE {
        let mut stream = connect();
        ask(&mut stream, request, answer);
        streams.push(stream);
    }
    // The one worker answers this when the other connections are idle.
    ask(&mut last, request, answer);
    let change = counted.change();
    let blocks = change.allocations - change.deallocations;
    let bytes = change.bytes_allocated - change.bytes_deallocated;
    let each = (bytes + blocks * PER_BLOCK) / IDLE;
    assert!(each <= MOST_IDLE, "{each} bytes for an idle connection: {bytes} in {blocks} blocks");
}

/// Checks what each request takes, once everything there is has been used.
fn measure(server: &Handle) {
    let browser = "Host: localhost\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,*/*;q=0.8\r\n\
        Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: a=1; b=2\r\n";
    let requests = [
        ("/plain", "Host: h\r\n", 0),
        ("/plain", browser, 0),
        ("/users/ann/cafe", browser, 0),
        // The path without its escapes.
        ("/users/ann/caf%C3%A9", browser, 1),
        // What an exchange keeps while it waits, and the task that goes on with it.
        ("/twice", "Host: h\r\n", 2),
    ];
    // Kept to the end: what the end of a connection takes is not counted.
    let mut streams = Vec::new();
    for (target, fields, most) in requests {
        let mut stream = TcpStream::connect(server.local_addr().to_string()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {target} HTTP/1.1\r\n{fields}\r\n").into_bytes();
        stream.write_all(&request).unwrap();
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).unwrap();
        let answer = &mut answer[..length];
        (0..FIRST).for_each(|_| ask(&mut stream, &request, answer));
        let counted = Region::new(ALLOCATOR);
        (0..COUNTED).for_each(|_| ask(&mut stream, &request, answer));
        let change = counted.change();
        let taken = change.allocations + change.reallocations;
        assert!(taken <= most * COUNTED, "{target}: {taken} times in {COUNTED} requests");
        streams.push(stream);
    }
}

/// What idle connections with TLS hold. The clients are another process, because they allocate too.
#[cfg(feature = "tls")]
mod tls {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
    use transom::{Listener, Tls};

    use super::{ALLOCATOR, Arc, IDLE, PATIENCE, PER_BLOCK, Read, Region, TcpStream, Write, app, configured};

    /// The variable that makes this program the clients, with the address of the server.
    pub const ADDRESS: &str = "TRANSOM_TEST_HEAP_ADDRESS";
    /// The most bytes of the heap that an idle connection with TLS may hold.
    const MOST_IDLE: usize = 4 * 1024;

    fn path(name: &str) -> String {
        format!("{}/tests/certificates/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    /// Makes a connection, then many, and waits for a line after each of the two steps.
    pub fn be_the_clients(address: &str) {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(path("authority.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = Arc::new(builder.unwrap().with_root_certificates(roots).with_no_client_auth());
        let connect = || {
            let name = ServerName::try_from("localhost").unwrap();
            let socket = TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
            StreamOwned::new(connection, socket)
        };
        let request = b"GET /plain HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut answer = [0; 4096];
        let mut last = connect();
        let mut streams = Vec::new();
        for count in [0, IDLE] {
            for _ in 0..count {
                let mut stream = connect();
                stream.write_all(request).unwrap();
                assert!(stream.read(&mut answer).unwrap() > 0);
                streams.push(stream);
            }
            // The one worker answers this when the other connections are idle.
            last.write_all(request).unwrap();
            assert!(last.read(&mut answer).unwrap() > 0);
            println!("done");
            std::io::stdin().lock().read_line(&mut String::new()).unwrap();
        }
    }

    pub fn hold_idle() {
        let tls = Tls::from_files(path("localhost.pem"), path("localhost.key")).unwrap();
        let listener = Listener::bind("127.0.0.1:0").unwrap().tls(&tls);
        let server = configured(app(), |_, _| ()).workers(1).listen(listener).start().unwrap();
        let mut clients = Command::new(std::env::current_exe().unwrap())
            .env(ADDRESS, server.local_addr().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(clients.stdout.take().unwrap()).lines();
        let mut told = clients.stdin.take().unwrap();
        assert_eq!(said.next().unwrap().unwrap(), "done");
        let counted = Region::new(ALLOCATOR);
        told.write_all(b"\n").unwrap();
        assert_eq!(said.next().unwrap().unwrap(), "done");
        let change = counted.change();
        drop(told);
        assert!(clients.wait().unwrap().success());
        let blocks = change.allocations - change.deallocations;
        let bytes = change.bytes_allocated - change.bytes_deallocated;
        let each = (bytes + blocks * PER_BLOCK) / IDLE;
        assert!(
            each <= MOST_IDLE,
            "{each} bytes for an idle connection with TLS: {bytes} in {blocks} blocks"
        );
    }
}

/// Idle WebSocket connections.
#[cfg(feature = "websocket")]
mod websocket {
    use super::{
        ALLOCATOR, IDLE, PATIENCE, PER_BLOCK, Read as _, Region, Request, Router, TcpStream, Write as _,
        start_single,
    };
    use transom::{Broadcast, WebSocket, WebSocketUpgrade};

    /// What a connection may hold that has sent and received a message, compression negotiated.
    const MOST: usize = 1728;

    /// Connects, and sends and receives a message.
    fn join(address: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(
                b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            )
            .unwrap();
        let (mut answer, mut length) = ([0; 1024], 0);
        while !answer[..length].ends_with(b"\r\n\r\n") {
            length += stream.read(&mut answer[length..]).unwrap();
        }
        stream.write_all(b"\x81\x85\0\0\0\0hello").unwrap();
        stream.read_exact(&mut answer[..7]).unwrap();
        assert_eq!(&answer[..7], b"\x81\x05hello");
        stream
    }

    pub fn hold_idle() {
        let server = start_single(Router::new().get("/", async |req: Request| {
            WebSocket::upgrade(&req, async |mut socket: WebSocket| {
                while let Some(message) = socket.recv().await {
                    socket.send(message).await?;
                }
                Ok(())
            })
        }));
        let address = server.local_addr().to_string();
        let (_first, mut streams) = (join(&address), Vec::with_capacity(IDLE));
        let counted = Region::new(ALLOCATOR);
        for _ in 0..IDLE {
            streams.push(join(&address));
        }
        // The one worker answers this when the other connections are idle.
        let _last = join(&address);
        let change = counted.change();
        let blocks = change.allocations - change.deallocations;
        let bytes = change.bytes_allocated - change.bytes_deallocated;
        let each = (bytes + blocks * PER_BLOCK) / IDLE;
        assert!(each <= MOST, "{each} bytes for an idle WebSocket connection: {bytes} in {blocks} blocks");
    }

    /// A large frame is announced and does not come: the announcement alone takes nothing, and its first byte
    /// no more than the room that is reserved at once.
    pub fn reserve_what_comes() {
        const PEERS: usize = 10;
        const SLACK: usize = 4096;
        let settings = WebSocketUpgrade::new().message_limit(16 << 20).frame_limit(16 << 20);
        let server = start_single(Router::new().get("/", async move |req: Request| {
            settings.accept(&req, async move |mut socket: WebSocket| {
                while let Some(message) = socket.recv().await {
                    socket.send(message).await?;
                }
                Ok(())
            })
        }));
        let address = server.local_addr().to_string();
        let _first = join(&address);
        for (begun, most) in [(&b""[..], SLACK), (b"x", SLACK + (1 << 20))] {
            let mut streams: Vec<_> = (0..PEERS).map(|_| join(&address)).collect();
            let counted = Region::new(ALLOCATOR);
            for stream in &mut streams {
                // The Pong says that the frame was seen.
                let sent = [b"\x89\x80\0\0\0\0\x82\xff\0\0\0\0\x01\0\0\0\0\0\0\0", begun].concat();
                stream.write_all(&sent).unwrap();
                let mut pong = [0; 2];
                stream.read_exact(&mut pong).unwrap();
                assert_eq!(pong, *b"\x8a\0");
            }
            let change = counted.change();
            let each = change.bytes_allocated.saturating_sub(change.bytes_deallocated) / PEERS;
            assert!(each <= most, "{each} bytes for a frame of which {} came", begun.len());
        }
    }

    /// Many peers do not read a large message: it is in memory once, and not once for each.
    pub fn share_a_message() {
        const MEMBERS: usize = 50;
        const LENGTH: usize = 8 << 20;
        let (room, settings) = (Broadcast::new(), WebSocketUpgrade::new().compression(false));
        let server = start_single(Router::new().get("/", {
            let room = room.clone();
            async move |req: Request| {
                let room = room.clone();
                settings.accept(&req, async move |mut socket: WebSocket| {
                    room.add(&socket.sender());
                    while let Some(message) = socket.recv().await {
                        socket.send(message).await?;
                    }
                    Ok(())
                })
            }
        }));
        let address = server.local_addr().to_string();
        let _streams: Vec<_> = (0..MEMBERS).map(|_| join(&address)).collect();
        let counted = Region::new(ALLOCATOR);
        assert_eq!(room.send(vec![7; LENGTH]), MEMBERS);
        let change = counted.change();
        let bytes = change.bytes_allocated - change.bytes_deallocated;
        assert!((LENGTH..LENGTH + (1 << 20)).contains(&bytes), "{bytes} bytes for a message of {LENGTH}");
    }
}
