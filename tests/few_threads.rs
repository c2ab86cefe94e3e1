//! A server whose user may have no more threads: it does not start without those that
//! it cannot do without, and says why; a shortage later on costs no client its answer.
//! It limits its own process, so it is alone in its binary and runs a second time
//! within itself, as a user that nobody else is.

mod common;

const MODEL: Model = Model::EventDriven;

use std::fs;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use futures_lite::future;
use transom::{Error, Model, Request, Router, blocking};

use common::{Client, Logs, PATIENCE, Signal, configured, eventually};

const INSIDE: &str = "TRANSOM_TEST_FEW_THREADS";

/// Tells the tests' users apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What the process has when a test begins: its first thread, and that of the test.
const OWN: u32 = 2;

/// Runs that test once more, in a process whose user may have so many threads.
fn with_threads(count: u32, name: &str, inside: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let user = 1_000_000 + 10 * (std::process::id() % 100_000) + NEXT.fetch_add(1, Ordering::Relaxed);
    let output = Command::new("prlimit")
        .arg(format!("--nproc={count}:{count}"))
        .args(["setpriv", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
        .args([format!("--reuid={user}"), format!("--regid={user}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--nocapture", "--test-threads=2", "--exact", name])
        .env(INSIDE, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output();
    let Ok(output) = output else { return println!("prlimit(1) is not there") };
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if text.contains("setpriv: ") || text.contains("prlimit: ") {
        return println!("only root can be another user: {text}");
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Routes of handlers that return at once, and of one that holds a thread of the pool.
fn app(started: &Signal, leave: &Signal) -> Router {
    let (started, leave) = (started.clone(), leave.clone());
    Router::new().get("/", async |_: Request| "well").get(
        "/hold",
        blocking(move |_: Request| {
            started.set();
            leave.wait();
            "held"
        }),
    )
}

fn starts(app: Router, model: Model) -> transom::Result<transom::Handle> {
    alone();
    configured(app, |_, _| ()).model(model).workers(1).bind("127.0.0.1:0").unwrap().start()
}

/// Waits until the system has forgotten the threads that have ended.
fn alone() {
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    eventually("no other threads", || threads() == OWN as usize);
}

#[track_caller]
fn expect_refusal(app: Router, model: Model) {
    let begun = Instant::now();
    let error = starts(app, model).unwrap_err();
    assert!(matches!(error, Error::Thread(_)), "{model}: {error}");
    assert!(error.to_string().starts_with("cannot start a thread: "), "{error}");
    assert!(begun.elapsed() < PATIENCE, "{model}: it took {:?}", begun.elapsed());
}

/// The log has the line, at most once a second since then.
#[track_caller]
fn expect_told_rarely(line: &str, begun: Instant) {
    let told = Logs::count(line);
    let most = 1 + begun.elapsed().as_secs();
    assert!((1..=most).contains(&(told as u64)), "told {told} times in {:?}", begun.elapsed());
}

#[test]
fn a_server_does_not_start_without_the_threads_that_it_needs() {
    with_threads(OWN, "a_server_does_not_start_without_the_threads_that_it_needs", || {
        for model in [Model::EventDriven, Model::ThreadPerConnection, Model::Sequential] {
            expect_refusal(Router::new(), model);
        }
    });
}

#[test]
fn a_server_does_not_start_without_a_thread_for_its_handlers() {
    with_threads(OWN + 1, "a_server_does_not_start_without_a_thread_for_its_handlers", || {
        let signal = Signal::new();
        expect_refusal(app(&signal, &signal), Model::EventDriven);
        expect_refusal(app(&signal, &signal), Model::ThreadPerConnection);
        let hosted = configured(app(&signal, &signal), |_, _| ()).bind("127.0.0.1:0").unwrap();
        // The one that it may have.
        let (leave, left) = mpsc::channel::<()>();
        alone();
        let other = std::thread::spawn(move || left.recv());
        assert!(matches!(future::block_on(hosted.serve()), Err(Error::Thread(_))));
        // The reactor of async-io needs one too.
        let hosted = configured(Router::new(), |_, _| ()).bind("127.0.0.1:0").unwrap();
        assert!(matches!(future::block_on(hosted.serve()), Err(Error::Thread(_))));
        drop(leave);
        other.join().unwrap().unwrap_err();
        // Without such a handler it needs none, and in one model has one already.
        let server = starts(Router::new().get("/", async |_: Request| "well"), Model::EventDriven).unwrap();
        Client::connect(&server).get("/").expect(200, "well");
        drop(server);
        let server = starts(app(&signal, &signal), Model::Sequential).unwrap();
        Client::connect(&server).get("/").expect(200, "well");
    });
}

#[test]
fn a_shortage_of_threads_later_on_is_told_now_and_then_and_nobody_waits_for_ever() {
    with_threads(
        OWN + 2,
        "a_shortage_of_threads_later_on_is_told_now_and_then_and_nobody_waits_for_ever",
        || {
            let begun = Instant::now();
            let (started, leave) = (Signal::new(), Signal::new());
            let server = starts(app(&started, &leave), Model::EventDriven).unwrap();
            let mut clients: Vec<_> = (0..50).map(|_| Client::connect(&server)).collect();
            for client in &mut clients {
                client.request("/hold");
            }
            started.wait();
            eventually("all wait", || server.report().pending == 50);
            expect_told_rarely("cannot start a pool thread: ", begun);
            leave.set();
            for client in &mut clients {
                client.answer().expect(200, "held");
            }
            drop(server);

            let begun = Instant::now();
            let (started, leave) = (Signal::new(), Signal::new());
            let server = starts(app(&started, &leave), Model::ThreadPerConnection).unwrap();
            let mut holding = Client::connect(&server);
            holding.request("/hold");
            started.wait();
            let mut clients: Vec<_> = (0..20).map(|_| Client::connect(&server)).collect();
            for client in &mut clients {
                client.request("/");
            }
            Logs::expect("cannot serve more connections: ");
            leave.set();
            holding.answer().expect(200, "held");
            for client in &mut clients {
                let begun = Instant::now();
                client.answer().expect(200, "well");
                assert!(begun.elapsed() < PATIENCE);
            }
            expect_told_rarely("cannot serve more connections: ", begun);
        },
    );
}
