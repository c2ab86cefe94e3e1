//! Handlers of each kind, what they may do wrong, and what a client may do to
//! them.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{self, Poll};
use std::thread;
use std::time::Duration;

use futures_lite::{FutureExt as _, StreamExt as _, stream};
use transom::{
    Body, Context, Gone, Handler, Headers, HttpError, IntoResponse, Method, Model, Reply, Request, Responder,
    Response, Route, Router, StatusCode, blocking, shared,
};

use crate::MODEL;
use crate::common::{
    Bystander, Client, Later, Logs, OnDrop, PATIENCE, SHORT, Signal, at_once, eventually, final_report,
    forever, start, start_single,
};

/// The name of threads that serve connections.
const SERVING: &str = match MODEL {
    Model::Sequential => "transom-sequential",
    Model::ThreadPerConnection => "transom-connection",
    _ => "transom-worker",
};

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

#[test]
fn an_async_handler_runs_on_the_thread_of_its_connection_and_may_wait() {
    let app = Router::new().get("/", async |_: Request| {
        smol::Timer::after(Duration::from_millis(5)).await;
        thread_name()
    });
    let server = start(app);
    Client::connect(&server).get("/").expect(200, SERVING);
}

#[test]
fn blocking_handlers_run_side_by_side() {
    not_in!(Sequential: "all handlers share one thread");
    let meeting = Arc::new(Barrier::new(4));
    let app = Router::new().get(
        "/",
        blocking(move |_: Request| {
            // All four must be here at once for any to go on.
            meeting.wait();
            thread_name()
        }),
    );
    let server = start_single(app);
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.request("/");
    }
    let thread = if MODEL == Model::EventDriven { "transom-pool" } else { SERVING };
    for client in &mut clients {
        client.answer().expect(200, thread);
    }
}

#[test]
fn an_answer_may_come_later_from_any_thread() {
    let (sender, receiver) = mpsc::channel::<(Request, Responder)>();
    let sender = Mutex::new(sender);
    let app = Router::new().get(
        "/{n}",
        Later(move |request, responder| sender.lock().unwrap().send((request, responder)).unwrap()),
    );
    let server = start(app);
    let mut clients: Vec<_> = (0..at_once(3)).map(|_| Client::connect(&server)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.request(&format!("/{n}"));
    }
    let mut waiting: Vec<_> = clients.iter().map(|_| receiver.recv_timeout(PATIENCE).unwrap()).collect();
    // In another order than they came.
    waiting.sort_by(|(a, _), (b, _)| b.path().cmp(a.path()));
    for (request, responder) in waiting {
        assert!(!responder.is_gone() && !responder.is_over());
        responder.send(Response::text(request.param("n"))).unwrap();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.answer().expect(200, &n.to_string());
        client.request("/again");
        receiver.recv_timeout(PATIENCE).unwrap().1.send(Response::text("again")).unwrap();
        client.answer().expect(200, "again");
    }
}

#[test]
fn an_answer_may_be_there_at_once() {
    struct Ready;
    impl Handler for Ready {
        fn call(&self, request: Request, _: &Context<'_>) -> Reply {
            Reply::now(request.path().to_owned())
        }
    }
    let server = start(Router::new().get("/now", Ready));
    Client::connect(&server).get("/now").expect(200, "/now");
}

#[test]
fn a_forgotten_answer_becomes_a_500_and_a_log_line() {
    let app = Router::new()
        .get("/forget/{what}", Later(|_, responder| drop(responder)))
        .get("/", async |_: Request| "well");
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/forget/me?not").expect(500, "500 Internal Server Error\n");
    client.get("/").expect(200, "well");
    Logs::expect(
        "ERROR a request was never answered: its responder was dropped (GET /forget/me, route /forget/{what})",
    );
}

