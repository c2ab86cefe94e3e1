//! Every limit trips where it says, and not before; what is refused harms
//! nothing else.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::stream;
use transom::{
    Body, Context, Handle, Handler, Method, Reject, Reply, Request, Responder, Response, Route, Router,
    Server, StatusCode, WriteError, blocking, shared,
};

use crate::common::{
    Answer, Client, Later, Logs, PATIENCE, SHORT, Signal, configured, eventually, forever, start_unix,
    start_with,
};

/// More than lies between a server and its client on a Unix socket.
const UNDER_WAY: u64 = 1 << 20;

fn post_length(path: &str, length: u64) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
}

fn post_chunked(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
}

/// Sends that on a connection of its own, and says what it was refused with.
#[track_caller]
fn refusal(server: &Handle, request: &str) -> u16 {
    let mut client = Client::connect(server);
    client.send(request);
    let answer = client.answer();
    assert!(answer.closes(), "{}", answer.head);
    client.expect_closed();
    answer.status
}

/// Counts how often it is called, and answers with the length of the body.
fn measuring(calls: &Arc<AtomicUsize>) -> impl Handler {
    let calls = Arc::clone(calls);
    move |request: Request| {
        calls.fetch_add(1, Ordering::Relaxed);
        async move { request.bytes().len().to_string() }
    }
}

/// Reads the body as it comes, and answers with its length or the error.
async fn reading(mut request: Request) -> String {
    let mut total = 0;
    while let Some(chunk) = request.body_mut().chunk().await {
        match chunk {
            Ok(chunk) => total += chunk.len(),
            Err(error) => return error.to_string(),
        }
    }
    total.to_string()
}

#[test]
fn a_whole_body_has_a_limit() {
    let calls = Arc::default();
    let server = start_with(Router::new().post("/", measuring(&calls)), |limits, _| limits.body = 1000);
    let mut client = Client::connect(&server);
    client.post("/", vec![b'x'; 1000]).expect(200, "1000");
    client.send(
        post_chunked("/") + "1f4\r\n" + &"x".repeat(500) + "\r\n1f4\r\n" + &"x".repeat(500) + "\r\n0\r\n\r\n",
    );
    client.answer().expect(200, "1000");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(refusal(&server, &post_length("/", 1001)), 413);
    assert_eq!(refusal(&server, &post_length("/", u64::MAX)), 413);
    let chunked = post_chunked("/") + "3e8\r\n" + &"x".repeat(1000) + "\r\n1\r\nx\r\n";
    assert_eq!(refusal(&server, &chunked), 413);
    assert_eq!(refusal(&server, &(post_chunked("/") + "3e9\r\n" + &"x".repeat(1001))), 413);
    assert_eq!(calls.load(Ordering::Relaxed), 2, "a handler saw a body beyond the limit");
    Client::connect(&server).post("/", "x").expect(200, "1");
}

#[test]
fn a_streamed_body_has_the_same_limit() {
    let (sender, results) = mpsc::channel();
    let sender = Mutex::new(sender);
    let route = Route::new(
        Method::POST,
        "/",
        shared(move |request| {
            let sender = sender.lock().unwrap().clone();
            async move {
                let result = reading(request).await;
                sender.send(result.clone()).unwrap();
                result
            }
        }),
    );
    let server = start_with(Router::new().route(route.streaming()), |limits, _| limits.body = 1000);
    let mut client = Client::connect(&server);
    client.post("/", vec![b'x'; 1000]).expect(200, "1000");
    assert_eq!(results.recv_timeout(PATIENCE).unwrap(), "1000");
    assert_eq!(refusal(&server, &post_length("/", 1001)), 413);
    assert!(results.try_recv().is_err(), "the handler was called");
    let chunked = post_chunked("/") + "3e8\r\n" + &"x".repeat(1000) + "\r\n1\r\nx\r\n";
    assert_eq!(refusal(&server, &chunked), 413);
    let result = results.recv_timeout(PATIENCE).unwrap();
    assert!(result.contains("larger than the limit"), "{result}");
}

