//! A server to which more comes than it can do, in each model.

mod common;

const MODEL: Model = Model::EventDriven;

use std::time::{Duration, Instant};

use transom::{
    Error, Handle, Listener, Method, Model, Next, Overload, Priority, Readiness, Reject, Request, Route,
    Router, Server, blocking,
};

use common::{Client, Logs, Signal, configured, eventually, own_address};

const MODELS: [Model; 3] = [Model::Sequential, Model::ThreadPerConnection, Model::EventDriven];

/// A wait that is too long for all but vital requests.
const TOO_LONG: Duration = Duration::from_millis(20);

/// Nothing may wait for longer than a millisecond.
fn impatient() -> Overload {
    let mut overload = Overload::default();
    (overload.target, overload.interval) = (Duration::from_millis(1), Duration::from_millis(1));
    overload
}

fn start(server: Server) -> Handle {
    server.bind(&own_address()).unwrap().start().unwrap()
}

fn refused(server: &Handle) -> u64 {
    server.stats().refused(Reject::Overloaded)
}

/// A handler that blocks until it may leave.
fn gate(begun: &Signal, leave: &Signal) -> impl Fn(Request) -> &'static str + Clone + Send + Sync + 'static {
    let (begun, leave) = (begun.clone(), leave.clone());
    move |_: Request| {
        begun.set();
        leave.wait();
        "done"
    }
}

#[test]
fn a_late_worker_answers_one_request_and_what_is_vital_and_refuses_the_rest() {
    let (begun, leave) = (Signal::new(), Signal::new());
    let hold = gate(&begun, &leave);
    let app = Router::new()
        .get("/", async |_: Request| "hello")
        .post("/", async |_: Request| "taken")
        .get("/hold", async move |request: Request| hold(request))
        .get("/ready", Readiness);
    let server = start(configured(app, |_, _| ()).overload(impatient()).workers(1));
    let mut clients: Vec<_> = (0..8).map(|_| Client::connect(&server)).collect();
    let mut holding = Client::connect(&server);
    // Every connection is there before the worker is held.
    for client in &mut clients {
        client.get("/ready").expect(200, "ready\n");
    }
    holding.request("/hold");
    begun.wait();
    for client in &mut clients[..6] {
        client.request("/");
    }
    clients[6].send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    clients[7].request("/ready");
    std::thread::sleep(TOO_LONG);
    leave.set();
    holding.answer().expect(200, "done");
    let answers: Vec<_> = clients.iter_mut().map(Client::answer).collect();
    assert_eq!(answers[7].status, 200, "it is vital");
    let answered = answers[..7].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(answered, 1, "one of a turn");
    for answer in answers[..7].iter().filter(|answer| answer.status != 200) {
        answer.expect(503, "503 Service Unavailable\n");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(!answer.closes());
    }
    eventually("they are counted", || refused(&server) == 6);
    Logs::expect("WARN requests wait too long and are refused (");
    // The connections go on, and so does the server.
    for client in &mut clients {
        client.get("/").expect(200, "hello");
    }
}

#[test]
fn a_job_that_waits_too_long_is_refused_while_the_pool_is_still_busy() {
    let (begun, leave) = (Signal::new(), Signal::new());
    let app = Router::new()
        // Vital too: the first thread of the pool may take a while to start.
        .route(Route::new(Method::GET, "/hold", blocking(gate(&begun, &leave))).priority(Priority::Vital))
        .get("/", blocking(|_: Request| "hello"))
        .route(Route::new(Method::GET, "/vital", blocking(|_: Request| "alive")).priority(Priority::Vital));
    let server = configured(app, |limits, _| limits.pool_threads = 1).overload(impatient());
    let server = start(server);
    let [mut holding, mut first, mut second, mut third, mut vital] =
        std::array::from_fn(|_| Client::connect(&server));
    holding.request("/hold");
    begun.wait();
    first.request("/");
    eventually("the first waits", || server.stats().pool_queued == 1);
    std::thread::sleep(TOO_LONG);
    // What would wait as long as the first one has is refused at once, and the first one is told.
    second.get("/").expect(503, "503 Service Unavailable\n");
    first.answer().expect(503, "503 Service Unavailable\n");
    third.request("/");
    eventually("the third waits", || server.stats().pool_queued == 1);
    std::thread::sleep(TOO_LONG);
    vital.request("/vital");
    third.answer().expect(503, "503 Service Unavailable\n");
    eventually("what is vital waits", || server.stats().pool_queued == 1);
    std::thread::sleep(TOO_LONG);
    leave.set();
    holding.answer().expect(200, "done");
    vital.answer().expect(200, "alive");
    eventually("they are counted", || refused(&server) == 3);
    // On a busy machine, another may wait for the thread of the pool for too long.
    eventually("the pool goes on", || third.get("/").status == 200);
}