#[test]
fn a_panic_costs_its_own_request_a_500_and_nothing_more() {
    fn fail(text: &str) -> &'static str {
        panic!("on purpose: {text}")
    }
    struct Panics;
    impl Handler for Panics {
        fn call(&self, _: Request, _: &Context<'_>) -> Reply {
            Reply::now(fail("in call"))
        }
    }
    struct Unready;
    impl IntoResponse for Unready {
        fn into_response(self) -> Response {
            Response::text(fail("into response"))
        }
    }
    let app = Router::new()
        .get("/first", async |_: Request| fail("first poll"))
        .get("/later", async |_: Request| {
            futures_lite::future::yield_now().await;
            fail("later poll")
        })
        .get("/closure", |_: Request| {
            fail("closure");
            async { "never" }
        })
        .get("/blocking", blocking(|_: Request| fail("blocking")))
        .get("/call", Panics)
        .get("/into", async |_: Request| Unready)
        .get("/blocking-into", blocking(|_: Request| Unready))
        .get("/param", async |request: Request| request.param("no such").to_owned())
        .get("/slow", async |_: Request| {
            smol::Timer::after(Duration::from_millis(100)).await;
            "undisturbed"
        });
    let server = start_single(app);
    let mut bystander = Client::connect(&server);
    bystander.request("/slow");
    let mut client = Client::connect(&server);
    for path in ["/first", "/later", "/closure", "/blocking", "/call", "/into", "/blocking-into", "/param"] {
        client.get(path).expect(500, "500 Internal Server Error\n");
    }
    for (text, path) in [
        ("first poll", "/first"),
        ("later poll", "/later"),
        ("closure", "/closure"),
        ("blocking", "/blocking"),
        ("in call", "/call"),
        ("into response", "/into"),
        ("into response", "/blocking-into"),
    ] {
        let request = format!("(GET {path}, route {path})");
        Logs::expect(&format!("ERROR a handler panicked: on purpose: {text} {request}"));
    }
    bystander.answer().expect(200, "undisturbed");
}

#[test]
fn a_panic_in_a_response_stream_cuts_that_response_and_nothing_more() {
    let app = Router::new().get("/", async |_: Request| "well").get("/stream", async |_: Request| {
        let chunks = stream::iter(0..3).map(|n| {
            assert!(n < 2, "on purpose: in a stream");
            Ok("chunk".into())
        });
        Response::stream("text/plain", chunks)
    });
    let server = start_single(app);
    let mut bystander = Bystander::of(&server);
    let mut client = Client::connect(&server);
    client.request("/stream");
    assert_eq!(client.head().status, 200);
    let end = loop {
        match client.try_chunk() {
            Ok(Some(chunk)) => assert_eq!(chunk, b"chunk"),
            other => break other,
        }
    };
    assert!(end.is_err(), "a part passes for the whole");
    bystander.get("/").expect(200, "well");
    Logs::expect("ERROR the stream of a response body panicked: on purpose: in a stream");
}

#[test]
fn a_panic_in_a_watcher_or_a_destructor_leaves_the_worker_alive_and_the_answer_whole() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(thread::panicking(), "on purpose: in drop");
        }
    }
    /// A future whose destructor panics after it is ready, or after its poll has panicked.
    struct Dropped(Option<&'static str>);
    impl Future for Dropped {
        type Output = &'static str;
        fn poll(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<&'static str> {
            Poll::Ready(self.0.expect("on purpose: in poll"))
        }
    }
    impl Drop for Dropped {
        fn drop(&mut self) {
            assert!(thread::panicking(), "on purpose: in drop");
        }
    }
    let ready = Signal::new();
    let watched = ready.clone();
    let watch = Later(move |_, responder: Responder| {
        responder.on_gone(|| panic!("on purpose: in a watcher"));
        watched.set();
        std::mem::forget(responder);
    });
    // Where nobody else is served meanwhile, it must come to an end.
    let patience = if MODEL == Model::Sequential { Duration::from_millis(500) } else { PATIENCE * 3 };
    let app = Router::new()
        .route(Route::new(Method::GET, "/watch", watch).timeout(patience))
        .route(
            Route::new(Method::GET, "/bomb", async |_: Request| {
                let _bomb = Bomb;
                forever().await;
            })
            .timeout(SHORT),
        )
        .get("/answered", |_: Request| Dropped(Some("well")))
        .get("/panicked", |_: Request| Dropped(None))
        .get("/", async |_: Request| "alive");
    let server = start_single(app);
    let mut client = Client::connect(&server);
    client.request("/watch");
    ready.wait();
    drop(client);
    let mut client = Client::connect(&server);
    assert_eq!(client.get("/bomb").status, 503);
    Logs::expect("ERROR a handler that was dropped panicked: on purpose: in drop");
    let mut client = Client::connect(&server);
    client.get("/answered").expect(200, "well");
    client.get("/panicked").expect(500, "500 Internal Server Error\n");
    for _ in 0..3 {
        Client::connect(&server).get("/").expect(200, "alive");
    }
    // The exchange whose responder was forgotten is cut.
    server.stop(Duration::from_millis(200));
    assert_eq!(final_report(&server).pending, 0);
}

