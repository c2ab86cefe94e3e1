//! Handlers that block where their connection is served: what the models without
//! a pool promise of them.

use std::thread;
use std::time::{Duration, Instant};

use transom::{
    Body, Context, Handler, Method, Reply, Request, Responder, Response, Route, Router, StatusCode,
    WaitError, WriteError, blocking, wait,
};

use crate::common::{Client, PATIENCE, Place, SHORT, Signal, Work, start, start_with};

#[test]
fn a_handler_that_blocks_past_its_deadline_still_answers() {
    not_in!(EventDriven: "there it is answered with 503 in time");
    let slow = blocking(|_: Request| {
        thread::sleep(SHORT * 3);
        "at last"
    });
    let app = Router::new().get("/", slow);
    let server = start_with(app, |_, timeouts| timeouts.handler = Some(SHORT));
    let begun = Instant::now();
    let mut client = Client::connect(&server);
    client.get("/").expect(200, "at last");
    assert!(begun.elapsed() >= SHORT * 3);
    // And the connection is as good as before.
    client.get("/").expect(200, "at last");
}

#[test]
fn no_limit_on_the_pool_is_felt_where_there_is_none() {
    not_in!(EventDriven: "there is a pool");
    let app = Router::new().get("/", blocking(|_: Request| "blocked"));
    let server = start_with(app, |limits, _| (limits.pool_threads, limits.pool_queue) = (1, 0));
    let mut client = Client::connect(&server);
    for _ in 0..3 {
        client.get("/").expect(200, "blocked");
    }
}

/// Says whether a job of its own ran on the same thread.
struct Jobs;

impl Handler for Jobs {
    fn call(&self, request: Request, context: &Context<'_>) -> Reply {
        let (responder, reply) = Reply::later(&request);
        let here = thread::current().id();
        context
            .run_blocking(move || {
                let same = thread::current().id() == here;
                responder.send(Response::text(same.to_string())).unwrap();
            })
            .unwrap();
        reply
    }
}

#[test]
fn a_job_is_done_when_it_has_been_handed_over() {
    not_in!(EventDriven: "there another thread does it, soon");
    let server = start(Router::new().get("/", Jobs));
    Client::connect(&server).get("/").expect(200, "true");
}

#[test]
fn a_stop_does_not_wait_for_a_handler_that_blocks_past_its_deadline() {
    let (started, leave) = (Signal::new(), Signal::new());
    let app = {
        let (started, leave) = (started.clone(), leave.clone());
        let stuck = blocking(move |_: Request| {
            started.set();
            leave.wait();
            "late"
        });
        Router::new().get("/", stuck)
    };
    let server = start(app);
    let mut client = Client::connect(&server);
    client.request("/");
    started.wait();
    let begun = Instant::now();
    let report = server.stop(SHORT);
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    assert_eq!((report.finished, report.cut + report.pending), (0, 1));
    assert!(server.wait_timeout(Duration::from_millis(20)).unwrap().is_none(), "its thread is gone");
    leave.set();
    let report = server.wait().unwrap();
    assert!(report.pending == 0 && report.finished + report.cut == 1, "{report:?}");
    client.until_closed();
}

#[test]
fn a_foreign_executor_is_not_left_waiting_for_a_body_that_only_its_own_thread_can_read() {
    let read = blocking(|mut request: Request| {
        let mut all = Vec::new();
        while let Some(chunk) = futures_lite::future::block_on(request.body_mut().chunk()) {
            match chunk {
                Ok(chunk) => all.extend_from_slice(&chunk),
                Err(error) => return format!("{:?}", error.kind()),
            }
        }
        String::from_utf8(all).unwrap()
    });
    let app = Router::new().route(Route::new(Method::POST, "/", read).streaming());
    let server = start(app);
    let mut client = Client::connect(&server);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n");
    let expected = if crate::MODEL == transom::Model::EventDriven {
        // The pool's thread waits, and the worker reads.
        thread::sleep(SHORT);
        client.send(b"abcdef");
        "abcdef"
    } else {
        "Deadlock"
    };
    client.answer().expect(200, expected);
}

/// More than all buffers between a server and a client that reads nothing.
const LARGE: usize = 16 << 20;

#[test]
fn a_handler_that_blocks_waits_for_its_body_and_serves_its_connection_meanwhile() {
    let read = blocking(|mut request: Request| {
        let mut length = 0;
        while let Some(chunk) = wait(request.body_mut().chunk(), None)? {
            length += chunk?.len();
        }
        Ok(length.to_string())
    });
    let server =
        start(Router::new().route(Route::new(Method::POST, "/", read).streaming().body_limit(u64::MAX)));
    let mut client = Client::connect(&server);
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    for _ in 0..LARGE / 65536 {
        client.send(vec![0; 65536]);
    }
    client.answer().expect(200, &LARGE.to_string());
    // And the connection is as good as before.
    client.post("/", "abc").expect(200, "3");
}