#[test]
fn routers_and_handlers_have_priorities_and_routes_decide() {
    let (begun, leave) = (Signal::new(), Signal::new());
    let hold = gate(&begun, &leave);
    let page = async |_: Request| "page";
    let vital = Router::new()
        .priority(Priority::Vital)
        .get("/page", page)
        .route(Route::new(Method::GET, "/low", page).priority(Priority::Low));
    let low = Router::new()
        .priority(Priority::Low)
        .wrap(async |request: Request, next: Next| next.run(request).await)
        .get("/ready", Readiness)
        .route(Route::new(Method::GET, "/not-ready", Readiness).priority(Priority::Low));
    let app = Router::new().get("/hold", async move |request: Request| hold(request));
    let app = app.nest("/vital", vital).nest("/low", low);
    let server = start(configured(app, |_, _| ()).overload(impatient()).workers(1));
    let paths = [("/vital/page", 200), ("/vital/low", 503), ("/low/ready", 200), ("/low/not-ready", 503)];
    let mut clients = paths.map(|_| Client::connect(&server));
    let mut holding = Client::connect(&server);
    for client in &mut clients {
        client.get("/vital/page").expect(200, "page");
    }
    holding.request("/hold");
    begun.wait();
    for (client, (path, _)) in clients.iter_mut().zip(paths) {
        client.request(path);
    }
    std::thread::sleep(TOO_LONG);
    leave.set();
    for (client, (path, status)) in clients.iter_mut().zip(paths) {
        assert_eq!(client.answer().status, status, "{path}");
    }
}

#[test]
fn a_server_that_keeps_up_refuses_nothing_in_any_model() {
    for model in MODELS {
        let app = Router::new()
            .get("/", async |_: Request| "hello")
            .get("/block", blocking(|_: Request| "hello"))
            .get("/ready", Readiness);
        let server = configured(app, |_, _| ()).model(model);
        // A busy machine lets a request wait for long, but not one after another.
        let mut overload = Overload::default();
        (overload.target, overload.interval) = (Duration::from_secs(1), Duration::from_secs(10));
        let server = start(server.overload(overload));
        for path in ["/", "/block", "/ready"] {
            let mut client = Client::connect(&server);
            for _ in 0..20 {
                assert_eq!(client.get(path).status, 200, "{model}");
            }
        }
        assert_eq!(server.stats().all_refused(), 0, "{model}");
    }
}

#[test]
fn no_overload_is_no_limit_on_waits() {
    let (begun, leave) = (Signal::new(), Signal::new());
    let app = Router::new().get("/", blocking(gate(&begun, &leave)));
    let server = start(configured(app, |limits, _| limits.pool_threads = 1));
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(&server)).collect();
    for client in &mut clients {
        client.request("/");
    }
    eventually("they wait", || server.stats().pool_queued == 4);
    std::thread::sleep(TOO_LONG);
    leave.set();
    for client in &mut clients {
        client.answer().expect(200, "done");
    }
}

#[test]
fn settings_that_make_no_sense_are_told() {
    let refusal = |target: u64, interval: u64| {
        let mut overload = Overload::default();
        overload.target = Duration::from_millis(target);
        overload.interval = Duration::from_millis(interval);
        let server = Server::new(Router::new()).overload(overload).bind("127.0.0.1:0").unwrap();
        match server.start() {
            Err(Error::BadSetting { name, .. }) => Some(name),
            started => started.map(|_| None).unwrap(),
        }
    };
    assert_eq!(refusal(0, 100), Some("overload.target"));
    assert_eq!(refusal(5, 4), Some("overload.interval"));
    assert_eq!(refusal(5, 5), None);
}

#[test]
fn a_reserved_place_answers_while_the_house_and_the_pool_are_full() {
    // The sequential model serves one connection at a time.
    for model in [Model::ThreadPerConnection, Model::EventDriven] {
        let (begun, leave) = (Signal::new(), Signal::new());
        let app = Router::new()
            .get("/stuck", blocking(gate(&begun, &leave)))
            .get("/ready", Readiness)
            .get("/page", async |_: Request| "page");
        let server = configured(app, |limits, _| {
            (limits.connections, limits.connection_threads) = (4, 4);
            (limits.pool_threads, limits.pool_queue) = (2, 0);
        });
        let watched = Listener::bind(&own_address()).unwrap().reserve(2);
        let server = server.model(model).workers(1).bind(&own_address()).unwrap().listen(watched);
        let server = server.start().unwrap();
        // Two clients are in handlers, and two send their requests slowly.
        let mut inside: Vec<_> = (0..4).map(|_| Client::connect(&server)).collect();
        for client in &mut inside[..2] {
            client.request("/stuck");
        }
        begun.wait_for(2);
        for client in &mut inside[2..] {
            client.send("GET / HTTP/1.1\r\nHo");
        }
        eventually("the house is full", || server.stats().connections == 4);
        let address = &server.local_addrs()[1];
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let begun = Instant::now();
            let mut health: Vec<_> = (0..2).map(|_| Client::connect_to(address)).collect();
            for client in &mut health {
                client.get("/ready").expect(200, "ready\n");
                client.get("/page").expect(200, "page");
            }
            fastest = fastest.min(begun.elapsed());
            drop(health);
            eventually("the places are free again", || server.stats().connections == 4);
        }
        assert!(fastest < Duration::from_secs(10), "{model}: {fastest:?}");
        if model == Model::EventDriven {
            let mut health: Vec<_> = (0..3).map(|_| Client::connect_to(address)).collect();
            assert_eq!(health[0].get("/ready").status, 200);
            assert_eq!(health[1].get("/ready").status, 200);
            assert_eq!(health[2].answer().status, 503, "there are two places");
        }
        leave.set();
        for client in &mut inside[..2] {
            client.answer().expect(200, "done");
        }
        server.stop(Duration::ZERO);
    }
}