#[test]
fn a_route_may_have_a_limit_of_its_own() {
    let calls = Arc::default();
    let app = Router::new()
        .route(Route::new(Method::POST, "/more", measuring(&calls)).body_limit(5000))
        .route(Route::new(Method::POST, "/less", measuring(&calls)).body_limit(10))
        .route(Route::new(Method::POST, "/stream", reading).streaming().body_limit(5000))
        .post("/same", measuring(&calls));
    let server = start_with(app, |limits, _| limits.body = 1000);
    let mut client = Client::connect(&server);
    client.post("/more", vec![b'x'; 5000]).expect(200, "5000");
    client.post("/stream", vec![b'x'; 5000]).expect(200, "5000");
    client.post("/less", vec![b'x'; 10]).expect(200, "10");
    for (path, length) in [("/more", 5001), ("/stream", 5001), ("/less", 11), ("/same", 1001)] {
        assert_eq!(refusal(&server, &post_length(path, length)), 413, "{path}");
    }
}

#[test]
fn nothing_is_set_aside_for_a_length_that_is_only_announced() {
    let calls = Arc::default();
    let route = Route::new(Method::POST, "/", measuring(&calls)).body_limit(u64::MAX);
    let server = start_with(Router::new().route(route), |_, _| ());
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.send(post_length("/", u64::MAX) + "hi");
    }
    for client in &mut clients {
        client.half_close();
        let answer = client.answer();
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("before the end of the body"), "{}", answer.text());
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[test]
fn a_head_has_a_limit() {
    let calls = Arc::default();
    let server = start_with(Router::new().get("/", measuring(&calls)), |limits, _| limits.head = 1000);
    let frame = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len();
    let fits = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(1000 - frame));
    let mut client = Client::connect(&server);
    client.send(&fits);
    client.answer().expect(200, "0");
    let beyond = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(1001 - frame));
    assert_eq!(refusal(&server, &beyond), 431);
    // One that never ends is not read on and on.
    assert_eq!(refusal(&server, &beyond[..1001]), 431);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_target_has_a_limit() {
    let app = Router::new().get("/{*rest}", async |_: Request| "found");
    let server = start_with(app, |limits, _| limits.target = 100);
    let get = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(length - 1));
    let mut client = Client::connect(&server);
    client.send(get(100));
    client.answer().expect(200, "found");
    assert_eq!(refusal(&server, &get(101)), 414);
    assert_eq!(refusal(&server, &get(5000)), 414);
}

