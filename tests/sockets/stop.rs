//! A stop ends in bounded time whatever clients and handlers do, and says what
//! became of the exchanges.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _, future, stream};
use smol::Async;
use transom::{
    Address, Body, Error, Gone, Handle, Method, Peer, Report, Request, Responder, Response, Route, Router,
    Server, StatusCode, Stopper, blocking,
};

use crate::common::{
    Client, Later, OnDrop, PATIENCE, SHORT, Signal, at_once, configured, eventually, final_report, forever,
    own_address, start, start_single, start_unix, start_with,
};

/// The time that a stop may take beyond its deadline: 200 ms of its own, and the rest for a busy machine.
/// A connection that holds the stop up does so for longer.
const GRACE: Duration = Duration::from_secs(30);

#[track_caller]
fn assert_report(report: Report, finished: u64, cut: u64, pending: u64) {
    assert_eq!(
        (report.finished, report.cut, report.pending),
        (finished, cut, pending),
        "finished, cut, pending"
    );
}

/// Stops with that deadline and fails if it takes longer.
#[track_caller]
fn stop_in_time(server: &Handle, deadline: Duration) -> Report {
    let begun = Instant::now();
    let report = server.stop(deadline);
    let elapsed = begun.elapsed();
    assert!(elapsed < deadline + GRACE, "a stop within {deadline:?} took {elapsed:?}");
    report
}

/// Routes that hold their requests: `/async` and `/blocking` until they are
/// released, `/never` for good.
fn holding(started: &Signal, leave: &Signal) -> Router {
    let (async_started, async_leave) = (started.clone(), leave.clone());
    let (blocking_started, blocking_leave) = (started.clone(), leave.clone());
    let never_started = started.clone();
    Router::new()
        .get("/async", move |_: Request| {
            let (started, leave) = (async_started.clone(), async_leave.clone());
            async move {
                started.set();
                while leave.count() == 0 {
                    smol::Timer::after(Duration::from_millis(2)).await;
                }
                "finished"
            }
        })
        .get(
            "/blocking",
            blocking(move |_: Request| {
                blocking_started.set();
                blocking_leave.wait();
                "finished"
            }),
        )
        .get("/never", move |_: Request| {
            let started = never_started.clone();
            async move {
                started.set();
                forever().await;
            }
        })
        .get("/", async |_: Request| "well")
}

/// Connects, asks, and waits until the handler has started.
#[track_caller]
fn begin(server: &Handle, path: &str, started: &Signal) -> Client {
    let before = started.count();
    let mut client = Client::connect(server);
    client.request(path);
    started.wait_for(before + 1);
    client
}

/// A connection that has had its answer, as the server knows too.
fn idle(server: &Handle) -> Client {
    let before = server.report().pending;
    let mut client = Client::connect(server);
    client.get("/").expect(200, "well");
    eventually("an idle connection", || server.report().pending == before);
    client
}

/// Stops on another thread, and returns when the exchanges under way know of it.
fn stop_elsewhere(server: &Arc<Handle>, deadline: Duration) -> JoinHandle<Report> {
    // Connections learn of it in the order they came: this is the last.
    let last = (at_once(2) == 2).then(|| idle(server));
    let stopping = {
        let server = Arc::clone(server);
        thread::spawn(move || {
            server.stop(deadline);
            final_report(&server)
        })
    };
    match last {
        Some(mut idle) => idle.expect_closed(),
        None => eventually("the stop to begin", || server.stopper().is_stopping()),
    }
    stopping
}

#[test]
fn idle_connections_close_at_once() {
    let server = configured(Router::new().get("/", async |_: Request| "well"), |_, _| ());
    let server = server.bind(&own_address()).unwrap().start().unwrap();
    let address = server.local_addr().clone();
    let mut fresh = Client::connect(&server);
    let mut used = idle(&server);
    stop_in_time(&server, PATIENCE * 10);
    assert_report(final_report(&server), 0, 0, 0);
    fresh.expect_closed();
    used.expect_closed();
    let Address::Tcp(address) = address else { panic!("no TCP address") };
    assert!(TcpStream::connect(address).is_err(), "it still takes connections");
}