#[test]
fn a_blocking_handler_can_ask_whether_its_client_left() {
    not_in!(Sequential, ThreadPerConnection: "its thread is the one that would notice");
    let (started, noticed) = (Signal::new(), Signal::new());
    let app = {
        let (started, noticed) = (started.clone(), noticed.clone());
        Router::new().get(
            "/",
            blocking(move |request: Request| {
                assert!(!request.is_client_gone());
                started.set();
                eventually("the client's leaving", || request.is_client_gone());
                noticed.set();
            }),
        )
    };
    let server = start(app);
    let mut client = Client::connect(&server);
    client.request("/");
    started.wait();
    assert!(!noticed.reached(1, Duration::from_millis(50)));
    drop(client);
    noticed.wait();
}

#[test]
fn a_responder_tells_when_its_client_leaves_and_takes_a_late_answer() {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let gone = Signal::new();
    let app = {
        let gone = gone.clone();
        let later = Later(move |_, responder: Responder| {
            let gone = gone.clone();
            responder.on_gone(move || gone.set());
            sender.lock().unwrap().send(responder).unwrap();
        });
        Router::new().get("/later", later).get("/", async |_: Request| "well")
    };
    let server = start_single(app);
    // A client that closes may read on; a broken connection takes nothing.
    let ways: [(fn(Client), _); 2] = [(drop, Ok(())), (Client::reset, Err(Gone))];
    for (index, (leave, outcome)) in (1..).zip(ways) {
        let mut client = Client::connect(&server);
        client.request("/later");
        let responder = receiver.recv_timeout(PATIENCE).unwrap();
        assert!(!responder.is_gone());
        leave(client);
        gone.wait_for(index);
        assert!(responder.is_gone());
        assert_eq!(responder.send(Response::text("late")), outcome);
    }
    Client::connect(&server).get("/").expect(200, "well");
}

#[test]
fn a_watcher_is_forgotten_when_its_exchange_is_over() {
    let (gone, dropped) = (Signal::new(), Signal::new());
    let app = {
        let (gone, dropped) = (gone.clone(), dropped.clone());
        let later = Later(move |_, responder: Responder| {
            let (gone, held) = (gone.clone(), OnDrop(dropped.clone()));
            responder.on_gone(move || {
                drop(held);
                gone.set();
            });
            responder.send(Response::text("done")).unwrap();
        });
        Router::new().get("/", later)
    };
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/").expect(200, "done");
    dropped.wait();
    drop(client);
    server.stop(PATIENCE);
    assert_eq!(gone.count(), 0);
}

#[test]
fn a_client_that_leaves_an_idle_stream_is_noticed() {
    let gone = Signal::new();
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let app = {
        let gone = gone.clone();
        let later = Later(move |_, responder: Responder| {
            let gone = gone.clone();
            responder.on_gone(move || gone.set());
            let (writer, body) = Body::channel();
            writer.try_write("one event").unwrap();
            responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
            sender.lock().unwrap().send(writer).unwrap();
        });
        Router::new().get("/events", later)
    };
    let server = start(app);
    let mut client = Client::connect(&server);
    client.request("/events");
    client.head();
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"one event");
    let writer = receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(gone.count(), 0);
    drop(client);
    gone.wait();
    eventually("the writer's notice of the end", || writer.try_write("more").is_err());
}

