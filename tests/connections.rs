//! The states of connections, as the server shows them, in each model.

mod common;

const MODEL: Model = Model::EventDriven;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};
use transom::{
    ConnectionInfo, ConnectionState as State, Deadline, Handle, Method, Model, Request, Response, Route,
    Router, StatusCode, Upgraded, blocking,
};

use common::{Client, PATIENCE, SHORT, Signal, configured, eventually, own_address};

const MODELS: [Model; 2] = [Model::ThreadPerConnection, Model::EventDriven];

/// Waits until the server's one connection is in that state, and returns it.
#[track_caller]
fn only(server: &Handle, state: State) -> ConnectionInfo {
    let mut found = None;
    eventually(&format!("a connection is {}", state.name()), || {
        let mut all = server.connections();
        found = all.pop().filter(|one| one.state == state && all.is_empty());
        found.is_some()
    });
    // It may have gone on since, but only these connections are there.
    found.unwrap()
}

fn app(release: &Signal) -> Router {
    let (waits, blocks) = (release.clone(), release.clone());
    Router::new()
        .get("/hello", async |_: Request| "hello")
        .post("/upload", async |_: Request| "taken")
        .get(
            "/blocks/{id}",
            blocking(move |_: Request| {
                blocks.wait();
                "done"
            }),
        )
        .get("/stuck", move |_: Request| {
            waits.wait();
            async { "done" }
        })
        .get("/forever", async |_: Request| {
            common::forever().await;
            "never"
        })
        .get("/endless", async |_: Request| {
            let zeros = futures_lite::stream::repeat_with(|| Ok(vec![0; 64 * 1024].into()));
            Response::stream("application/octet-stream", zeros)
        })
        .get("/flood", async |_: Request| {
            Response::upgrade("flood", |mut upgraded: Upgraded| async move {
                while upgraded.write_all(&vec![0; 64 * 1024]).await.is_ok() {}
            })
        })
        .route(Route::new(Method::GET, "/chat", async |_: Request| {
            Response::upgrade("chat", |mut upgraded: Upgraded| async move {
                let _ = upgraded.read(&mut [0; 16]).await;
            })
        }))
}

fn serve(model: Model, app: Router, set: impl FnOnce(&mut transom::Timeouts)) -> Handle {
    let server = configured(app, |_, timeouts| set(timeouts)).model(model).workers(2);
    server.bind(&own_address()).unwrap().start().unwrap()
}