#[test]
fn an_exchange_under_way_is_finished_and_closes() {
    for paths in ["/async", "/blocking"].chunks(at_once(2)) {
        let (started, leave) = (Signal::new(), Signal::new());
        let server = Arc::new(start(holding(&started, &leave)));
        let mut clients: Vec<_> = paths.iter().map(|path| begin(&server, path, &started)).collect();
        let stopping = stop_elsewhere(&server, PATIENCE);
        leave.set();
        for client in &mut clients {
            let answer = client.answer();
            answer.expect(200, "finished");
            assert!(answer.closes());
            client.expect_closed();
        }
        assert_report(stopping.join().unwrap(), paths.len() as u64, 0, 0);
    }
}

#[test]
fn an_upload_and_a_download_under_way_are_finished() {
    let upload = Route::new(Method::POST, "/", async |request: Request| {
        Response::stream("text/plain", request.into_body())
    });
    let app = Router::new().route(upload.streaming()).get("/", async |_: Request| "well");
    let server = Arc::new(start(app));
    let mut client = Client::connect(&server);
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\none");
    client.head();
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"one");
    let stopping = stop_elsewhere(&server, PATIENCE);
    client.send("two");
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"two");
    assert_eq!(client.try_chunk().unwrap(), None);
    client.expect_closed();
    assert_report(stopping.join().unwrap(), 1, 0, 0);
}

#[test]
fn what_is_not_finished_at_the_deadline_is_cut_and_counted() {
    let (started, leave) = (Signal::new(), Signal::new());
    let server = Arc::new(start(holding(&started, &leave)));
    let mut finished = (at_once(2) == 2).then(|| begin(&server, "/async", &started));
    let mut stuck: Vec<_> = (0..at_once(3)).map(|_| begin(&server, "/never", &started)).collect();
    let stopping = stop_elsewhere(&server, PATIENCE * 10);
    leave.set();
    if let Some(client) = &mut finished {
        client.answer().expect(200, "finished");
    }
    // What is finished has had the time that it needs. The earlier deadline counts.
    let begun = Instant::now();
    server.stopper().stop(SHORT);
    let report = stopping.join().unwrap();
    assert!(begun.elapsed() >= SHORT, "it did not wait for the deadline");
    assert!(begun.elapsed() < SHORT + GRACE);
    let (finished, cut) = (u64::from(finished.is_some()), stuck.len() as u64);
    assert_report(report, finished, cut, 0);
    stuck.iter_mut().for_each(Client::expect_closed);
    assert_report(server.report(), finished, cut, 0);
}

#[test]
fn what_is_cut_is_dropped_and_told() {
    let (dropped, gone) = (Signal::new(), Signal::new());
    let (sender, responders) = mpsc::channel();
    for paths in ["/later", "/future"].chunks(at_once(2)) {
        let (dropped, gone, sender) = (dropped.clone(), gone.clone(), Mutex::new(sender.clone()));
        let app = Router::new()
            .get("/future", move |_: Request| {
                let held = OnDrop(dropped.clone());
                async move {
                    forever().await;
                    drop(held);
                }
            })
            .get(
                "/later",
                Later(move |_, responder: Responder| {
                    let gone = gone.clone();
                    responder.on_gone(move || gone.set());
                    sender.lock().unwrap().send(responder).unwrap();
                }),
            );
        let server = start(app);
        let connect = |path| {
            let mut client = Client::connect(&server);
            client.request(path);
            client
        };
        let clients: Vec<_> = paths.iter().map(|path| connect(path)).collect();
        let count = clients.len() as u64;
        eventually("all exchanges to be under way", || server.report().pending == count);
        stop_in_time(&server, Duration::ZERO);
        assert_report(final_report(&server), 0, count, 0);
    }
    dropped.wait();
    gone.wait();
    let responder = responders.recv_timeout(PATIENCE).unwrap();
    assert!(responder.is_over());
    assert_eq!(responder.send(Response::text("late")), Err(Gone));
}