#[test]
fn limits_may_be_as_large_as_numbers_are() {
    let app = Router::new().post("/", async |request: Request| request.bytes().len().to_string());
    let server = start_with(app, |limits, _| {
        limits.target = usize::MAX;
        limits.head = usize::MAX;
        limits.headers = usize::MAX;
        limits.body = u64::MAX;
        limits.chunk_extensions = usize::MAX;
        limits.trailers = usize::MAX;
        limits.connections = usize::MAX;
        limits.connections_per_address = Some(usize::MAX);
        limits.bodies = u64::MAX;
        limits.output = usize::MAX;
        limits.drain = u64::MAX;
        limits.pool_queue = usize::MAX;
    });
    let mut client = Client::connect(&server);
    client.send(format!("{}abc", post_length("/", 3)));
    client.answer().expect(200, "3");
    client.send(format!("{}3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n", post_chunked("/")));
    client.answer().expect(200, "3");
    // In pieces, so that it is not found whole.
    client.send("GET");
    client.send(" / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer().status, 405);
}

#[test]
fn header_fields_have_a_limit() {
    let server =
        start_with(Router::new().get("/", async |_: Request| "found"), |limits, _| limits.headers = 10);
    let get = |count: usize| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
    let mut client = Client::connect(&server);
    client.send(get(10));
    client.answer().expect(200, "found");
    assert_eq!(refusal(&server, &get(11)), 431);
}

#[test]
fn chunk_extensions_and_trailers_have_limits() {
    let calls = Arc::default();
    let server = start_with(Router::new().post("/", measuring(&calls)), |limits, _| {
        limits.chunk_extensions = 100;
        limits.trailers = 100;
    });
    let extended = |length: usize| post_chunked("/") + "1;" + &"e".repeat(length) + "\r\nx\r\n0\r\n\r\n";
    let trailed = |length: usize| post_chunked("/") + "1\r\nx\r\n0\r\nT: " + &"t".repeat(length) + "\r\n\r\n";
    let mut client = Client::connect(&server);
    client.send(extended(50));
    client.answer().expect(200, "1");
    client.send(trailed(50));
    client.answer().expect(200, "1");
    assert_eq!(refusal(&server, &extended(200)), 400);
    assert_eq!(refusal(&server, &trailed(200)), 400);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn connections_have_a_limit_and_room_is_used_again() {
    not_in!(Sequential: "holds several connections at once");
    let app = Router::new().get("/", async |_: Request| "inside");
    let server = start_with(app, |limits, _| limits.connections = 2);
    let mut first = Client::connect(&server);
    first.get("/").expect(200, "inside");
    let mut second = Client::connect(&server);
    second.get("/").expect(200, "inside");
    for _ in 0..3 {
        let mut beyond = Client::connect(&server);
        // It is told before it asks.
        let answer = beyond.answer();
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        assert!(answer.closes());
        beyond.expect_closed();
    }
    first.get("/").expect(200, "inside");
    drop(second);
    eventually("room for another", || Client::is_served(&server));
}

#[test]
fn an_address_may_have_a_limit_of_its_own() {
    not_in!(Sequential: "holds two connections at once");
    let app = Router::new().get("/", async |_: Request| "inside");
    let server = start_with(app, |limits, _| limits.connections_per_address = Some(1));
    let mut first = Client::connect(&server);
    first.get("/").expect(200, "inside");
    assert_eq!(Client::connect(&server).answer().status, 503);
    drop(first);
    eventually("room for another", || Client::is_served(&server));
}

/// A handler on the pool that says that it has started and waits for leave to end.
fn gated(started: &Signal, leave: &Signal) -> impl Handler {
    let (started, leave) = (started.clone(), leave.clone());
    blocking(move |_: Request| {
        started.set();
        leave.wait();
        "done"
    })
}

#[test]
fn a_full_pool_answers_503_and_recovers() {
    not_in!(Sequential, ThreadPerConnection: "there is no pool");
    let (started, leave) = (Signal::new(), Signal::new());
    let server = configured(Router::new().get("/", gated(&started, &leave)), |limits, _| {
        limits.pool_threads = 2;
        limits.pool_queue = 1;
    });
    // With one worker the requests reach the pool in the order in which they are begun.
    let server = server.workers(1).bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut running: Vec<_> = (0..2).map(|_| Client::connect(&server)).collect();
    for (client, count) in running.iter_mut().zip(1..) {
        client.request("/");
        started.wait_for(count);
    }
    let mut queued = Client::connect(&server);
    queued.request("/");
    eventually("a job in the queue", || server.report().pending == 3);
    let mut refused = Client::connect(&server);
    for _ in 0..3 {
        refused.get("/").expect(503, "503 Service Unavailable\n");
    }
    assert_eq!(started.count(), 2);
    leave.set();
    for client in &mut running {
        client.answer().expect(200, "done");
    }
    queued.answer().expect(200, "done");
    refused.get("/").expect(200, "done");
}

/// The reasons that a server has told of.
#[derive(Clone, Default)]
struct Reasons(Arc<Mutex<Vec<&'static str>>>);

impl Reasons {
    fn of(&self, server: Server) -> Server {
        let told = Arc::clone(&self.0);
        server.on_exchange(move |exchange| {
            let peer = exchange.peer().to_string();
            assert!(peer.starts_with("127."), "{peer}");
            told.lock().unwrap().extend(exchange.reject().map(Reject::reason));
        })
    }

    /// Waits for so many, and takes them.
    #[track_caller]
    fn take(&self, count: usize) -> Vec<&'static str> {
        eventually("the reasons are told", || self.0.lock().unwrap().len() >= count);
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The one answer to whatever is too much.
#[track_caller]
fn expect_overload(answer: &Answer) {
    answer.expect(503, "503 Service Unavailable\n");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn connections_beyond_a_limit_are_told_once_each_with_the_reason() {
    not_in!(Sequential: "there is room for one, and never another");
    for reason in ["too-many-connections", "too-many-from-address"] {
        let (told, app) = (Reasons::default(), Router::new().get("/", async |_: Request| "inside"));
        let server = told.of(configured(app, |limits, _| match reason {
            "too-many-connections" => limits.connections = 1,
            _ => limits.connections_per_address = Some(1),
        }));
        let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
        let mut inside = Client::connect(&server);
        inside.get("/").expect(200, "inside");
        assert!(told.take(0).is_empty());
        for _ in 0..3 {
            let mut beyond = Client::connect(&server);
            let answer = beyond.answer();
            expect_overload(&answer);
            assert!(answer.closes());
        }
        assert_eq!(told.take(3), [reason; 3]);
        eventually("they are in the log", || Logs::count(&format!(": {reason}")) >= 3);
        // Of more than are answered at once the host is told too.
        let _crowd: Vec<_> = (0..100).map(|_| Client::connect(&server)).collect();
        let mut count = 0;
        eventually("all are told of", || {
            count += told.take(0).len();
            count == 100
        });
    }
}

#[test]
fn a_full_pool_and_a_late_handler_are_told_once_each_with_the_reason() {
    not_in!(Sequential, ThreadPerConnection: "there is no pool");
    let (started, leave, told) = (Signal::new(), Signal::new(), Reasons::default());
    let app = Router::new()
        .get("/", gated(&started, &leave))
        .get("/full/{which}", gated(&started, &leave))
        .get("/own", Fallback(started.clone(), leave.clone()))
        .get("/refused", async |_: Request| Reject::BodyTooLarge)
        .get("/late", async |_: Request| forever().await);
    let server = told.of(configured(app, |limits, timeouts| {
        (limits.pool_threads, limits.pool_queue) = (1, 0);
        timeouts.handler = Some(PATIENCE);
    }));
    let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut running = Client::connect(&server);
    running.request("/");
    started.wait();
    let mut client = Client::connect(&server);
    let begun = Instant::now();
    for _ in 0..3 {
        expect_overload(&client.get("/full/one"));
    }
    assert_eq!(told.take(3), ["pool-full"; 3]);
    let line = "WARN a handler had no thread: pool-full (GET /full/one, route /full/{which})";
    Logs::expect(line);
    let most = 1 + begun.elapsed().as_secs();
    assert!(Logs::count(line) as u64 <= most, "once a second");
    client.get("/own").expect(503, "in vain");
    assert!(told.take(0).is_empty(), "what a handler makes of it is its own affair");
    assert_eq!(client.get("/refused").status, 413);
    assert_eq!(told.take(1), ["body-too-large"]);
    leave.set();
    running.answer().expect(200, "done");
}

#[test]
fn a_late_handler_is_an_overload() {
    not_in!(Sequential: "the answer closes the connection, which another waits for");
    let (told, app) = (Reasons::default(), Router::new().fallback(async |_: Request| forever().await));
    let server = told.of(configured(app, |_, timeouts| timeouts.handler = Some(SHORT)));
    let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let answer = Client::connect(&server).get("/late");
    expect_overload(&answer);
    assert!(answer.closes());
    assert_eq!(told.take(1), ["handler-timeout"]);
    Logs::expect("WARN a handler did not answer in time (GET /late, the fallback)");
}

#[test]
fn a_pool_without_a_queue_takes_as_many_as_it_has_threads() {
    not_in!(Sequential, ThreadPerConnection: "there is no pool");
    let (started, leave) = (Signal::new(), Signal::new());
    let server = start_with(Router::new().get("/", gated(&started, &leave)), |limits, _| {
        limits.pool_threads = 1;
        limits.pool_queue = 0;
    });
    let mut running = Client::connect(&server);
    running.request("/");
    started.wait();
    Client::connect(&server).get("/").expect(503, "503 Service Unavailable\n");
    leave.set();
    running.answer().expect(200, "done");
    // The thread may need a moment to be idle again.
    eventually("a free thread", || running.get("/").status == 200);
}

/// Answers for itself when the pool takes nothing.
struct Fallback(Signal, Signal);

impl Handler for Fallback {
    fn call(&self, request: Request, context: &Context<'_>) -> Reply {
        let (responder, reply) = Reply::later(&request);
        let (started, leave) = (self.0.clone(), self.1.clone());
        let job = move |text: &'static str| {
            responder.send(Response::text(text)).unwrap();
        };
        let queued = context.run_blocking(move || {
            started.set();
            leave.wait();
            job("on the pool");
        });
        match queued {
            Ok(()) => reply,
            Err(_full) => Reply::now((StatusCode::SERVICE_UNAVAILABLE, "in vain")),
        }
    }
}

#[test]
fn a_handler_gets_back_a_job_that_the_pool_does_not_take() {
    not_in!(Sequential, ThreadPerConnection: "there is no pool");
    let (started, leave) = (Signal::new(), Signal::new());
    let app = Router::new().get("/", Fallback(started.clone(), leave.clone()));
    let server = configured(app, |limits, _| (limits.pool_threads, limits.pool_queue) = (1, 1));
    let server = server.workers(1).bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut clients: Vec<_> = (0..2).map(|_| Client::connect(&server)).collect();
    clients[0].request("/");
    started.wait();
    clients[1].request("/");
    eventually("a job in the queue", || server.report().pending == 2);
    Client::connect(&server).get("/").expect(503, "in vain");
    leave.set();
    for client in &mut clients {
        client.answer().expect(200, "on the pool");
    }
}

/// Waits until a count has stopped growing, and returns it.
#[track_caller]
fn settled(count: &AtomicU64) -> u64 {
    let mut before = count.load(Ordering::Relaxed);
    let mut calm = 0;
    eventually("a standstill", || {
        thread::sleep(Duration::from_millis(25));
        let now = count.load(Ordering::Relaxed);
        calm = if now == before && now > 0 { calm + 1 } else { 0 };
        before = now;
        calm == 8
    });
    before
}

#[test]
fn a_stream_is_not_asked_for_more_than_the_client_reads() {
    let produced = Arc::new(AtomicU64::new(0));
    let app = {
        let produced = Arc::clone(&produced);
        Router::new().get("/", move |_: Request| {
            let produced = Arc::clone(&produced);
            let chunks = stream::repeat_with(move || {
                produced.fetch_add(4096, Ordering::Relaxed);
                Ok(vec![b'x'; 4096].into())
            });
            async { Response::stream("text/plain", chunks) }
        })
    };
    let server = start_unix(app, |_, _| ());
    let mut client = Client::connect(&server);
    client.request("/");
    client.head();
    let stalled_at = settled(&produced);
    assert!(stalled_at < UNDER_WAY, "{stalled_at} bytes wait for a client that does not read");
    // When it reads again the stream goes on, by as much as it reads.
    let mut read = 0;
    while read < 4 * UNDER_WAY {
        read += client.try_chunk().unwrap().unwrap().len() as u64;
    }
    let produced = settled(&produced);
    assert!(produced >= read && produced < read + UNDER_WAY, "{produced} for {read}");
}

#[test]
fn a_writer_waits_for_a_client_that_does_not_read() {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let app = Router::new().get(
        "/",
        Later(move |_, responder: Responder| {
            let (writer, body) = Body::channel();
            responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
            sender.lock().unwrap().send(writer).unwrap();
        }),
    );
    let server = start_unix(app, |_, _| ());
    let mut client = Client::connect(&server);
    client.request("/");
    let writer = receiver.recv_timeout(PATIENCE).unwrap();
    let mut written = 0;
    let refused = loop {
        match writer.write_blocking(vec![b'x'; 4096], Some(Duration::from_millis(300))) {
            Ok(()) => written += 4096,
            Err(error) => match writer.try_write("x") {
                // The server was only slow.
                Ok(()) => written += 1,
                Err(again) => break (error, again),
            },
        }
        assert!(written < UNDER_WAY, "{written} bytes wait for a client that does not read");
    };
    assert_eq!(refused, (WriteError::WouldBlock, WriteError::WouldBlock));
    // A writer that waits goes on when the client reads.
    let waiting = thread::spawn(move || {
        writer.write_blocking("the end", Some(PATIENCE)).unwrap();
        writer.finish().unwrap();
    });
    assert_eq!(client.answer().body.len() as u64, written + 7);
    waiting.join().unwrap();
}

#[test]
fn a_client_waits_for_a_handler_that_does_not_read() {
    let (started, leave) = (Signal::new(), Signal::new());
    let app = {
        let (started, leave) = (started.clone(), leave.clone());
        let handler = Later(move |request: Request, responder: Responder| {
            started.set();
            let leave = leave.clone();
            thread::spawn(move || {
                let mut body = request.into_body();
                let first = smol::block_on(body.chunk()).unwrap().unwrap();
                leave.wait();
                let rest = smol::block_on(body.collect(usize::MAX)).unwrap();
                let total = first.len() + rest.len();
                responder.send(Response::text(total.to_string())).unwrap();
            });
        });
        Router::new().route(Route::new(Method::POST, "/", handler).streaming().body_limit(u64::MAX))
    };
    let server = start_unix(app, |_, _| ());
    let total = 8 * UNDER_WAY;
    let mut client = Client::connect(&server);
    client.send(post_length("/", total));
    let taken = Arc::new(AtomicU64::new(0));
    let sending = {
        let (mut writer, taken) = (client.writer(), Arc::clone(&taken));
        thread::spawn(move || {
            use std::io::Write as _;
            while taken.load(Ordering::Relaxed) < total {
                writer.write_all(&[b'x'; 4096]).unwrap();
                taken.fetch_add(4096, Ordering::Relaxed);
            }
        })
    };
    started.wait();
    let stalled_at = settled(&taken);
    assert!(stalled_at < UNDER_WAY, "{stalled_at} bytes were taken for a handler that does not read");
    leave.set();
    client.answer().expect(200, &total.to_string());
    sending.join().unwrap();
}

#[test]
fn pipelined_requests_wait_while_their_answers_do() {
    let calls = Arc::new(AtomicU64::new(0));
    let app = {
        let calls = Arc::clone(&calls);
        Router::new().get("/", move |_: Request| {
            calls.fetch_add(1, Ordering::Relaxed);
            async { vec![b'x'; 4096] }
        })
    };
    let server = start_unix(app, |_, _| ());
    let mut client = Client::connect(&server);
    let count = 2000;
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(count));
    let stalled_at = settled(&calls) * 4096;
    assert!(stalled_at < UNDER_WAY, "{stalled_at} bytes of answers wait for a client that does not read");
    for _ in 0..count {
        assert_eq!(client.answer().body.len(), 4096);
    }
}

#[test]
fn a_small_body_that_nobody_reads_is_drained_a_large_one_is_not() {
    let refuse = Route::new(Method::POST, "/", async |_: Request| StatusCode::FORBIDDEN).streaming();
    let app = Router::new().route(refuse).get("/", async |_: Request| "well");
    let server = start_with(app, |limits, _| limits.drain = 1000);
    let mut client = Client::connect(&server);
    for path in ["/", "/nowhere"] {
        client.send(post_length(path, 1000));
        let answer = client.answer();
        assert!(answer.status >= 400 && !answer.closes());
        client.send([b'x'; 1000]);
        client.get("/").expect(200, "well");
    }
    for path in ["/", "/nowhere"] {
        let mut client = Client::connect(&server);
        client.send(post_length(path, 1001));
        assert!(client.answer().closes());
        client.expect_closed();
    }
}

#[test]
fn an_answer_reaches_a_client_that_sends_all_of_its_body_first() {
    const SIZE: usize = 20 << 20;
    let unread = Route::new(Method::POST, "/unread", async |_: Request| "unread").streaming();
    let large = Route::new(Method::POST, "/large", async |_: Request| vec![b'x'; SIZE]).streaming();
    let streamed = Route::new(Method::POST, "/streamed", async |_: Request| {
        let chunk = |_| Ok(vec![b'x'; 1 << 16].into());
        Response::stream("text/plain", stream::iter((0..SIZE >> 16).map(chunk)))
    });
    let app = [unread, large, streamed.streaming()]
        .into_iter()
        .fold(Router::new(), |app, route| app.route(route.body_limit(u64::MAX)));
    // A busy machine may need long to send all that.
    let server = start_with(
        app.get("/get", async |_: Request| "got").post("/whole", async |_: Request| ""),
        |_, timeouts| (timeouts.linger, timeouts.linger_idle) = (Some(PATIENCE), Some(PATIENCE)),
    );
    let answers = [
        ("/nowhere", 404, None),
        ("/get", 405, None),
        ("/whole", 413, None),
        ("/unread", 200, Some(6)),
        ("/large", 200, Some(SIZE)),
        ("/streamed", 200, Some(SIZE)),
    ];
    let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
    let chunked = [chunk.repeat(SIZE >> 20), "0\r\n\r\n".into()].concat();
    let sized = "x".repeat(SIZE);
    for (path, status, length) in answers {
        for (head, body) in [(post_length(path, SIZE as u64), &sized), (post_chunked(path), &chunked)] {
            let mut client = Client::connect(&server);
            client.send(&head);
            client.try_send(body).unwrap_or_else(|error| panic!("{head}{error}"));
            let answer = client.try_answer().unwrap_or_else(|error| panic!("{head}{error}"));
            assert_eq!(answer.status, status, "{path}");
            if let Some(length) = length {
                assert_eq!(answer.body.len(), length, "{path}");
            }
        }
    }
}

#[test]
fn bodies_in_memory_have_a_limit_over_all_connections() {
    const PART: usize = 60_000;
    not_in!(Sequential: "one is served at a time");
    let refused = Signal::new();
    let stream = Route::new(Method::POST, "/stream", reading);
    let app = Router::new().post("/", async |_: Request| "taken").route(stream.streaming());
    let count = refused.clone();
    let server = configured(app, |limits, _| (limits.body, limits.bodies) = (64_000, 100_000)).on_exchange(
        move |exchange| {
            if let Some(reject) = exchange.reject() {
                assert_eq!(reject.reason(), "no-memory");
                count.set();
            }
        },
    );
    let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    for head in [post_length("/", 64_000), post_chunked("/")] {
        let is_chunked = head.contains("chunked");
        let part = |length: usize| {
            let data = "x".repeat(length);
            if is_chunked { format!("{length:x}\r\n{data}\r\n") } else { data }
        };
        let mut first = Client::connect(&server);
        first.send(&head);
        first.send(part(PART));
        // Whether the first has arrived whole, nobody outside can tell: one of two goes.
        let before = refused.count();
        let mut second = Client::connect(&server);
        second.send(&head);
        second.send(part(PART));
        refused.wait_for(before + 1);
        let mut taken = 0;
        for mut client in [first, second] {
            let _ = client.try_send(part(4000));
            if is_chunked {
                let _ = client.try_send("0\r\n\r\n");
            }
            let answer = client.answer();
            match answer.status {
                200 => taken += 1,
                503 => assert!(answer.closes() && answer.header("retry-after") == Some("1")),
                other => panic!("{other}"),
            }
        }
        assert_eq!(taken, 1);
        // What is answered is in memory no more, and what is read as it comes never was.
        Client::connect(&server).post("/", "x".repeat(64_000)).expect(200, "taken");
        Client::connect(&server).post("/stream", "x".repeat(64_000)).expect(200, "64000");
    }
}

#[test]
fn a_client_that_sends_what_nobody_reads_is_cut_off() {
    let server = start_with(Router::new(), |_, timeouts| timeouts.linger = Some(Duration::from_millis(500)));
    for head in [post_length("/", 1 << 40), post_chunked("/")] {
        let mut client = Client::connect(&server);
        client.send(head);
        let begun = Instant::now();
        while client.try_send(format!("8000\r\n{}\r\n", "x".repeat(0x8000))).is_ok() {
            assert!(begun.elapsed() < PATIENCE, "the server reads on and on");
        }
    }
}

#[test]
fn what_waited_for_the_pool_for_too_long_is_not_begun() {
    not_in!(Sequential, ThreadPerConnection: "there is no pool");
    let (started, leave, late) = (Signal::new(), Signal::new(), Signal::new());
    let is_late = late.clone();
    let waits = Route::new(Method::GET, "/late", blocking(move |_: Request| is_late.set())).timeout(SHORT);
    let app = Router::new().get("/", gated(&started, &leave)).route(waits);
    let server = start_with(app, |limits, _| limits.pool_threads = 1);
    let mut running = Client::connect(&server);
    running.request("/");
    started.wait();
    for _ in 0..2 {
        assert_eq!(Client::connect(&server).get("/late").status, 503);
    }
    leave.set();
    running.answer().expect(200, "done");
    running.get("/").expect(200, "done");
    assert_eq!(late.count(), 0);
}
