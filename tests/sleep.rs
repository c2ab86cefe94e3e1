//! `transom::sleep` waits wherever it is called: under each model, within a host's
//! executor, for a future that has moved to another thread.

mod common;

const MODEL: Model = Model::EventDriven;

use std::time::{Duration, Instant};

use futures_lite::future;
use transom::{Model, Request, Router, blocking, sleep};

use common::{Client, PATIENCE, configured};

const SHORT: Duration = Duration::from_millis(20);

fn app() -> Router {
    Router::new().get("/", async |_: Request| {
        let begun = Instant::now();
        sleep(SHORT).await;
        begun.elapsed().as_micros().to_string()
    })
}

#[track_caller]
fn assert_slept(micros: u64) {
    let slept = Duration::from_micros(micros);
    assert!(slept >= SHORT, "it was early: {slept:?}");
    assert!(slept < PATIENCE, "it took {slept:?}");
}

#[test]
fn a_handler_sleeps_under_each_model() {
    for model in [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven] {
        let server = configured(app(), |_, _| ()).model(model).bind("127.0.0.1:0").unwrap().start().unwrap();
        let mut client = Client::connect(&server);
        for _ in 0..3 {
            assert_slept(client.get("/").text().parse().unwrap());
        }
    }
}

#[test]
fn many_handlers_sleep_at_once() {
    const COUNT: u32 = 50;
    // A busy machine may hold them up, but not each time.
    let at_once = (0..20).any(|_| {
        let server = configured(app(), |_, _| ()).workers(1).bind("127.0.0.1:0").unwrap().start().unwrap();
        let mut clients: Vec<_> = (0..COUNT).map(|_| Client::connect(&server)).collect();
        let begun = Instant::now();
        for client in &mut clients {
            client.request("/");
        }
        for client in &mut clients {
            assert_slept(client.answer().text().parse().unwrap());
        }
        begun.elapsed() < SHORT * COUNT
    });
    assert!(at_once, "one after another");
}

#[test]
fn it_sleeps_without_a_server() {
    let begun = Instant::now();
    future::block_on(sleep(SHORT));
    assert_slept(u64::try_from(begun.elapsed().as_micros()).unwrap());
    let begun = Instant::now();
    smol::block_on(future::zip(sleep(SHORT), sleep(SHORT * 2)));
    assert!(begun.elapsed() >= SHORT * 2);
}

#[test]
fn a_sleep_that_moves_to_another_thread_goes_on_there() {
    let app = Router::new().get("/", async |_: Request| {
        let begun = Instant::now();
        let mut sleeping = Box::pin(sleep(SHORT));
        // Begun on the worker, ended elsewhere.
        assert!(future::poll_once(&mut sleeping).await.is_none());
        smol::unblock(move || future::block_on(sleeping)).await;
        begun.elapsed().as_micros().to_string()
    });
    let server = configured(app, |_, _| ()).workers(1).bind("127.0.0.1:0").unwrap().start().unwrap();
    assert_slept(Client::connect(&server).get("/").text().parse().unwrap());
}

#[test]
fn a_sleep_for_ever_ends_with_its_exchange() {
    let app = Router::new().get("/", async |_: Request| sleep(Duration::MAX).await);
    let server = configured(app, |_, timeouts| timeouts.handler = Some(SHORT));
    let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    assert_eq!(Client::connect(&server).get("/").status, 503);
}

#[test]
fn a_sleep_that_was_begun_in_a_server_ends_after_it() {
    for model in [Model::ThreadPerConnection, Model::EventDriven] {
        let (sender, begun) = std::sync::mpsc::channel();
        let app = Router::new().get("/", move |_: Request| {
            let sender = sender.clone();
            async move {
                let mut sleeping = Box::pin(sleep(SHORT * 10));
                assert!(future::poll_once(&mut sleeping).await.is_none());
                let waiting = std::thread::spawn(move || future::block_on(sleeping));
                sender.send(waiting).unwrap();
                "begun"
            }
        });
        let server = configured(app, |_, _| ()).model(model).bind("127.0.0.1:0").unwrap().start().unwrap();
        Client::connect(&server).get("/").expect(200, "begun");
        server.stop(Duration::ZERO);
        let waiting = begun.recv_timeout(PATIENCE).unwrap();
        common::eventually("the end of the sleep", || waiting.is_finished());
    }
}

#[test]
fn a_handler_that_blocks_may_wait_for_a_sleep() {
    for model in [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven] {
        let app = Router::new().get(
            "/",
            blocking(|_: Request| {
                let begun = Instant::now();
                future::block_on(sleep(SHORT));
                begun.elapsed().as_micros().to_string()
            }),
        );
        let server = configured(app, |_, _| ()).model(model).bind("127.0.0.1:0").unwrap().start().unwrap();
        assert_slept(Client::connect(&server).get("/").text().parse().unwrap());
    }
}