#[test]
fn a_handler_can_stop_its_server_through_a_stopper() {
    let stopper = Stopper::new();
    let app = {
        let stopper = stopper.clone();
        Router::new().post("/stop", move |_: Request| {
            stopper.stop(PATIENCE);
            async { "stopping" }
        })
    };
    let server = configured(app, |_, _| ()).stopper(&stopper).bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut client = Client::connect(&server);
    client.post("/stop", "").expect(200, "stopping");
    client.expect_closed();
    let report = server.wait().unwrap();
    assert!(report.finished <= 1 && report.cut == 0 && report.pending == 0);
    assert!(stopper.is_stopping() && server.stopper().is_stopping());
}

/// Starts a server whose routes call its own handle, on a worker and on the pool.
fn with_own_handle<R>(call: impl Fn(&Handle) -> R + Clone + Send + Sync + 'static) -> Arc<Handle>
where
    R: std::fmt::Debug,
{
    let own: Arc<OnceLock<Weak<Handle>>> = Arc::default();
    let (in_async, in_blocking) = (Arc::clone(&own), Arc::clone(&own));
    let (call_async, call_blocking) = (call.clone(), call);
    let handle = |own: &OnceLock<Weak<Handle>>| own.get().unwrap().upgrade().unwrap();
    let app = Router::new()
        .get("/async", move |_: Request| {
            let text = format!("{:?}", call_async(&handle(&in_async)));
            async { text }
        })
        .get("/blocking", blocking(move |_: Request| format!("{:?}", call_blocking(&handle(&in_blocking)))));
    let server = Arc::new(start(app));
    own.set(Arc::downgrade(&server)).unwrap();
    server
}

#[test]
fn a_handler_can_stop_its_server_through_the_handle() {
    for path in ["/async", "/blocking"] {
        let server = with_own_handle(|server| server.stop(PATIENCE).pending);
        let mut client = Client::connect(&server);
        // It returns while the exchange that called it is under way.
        client.get(path).expect(200, "1");
        client.expect_closed();
        let report = server.wait().unwrap();
        assert!(report.finished <= 1 && report.cut == 0 && report.pending == 0);
    }
}

#[test]
fn a_servers_own_thread_cannot_wait_for_its_end() {
    let server = with_own_handle(|server| {
        let waits = [server.wait().map(|_| ()), server.wait_timeout(PATIENCE).map(|_| ())];
        waits.map(|result| matches!(result, Err(Error::WouldDeadlock)))
    });
    for path in ["/async", "/blocking"] {
        Client::connect(&server).get(path).expect(200, "[true, true]");
    }
    assert!(server.wait_timeout(Duration::from_millis(10)).unwrap().is_none());
    server.stop(PATIENCE);
}

#[test]
fn many_threads_may_stop_at_once() {
    let (started, leave) = (Signal::new(), Signal::new());
    let server = Arc::new(start(holding(&started, &leave)));
    let _stuck = begin(&server, "/never", &started);
    let stopping: Vec<_> = (0..8)
        .map(|n| {
            let server = Arc::clone(&server);
            thread::spawn(move || stop_in_time(&server, Duration::from_millis(200 + n)))
        })
        .collect();
    for thread in stopping {
        thread.join().unwrap();
    }
    assert_report(final_report(&server), 0, 1, 0);
    // Once more changes nothing.
    assert_report(server.stop(Duration::ZERO), 0, 1, 0);
}

#[test]
fn the_earlier_deadline_counts() {
    let (started, leave) = (Signal::new(), Signal::new());
    let server = Arc::new(start(holding(&started, &leave)));
    let _stuck = begin(&server, "/never", &started);
    let begun = Instant::now();
    let patient = stop_elsewhere(&server, PATIENCE * 100);
    stop_in_time(&server, SHORT);
    assert_report(patient.join().unwrap(), 0, 1, 0);
    assert!(begun.elapsed() < SHORT + GRACE);

    // And not the later.
    let server = Arc::new(start(holding(&started, &leave)));
    let _stuck = begin(&server, "/never", &started);
    let begun = Instant::now();
    let hasty = stop_elsewhere(&server, SHORT);
    server.stop(PATIENCE * 100);
    assert_report(hasty.join().unwrap(), 0, 1, 0);
    assert!(begun.elapsed() < SHORT + GRACE);
}

#[test]
fn a_client_that_stalls_does_not_hold_up_a_stop() {
    const SIZE: usize = 64 << 20;
    let app = || {
        Router::new()
            .post("/", async |_: Request| "whole")
            .get("/big", async |_: Request| vec![b'x'; SIZE])
            .get("/stream", async |_: Request| {
                Response::stream("text/plain", stream::repeat_with(|| Ok(vec![b'x'; 4096].into())))
            })
            .get("/", async |_: Request| "well")
    };
    // What it sends before it stalls, and how many exchanges that begins.
    let stalls = [
        ("GET / HTTP/1.1\r\nHos", 0),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nsome", 1),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nso", 1),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", 1),
        ("GET /big HTTP/1.1\r\nHost: h\r\n\r\n", 1),
        ("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n", 1),
    ];
    for stalls in stalls.chunks(at_once(stalls.len())) {
        let server = start(app());
        let clients: Vec<_> = stalls
            .iter()
            .map(|(sent, _)| {
                let mut client = Client::narrow(&server);
                client.send(sent);
                client
            })
            .collect();
        let begun: u64 = stalls.iter().map(|(_, begun)| begun).sum();
        eventually("all exchanges", || server.report().pending == begun);
        stop_in_time(&server, SHORT);
        assert_report(final_report(&server), 0, begun, 0);
        drop(clients);
    }
}