#[test]
fn a_streamed_request_is_handled_while_it_comes() {
    let app = Router::new().route(
        Route::new(Method::POST, "/", async |mut request: Request| {
            let first = request.body_mut().chunk().await.unwrap().unwrap();
            // What it has read so far goes back before the rest has come.
            let (writer, body) = Body::channel();
            writer.try_write(first).unwrap();
            thread::spawn(move || {
                let rest = smol::block_on(request.into_body().collect(100)).unwrap();
                writer.try_write(rest).unwrap();
                writer.finish().unwrap();
            });
            Response::new(StatusCode::OK).body(body)
        })
        .streaming(),
    );
    let server = start(app);
    let mut client = Client::connect(&server);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\none");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"one");
    client.send("two");
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"two");
    assert_eq!(client.try_chunk().unwrap(), None);
}

fn echo(request: Request) -> Response {
    Response::stream("application/octet-stream", request.into_body())
}

#[test]
fn an_echo_flows_both_ways_at_once() {
    const SIZE: usize = 100_000;
    let route = Route::new(Method::POST, "/", async |request: Request| echo(request));
    let server = start(Router::new().route(route.streaming().body_limit(u64::MAX)));
    let mut client = Client::connect(&server);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"one");
    client.send("3\r\ntwo\r\n");
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"two");

    // Much more than all buffers hold, written and read at the same time.
    let mut writer = client.writer();
    let writing = thread::spawn(move || {
        use std::io::Write as _;
        let data = vec![b'x'; SIZE];
        for _ in 0..200 {
            write!(writer, "{SIZE:x}\r\n").unwrap();
            writer.write_all(&data).unwrap();
            writer.write_all(b"\r\n").unwrap();
        }
        writer.write_all(b"0\r\n\r\n").unwrap();
    });
    let mut total = 0;
    while let Some(chunk) = client.try_chunk().unwrap() {
        assert!(chunk.iter().all(|byte| *byte == b'x'));
        total += chunk.len();
    }
    writing.join().unwrap();
    assert_eq!(total, 200 * SIZE);
    assert_eq!(client.post("/", "again").body, b"again");
}

#[test]
fn rfc9110_10_1_1_continue_never_comes_behind_the_final_head() {
    let route = Route::new(Method::POST, "/", async |request: Request| echo(request));
    let server = start(Router::new().route(route.streaming()));
    let mut client = Client::connect(&server);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    // The answer's body is the request's, so the client must be asked for it first.
    assert_eq!(client.answer().status, 100);
    client.send("hello");
    client.answer().expect(200, "hello");
}

#[test]
fn rfc9110_10_1_1_continue_is_sent_when_the_body_is_read() {
    let release = Signal::new();
    let started = Signal::new();
    let app = {
        let (release, started) = (release.clone(), started.clone());
        let reads = Later(move |request: Request, responder: Responder| {
            started.set();
            let release = release.clone();
            thread::spawn(move || {
                release.wait();
                let body = smol::block_on(request.into_body().collect(100)).unwrap();
                responder.send(Response::bytes("text/plain", body)).unwrap();
            });
        });
        Router::new()
            .post("/whole", async |request: Request| request.bytes().to_vec())
            .route(Route::new(Method::POST, "/reads", reads).streaming())
            .route(Route::new(Method::POST, "/refuses", async |_: Request| StatusCode::FORBIDDEN).streaming())
    };
    let server = start(app);
    let head = |path: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    };

    let mut client = Client::connect(&server);
    client.send(head("/whole"));
    assert_eq!(client.answer().status, 100);
    client.send("hello");
    client.answer().expect(200, "hello");

    client.send(head("/reads"));
    started.wait();
    client.expect_silence(Duration::from_millis(100));
    release.set();
    assert_eq!(client.answer().status, 100);
    client.send("again");
    client.answer().expect(200, "again");

    for (path, status) in [("/refuses", 403), ("/nowhere", 404)] {
        let mut client = Client::connect(&server);
        client.send(head(path));
        let answer = client.answer();
        assert_eq!(answer.status, status);
        // Whether the body comes after all nobody knows.
        assert!(answer.closes());
        client.expect_closed();
    }

    let mut eager = Client::connect(&server);
    eager.send(head("/whole") + "hello");
    let first = eager.answer();
    let answer = if first.status == 100 { eager.answer() } else { first };
    answer.expect(200, "hello");
}

