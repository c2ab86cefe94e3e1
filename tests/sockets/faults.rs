//! Clients that break off, dawdle or flood, at every point of an exchange.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::stream;
use transom::{Handle, Method, Request, Responder, Response, Route, Router, blocking, shared};

use crate::common::{
    Bystander, Client, Later, OnDrop, PATIENCE, Signal, at_once, eventually, start, start_single,
};

/// How a client may go: a name and a way.
type Way = (&'static str, fn(Client));

const LEAVING: [Way; 3] =
    [("close", drop), ("reset", Client::reset), ("half-close and close", |client| client.half_close())];

/// Routes that answer in each of the ways there are.
fn app() -> Router {
    let echo = |request: Request| Response::stream("text/plain", request.into_body());
    Router::new()
        .get("/", async |_: Request| "well")
        .post("/whole", async |request: Request| request.bytes().to_vec())
        .route(Route::new(Method::POST, "/stream", move |request| async move { echo(request) }).streaming())
        .get("/slow", async |_: Request| {
            smol::Timer::after(Duration::from_millis(60)).await;
            "slow"
        })
        .get(
            "/blocking",
            blocking(|_: Request| {
                thread::sleep(Duration::from_millis(60));
                "blocked"
            }),
        )
        .get(
            "/later",
            Later(|_, responder: Responder| {
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(60));
                    let _ = responder.send(Response::text("later"));
                });
            }),
        )
        .get("/big", async |_: Request| vec![b'x'; 4 << 20])
}

/// Stops, and fails if an exchange is left over.
#[track_caller]
fn assert_empty(server: &Handle) {
    eventually("the end of all exchanges", || server.report().pending == 0);
    let report = server.stop(PATIENCE);
    assert_eq!((report.cut, report.pending), (0, 0));
}

#[test]
fn a_client_may_leave_at_every_byte_of_a_request() {
    let requests = [
        "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /whole HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody",
        "POST /stream HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nA: b\r\n\r\n",
    ];
    let server = start(app());
    let mut bystander = Bystander::of(&server);
    for request in requests {
        for end in 0..=request.len() {
            for (_, leave) in LEAVING {
                let mut client = Client::connect(&server);
                client.send(&request[..end]);
                leave(client);
            }
        }
        bystander.get("/").expect(200, "well");
    }
    assert_empty(&server);
}

#[test]
fn a_request_may_come_in_two_parts_at_every_byte() {
    let request =
        "POST /stream HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let server = start(app());
    let mut client = Client::connect(&server);
    for at in 1..request.len() {
        client.send(&request[..at]);
        thread::sleep(Duration::from_millis(1));
        client.send(&request[at..]);
        client.answer().expect(200, "body");
    }
}

#[test]
fn a_client_may_leave_in_the_middle_of_an_answer() {
    for (how, leave) in LEAVING {
        let dropped = Signal::new();
        let app = {
            let dropped = dropped.clone();
            app().get("/endless", move |_: Request| {
                let held = OnDrop(dropped.clone());
                let chunks = stream::repeat_with(move || {
                    let _held = &held;
                    Ok(vec![b'x'; 4096].into())
                });
                async { Response::stream("text/plain", chunks) }
            })
        };
        let server = start_single(app);
        for path in ["/big", "/endless"] {
            let mut client = Client::connect(&server);
            client.request(path);
            client.head();
            leave(client);
        }
        assert!(dropped.reached(1, PATIENCE), "{how}: the stream is still there");
        assert_empty(&server);
    }
}