#[test]
fn answers_that_the_client_has_not_taken_are_cut_and_counted() {
    let (called, app) = {
        let called = Signal::new();
        let in_handler = called.clone();
        let app = Router::new().get("/", move |_: Request| {
            in_handler.set();
            async { vec![b'x'; 32 << 10] }
        });
        (called, app)
    };
    let server = start_unix(app, |limits, _| limits.output = 1 << 20);
    let mut client = Client::connect(&server);
    // Each goes out as soon as it was asked for, until one does not fit any more.
    let is_stuck = || {
        // Many looks and not one long wait: the server has its turn between them.
        (0..500).all(|_| {
            thread::sleep(Duration::from_millis(2));
            server.report().pending > 0
        })
    };
    let mut answered = 0;
    while !is_stuck() {
        client.request("/");
        answered += 1;
        called.wait_for(answered);
    }
    stop_in_time(&server, SHORT);
    let report = final_report(&server);
    assert_eq!(report.pending, 0);
    let mut whole = 0;
    while client.try_answer().is_ok() {
        whole += 1;
    }
    assert!(whole < answered, "all {answered} answers fit on the way");
    // Those that went out whole before the stop began are no part of it.
    assert_eq!(report.cut, answered - whole, "of {answered}, {whole} came whole");
    assert_eq!(report.finished, 0);
}

#[test]
fn a_blocking_handler_that_is_stuck_does_not_hold_up_a_stop() {
    not_in!(Sequential, ThreadPerConnection: "it is as with an async one that holds the only worker");
    let (started, leave) = (Signal::new(), Signal::new());
    let server = start_with(holding(&started, &leave), |limits, _| limits.pool_threads = 1);
    let mut stuck = begin(&server, "/blocking", &started);
    let mut queued = Client::connect(&server);
    queued.request("/blocking");
    eventually("both exchanges", || server.report().pending == 2);
    stop_in_time(&server, SHORT);
    eventually("both to be cut", || server.report().cut == 2);
    assert_report(server.report(), 0, 2, 0);
    stuck.expect_closed();
    queued.expect_closed();
    // Its thread is still there.
    assert!(server.wait_timeout(Duration::from_millis(20)).unwrap().is_none());
    leave.set();
    assert!(server.wait_timeout(PATIENCE).unwrap().is_some());
    assert_eq!(started.count(), 1, "a job ran after the stop");
}

