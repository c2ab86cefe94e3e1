//! Handlers that block where their connection is served: what the models without
//! a pool promise of them.

use std::thread;
use std::time::{Duration, Instant};

use transom::{Context, Handler, Method, Reply, Request, Response, Route, Router, blocking};

use crate::common::{Client, SHORT, Signal, start, start_with};

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
    assert!(begun.elapsed() < SHORT + Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!((report.finished, report.cut + report.pending), (0, 1));
    assert!(server.wait_timeout(Duration::from_millis(20)).unwrap().is_none(), "its thread is gone");
    leave.set();
    let report = server.wait().unwrap();
    assert!(report.pending == 0 && report.finished + report.cut == 1, "{report:?}");
    client.until_closed();
}

#[test]
fn a_handler_that_blocks_is_not_left_waiting_for_a_body_that_only_its_own_thread_can_read() {
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
