//! The watchdog: what is stuck is named, with where it stands, until it turns again.
#![cfg(target_os = "linux")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use transom::{Error, Handle, Liveness, Load, Model, Monitor, Request, Router, Server, Stuck, blocking};

use common::{Client, Logs, PATIENCE, SHORT, Signal, configured, eventually};

const MODEL: Model = Model::EventDriven;

/// Starts a server whose watchdog has a short interval.
fn start(app: Router, model: Model, workers: usize) -> Handle {
    watched(app).model(model).workers(workers).bind("127.0.0.1:0").unwrap().start().unwrap()
}

fn watched(app: Router) -> Server {
    configured(app, |limits, timeouts| {
        timeouts.watchdog = Some(SHORT);
        limits.pool_threads = 1;
    })
}

/// Routes of which `/hold` and `/pool` block their thread until `release` is set.
fn routes(held: &Signal, release: &Signal) -> Router {
    let block = {
        let (held, release) = (held.clone(), release.clone());
        move || {
            held.set();
            release.wait();
            "released"
        }
    };
    let in_pool = block.clone();
    Router::new()
        .get("/hold", async move |_: Request| block())
        .get("/pool", blocking(move |_: Request| in_pool()))
        .get("/who", async |req: Request| req.peer().to_string())
        .get("/alive", Liveness)
}

/// Waits until a part is stuck whose name or place contains a text, and returns it. On a busy machine,
/// others may seem to be stuck for a moment.
fn the_stuck_one(server: &Handle, text: &str) -> Stuck {
    let mut found = None;
    eventually("the part is stuck", || {
        let mut all = server.stuck().into_iter();
        found = all.find(|stuck| stuck.name.contains(text) || stuck.detail.contains(text));
        found.is_some()
    });
    found.unwrap()
}

/// Waits until a new client is told that the server is alive.
fn expect_alive(server: &Handle) {
    eventually("it is alive", || {
        let answer = Client::connect(server).get("/alive");
        answer.status == 200 && answer.text() == "alive\n"
    });
}

/// Checks that a new client is told that a part is stuck.
fn expect_not_alive(server: &Handle, name: &str) {
    let answer = Client::connect(server).get("/alive");
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains(&format!("stuck: {name}, for ")), "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn a_worker_that_a_handler_blocks_is_named_with_its_connection_and_turns_again() {
    let cases = [
        (Model::EventDriven, "/hold", "worker 0"),
        (Model::Sequential, "/hold", "the worker"),
        (Model::Sequential, "/pool", "the worker"),
    ];
    for (model, path, name) in cases {
        let (held, release) = (Signal::new(), Signal::new());
        let server = start(routes(&held, &release), model, 1);
        let monitor = server.monitor();
        let mut client = Client::connect(&server);
        let who = client.get("/who").text().to_owned();
        client.request(path);
        held.wait();
        let stuck = the_stuck_one(&server, &who);
        assert_eq!(stuck.name, name);
        let place = format!("a connection that is handling, route GET {path}, client {who}");
        assert_eq!(stuck.detail, place);
        assert!(stuck.lasted >= SHORT, "{stuck:?}");
        assert!(monitor.stuck().iter().any(|stuck| stuck.name == name));
        Logs::expect(&format!("ERROR {name} has been stuck for"));
        Logs::expect(&stuck.detail);
        let again = format!("WARN {name} turns again; it was stuck for");
        let before = Logs::count(&again);
        release.set();
        client.answer().expect(200, "released");
        eventually("it turns again", || server.stuck().is_empty());
        eventually("the log says so", || Logs::count(&again) > before);
        server.stop(PATIENCE);
        assert!(monitor.stuck().is_empty());
    }
}

#[test]
fn liveness_is_answered_by_another_worker_and_names_the_stuck_one() {
    let (held, release) = (Signal::new(), Signal::new());
    let server = start(routes(&held, &release), Model::EventDriven, 2);
    expect_alive(&server);
    let mut client = Client::connect(&server);
    let who = client.get("/who").text().to_owned();
    client.request("/hold");
    held.wait();
    let stuck = the_stuck_one(&server, &who);
    // The stuck worker accepts nobody, and gets no connection of another one.
    expect_not_alive(&server, &stuck.name);
    release.set();
    client.answer().expect(200, "released");
    expect_alive(&server);
    server.stop(PATIENCE);
}