#[test]
fn an_async_handler_that_holds_the_only_worker_does_not_hold_up_a_stop() {
    let (started, leave) = (Signal::new(), Signal::new());
    let app = {
        let (started, leave) = (started.clone(), leave.clone());
        Router::new().get("/", move |_: Request| {
            started.set();
            // What no async handler should do.
            leave.wait();
            async { "late" }
        })
    };
    let server = start_single(app);
    let mut client = begin(&server, "/", &started);
    assert_report(stop_in_time(&server, SHORT), 0, 0, 1);
    leave.set();
    // What becomes of it then is a matter of who comes first.
    let report = server.wait().unwrap();
    assert!(report.pending == 0 && report.finished + report.cut <= 1, "{report:?}");
    client.until_closed();
}

#[test]
fn a_dropped_handle_stops_its_server() {
    let (started, leave) = (Signal::new(), Signal::new());
    let server = start_with(holding(&started, &leave), |_, timeouts| timeouts.stop = SHORT);
    let mut idle = idle(&server);
    let mut stuck = begin(&server, "/never", &started);
    let begun = Instant::now();
    drop(server);
    let elapsed = begun.elapsed();
    assert!(elapsed >= SHORT && elapsed < SHORT + GRACE, "{elapsed:?}");
    idle.expect_closed();
    stuck.expect_closed();
}

#[test]
fn waiting_ends_with_the_server() {
    let server = Arc::new(start(Router::new()));
    assert!(server.wait_timeout(SHORT).unwrap().is_none());
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let server = Arc::clone(&server);
            thread::spawn(move || server.wait().unwrap())
        })
        .collect();
    server.stopper().stop(PATIENCE);
    for thread in waiting {
        assert_report(thread.join().unwrap(), 0, 0, 0);
    }
    assert!(server.wait_timeout(Duration::ZERO).unwrap().is_some());
}

#[test]
fn run_returns_when_the_server_has_stopped() {
    let stopper = Stopper::new();
    let listener = transom::Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().clone();
    let app = Router::new().get("/", async |_: Request| "well");
    let server = configured(app, |_, _| ()).stopper(&stopper).listen(listener);
    let running = thread::spawn(move || server.run().unwrap());
    Client::connect_to(&address).get("/").expect(200, "well");
    stopper.stop(PATIENCE);
    let report = running.join().unwrap();
    assert_eq!((report.cut, report.pending), (0, 0));

    // Asked before it starts, it does not.
    let server = configured(Router::new(), |_, _| ()).stopper(&stopper).bind("127.0.0.1:0").unwrap();
    assert_report(server.run().unwrap(), 0, 0, 0);
}

/// Serves within some executor, is asked for an answer, and stops.
fn serve_within(block_on: impl FnOnce(Server) -> Report + Send + 'static) {
    let (started, leave) = (Signal::new(), Signal::new());
    let stopper = Stopper::new();
    let listener = transom::Listener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().clone();
    let server = configured(holding(&started, &leave), |_, _| ()).stopper(&stopper).listen(listener);
    let serving = thread::spawn(move || block_on(server));
    let mut client = Client::connect_to(&address);
    client.get("/").expect(200, "well");
    leave.set();
    client.get("/blocking").expect(200, "finished");
    let mut stuck = Client::connect_to(&address);
    stuck.request("/never");
    started.wait_for(2);
    stopper.stop(SHORT);
    assert_report(serving.join().unwrap(), 0, 1, 0);
    client.expect_closed();
    stuck.expect_closed();
}

#[test]
fn it_serves_within_executors_of_the_host() {
    serve_within(|server| future::block_on(server.serve()).unwrap());
    serve_within(|server| smol::block_on(server.serve()).unwrap());
    serve_within(|server| {
        let executor = smol::Executor::new();
        let task = executor.spawn(server.serve());
        future::block_on(executor.run(task)).unwrap()
    });
}