#[test]
fn a_connection_shows_each_state_that_it_goes_through() {
    for model in MODELS {
        let release = Signal::new();
        let server =
            serve(model, app(&release), |timeouts| timeouts.handler = Some(Duration::from_secs(300)));
        assert!(server.connections().is_empty());
        let mut client = Client::connect(&server);
        client.get("/hello").expect(200, "hello");
        let idle = only(&server, State::Idle);
        assert_eq!((idle.route, idle.exchanges), (None, 1), "{model}");
        assert_eq!(idle.bytes_in, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n".len() as u64);
        assert!(idle.bytes_out > 100 && idle.deadline.unwrap() <= Duration::from_secs(60));

        client.send("POST /upload HTTP/1.1\r\nHost: h\r\nContent-");
        assert!(only(&server, State::ReadingHead).deadline.unwrap() <= Duration::from_secs(10));
        client.send("Length: 4\r\n\r\nab");
        let body = only(&server, State::ReadingBody);
        assert_eq!(body.route.as_deref(), Some("/upload"), "{model}");
        client.send("cd");
        client.answer().expect(200, "taken");

        client.request("/blocks/7");
        let first = only(&server, State::Handling);
        assert_eq!(first.route.as_deref(), Some("/blocks/{id}"), "{model}");
        assert!(first.deadline.unwrap() > Duration::from_secs(200), "{:?}", first.deadline);
        eventually("the time goes on", || only(&server, State::Handling).lasted > first.lasted);
        release.set();
        client.answer().expect(200, "done");
        let idle = only(&server, State::Idle);
        assert_eq!((idle.exchanges, idle.route), (3, None), "{model}");
        assert_eq!(server.stats().in_state(State::Idle), 1);
        drop(client);
        eventually("the connection has ended", || server.connections().is_empty());
        assert_eq!(server.stats().bytes_in, idle.bytes_in, "bytes of connections that ended count");
        assert_eq!(server.stats().bytes_out, idle.bytes_out);

        let mut client = Client::narrow(&server);
        client.request("/endless");
        let sent = only(&server, State::Answering);
        assert_eq!(sent.route.as_deref(), Some("/endless"), "{model}");
        eventually("bytes go out", || only(&server, State::Answering).bytes_out > 0);
        drop(client);
        eventually("the connection has ended", || server.connections().is_empty());

        let mut client = Client::connect(&server);
        client.send("GET /chat HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
        assert_eq!(client.head().status, 101);
        assert_eq!(only(&server, State::Upgraded).route.as_deref(), Some("/chat"), "{model}");
        drop(client);
        eventually("the connection has ended", || server.connections().is_empty());

        let mut client = Client::connect(&server);
        client.send("bad\r\n\r\n");
        assert_eq!(client.answer().status, 400);
        assert_eq!(only(&server, State::Lingering).exchanges, 0, "{model}");
    }
}

#[test]
fn a_handler_that_holds_its_thread_is_seen_from_outside() {
    for model in [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven] {
        let release = Signal::new();
        let server = serve(model, app(&release), |_| {});
        let mut client = Client::connect(&server);
        client.request("/stuck");
        let stuck = only(&server, State::Handling);
        assert_eq!(stuck.route.as_deref(), Some("/stuck"), "{model}");
        eventually("the time goes on", || only(&server, State::Handling).lasted > stuck.lasted);
        release.set();
        client.answer().expect(200, "done");
    }
}

#[test]
fn deadlines_that_pass_are_counted_by_kind() {
    for model in MODELS {
        let release = Signal::new();
        // A server for each: a busy machine must not let another deadline pass before.
        let with = |set: fn(&mut transom::Timeouts)| serve(model, app(&release), set);
        let counts = |server: &Handle| {
            let stats = server.stats();
            let all = Deadline::ALL.iter().map(|&kind| (kind, stats.expired(kind)));
            all.filter(|(_, count)| *count > 0).collect::<Vec<_>>()
        };
        let server = with(|timeouts| timeouts.idle = Some(SHORT));
        assert_eq!(counts(&server), [], "{model}");
        Client::connect(&server).expect_closed();
        eventually("an idle connection was closed", || counts(&server) == [(Deadline::Idle, 1)]);

        let server = with(|timeouts| (timeouts.head, timeouts.linger_idle) = (Some(SHORT), Some(SHORT)));
        let mut client = Client::connect(&server);
        client.send("GET / HT");
        assert_eq!(client.answer().status, 408);
        // The client does not close.
        eventually("the linger ended", || {
            let counts = counts(&server);
            counts.len() == 2
                && counts.contains(&(Deadline::Head, 1))
                && counts.contains(&(Deadline::Linger, 1))
        });

        let server = with(|timeouts| timeouts.handler = Some(SHORT));
        let mut client = Client::connect(&server);
        assert_eq!(client.get("/forever").status, StatusCode::SERVICE_UNAVAILABLE);
        drop(client);
        eventually("the handler was late", || counts(&server) == [(Deadline::Handler, 1)]);

        let server = with(|timeouts| timeouts.write = Some(SHORT));
        let mut client = Client::narrow(&server);
        client.request("/endless");
        eventually("the client took nothing", || counts(&server) == [(Deadline::Write, 1)]);

        let mut client = Client::narrow(&server);
        client.send("GET /flood HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: flood\r\n\r\n");
        eventually("it took nothing of the other protocol", || counts(&server) == [(Deadline::Write, 2)]);
    }
}

#[test]
fn a_linger_that_a_stop_shortens_is_no_deadline() {
    for model in MODELS {
        let release = Signal::new();
        let server = serve(model, app(&release), |timeouts| {
            (timeouts.linger, timeouts.linger_idle) = (Some(2 * PATIENCE), Some(2 * PATIENCE));
            timeouts.drain = Some(SHORT);
        });
        let mut client = Client::connect(&server);
        client.send("bad\r\n\r\n");
        assert_eq!(client.answer().status, 400);
        only(&server, State::Lingering);
        server.stop(PATIENCE);
        assert!(server.connections().is_empty(), "{model}");
        assert_eq!(server.stats().expired(Deadline::Linger), 0, "{model}");
    }
}

#[test]
fn asking_while_connections_come_and_go_disturbs_nobody() {
    for model in MODELS {
        let release = Signal::new();
        let server = serve(model, app(&release), |_| {});
        let done = Arc::new(AtomicBool::new(false));
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            let mut client = Client::connect(&server);
                            (0..5).for_each(|_| client.get("/hello").expect(200, "hello"));
                        }
                    })
                })
                .collect();
            let asked = scope.spawn(|| {
                let mut most = 0;
                while !done.load(Ordering::Relaxed) {
                    most = most.max(server.connections().len());
                }
                most
            });
            let results: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            done.store(true, Ordering::Relaxed);
            results.into_iter().for_each(Result::unwrap);
            // Of those that have left, the server may not know yet.
            assert!(asked.join().unwrap() <= 80, "{model}");
        });
        eventually("all have ended", || server.connections().is_empty());
        assert_eq!(server.stats().exchanges, 400, "{model}");
    }
}
