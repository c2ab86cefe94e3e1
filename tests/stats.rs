//! The counters of a server, in each model.

mod common;

const MODEL: Model = Model::EventDriven;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use transom::{Handle, Model, Monitor, Reject, Request, Response, Router, Stats, blocking};

use common::{Client, Signal, configured, eventually, own_address};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];

/// Returns the counters of connections and exchanges.
fn counts(stats: &Stats) -> [u64; 5] {
    [stats.connections, stats.accepted, stats.pending, stats.exchanges, stats.cut]
}

#[track_caller]
fn expect(server: &Handle, expected: [u64; 5]) {
    eventually(&format!("the counters are {expected:?}"), || counts(&server.stats()) == expected);
}

#[test]
fn connections_exchanges_and_refusals_are_counted() {
    for model in MODELS {
        let waits = Signal::new();
        let waiting = waits.clone();
        let app = Router::new()
            .get("/", async |_: Request| "hello")
            .post("/", async |_: Request| "taken")
            .get("/forever", move |_: Request| {
                waiting.set();
                async {
                    common::forever().await;
                    "never"
                }
            });
        let server = configured(app, |limits, _| limits.body = 10).model(model).workers(1);
        let server = server.bind(&own_address()).unwrap().start().unwrap();
        assert_eq!(counts(&server.stats()), [0; 5]);
        let mut client = Client::connect(&server);
        client.get("/").expect(200, "hello");
        assert_eq!(client.get("/none").status, 404);
        expect(&server, [1, 1, 0, 2, 0]);
        drop(client);
        expect(&server, [0, 1, 0, 2, 0]);
        let mut client = Client::connect(&server);
        assert_eq!(client.post("/", "more than ten bytes").status, 413);
        drop(client);
        expect(&server, [0, 2, 0, 3, 0]);
        let mut client = Client::connect(&server);
        client.send("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(client.answer().status, 400);
        drop(client);
        // A head that is refused begins no exchange.
        expect(&server, [0, 3, 0, 3, 0]);
        let stats = server.stats();
        for reject in Reject::ALL {
            let refused = [Reject::BodyTooLarge, Reject::MissingHost].contains(reject);
            assert_eq!(stats.refused(*reject), u64::from(refused), "{model}: {reject:?}");
        }
        assert_eq!((stats.all_refused(), stats.body_bytes), (2, 0), "{model}");
        let mut client = Client::connect(&server);
        client.request("/forever");
        waits.wait();
        expect(&server, [1, 4, 1, 3, 0]);
        server.stop(Duration::ZERO);
        expect(&server, [0, 4, 0, 3, 1]);
    }
}

#[test]
fn a_connection_without_room_is_refused_and_not_accepted() {
    let server = configured(Router::new(), |limits, _| limits.connections = 1);
    let server = server.bind(&own_address()).unwrap().start().unwrap();
    let mut first = Client::connect(&server);
    assert_eq!(first.get("/").status, 404);
    let mut second = Client::connect(&server);
    assert_eq!(second.answer().status, 503);
    expect(&server, [1, 1, 0, 1, 0]);
    eventually("it is counted", || server.stats().refused(Reject::TooManyConnections) == 1);
}

#[test]
fn the_pool_says_how_busy_it_is_and_bodies_how_much_they_keep() {
    let (begun, end) = (Signal::new(), Signal::new());
    let (beginning, ending) = (begun.clone(), end.clone());
    let app = Router::new().post(
        "/",
        blocking(move |request: Request| {
            beginning.set();
            ending.wait();
            Ok(Response::bytes("text/plain", request.into_body()))
        }),
    );
    let server = configured(app, |limits, _| (limits.pool_threads, limits.pool_queue) = (1, 5));
    let server = server.bind(&own_address()).unwrap().start().unwrap();
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    }
    begun.wait();
    eventually("two jobs wait", || server.stats().pool_queued == 2);
    let stats = server.stats();
    assert_eq!((stats.pool_threads, stats.pool_busy, stats.pending), (1, 1, 3));
    assert_eq!(stats.body_bytes, 15);
    for _ in 0..3 {
        end.set();
    }
    for client in &mut clients {
        client.answer().expect(200, "hello");
    }
    eventually("all is given back", || {
        let stats = server.stats();
        (stats.pool_busy, stats.pool_queued, stats.body_bytes, stats.pending) == (0, 0, 0, 0)
    });
}

#[test]
fn a_monitor_shows_a_server_that_it_does_not_keep() {
    for model in MODELS {
        let shown = Arc::new(OnceLock::new());
        let app = Router::new().get("/", async |_: Request| "hello");
        let found = Arc::clone(&shown);
        let server = configured(app, |_, _| {}).model(model).workers(1);
        let server = server.on_start(move |monitor: &Monitor| found.set(monitor.clone()).unwrap());
        assert!(shown.get().is_none(), "it has not started");
        let server = server.bind(&own_address()).unwrap().start().unwrap();
        let monitor = shown.get().unwrap();
        let mut client = Client::connect(&server);
        client.get("/").expect(200, "hello");
        eventually("the exchange is counted", || monitor.stats().unwrap().exchanges == 1);
        // The connection may become idle between the two.
        eventually("both show the same", || server.monitor().stats() == monitor.stats());
        assert!(!monitor.is_stopping());
        drop((client, server));
        eventually("the server is gone", || monitor.stats().is_none());
        assert!(monitor.is_stopping());
    }
}
