//! Every deadline fires, not before its time, and each can be turned off.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use transom::{
    Body, BodyWriter, Gone, Handle, Method, Request, Responder, Response, Route, Router, StatusCode,
    Timeouts, blocking,
};

use crate::common::{
    Client, Later, OnDrop, PATIENCE, SHORT, Signal, at_once, eventually, forever, start_unix, start_with,
};

/// A deadline that is not to fire while something happens every [`STEP`].
const LONG: Duration = Duration::from_millis(1200);
const STEP: Duration = Duration::from_millis(250);

/// How far apart steps may be that keep [`LONG`] from firing.
const APART: Duration = LONG.saturating_sub(STEP);

/// How far apart the steps of a test were.
struct Pace {
    last: Cell<Instant>,
    longest: Cell<Duration>,
}

impl Pace {
    fn new() -> Self {
        Self { last: Cell::new(Instant::now()), longest: Cell::default() }
    }

    /// From here on there are steps.
    fn begin(&self) {
        self.last.set(Instant::now());
    }

    /// A step has been made.
    fn step(&self) {
        let now = Instant::now();
        self.longest.set(self.longest.get().max(now - self.last.replace(now)));
    }
}

/// Runs a test whose steps must follow each other within that time, again if it fails
/// and a busy machine has let one come too late; five times at most.
fn in_steps(apart: Duration, test: impl Fn(&Pace)) {
    for _ in 1..5 {
        let pace = Pace::new();
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(&pace))) else { return };
        pace.step();
        if pace.longest.get() < apart {
            resume_unwind(panic);
        }
    }
    test(&Pace::new());
}

/// Only that one deadline is set, and any byte is progress enough. Who has had its last
/// answer goes soon.
fn only(set: impl FnOnce(&mut Timeouts)) -> impl FnOnce(&mut transom::Limits, &mut Timeouts) {
    move |limits, timeouts| {
        timeouts.head = None;
        timeouts.idle = None;
        timeouts.body = None;
        timeouts.write = None;
        timeouts.handler = None;
        timeouts.linger = Some(SHORT);
        (limits.head_rate, limits.body_rate, limits.write_rate) = (0, 0, 0);
        set(timeouts);
    }
}

/// How much too early a deadline may seem to fire. The server reads the clock once a turn, and accepts
/// clients that connect during the turn: on a busy machine the turn may have begun that much earlier, and
/// even earlier once in a while.
const LONGEST_TURN: Duration = Duration::from_millis(50);

/// The panic of a test in which a deadline seemed to fire too early.
struct TooEarly;

/// Runs a test again if a deadline seems to fire too early, ten times at most: one that does fires too
/// early each time.
fn not_too_early(test: impl Fn()) {
    for _ in 0..10 {
        match catch_unwind(AssertUnwindSafe(&test)) {
            Ok(()) => return,
            Err(panic) if panic.is::<TooEarly>() => {}
            Err(panic) => resume_unwind(panic),
        }
    }
    test();
}

/// Fails if that took less than the deadline, or more than can be explained.
#[track_caller]
fn assert_fired(begun: Instant, deadline: Duration) {
    let elapsed = begun.elapsed();
    if elapsed + LONGEST_TURN < deadline {
        eprintln!("fired after {elapsed:?}, which is too early");
        panic_any(TooEarly);
    }
    assert!(elapsed < deadline + PATIENCE / 2, "fired after {elapsed:?}, which is too late");
}

#[track_caller]
fn expect_408(client: &mut Client, begun: Instant) {
    let answer = client.answer();
    assert_fired(begun, SHORT);
    assert_eq!(answer.status, 408);
    assert!(answer.closes());
    client.expect_closed();
}