#[test]
fn liveness_needs_no_thread_of_the_pool_and_names_it_when_it_is_stuck() {
    let (held, release) = (Signal::new(), Signal::new());
    let server = start(routes(&held, &release), Model::EventDriven, 1);
    let mut clients = [Client::connect(&server), Client::connect(&server)];
    clients[0].request("/pool");
    held.wait();
    // One job that runs is not stuck. The next one waits for it.
    clients[1].request("/pool");
    let stuck = the_stuck_one(&server, "the blocking pool");
    assert_eq!(stuck.detail, "requests waiting: 1, threads busy: 1");
    expect_not_alive(&server, "the blocking pool");
    release.set();
    for client in &mut clients {
        client.answer().expect(200, "released");
    }
    expect_alive(&server);
    server.stop(PATIENCE);
}

#[test]
fn handlers_that_block_threads_of_their_own_leave_a_server_alive() {
    let (held, release) = (Signal::new(), Signal::new());
    let server = start(routes(&held, &release), Model::ThreadPerConnection, 1);
    let checks = Arc::new(AtomicU64::new(0));
    count_checks(&server, &checks);
    let mut clients = [Client::connect(&server), Client::connect(&server)];
    clients.iter_mut().zip(["/hold", "/pool"]).for_each(|(client, path)| client.request(path));
    held.wait_for(2);
    let (begun, before) = (std::time::Instant::now(), checks.load(Ordering::SeqCst));
    eventually("there were checks", || {
        begun.elapsed() > 2 * SHORT && checks.load(Ordering::SeqCst) > before + 8
    });
    expect_alive(&server);
    release.set();
    for client in &mut clients {
        client.answer().expect(200, "released");
    }
    server.stop(PATIENCE);
}

/// Has the watchdog watch a part that has nothing to do, and counts the checks.
fn count_checks(server: &Handle, checks: &Arc<AtomicU64>) {
    let checks = Arc::clone(checks);
    server.watch("a part without work", move || {
        checks.fetch_add(1, Ordering::SeqCst);
        Load::new(0, 0)
    });
}

#[test]
fn a_part_of_the_program_is_watched_until_the_server_has_stopped() {
    let begun = Arc::new(AtomicU64::new(7));
    let (mine, dropped) = (Arc::clone(&begun), Arc::new(()));
    let kept = Arc::clone(&dropped);
    let on_start = move |monitor: &Monitor| {
        monitor.watch("the printer", move || {
            let _ = &kept;
            Load::new(2, mine.load(Ordering::SeqCst)).detail("paper jam in tray 1")
        });
    };
    let app = Router::new().get("/alive", Liveness);
    let server = watched(app).on_start(on_start).bind("127.0.0.1:0").unwrap().start().unwrap();
    let stuck = the_stuck_one(&server, "the printer");
    assert_eq!(stuck.detail, "paper jam in tray 1");
    assert!(stuck.to_string().starts_with("the printer has been stuck for "), "{stuck}");
    expect_not_alive(&server, "the printer");
    Logs::expect("s: paper jam in tray 1");
    begun.fetch_add(1, Ordering::SeqCst);
    Logs::expect("WARN the printer turns again; it was stuck for");
    server.stop(PATIENCE);
    eventually("the function is dropped", || Arc::strong_count(&dropped) == 1);
    let late = Arc::clone(&dropped);
    server.watch("too late", move || Load::new(Arc::strong_count(&late) as u64, 0));
    assert_eq!(Arc::strong_count(&dropped), 1);
    assert!(server.stuck().is_empty());
}

#[test]
fn without_the_timeout_nothing_is_watched() {
    let app = Router::new().get("/alive", Liveness);
    let server = configured(app, |_, _| ()).bind("127.0.0.1:0").unwrap().start().unwrap();
    let kept = Arc::new(());
    let mine = Arc::clone(&kept);
    server.watch("nothing", move || Load::new(Arc::strong_count(&mine) as u64, 0));
    assert_eq!(Arc::strong_count(&kept), 1, "the function is dropped at once");
    Client::connect(&server).get("/alive").expect(200, "alive\n");
    assert!(server.stuck().is_empty());
    server.stop(PATIENCE);
}

#[test]
fn a_watchdog_has_a_least_interval() {
    for (interval, is_allowed) in [(0, false), (9, false), (10, true)] {
        let set = |timeouts: &mut transom::Timeouts| {
            timeouts.watchdog = Some(Duration::from_millis(interval));
        };
        let service = configured(Router::new(), |_, timeouts| set(timeouts)).service();
        match service {
            Ok(_) => assert!(is_allowed, "{interval}"),
            Err(error @ Error::BadSetting { .. }) => {
                assert!(!is_allowed, "{interval}");
                let sentence = "bad setting watchdog: it must be at least 10 ms; None turns it off";
                assert_eq!(error.to_string(), sentence);
            }
            Err(error) => panic!("{error}"),
        }
    }
}