#[test]
fn serving_that_is_dropped_leaves_nothing_behind() {
    let (started, leave) = (Signal::new(), Signal::new());
    let ended = Signal::new();
    let listener = transom::Listener::bind(&own_address()).unwrap();
    let address = listener.local_addr().clone();
    let server = {
        let ended = ended.clone();
        let server = configured(holding(&started, &leave), |_, _| ());
        server.on_thread(move || OnDrop(ended.clone())).listen(listener)
    };
    let abandon = Signal::new();
    let serving = {
        let abandon = abandon.clone();
        thread::spawn(move || {
            let abandoned = async {
                while abandon.count() == 0 {
                    smol::Timer::after(Duration::from_millis(2)).await;
                }
            };
            future::block_on(abandoned.or(async { server.serve().await.map(|_| ()).unwrap() }));
        })
    };
    leave.set();
    let mut client = Client::connect_to(&address);
    // So that the pool has a thread.
    client.get("/blocking").expect(200, "finished");
    let mut stuck = Client::connect_to(&address);
    stuck.request("/never");
    started.wait_for(2);
    abandon.set();
    serving.join().unwrap();
    client.expect_closed();
    stuck.expect_closed();
    ended.wait();
    let Address::Tcp(address) = address else { panic!("no TCP address") };
    assert!(TcpStream::connect(address).is_err(), "the listener is still there");
}

#[test]
fn a_service_serves_the_connections_it_is_given() {
    let app = Router::new().get("/", async |request: Request| format!("to {}", request.peer()));
    let service = configured(app, |limits, _| limits.connections = 1).service().unwrap();
    let pair = || {
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        (Async::new(a).unwrap(), Async::new(b).unwrap())
    };
    let (mut client, stream) = pair();
    let peer = Peer::Tcp("192.0.2.1:7".parse().unwrap());
    let talk = async {
        let mut buffer = vec![0; 1000];
        for _ in 0..3 {
            client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
            let length = client.read(&mut buffer).await.unwrap();
            assert!(buffer[..length].ends_with(b"\r\n\r\nto 192.0.2.1:7"));
        }
        // There is no room for a second.
        let (mut second, stream) = pair();
        let refused = async {
            let mut answer = String::new();
            second.read_to_string(&mut answer).await.unwrap();
            drop(second);
            answer
        };
        let ((), answer) = future::zip(service.serve_connection(stream, Peer::Unix), refused).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
        drop(client);
    };
    smol::block_on(future::zip(talk, service.serve_connection(stream, peer)));
    // The first has made room.
    let (mut client, stream) = pair();
    let talk = async {
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("to unix"), "{answer}");
    };
    smol::block_on(future::zip(talk, service.serve_connection(stream, Peer::Unix)));
    assert_report(service.report(), 0, 0, 0);
}

#[test]
fn a_writer_learns_of_a_stop() {
    let (sender, writers) = mpsc::channel();
    let sender = Mutex::new(sender);
    let app = Router::new().get(
        "/",
        Later(move |_, responder: Responder| {
            let (writer, body) = Body::channel();
            responder.send(Response::new(StatusCode::OK).body(body)).unwrap();
            sender.lock().unwrap().send(writer).unwrap();
        }),
    );
    let server = start(app);
    let mut client = Client::connect(&server);
    client.request("/");
    let writer = writers.recv_timeout(PATIENCE).unwrap();
    writer.try_write("some").unwrap();
    client.head();
    assert_eq!(client.try_chunk().unwrap().unwrap(), b"some");
    stop_in_time(&server, Duration::ZERO);
    assert_report(final_report(&server), 0, 1, 0);
    assert!(writer.is_gone());
    assert_eq!(writer.try_write("more"), Err(transom::WriteError::Gone));
    // What came does not pass for the whole.
    assert!(client.try_chunk().is_err());
}