#[test]
fn a_client_that_half_closes_still_gets_its_answers() {
    let server = start(app());
    for (path, text) in [("/", "well"), ("/slow", "slow"), ("/blocking", "blocked"), ("/later", "later")] {
        let mut client = Client::connect(&server);
        client.request(path);
        client.half_close();
        client.answer().expect(200, text);
        client.expect_closed();
    }
    let mut client = Client::connect(&server);
    client.request("/big");
    client.half_close();
    assert_eq!(client.answer().body.len(), 4 << 20);
    for path in ["/whole", "/stream"] {
        let mut client = Client::connect(&server);
        client.send(format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"));
        client.half_close();
        client.answer().expect(200, "body");
        client.expect_closed();
    }
    let mut client = Client::connect(&server);
    client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.half_close();
    client.answer().expect(200, "slow");
    client.answer().expect(200, "well");
    client.expect_closed();
    assert_empty(&server);
}

#[test]
fn a_client_that_half_closes_in_a_request_is_told_or_closed() {
    let server = start(app());
    for sent in ["", "GET", "GET / HTTP/1.1\r\nHost: h\r\n"] {
        let mut client = Client::connect(&server);
        client.send(sent);
        client.half_close();
        client.until_closed();
    }
    for body in ["Content-Length: 9\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n9\r\nsome"] {
        let mut client = Client::connect(&server);
        client.send(format!("POST /whole HTTP/1.1\r\nHost: h\r\n{body}"));
        client.half_close();
        let answer = client.answer();
        assert_eq!(answer.status, 400);
        client.expect_closed();
    }
    // An echo has begun its answer, which then must not look whole.
    let mut client = Client::connect(&server);
    client.send("POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nsome");
    client.head();
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"some");
    client.half_close();
    assert!(client.try_chunk().is_err());
    assert_empty(&server);
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    let app = Router::new()
        .get("/{n}", async |request: Request| request.param("n").to_owned())
        .post("/{n}", blocking(|request: Request| [request.param("n").as_bytes(), request.bytes()].concat()));
    let server = start(app);
    let mut client = Client::connect(&server);
    let mut writer = client.writer();
    let writing = thread::spawn(move || {
        let mut requests = Vec::new();
        for n in 0..1000 {
            // One in ten has a body and goes to the pool.
            match n % 10 {
                0 => write!(requests, "POST /{n} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n+body")
                    .unwrap(),
                _ => write!(requests, "GET /{n} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap(),
            }
        }
        writer.write_all(&requests).unwrap();
    });
    for n in 0..1000 {
        let expected = if n % 10 == 0 { format!("{n}+body") } else { n.to_string() };
        client.answer().expect(200, &expected);
    }
    writing.join().unwrap();
}

#[test]
fn nothing_behind_a_refused_request_is_answered() {
    let server = start(app());
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost : h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    client.answer().expect(200, "well");
    assert_eq!(client.answer().status, 400);
    client.expect_closed();
}

#[test]
fn many_clients_that_break_off_leave_room_for_others() {
    let server = start_single(app());
    // One after another they take their time.
    let rounds = if at_once(2) == 2 { 20 } else { 3 };
    for round in 0..rounds {
        let clients: Vec<_> = (0..20)
            .map(|n| {
                let mut client = Client::connect(&server);
                let path = ["/", "/slow", "/big", "/blocking", "/later"][n % 5];
                client.request(path);
                client
            })
            .collect();
        clients.into_iter().for_each(LEAVING[round % 3].1);
    }
    Client::connect(&server).get("/").expect(200, "well");
    assert_empty(&server);
}

#[test]
fn what_comes_after_the_last_answer_does_not_destroy_it() {
    let server = start(app());
    for _ in 0..50 {
        let mut client = Client::connect(&server);
        client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        // The server is done; this would bring about a reset if it just closed.
        let _ = client.try_send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.answer().expect(200, "well");
    }
}

#[test]
fn a_reader_that_stops_in_the_middle_of_a_large_answer_holds_up_nobody() {
    not_in!(Sequential: "the others wait until it is given up, after `timeouts.write`");
    let dropped = Signal::new();
    let owned = OnDrop(dropped.clone());
    let app = Router::new().get("/health", async |_: Request| "well").get(
        "/large",
        shared(move |_: Request| {
            let _ = &owned;
            async { Response::bytes("application/octet-stream", vec![b'x'; 100 << 20]) }
        }),
    );
    let server = start_single(app);
    let mut stuck = Client::connect(&server);
    stuck.request("/large");
    assert_eq!(stuck.head().header("content-length"), Some("104857600"));
    assert_eq!(stuck.take(1 << 20).unwrap().len(), 1 << 20);
    let mut healthy = Client::connect(&server);
    let health = |client: &mut Client| {
        let begun = Instant::now();
        client.get("/health").expect(200, "well");
        begun.elapsed()
    };
    let quickest = (0..20).map(|_| health(&mut healthy)).min().unwrap();
    assert!(quickest < Duration::from_secs(5), "{quickest:?}");
    stuck.reset();
    drop(healthy);
    // The answer goes with its connection, which a stop would otherwise have to cut.
    eventually("the broken exchange is over", || server.report().pending == 0);
    assert_eq!(server.stop(Duration::from_secs(10)).cut, 0);
    drop(server);
    dropped.wait();
}
