//! Readiness, and the time in which a server that stops still serves.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use transom::{Handle, Readiness, Request, Router};

use crate::common::configured;
use crate::common::{Client, PATIENCE, SHORT, Signal, eventually, final_report, own_address, start_with};

/// A server that is asked for its readiness, with that `timeouts.stop_delay`.
fn delayed(delay: Duration, told: &Signal) -> Handle {
    let told = told.clone();
    let app = Router::new().get("/ready", Readiness).get("/", async |_: Request| "well").get(
        "/stopping",
        move |req: Request| {
            let told = told.clone();
            async move {
                told.set();
                req.stopping().await;
                "told"
            }
        },
    );
    let server = configured(app, |_, timeouts| timeouts.stop_delay = delay);
    server.workers(2).bind(&own_address()).unwrap().start().unwrap()
}

fn refuses(server: &Handle) -> bool {
    TcpStream::connect(server.local_addr().to_string()).is_err()
}

#[test]
fn a_server_is_ready_until_a_stop_begins_and_serves_for_the_delay() {
    let told = Signal::new();
    let server = delayed(PATIENCE, &told);
    let ready = Client::connect(&server).get("/ready");
    ready.expect(200, "ready\n");
    assert!(!ready.closes());
    let mut stream = Client::connect(&server);
    stream.request("/stopping");
    told.wait();
    eventually("the first answer is counted", || server.stats().exchanges == 1);
    server.stopper().stop(2 * PATIENCE);
    // Handlers learn of the stop at its beginning.
    let answer = stream.answer();
    answer.expect(200, "told");
    assert!(answer.closes());
    let red = Client::connect(&server).get("/ready");
    red.expect(503, "stopping\n");
    assert!(red.closes() && red.header("retry-after").is_some());
    for _ in 0..10 {
        let answer = Client::connect(&server).get("/");
        answer.expect(200, "well");
        assert!(answer.closes(), "the client goes elsewhere");
    }
    eventually("all answers are counted", || server.report().finished == 12);
    server.stopper().stop(Duration::ZERO);
    let report = final_report(&server);
    assert_eq!((report.finished, report.cut), (12, 0));
    assert!(refuses(&server));
}

#[test]
fn a_connection_that_was_kept_is_served_once_more_in_the_delay() {
    let server = delayed(PATIENCE, &Signal::new());
    let mut kept = Client::connect(&server);
    kept.get("/").expect(200, "well");
    server.stopper().stop(PATIENCE);
    let answer = kept.get("/");
    answer.expect(200, "well");
    assert!(answer.closes());
    kept.expect_closed();
    server.stop(Duration::ZERO);
}

#[test]
fn a_server_stops_listening_after_the_delay() {
    let server = delayed(SHORT, &Signal::new());
    let begun = Instant::now();
    server.stop(PATIENCE);
    assert!(begun.elapsed() >= SHORT, "it has not waited");
    assert!(begun.elapsed() < PATIENCE / 2);
    assert!(refuses(&server));
}

#[test]
fn a_delay_lies_within_the_deadline_of_the_stop() {
    let server = delayed(PATIENCE, &Signal::new());
    let begun = Instant::now();
    server.stop(SHORT);
    assert!(begun.elapsed() < PATIENCE / 2, "the stop took {:?}", begun.elapsed());
    eventually("it listens no more", || refuses(&server));
}

#[test]
fn without_a_delay_a_stop_closes_at_once() {
    let server = start_with(Router::new().get("/ready", Readiness), |_, _| ());
    let mut kept = Client::connect(&server);
    kept.get("/ready").expect(200, "ready\n");
    server.stopper().stop(PATIENCE);
    kept.expect_closed();
    let begun = Instant::now();
    server.stop(PATIENCE);
    assert!(begun.elapsed() < PATIENCE / 2);
}