#[test]
fn many_tasks_may_stop_a_service_at_once() {
    let (started, leave) = (Signal::new(), Signal::new());
    let stopper = Stopper::new();
    let service = configured(holding(&started, &leave), |_, _| ()).stopper(&stopper).service().unwrap();
    let (mut client, stream) = std::os::unix::net::UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            smol::block_on(service.serve_connection(Async::new(stream).unwrap(), Peer::Unknown));
        });
        std::io::Write::write_all(&mut client, b"GET /async HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        started.wait();
        let stopping: Vec<_> =
            (0..3).map(|_| scope.spawn(|| smol::block_on(service.stop(Duration::from_secs(600))))).collect();
        eventually("a stop to begin", || stopper.is_stopping());
        thread::sleep(SHORT);
        leave.set();
        for stopping in stopping {
            eventually("the end of a stop", || stopping.is_finished());
            assert_report(stopping.join().unwrap(), 1, 0, 0);
        }
        serving.join().unwrap();
    });
}

#[test]
fn the_answer_of_a_handler_that_stops_its_server_counts_as_finished() {
    for _ in 0..200 {
        let stopper = Stopper::new();
        let asked = stopper.clone();
        let app = Router::new().get("/", move |_: Request| {
            asked.stop(Duration::from_secs(20));
            async { "stopping" }
        });
        let server = configured(app, |_, _| ()).workers(2).stopper(&stopper).bind("127.0.0.1:0").unwrap();
        let server = server.start().unwrap();
        let mut client = Client::connect(&server);
        let answer = client.get("/");
        answer.expect(200, "stopping");
        assert!(answer.closes(), "the connection is not kept");
        // A client that keeps its side open is waited for, for `timeouts.drain`.
        drop(client);
        let report = server.wait().unwrap();
        assert_eq!((report.finished, report.cut, report.pending), (1, 0, 0));
    }
}

#[test]
fn those_who_had_asked_when_it_was_told_to_stop_get_their_answer() {
    not_in!(Sequential: "those who wait for their turn are refused");
    not_in!(ThreadPerConnection: "those who wait for a thread are refused");
    if cfg!(transom_portable) {
        return; // There the backlog goes with the listener.
    }
    let stopper = Stopper::new();
    let listener = transom::Listener::bind("127.0.0.1:0").unwrap();
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect_to(listener.local_addr())).collect();
    for client in &mut clients {
        client.request("/");
    }
    // It finds them in the backlog, and that it is to stop.
    stopper.stop(PATIENCE);
    let app = Router::new().get("/", async |_: Request| "well");
    let server = configured(app, |_, _| ()).stopper(&stopper).listen(listener);
    let running = thread::spawn(move || server.run().unwrap());
    for client in &mut clients {
        let answer = client.answer();
        answer.expect(200, "well");
        assert!(answer.closes());
    }
    assert_report(running.join().unwrap(), 3, 0, 0);
}

#[test]
fn clients_that_keep_coming_do_not_keep_a_server_from_its_stop() {
    let server = configured(Router::new().get("/", async |_: Request| "well"), |_, _| ());
    let server = &server.workers(1).bind(&own_address()).unwrap().start().unwrap();
    let Address::Tcp(address) = *server.local_addr() else { panic!("no TCP address") };
    let (begun, over) = (&Signal::new(), &AtomicBool::new(false));
    let until = Instant::now() + 2 * PATIENCE;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(move || {
                // Relaxed: nothing else is told with it.
                while !over.load(Ordering::Relaxed) && Instant::now() < until {
                    // Nobody waits for the connection, so that all come as fast as they can.
                    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
                    let socket = socket.unwrap();
                    socket.set_nonblocking(true).unwrap();
                    let _ = socket.connect(&address.into());
                    begun.set();
                }
            });
        }
        begun.wait_for(1_000);
        server.stopper().stop(PATIENCE);
        let ended = server.wait_timeout(GRACE);
        over.store(true, Ordering::Relaxed);
        assert!(ended.unwrap().is_some(), "it still accepts");
    });
}
