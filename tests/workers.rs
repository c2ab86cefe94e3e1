//! How the workers of the event-driven model share the connections.

mod common;

const MODEL: transom::Model = transom::Model::EventDriven;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use transom::{Request, Router};

use common::{Client, PATIENCE, Signal, configured, start_single};

fn app() -> Router {
    Router::new().get("/", async |_: Request| format!("{:?}", thread::current().id()))
}

#[test]
fn connections_are_spread_over_the_workers() {
    // A busy machine may hold one of the workers, which then gets fewer, but not each time.
    assert!((0..10).any(|_| spreads()), "one worker has almost all");
}

/// Returns `true` if each of two workers gets a good part of many connections.
fn spreads() -> bool {
    let server = configured(app(), |_, _| ()).workers(2).bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut workers = HashMap::<_, u32>::new();
    // Half of them at once, to workers that have to be woken first.
    let mut clients: Vec<_> = (0..32).map(|_| Client::connect(&server)).collect();
    for number in 0..64 {
        if number == clients.len() {
            clients.push(Client::connect(&server));
        }
        let worker = clients[number].get("/").text().to_owned();
        assert_eq!(clients[number].get("/").text(), worker, "a connection stays where it is");
        *workers.entry(worker).or_default() += 1;
    }
    workers.len() == 2 && workers.values().all(|count| *count >= 16)
}

#[test]
fn a_worker_that_a_handler_holds_gets_no_more_connections() {
    let (started, leave) = (Signal::new(), Signal::new());
    let (in_handler, until) = (started.clone(), leave.clone());
    let app = app().get("/hold", move |_: Request| {
        in_handler.set();
        // What a handler must not do.
        until.reached(1, PATIENCE);
        async { "left" }
    });
    let server = configured(app, |_, _| ()).workers(2).bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut holding = Client::connect(&server);
    holding.request("/hold");
    started.wait();
    // For some milliseconds it may look as if it were only busy.
    thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    let mut others: Vec<_> = (0..20).map(|_| Client::connect(&server)).collect();
    for client in &mut others {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(begun.elapsed() < PATIENCE / 2, "they waited for {:?}", begun.elapsed());
    leave.set();
    holding.answer().expect(200, "left");
    server.stop(Duration::from_secs(5));
}

#[test]
fn a_handler_that_computes_in_steps_gives_others_their_turn() {
    let (done, steps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (until, taken) = (Arc::clone(&done), Arc::clone(&steps));
    let app = app().get("/compute", move |_: Request| {
        let (until, taken) = (Arc::clone(&until), Arc::clone(&taken));
        async move {
            while !until.load(Ordering::Relaxed) {
                taken.fetch_add(1, Ordering::Relaxed);
                futures_lite::future::yield_now().await;
            }
            "computed"
        }
    });
    let server = start_single(app);
    let mut computing: Vec<_> = (0..3).map(|_| Client::connect(&server)).collect();
    for client in &mut computing {
        client.request("/compute");
    }
    let mut other = Client::connect(&server);
    for _ in 0..50 {
        let before = steps.load(Ordering::Relaxed);
        assert_eq!(other.get("/").status, 200);
        // They go on as well.
        let begun = Instant::now();
        while steps.load(Ordering::Relaxed) == before {
            assert!(begun.elapsed() < PATIENCE);
            thread::yield_now();
        }
    }
    done.store(true, Ordering::Relaxed);
    for mut client in computing {
        client.answer().expect(200, "computed");
    }
}