#[test]
fn path_parameters_are_decoded_and_fixed_segments_win() {
    let app = Router::new()
        .get("/users/{id}", async |request: Request| format!("user {}", request.param("id")))
        .get("/users/me", async |_: Request| "me")
        .get("/files/{*path}", async |request: Request| format!("file {}", request.param("path")))
        .get("/{a}/x/{b}", async |request: Request| {
            let all: Vec<_> =
                request.params().iter().map(|(name, value)| format!("{name}={value}")).collect();
            all.join(" ")
        });
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/users/7?id=8").expect(200, "user 7");
    client.get("/users/j%C3%BCrgen%20%26%20co").expect(200, "user j\u{fc}rgen & co");
    client.get("/users/a%2Fb").expect(200, "user a/b");
    client.get("/users/%FF").expect(200, "user \u{fffd}");
    client.get("/users/me").expect(200, "me");
    client.get("/files/a/b%20c").expect(200, "file a/b c");
    client.get("/1/x/2").expect(200, "a=1 b=2");
    assert_eq!(client.get("/users/").status, 404);
}

#[test]
fn what_no_route_answers() {
    let app = Router::new()
        .get("/get", async |_: Request| "got")
        .post("/both", async |_: Request| "posted")
        .get("/both", async |_: Request| "got")
        .any("/any", async |request: Request| request.method().to_string());
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/nowhere").expect(404, "404 Not Found\n");
    let refused = client.post("/get", "");
    refused.expect(405, "405 Method Not Allowed\n");
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
    client.send("DELETE /both HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer().header("allow"), Some("GET, HEAD, POST"));
    client.send("BREW /any HTTP/1.1\r\nHost: h\r\n\r\n");
    client.answer().expect(200, "BREW");
    client.send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer().status, 204);
    client.send("HEAD /get HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status, head.header("content-length")), (200, Some("3")));
    client.send("HEAD /nowhere HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.head().status, 404);
    client.get("/get").expect(200, "got");
}

#[test]
fn a_fallback_answers_what_no_route_matches() {
    let app = Router::new()
        .get("/", async |_: Request| "index")
        .fallback(async |request: Request| (StatusCode::NOT_FOUND, format!("no {}", request.path())));
    let server = start(app);
    let mut client = Client::connect(&server);
    client.get("/").expect(200, "index");
    client.get("/nowhere").expect(404, "no /nowhere");
    assert_eq!(client.post("/", "").status, 405);
}

#[test]
fn whatever_a_handler_returns_becomes_a_response() {
    struct Teapot;
    impl IntoResponse for Teapot {
        fn into_response(self) -> Response {
            Response::text("short and stout").status(StatusCode::IM_A_TEAPOT)
        }
    }
    let app = Router::new()
        .get("/str", async |_: Request| "text")
        .get("/string", async |_: Request| String::from("text"))
        .get("/bytes", async |_: Request| vec![b'b'])
        .get("/unit", async |_: Request| ())
        .get("/status", async |_: Request| StatusCode::ACCEPTED)
        .get("/pair", async |_: Request| (StatusCode::CREATED, "made"))
        .get("/ok", async |_: Request| Ok("fine"))
        .get("/err", async |_: Request| Err::<String, _>(HttpError::respond(Teapot)))
        .get("/nested", async |_: Request| {
            Err::<&str, _>(HttpError::respond((StatusCode::CONFLICT, Teapot)))
        });
    let server = start(app);
    let mut client = Client::connect(&server);
    let plain = Some("text/plain; charset=utf-8");
    for (path, status, text, kind) in [
        ("/str", 200, "text", plain),
        ("/string", 200, "text", plain),
        ("/bytes", 200, "b", Some("application/octet-stream")),
        ("/unit", 204, "", None),
        ("/status", 202, "", None),
        ("/pair", 201, "made", plain),
        ("/ok", 200, "fine", plain),
        ("/err", 418, "short and stout", plain),
        ("/nested", 409, "short and stout", plain),
    ] {
        let answer = client.get(path);
        answer.expect(status, text);
        assert_eq!(answer.header("content-type"), kind, "{path}");
        assert!(answer.header("date").is_some());
    }
}

#[test]
fn a_response_that_cannot_be_sent_becomes_a_500_and_a_log_line() {
    let app = Router::new()
        .get("/value", async |_: Request| Response::text("secret").header("x-split", "1\r\nx-evil: 2"))
        .get("/name", async |_: Request| Response::text("secret").header("x spaced", "1"))
        .get("/interim", async |_: Request| Response::text("secret").status(StatusCode::PROCESSING))
        .get("/high", async |_: Request| Response::text("secret").status(StatusCode::from_u16(600).unwrap()));
    let server = start(app);
    let mut client = Client::connect(&server);
    for path in ["/value", "/name", "/interim", "/high"] {
        let answer = client.get(path);
        answer.expect(500, "500 Internal Server Error\n");
        assert!(!answer.head.contains("x-"), "{}", answer.head);
    }
    Logs::expect("ERROR a handler's response was not sent: header \"x-split\"");
    Logs::expect("ERROR a handler's response was not sent: header name \"x spaced\"");
    Logs::expect("ERROR a handler's response was not sent: 102 is no final status");
    Logs::expect("ERROR a handler's response was not sent: 600 is no final status");
}

#[test]
fn a_field_that_a_handler_cannot_set_is_left_out_with_a_log_line() {
    let fields = "te: trailers\nkeep-alive: timeout=5\nproxy-connection: close\ntransfer-encoding: gzip\n\
                  upgrade: h2c\nconnection: x-a\ntrailer: x-b\ncontent-length: zz\n";
    let hints = "link: </>\ncontent-length: 77\n";
    let app = Router::new()
        .get("/fields", move |_: Request| async move {
            let mut response = Response::text("fine").status(StatusCode::from_u16(231).unwrap());
            for (name, value) in Headers::parse(fields.as_bytes()).unwrap().iter() {
                response.headers_mut().append(name, value).unwrap();
            }
            response
        })
        .get("/none", async |_: Request| Response::new(StatusCode::NO_CONTENT).header("content-length", "0"))
        .get("/hints", move |req: Request| async move {
            req.early_hints(Headers::parse(hints.as_bytes()).unwrap()).unwrap();
            Response::text("fine").status(StatusCode::from_u16(231).unwrap())
        })
        .get("/trailers", async |_: Request| {
            let (writer, body) = Body::channel();
            writer.finish_with(Headers::parse(b"host: evil\nx-sum: 1\n").unwrap()).unwrap();
            Response::bytes("text/plain", body)
        })
        .get("/trailers/none", async |_: Request| {
            let trailers = || Headers::parse(b"x-lost: 1\n").unwrap();
            Response::bytes("text/plain", Body::from("fine").with_trailers(trailers))
        });
    let server = start(app);
    let mut client = Client::connect(&server);
    let answer = client.get("/fields");
    answer.expect(231, "fine");
    let names: Vec<_> = fields.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert!(!names.iter().any(|name| *name != "content-length" && answer.header(name).is_some()));
    for name in names {
        Logs::expect(&format!("WARN a handler's 231 response: header {name:?} is not sent: "));
    }
    Logs::expect(
        "a handler's 231 response: header \"te\" is not sent: it is a field of requests (GET /fields, route /fields)",
    );
    assert_eq!(client.get("/none").header("content-length"), None);
    Logs::expect("WARN a handler's 204 response: header \"content-length\" is not sent: ");
    client.request("/hints");
    assert_eq!(client.head().header("content-length"), None);
    client.answer().expect(231, "fine");
    Logs::expect("WARN early hints of GET /hints: header \"content-length\" is not sent: ");
    assert!(client.get("/trailers/none").head.contains("content-length: 4"));
    client.request("/trailers");
    assert!(client.head().head.contains("chunked"));
    Logs::expect("WARN trailer \"host\" is not sent: ");
    Logs::expect("WARN trailer \"x-lost\" is not sent: ");
    // What is sent is not told.
    assert_eq!(Logs::count("trailer \"x-sum\"") + Logs::count("header \"link\""), 0);
}

#[test]
fn rfc9112_6_3_a_body_shorter_than_its_length_ends_the_connection() {
    fn announced(length: u64) -> Response {
        Response::bytes("text/plain", Body::sized_stream(length, stream::once(Ok("abc".into()))))
    }
    let app = Router::new()
        .get("/short", async |_: Request| announced(5))
        .get("/long", async |_: Request| announced(2))
        .get("/whole", async |_: Request| Response::text("abc").header("content-length", "5"));
    let server = start(app);
    for path in ["/short", "/whole"] {
        let mut client = Client::connect(&server);
        client.request(path);
        assert_eq!(client.head().header("content-length"), Some("5"));
        assert_eq!(client.until_closed(), 3);
    }
    let mut client = Client::connect(&server);
    client.get("/long").expect(200, "ab");
    client.get("/long").expect(200, "ab");
    Logs::expect("ERROR a response body is longer than its Content-Length");
}

#[test]
fn a_writer_learns_whether_its_body_is_as_long_as_announced() {
    let (sender, outcomes) = mpsc::channel();
    let sender = Mutex::new(sender);
    let app = Router::new().get(
        "/{announced}",
        shared(move |request: Request| {
            let (writer, body) = Body::channel();
            let announced = request.params().get("announced").unwrap().to_owned();
            let sender = sender.lock().unwrap().clone();
            thread::spawn(move || {
                let written = writer.write_blocking("0123", None);
                // The connection may be done with it by then, or not have begun.
                sender.send((written, writer.finish())).unwrap();
            });
            async move { Response::new(StatusCode::OK).header("content-length", announced).body(body) }
        }),
    );
    let server = start(app);
    for _ in 0..20 {
        Client::connect(&server).get("/4").expect(200, "0123");
        assert_eq!(outcomes.recv_timeout(PATIENCE), Ok((Ok(()), Ok(()))));
        for method in ["HEAD /4", "HEAD /9"] {
            let mut client = Client::connect(&server);
            client.send(format!("{method} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
            client.head();
            assert_eq!(outcomes.recv_timeout(PATIENCE), Ok((Ok(()), Ok(()))));
        }
    }
}

#[test]
fn a_stream_that_is_always_ready_does_not_starve_the_worker() {
    not_in!(Sequential: "the others wait until the answer ends");
    let done = Arc::new(AtomicBool::new(false));
    let app = {
        let done = Arc::clone(&done);
        Router::new()
            .get("/endless", move |_: Request| {
                let done = Arc::clone(&done);
                let chunks = stream::repeat_with(move || {
                    // So that a server that starves its clients ends all the same.
                    if done.load(Ordering::Relaxed) {
                        return Err(std::io::ErrorKind::Other.into());
                    }
                    Ok(vec![b'x'; 1024].into())
                });
                async { Response::stream("text/plain", chunks) }
            })
            .get("/", async |_: Request| "served")
    };
    let server = start_single(app);
    let mut greedy = Client::connect(&server);
    greedy.request("/endless");
    assert_eq!(greedy.head().status, 200);
    let reading = thread::spawn(move || greedy.until_closed());
    let mut client = Client::connect(&server);
    client.request("/");
    let answer = client.try_answer();
    done.store(true, Ordering::Relaxed);
    assert!(reading.join().unwrap() > 0);
    answer.expect("the other connections of a worker must have their turn").expect(200, "served");
}

#[test]
fn a_flood_of_requests_does_not_starve_the_worker() {
    let server = start_single(Router::new().get("/", async |_: Request| "served"));
    let mut flood = Client::connect(&server);
    let mut writer = flood.writer();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            use std::io::Write as _;
            let requests = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2000);
            while !stop.load(Ordering::Relaxed) {
                match writer.write_all(requests.as_bytes()) {
                    // It has had an answer that says so.
                    Err(_) if MODEL == Model::Sequential => return,
                    written => written.unwrap(),
                }
            }
            // Closed by the server, it may be no connection any more.
            let closed = writer.shutdown(std::net::Shutdown::Write);
            assert!(closed.is_ok() || MODEL == Model::Sequential, "{closed:?}");
        })
    };
    let reading = thread::spawn(move || flood.until_closed());
    let mut client = Client::connect(&server);
    client.request("/");
    let answer = client.try_answer();
    stop.store(true, Ordering::Relaxed);
    writing.join().unwrap();
    reading.join().unwrap();
    answer.expect("the other connections of a worker must have their turn").expect(200, "served");
}