#[test]
fn a_head_has_its_time_in_all_however_it_dribbles() {
    not_too_early(|| {
        let server = start_with(Router::new(), only(|timeouts| timeouts.head = Some(SHORT)));
        let begun = Instant::now();
        let mut client = Client::connect(&server);
        let mut writer = client.writer();
        let dribbling = thread::spawn(move || {
            use std::io::Write as _;
            // It would take an hour.
            for byte in b"GET / HTTP/1.1\r\nHost: h\r\nX: ".iter().chain(std::iter::repeat(&b'x')) {
                if writer.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        expect_408(&mut client, begun);
        drop(client);
        dribbling.join().unwrap();
    });
}

#[test]
fn a_later_head_has_its_time_from_its_own_first_byte() {
    not_too_early(|| {
        let app = Router::new().get("/", async |_: Request| "well");
        let server = start_with(app, only(|timeouts| timeouts.head = Some(SHORT)));
        let mut client = Client::connect(&server);
        client.expect_silence(SHORT * 2);
        client.get("/").expect(200, "well");
        client.expect_silence(SHORT * 2);
        let begun = Instant::now();
        client.send("GET / HT");
        expect_408(&mut client, begun);
    });
}

#[test]
fn a_head_must_keep_up_a_rate() {
    not_too_early(|| {
        let server = start_with(Router::new(), |limits, timeouts| {
            limits.head_rate = 1000;
            timeouts.head = None;
        });
        let begun = Instant::now();
        let mut client = Client::connect(&server);
        client.send("GET / HTTP/1.1\r\n");
        let answer = client.answer();
        // Ten seconds are given to all: a person may type it.
        assert_fired(begun, Duration::from_secs(10));
        assert_eq!(answer.status, 408);
    });
}

#[test]
fn an_idle_connection_is_closed() {
    not_too_early(|| {
        let app = Router::new().get("/", async |_: Request| "well");
        let server = start_with(app, only(|timeouts| timeouts.idle = Some(SHORT)));
        let begun = Instant::now();
        Client::connect(&server).expect_closed();
        assert_fired(begun, SHORT);
        // It must have asked before it is closed.
        in_steps(SHORT / 2, |_| {
            let mut client = Client::connect(&server);
            let begun = Instant::now();
            client.get("/").expect(200, "well");
            client.expect_closed();
            assert_fired(begun, SHORT);
        });
    });
}

#[test]
fn a_connection_that_is_used_is_not_idle() {
    let app = Router::new().get("/", async |_: Request| "well");
    let server = start_with(app, only(|timeouts| timeouts.idle = Some(LONG)));
    in_steps(APART, |pace| {
        let mut client = Client::connect(&server);
        for _ in 0..6 {
            client.get("/").expect(200, "well");
            pace.step();
            thread::sleep(STEP);
        }
    });
}

fn uploads() -> Router {
    let stream = Route::new(Method::POST, "/stream", async |request: Request| {
        request
            .into_body()
            .collect(1 << 20)
            .await
            .map_or_else(|error| error.to_string(), |all| all.len().to_string())
    });
    Router::new()
        .post("/whole", async |request: Request| request.bytes().len().to_string())
        .route(stream.streaming())
}

#[test]
fn a_body_must_make_progress() {
    not_too_early(|| {
        let server = start_with(uploads(), only(|timeouts| timeouts.body = Some(SHORT)));
        for path in ["/whole", "/stream"] {
            for body in ["Content-Length: 9\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"] {
                let begun = Instant::now();
                let mut client = Client::connect(&server);
                client.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\n{body}"));
                expect_408(&mut client, begun);
            }
        }
    });
}

#[test]
fn chunk_framing_is_no_progress() {
    not_too_early(|| {
        let server = start_with(uploads(), only(|timeouts| timeouts.body = Some(SHORT)));
        let begun = Instant::now();
        let mut client = Client::connect(&server);
        client.send("POST /whole HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;");
        let mut writer = client.writer();
        let dribbling = thread::spawn(move || {
            use std::io::Write as _;
            while writer.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        expect_408(&mut client, begun);
        drop(client);
        dribbling.join().unwrap();
    });
}

#[test]
fn a_body_that_makes_progress_has_its_time() {
    let server =
        start_with(uploads(), only(|timeouts| (timeouts.body, timeouts.handler) = (Some(LONG), Some(LONG))));
    in_steps(APART, |pace| {
        let mut clients = ["/whole", "/stream"].map(|path| {
            let mut client = Client::connect(&server);
            client.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n"));
            client
        });
        for _ in 0..6 {
            thread::sleep(STEP);
            for client in &mut clients {
                client.send("x");
            }
            pace.step();
        }
        for client in &mut clients {
            client.answer().expect(200, "6");
        }
    });
}

/// Sends a byte every few milliseconds, until the server has closed.
fn dribble(client: &Client, byte: &'static [u8]) -> thread::JoinHandle<()> {
    let mut writer = client.writer();
    thread::spawn(move || {
        use std::io::Write as _;
        while writer.write_all(byte).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    })
}

#[test]
fn a_body_must_keep_up_a_rate() {
    not_too_early(|| {
        let server = start_with(uploads(), |limits, timeouts| {
            timeouts.body = Some(SHORT);
            limits.body_rate = 10_000;
            // It ends as soon as it is told.
            timeouts.linger = Some(Duration::ZERO);
        });
        for path in ["/whole", "/stream"] {
            for (framing, byte) in
                [("Content-Length: 1000000", &b"x"[..]), ("Transfer-Encoding: chunked", b"1\r\nx\r\n")]
            {
                let begun = Instant::now();
                let mut client = Client::connect(&server);
                client.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n"));
                let dribbling = dribble(&client, byte);
                expect_408(&mut client, begun);
                drop(client);
                dribbling.join().unwrap();
            }
        }
    });
}

#[test]
fn a_body_that_keeps_its_rate_may_take_longer_than_the_deadline() {
    let server = start_with(uploads(), |limits, timeouts| {
        timeouts.body = Some(LONG);
        // A second brings 4,000.
        limits.body_rate = 1000;
    });
    in_steps(APART, |pace| {
        for path in ["/whole", "/stream"] {
            let mut client = Client::connect(&server);
            client.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n"));
            pace.begin();
            for _ in 0..10 {
                thread::sleep(STEP);
                client.send([b'x'; 1000]);
                pace.step();
            }
            client.answer().expect(200, "10000");
        }
    });
}

#[test]
fn a_client_must_take_its_answer_at_a_rate() {
    not_too_early(|| {
        const SIZE: usize = 16 << 20;
        let app = Router::new().get("/whole", async |_: Request| vec![b'x'; SIZE]);
        let server = start_unix(app, |limits, timeouts| {
            timeouts.write = Some(LONG);
            limits.write_rate = 10_000_000;
        });
        let begun = Instant::now();
        let mut client = Client::connect(&server);
        client.request("/whole");
        client.head();
        // A tenth of the rate at most, and never a stop as long as the deadline.
        let mut taken = 0;
        while client.take(100_000).is_ok() {
            taken += 100_000;
            thread::sleep(Duration::from_millis(100));
        }
        assert!(taken < SIZE / 2, "it got {taken} bytes");
        assert_fired(begun, LONG);
    });
}

#[test]
fn the_peer_of_an_upgraded_connection_must_take_what_is_written() {
    not_too_early(|| {
        use futures_lite::AsyncWriteExt as _;
        let (sender, ended) = mpsc::channel();
        let app = Router::new().get("/", move |_: Request| {
            let sender = sender.clone();
            async move {
                Response::upgrade("quiet", async move |mut stream| {
                    let written = stream.write_all(&vec![b'x'; 16 << 20]).await;
                    sender.send(written.map_err(|error| error.kind())).unwrap();
                })
            }
        });
        let server = start_unix(app, only(|timeouts| timeouts.write = Some(SHORT)));
        let begun = Instant::now();
        let mut client = Client::connect(&server);
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: quiet\r\n\r\n");
        assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), Err(std::io::ErrorKind::TimedOut));
        assert_fired(begun, SHORT);
        assert_eq!(client.head().status, 101);
    });
}

#[test]
fn a_last_linger_has_its_time_in_all_and_less_without_a_byte() {
    not_too_early(|| {
        // Whoever others wait for has `timeouts.drain`, so nobody waits here.
        let lingering = |linger, idle| {
            start_with(Router::new(), move |_, timeouts| {
                (timeouts.linger, timeouts.linger_idle) = (Some(linger), Some(idle));
                timeouts.drain = Some(PATIENCE);
            })
        };
        let server = lingering(LONG * 2, LONG);
        let mut client = Client::connect(&server);
        let begun = Instant::now();
        client.send("nonsense\r\n\r\n");
        assert_eq!(client.answer().status, 400);
        assert_eq!(client.until_closed(), 0, "its end comes at once");
        let dribbling = dribble(&client, b"x");
        dribbling.join().unwrap();
        assert_fired(begun, LONG * 2);
        drop(client);

        let server = lingering(PATIENCE, SHORT);
        let mut client = Client::connect(&server);
        let begun = Instant::now();
        client.send("nonsense\r\n\r\n");
        assert_eq!(client.answer().status, 400);
        eventually("its end", || {
            thread::sleep(SHORT * 2);
            client.try_send("x").is_err()
        });
        assert!(begun.elapsed() >= SHORT);
    });
}

#[test]
fn a_stop_ends_a_last_linger() {
    let server = start_with(Router::new(), |_, timeouts| timeouts.drain = Some(SHORT));
    let mut client = Client::connect(&server);
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    let dribbling = dribble(&client, b"x");
    let begun = Instant::now();
    let report = server.stop(PATIENCE);
    assert_eq!(report.cut, 0);
    assert!(begun.elapsed() < PATIENCE / 4, "{:?}", begun.elapsed());
    dribbling.join().unwrap();
}

#[test]
fn a_client_must_take_its_answer() {
    not_too_early(|| {
        const SIZE: usize = 16 << 20;
        let (called, dropped) = (Signal::new(), Signal::new());
        let app = {
            let (called, dropped) = (called.clone(), dropped.clone());
            let whole = Router::new().get("/whole", move |_: Request| {
                called.set();
                async { vec![b'x'; SIZE] }
            });
            whole.get("/stream", move |_: Request| {
                let held = OnDrop(dropped.clone());
                let chunks = futures_lite::stream::repeat_with(move || {
                    let _held = &held;
                    Ok(vec![b'x'; 4096].into())
                });
                async { Response::stream("text/plain", chunks) }
            })
        };
        let server = start_unix(app, only(|timeouts| timeouts.write = Some(SHORT)));
        let begun = Instant::now();
        let mut client = Client::connect(&server);
        client.request("/stream");
        dropped.wait();
        assert_fired(begun, SHORT);
        client.head();
        client.until_closed();

        let mut client = Client::connect(&server);
        client.request("/whole");
        // The answer is being given until the deadline has passed.
        called.wait();
        eventually("its end", || server.report().pending == 0);
        assert_eq!(client.head().header("content-length"), Some(&*SIZE.to_string()));
        assert!(client.until_closed() < SIZE, "the server waited on");
    });
}

#[test]
fn a_client_that_takes_its_answer_slowly_gets_it() {
    const SIZE: usize = 2 << 20;
    let app = Router::new().get("/", async |_: Request| vec![b'x'; SIZE]);
    let server = start_unix(app, only(|timeouts| timeouts.write = Some(LONG)));
    // There may be room for more only after some of them.
    in_steps(LONG / 3, |pace| {
        let mut client = Client::connect(&server);
        client.request("/");
        client.head();
        let begun = Instant::now();
        for _ in 0..16 {
            pace.step();
            thread::sleep(Duration::from_millis(100));
            assert_eq!(client.take(SIZE / 16).unwrap().len(), SIZE / 16);
        }
        assert!(begun.elapsed() > LONG);
    });
}

#[track_caller]
fn expect_503(server: &Handle, path: &str) {
    let begun = Instant::now();
    let mut client = Client::connect(server);
    let answer = client.get(path);
    assert_fired(begun, SHORT);
    assert_eq!(answer.status, 503);
    assert!(answer.closes());
    client.expect_closed();
}

#[test]
fn a_handler_has_a_deadline_and_learns_that_it_passed() {
    not_too_early(|| {
        let dropped = Signal::new();
        let (sender, responders) = mpsc::channel();
        let sender = Mutex::new(sender);
        let app = {
            let dropped = dropped.clone();
            Router::new()
                .get("/async", move |_: Request| {
                    let held = OnDrop(dropped.clone());
                    async move {
                        forever().await;
                        drop(held);
                    }
                })
                .get("/later", Later(move |_, responder| sender.lock().unwrap().send(responder).unwrap()))
                .get("/", async |_: Request| "well")
        };
        let server = start_with(app, only(|timeouts| timeouts.handler = Some(SHORT)));
        expect_503(&server, "/async");
        dropped.wait();
        expect_503(&server, "/later");
        let responder: Responder = responders.recv_timeout(PATIENCE).unwrap();
        assert!(responder.is_over() && responder.is_gone());
        assert_eq!(responder.send(Response::text("too late")), Err(Gone));
        Client::connect(&server).get("/").expect(200, "well");
    });
}

#[test]
fn a_blocking_handler_has_a_deadline() {
    not_in!(Sequential, ThreadPerConnection: "nothing ends a handler that has its connection's thread");
    not_too_early(|| {
        let leave = Signal::new();
        let app = {
            let leave = leave.clone();
            let late = blocking(move |_: Request| {
                leave.wait();
                "too late"
            });
            Router::new().get("/blocking", late).get("/", async |_: Request| "well")
        };
        let server = start_with(app, only(|timeouts| timeouts.handler = Some(SHORT)));
        expect_503(&server, "/blocking");
        leave.set();
        Client::connect(&server).get("/").expect(200, "well");
    });
}

#[test]
fn a_route_may_have_a_deadline_of_its_own_or_none() {
    not_too_early(|| {
        async fn slow(_: Request) -> &'static str {
            smol::Timer::after(SHORT * 3).await;
            "slow"
        }
        let app = Router::new()
            .route(Route::new(Method::GET, "/none", slow).timeout(None))
            .route(Route::new(Method::GET, "/longer", slow).timeout(PATIENCE))
            .route(Route::new(Method::GET, "/shorter", async |_: Request| forever().await).timeout(SHORT));
        let server = start_with(app, only(|timeouts| timeouts.handler = Some(SHORT)));
        Client::connect(&server).get("/none").expect(200, "slow");
        Client::connect(&server).get("/longer").expect(200, "slow");
        expect_503(&server, "/shorter");
    });
}

#[test]
fn an_answer_that_has_begun_is_not_under_the_handlers_deadline() {
    let app = Router::new().get(
        "/",
        Later(|_, responder: Responder| {
            let (writer, body) = Body::channel();
            responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
            thread::spawn(move || {
                thread::sleep(SHORT * 3);
                writer.write_blocking("late", None).unwrap();
                writer.finish().unwrap();
            });
        }),
    );
    let server = start_with(app, only(|timeouts| timeouts.handler = Some(SHORT)));
    Client::connect(&server).get("/").expect(200, "late");
}

#[test]
fn an_unread_body_is_waited_for_only_so_long() {
    not_too_early(|| {
        let app = Router::new().route(Route::new(Method::POST, "/", async |_: Request| "unread").streaming());
        let server = start_with(
            app,
            only(|timeouts| (timeouts.drain, timeouts.linger_idle) = (Some(SHORT), Some(Duration::ZERO))),
        );
        let begun = Instant::now();
        let mut client = Client::connect(&server);
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nsome");
        client.answer().expect(200, "unread");
        client.expect_closed();
        assert_fired(begun, SHORT);
    });
}

#[test]
fn a_refused_client_that_stays_gives_up_its_place() {
    let app = Router::new().get("/", async |_: Request| "inside");
    let server = start_with(app, |limits, timeouts| {
        limits.connections = 1;
        timeouts.linger = Some(SHORT);
    });
    let mut refused = Client::connect(&server);
    refused.send("nonsense\r\n\r\n");
    assert_eq!(refused.answer().status, 400);
    refused.expect_closed();
    // It keeps its side open and goes on sending.
    let begun = Instant::now();
    eventually("its place", || {
        let _ = refused.try_send("more");
        Client::is_served(&server)
    });
    assert!(begun.elapsed() < PATIENCE / 2);
}

#[test]
fn a_deadline_that_is_off_does_not_fire() {
    let (started, leave) = (Signal::new(), Signal::new());
    let app = {
        let (started, leave) = (started.clone(), leave.clone());
        uploads().get(
            "/",
            blocking(move |_: Request| {
                started.set();
                leave.wait();
                "at last"
            }),
        )
    };
    let server = start_with(app, only(|_| ()));
    // What is sent at first, and what is when all deadlines would have passed.
    let clients = [
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "", "at last"),
        ("", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "at last"),
        ("GET / HT", "TP/1.1\r\nHost: h\r\n\r\n", "at last"),
        ("POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx", "y", "2"),
    ];
    for clients in clients.chunks(at_once(clients.len())) {
        let talks = clients.iter().map(|(first, then, answer)| {
            let mut client = Client::connect(&server);
            client.send(first);
            (client, then, answer)
        });
        let mut talks: Vec<_> = talks.collect();
        started.wait();
        for (client, ..) in &mut talks {
            client.expect_silence(SHORT);
        }
        leave.set();
        for (client, then, answer) in &mut talks {
            client.send(then);
            client.answer().expect(200, answer);
        }
    }
}

#[test]
fn a_stream_without_news_is_cut_when_its_client_has_closed_and_may_be_gone() {
    not_too_early(|| {
        let (dropped, sent) = (Signal::new(), mpsc::channel());
        let end = dropped.clone();
        let later = Later(move |_, responder: Responder| {
            let (writer, body) = Body::channel();
            writer.try_write("one event").unwrap();
            responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
            sent.0.send((writer, OnDrop(end.clone()))).unwrap();
        });
        let app = Router::new().get("/events", later);
        let server = start_with(app, only(|timeouts| timeouts.write = Some(LONG)));
        in_steps(APART, |pace| {
            let mut client = Client::connect(&server);
            client.request("/events");
            client.head();
            client.try_chunk().unwrap();
            let (writer, _guard) = sent.1.recv_timeout(PATIENCE).unwrap();
            // As long as it has closed nothing, it may wait for as long as it likes.
            client.expect_silence(LONG + STEP);
            pace.begin();
            client.half_close();
            // News show whether it still reads, and it does.
            let mut begun = Instant::now();
            for _ in 0..6 {
                thread::sleep(STEP);
                begun = Instant::now();
                writer.try_write("news").unwrap();
                assert_eq!(client.try_chunk().unwrap().unwrap(), b"news");
                pace.step();
            }
            assert!(client.try_chunk().is_err(), "it looks whole");
            assert_fired(begun, LONG);
            eventually("the writer's notice of the end", || writer.is_gone());
        });
    });
}

/// A route "/events" whose stream gives one event and then has no news.
fn without_news() -> (Router, mpsc::Receiver<BodyWriter>) {
    let (sender, receiver) = mpsc::channel();
    let later = Later(move |_, responder: Responder| {
        let (writer, body) = Body::channel();
        writer.try_write("one event").unwrap();
        responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
        sender.send(writer).unwrap();
    });
    (Router::new().get("/events", later), receiver)
}

#[test]
fn a_stream_without_news_ends_soon_after_its_client_has_left() {
    let (app, writers) = without_news();
    let server = start_with(app, only(|_| ()));
    for version in ["1.1", "1.0"] {
        let mut client = Client::connect(&server);
        client.send(format!("GET /events HTTP/{version}\r\nHost: a\r\n\r\n"));
        client.head();
        let event = if version == "1.1" { client.try_chunk().unwrap() } else { client.take(9).ok() };
        assert_eq!(event.unwrap(), b"one event");
        let writer = writers.recv_timeout(PATIENCE).unwrap();
        let left = Instant::now();
        drop(client);
        smol::block_on(writer.gone());
        let late = left.elapsed();
        assert!(late < PATIENCE, "HTTP/{version}: told after {late:?}, without a deadline");
    }
}

#[test]
fn a_client_that_only_closed_its_sending_side_gets_all_of_a_slow_stream() {
    let (app, writers) = without_news();
    let server = start_with(app, only(|_| ()));
    let mut client = Client::connect(&server);
    client.request("/events");
    client.head();
    client.try_chunk().unwrap();
    client.half_close();
    let writer = writers.recv_timeout(PATIENCE).unwrap();
    for news in ["first", "second"] {
        thread::sleep(LONG);
        writer.try_write(news).unwrap();
        assert_eq!(client.try_chunk().unwrap().unwrap(), news.as_bytes());
    }
    thread::sleep(STEP);
    writer.finish().unwrap();
    assert_eq!(client.try_chunk().unwrap(), None);
}

#[test]
fn rfc9112_2_2_empty_lines_behind_a_request_are_no_request() {
    not_too_early(|| {
        let app = Router::new().get("/", async |_: Request| "hello");
        let server = start_with(app, only(|timeouts| timeouts.idle = Some(LONG)));
        in_steps(APART, |pace| {
            let mut client = Client::connect(&server);
            client.get("/").expect(200, "hello");
            pace.step();
            client.send("\r\n\r\n");
            thread::sleep(STEP);
            let begun = Instant::now();
            client.get("/").expect(200, "hello");
            pace.step();
            client.send("\r\n");
            client.expect_closed();
            assert_fired(begun, LONG);
        });
    });
}