/// Returns an app whose handler writes its answer piece by piece on its own thread, and then tells
/// how that ended.
fn pieces(count: usize, told: &std::sync::mpsc::SyncSender<Result<(), WriteError>>) -> Router {
    let told = told.clone();
    Router::new().get(
        "/",
        Work(Place::Job, move |_: Request, responder: Responder| {
            let (writer, body) = Body::channel();
            responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
            let write = || writer.write_blocking(vec![b'x'; 65536], None);
            let written = (0..count).try_for_each(|_| write());
            told.send(written.and_then(|()| writer.finish())).unwrap();
        }),
    )
}

#[test]
fn a_handler_that_blocks_writes_its_answer_piece_by_piece_on_its_own_thread() {
    let (told, outcome) = std::sync::mpsc::sync_channel(1);
    let server = start(pieces(LARGE / 65536, &told));
    let mut client = Client::connect(&server);
    let answer = client.get("/");
    assert_eq!((answer.status, answer.body.len()), (200, LARGE));
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Ok(())));
}

#[test]
fn a_handler_that_writes_on_its_own_thread_learns_that_its_client_has_left() {
    let (told, outcome) = std::sync::mpsc::sync_channel(1);
    let server = start(pieces(usize::MAX, &told));
    let mut client = Client::connect(&server);
    client.request("/");
    drop(client);
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Err(WriteError::Gone)));
}

#[test]
fn a_handler_that_writes_on_its_own_thread_is_cut_by_the_write_timeout_and_by_a_stop() {
    let (told, outcome) = std::sync::mpsc::sync_channel(1);
    let server = start_with(pieces(usize::MAX, &told), |_, timeouts| timeouts.write = Some(SHORT));
    let mut client = Client::connect(&server);
    client.request("/"); // and reads nothing
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Err(WriteError::Gone)));
    drop(server);

    let server = start(pieces(usize::MAX, &told));
    let mut client = Client::connect(&server);
    client.request("/");
    assert_eq!(client.head().status, 200);
    let report = server.stop(SHORT);
    assert_eq!(outcome.recv_timeout(PATIENCE), Ok(Err(WriteError::Gone)));
    assert_eq!(report.finished, 0);
    server.wait().unwrap();
}

#[test]
fn each_piece_is_sent_at_once_while_the_handler_goes_on() {
    let go_on = Signal::new();
    let app = {
        let go_on = go_on.clone();
        Router::new().get(
            "/",
            Work(Place::Job, move |_: Request, responder: Responder| {
                let (writer, body) = Body::channel();
                responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
                writer.write_blocking("first", None).unwrap();
                go_on.wait();
                writer.write_blocking("second", None).unwrap();
                writer.finish().unwrap();
            }),
        )
    };
    let server = start(app);
    let mut client = Client::connect(&server);
    client.request("/");
    assert_eq!(client.head().status, 200);
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"first");
    go_on.set();
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"second");
    assert_eq!(client.try_chunk().unwrap(), None);
}

#[test]
fn a_body_is_sent_back_while_it_comes_on_one_thread() {
    let echo = Work(Place::Job, |mut request: Request, responder: Responder| {
        let (writer, body) = Body::sized_channel(LARGE as u64);
        responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
        while let Ok(Some(Ok(chunk))) = wait(request.body_mut().chunk(), None) {
            writer.write_blocking(chunk, None).unwrap();
        }
        writer.finish().unwrap();
    });
    let route = Route::new(Method::POST, "/", echo).streaming().body_limit(u64::MAX);
    let server = start(Router::new().route(route));
    let mut client = Client::connect(&server);
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n"));
    let mut sending = client.writer();
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..LARGE / 65536 {
                std::io::Write::write_all(&mut sending, &vec![b'e'; 65536]).unwrap();
            }
        });
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.len()), (200, LARGE));
    });
}

#[test]
fn an_async_handler_must_not_block_its_thread() {
    let app = Router::new().get("/", async |_: Request| {
        let waited = wait(std::future::pending::<()>(), Some(Duration::from_secs(60)));
        assert_eq!(waited, Err(WaitError::WouldDeadlock));
        "refused"
    });
    Client::connect(&start(app)).get("/").expect(200, "refused");
}