#[test]
fn a_client_that_leaves_at_any_stage_harms_nobody() {
    let started = Signal::new();
    let dropped = Signal::new();
    let app = {
        let (started, dropped) = (started.clone(), dropped.clone());
        let (started_blocking, started_later) = (started.clone(), started.clone());
        Router::new()
            .get("/async", move |_: Request| {
                let (started, held) = (started.clone(), OnDrop(dropped.clone()));
                async move {
                    started.set();
                    smol::Timer::after(Duration::from_millis(30)).await;
                    drop(held);
                    "late"
                }
            })
            .get(
                "/blocking",
                blocking(move |request: Request| {
                    started_blocking.set();
                    // On the thread of its connection it would not notice.
                    if MODEL == Model::EventDriven {
                        eventually("the client's leaving", || request.is_client_gone());
                    }
                    "late"
                }),
            )
            .get(
                "/later",
                Later(move |_, responder: Responder| {
                    started_later.set();
                    thread::spawn(move || {
                        eventually("the client's leaving", || responder.is_gone());
                        let _: Result<(), Gone> = responder.send(Response::text("late"));
                    });
                }),
            )
            .get("/big", async |_: Request| vec![b'x'; 8 << 20])
            .get("/stream", async |_: Request| {
                Response::stream("text/plain", stream::repeat_with(|| Ok(vec![b'x'; 4096].into())))
            })
            .route(Route::new(Method::POST, "/echo", async |request: Request| echo(request)).streaming())
            .get("/", async |_: Request| "well")
    };
    let server = start_single(app);
    let stages: &[(&str, bool)] = &[
        ("", false),
        ("GET", false),
        ("GET / HTTP/1.1\r\nHos", false),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", false),
        ("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", false),
        ("GET /async HTTP/1.1\r\nHost: h\r\n\r\n", true),
        ("GET /blocking HTTP/1.1\r\nHost: h\r\n\r\n", true),
        ("GET /later HTTP/1.1\r\nHost: h\r\n\r\n", true),
        ("GET /big HTTP/1.1\r\nHost: h\r\n\r\n", false),
        ("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", false),
    ];
    let ways: [fn(Client); 2] = [drop, Client::reset];
    let mut begun = 0;
    for leave in ways {
        for (sent, starts_a_handler) in stages {
            let mut client = Client::connect(&server);
            client.send(sent);
            if *starts_a_handler {
                begun += 1;
                started.wait_for(begun);
            }
            leave(client);
            Client::connect(&server).get("/").expect(200, "well");
        }
    }
    dropped.wait_for(2);
    // All those connections have come to an end.
    let report = server.stop(PATIENCE);
    assert_eq!((report.cut, report.pending), (0, 0));
}

#[test]
fn a_request_can_be_lent_to_an_async_function() {
    async fn describe(request: &Request) -> String {
        futures_lite::future::yield_now().await;
        format!("{} {}", request.method(), request.path())
    }
    let server = start(Router::new().get("/lent", async |request: Request| describe(&request).await));
    Client::connect(&server).get("/lent").expect(200, "GET /lent");
}

#[test]
fn a_future_is_dropped_when_its_deadline_passes_not_when_its_client_leaves() {
    let (started, finished) = (Signal::new(), Signal::new());
    let app = {
        let (started, finished) = (started.clone(), finished.clone());
        Router::new().get("/", move |request: Request| {
            let (started, finished) = (started.clone(), finished.clone());
            async move {
                started.set();
                let left = async {
                    while !request.is_client_gone() {
                        smol::Timer::after(Duration::from_millis(2)).await;
                    }
                };
                let too_late = async {
                    smol::Timer::after(PATIENCE).await;
                    panic!("the client's leaving was not noticed");
                };
                left.or(too_late).await;
                smol::Timer::after(Duration::from_millis(20)).await;
                finished.set();
            }
        })
    };
    let server = start(app);
    let mut client = Client::connect(&server);
    client.request("/");
    started.wait();
    drop(client);
    finished.wait();
}
