//! The socket tests in the model of a thread per connection, and what only that
//! model promises: so many threads and no more, and room for those who wait.

mod common;
mod sockets;

const MODEL: transom::Model = transom::Model::ThreadPerConnection;

use std::collections::HashSet;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use transom::{Handle, Limits, Request, Router, Timeouts, blocking};

use common::{Client, OnDrop, PATIENCE, SHORT, Signal, configured, eventually, start, start_with};

fn well() -> Router {
    Router::new().get("/", async |_: Request| "well")
}

/// Routes that hold their requests until they are let go: `/async`, and
/// `/blocking`.
fn holding(started: &Signal, leave: &Signal) -> Router {
    let (async_started, async_leave) = (started.clone(), leave.clone());
    let (started, leave) = (started.clone(), leave.clone());
    well()
        .get("/async", move |_: Request| {
            let (started, leave) = (async_started.clone(), async_leave.clone());
            async move {
                started.set();
                while leave.count() == 0 {
                    smol::Timer::after(Duration::from_millis(2)).await;
                }
                "held"
            }
        })
        .get(
            "/blocking",
            blocking(move |_: Request| {
                started.set();
                leave.wait();
                "held"
            }),
        )
}

fn with_threads(count: usize) -> impl FnOnce(&mut Limits, &mut Timeouts) {
    move |limits, timeouts| {
        limits.connection_threads = count;
        // An idle connection does not leave by itself for as long as a test may take.
        timeouts.drain = Some(PATIENCE * 10);
    }
}

fn ask(server: &Handle, path: &str) -> Client {
    let mut client = Client::connect(server);
    client.request(path);
    client
}

/// Lets others wait for so long, and for longer if the thread that accepts may not have
/// noticed them: who is inside must be asked to leave.
#[track_caller]
fn while_others_wait(is_asked_to_leave: impl FnMut(Duration) -> bool) {
    let asked = [SHORT, SHORT * 4, SHORT * 16].into_iter().any(is_asked_to_leave);
    assert!(asked, "others wait");
}

#[test]
fn beyond_its_threads_clients_wait_and_are_not_refused() {
    for path in ["/async", "/blocking"] {
        while_others_wait(|silence| {
            let (started, leave) = (Signal::new(), Signal::new());
            let server = start_with(holding(&started, &leave), with_threads(3));
            let mut inside: Vec<_> = (0..3).map(|_| ask(&server, path)).collect();
            started.wait_for(3);
            let mut waiting: Vec<_> = (0..3).map(|_| ask(&server, "/")).collect();
            for client in &mut waiting {
                client.expect_silence(silence);
            }
            leave.set();
            for client in &mut inside {
                let answer = client.answer();
                answer.expect(200, "held");
                if !answer.closes() {
                    return false;
                }
            }
            for client in &mut waiting {
                client.answer().expect(200, "well");
            }
            true
        });
    }
}

#[test]
fn while_there_are_threads_nobody_is_asked_to_leave() {
    let server = start_with(well(), |limits, timeouts| {
        limits.connection_threads = 4;
        timeouts.drain = Some(Duration::ZERO);
    });
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(&server)).collect();
    for _ in 0..3 {
        for client in &mut clients {
            let answer = client.get("/");
            answer.expect(200, "well");
            assert!(!answer.closes());
        }
    }
    for client in &mut clients {
        client.expect_silence(SHORT);
    }
}

#[test]
fn an_idle_connection_makes_room_before_one_that_is_at_work() {
    const DRAIN: Duration = Duration::from_millis(400);
    let (started, leave) = (Signal::new(), Signal::new());
    let server = start_with(holding(&started, &leave), |limits, timeouts| {
        limits.connection_threads = 3;
        timeouts.drain = Some(DRAIN);
    });
    let mut busy: Vec<_> = (0..2).map(|_| ask(&server, "/async")).collect();
    started.wait_for(2);
    let mut idle = Client::connect(&server);
    idle.get("/").expect(200, "well");
    idle.expect_silence(DRAIN * 2);
    let begun = Instant::now();
    let mut waiting = ask(&server, "/");
    idle.expect_closed();
    assert!(begun.elapsed() >= DRAIN, "it had only {:?}", begun.elapsed());
    waiting.answer().expect(200, "well");
    leave.set();
    for client in &mut busy {
        client.answer().expect(200, "held");
    }
}

#[test]
fn an_idle_connection_may_still_ask_while_others_wait() {
    while_others_wait(|silence| {
        let server = start_with(well(), with_threads(1));
        let mut first = Client::connect(&server);
        first.get("/").expect(200, "well");
        let mut second = ask(&server, "/");
        second.expect_silence(silence);
        let answer = first.get("/");
        answer.expect(200, "well");
        if !answer.closes() {
            return false;
        }
        second.answer().expect(200, "well");
        true
    });
}

#[test]
fn a_hundred_clients_share_four_threads_and_all_have_their_turn() {
    let threads = Arc::<Mutex<HashSet<thread::ThreadId>>>::default();
    let app = {
        let threads = Arc::clone(&threads);
        Router::new().get("/", move |_: Request| {
            threads.lock().unwrap().insert(thread::current().id());
            async { "well" }
        })
    };
    let (starts, ends) = (Signal::new(), Signal::new());
    let server = {
        let (starts, ends) = (starts.clone(), ends.clone());
        let few = |limits: &mut Limits, timeouts: &mut Timeouts| {
            limits.connection_threads = 4;
            timeouts.drain = Some(Duration::from_millis(20));
        };
        configured(app, few).on_thread(move || {
            starts.set();
            OnDrop(ends.clone())
        })
    };
    let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut clients: Vec<_> = (0..100).map(|_| ask(&server, "/")).collect();
    for client in &mut clients {
        client.answer().expect(200, "well");
    }
    server.stop(PATIENCE);
    assert!(threads.lock().unwrap().len() <= 4);
    // Those four, and the one that accepts.
    assert!(starts.count() <= 5, "{} threads", starts.count());
    eventually("they have ended", || ends.count() == starts.count());
}

#[test]
fn threads_are_started_when_they_are_needed() {
    let starts = Signal::new();
    let server = {
        let starts = starts.clone();
        configured(well(), |_, _| ()).on_thread(move || starts.set())
    };
    let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut clients = Vec::new();
    for count in 1..=5 {
        let mut client = Client::connect(&server);
        client.get("/").expect(200, "well");
        clients.push(client);
        assert_eq!(starts.count(), 1 + count, "with the one that accepts");
    }
}

#[test]
fn a_stack_that_no_thread_can_have_is_told_at_the_start() {
    // More than there are addresses.
    let server = configured(well(), |limits, _| limits.thread_stack = 1 << 60);
    let error = server.bind("127.0.0.1:0").unwrap().start().unwrap_err();
    assert!(error.to_string().starts_with("cannot start a thread: "), "{error}");
}

#[test]
fn a_connection_that_is_refused_takes_nobodys_thread() {
    let (started, leave) = (Signal::new(), Signal::new());
    let server = start_with(holding(&started, &leave), |limits, timeouts| {
        limits.connection_threads = 2;
        limits.connections = 1;
        timeouts.drain = Some(SHORT);
    });
    let mut inside = ask(&server, "/async");
    started.wait();
    // Each stays after its refusal, and gives way all the same.
    let mut refused: Vec<_> = (0..3).map(|_| Client::connect(&server)).collect();
    for client in &mut refused {
        assert_eq!(client.answer().status, 503);
        client.expect_closed();
    }
    leave.set();
    inside.answer().expect(200, "held");
}

/// Uses that much stack, and a little more.
#[inline(never)]
fn dig(bytes: usize) -> usize {
    let page = [1_u8; 16 * 1024];
    // By reference: what is moved may be there twice.
    let length = black_box(&page).len();
    let below = if bytes > length { dig(bytes - length) } else { 0 };
    below + usize::from(black_box(&page)[bytes % length])
}

#[test]
fn a_handler_may_use_a_mebibyte_of_stack() {
    let app = Router::new()
        .get("/async", async |_: Request| dig(1 << 20).to_string())
        .get("/blocking", blocking(|_: Request| dig(1 << 20).to_string()));
    let server = start(app);
    for path in ["/async", "/blocking"] {
        Client::connect(&server).get(path).expect(200, "64");
    }
}

#[test]
fn the_stack_may_be_larger() {
    let app = Router::new().get("/", async |_: Request| dig(12 << 20).to_string());
    let server = start_with(app, |limits, _| limits.thread_stack = 16 << 20);
    Client::connect(&server).get("/").expect(200, "768");
}

#[test]
fn a_handler_that_blocks_holds_up_its_own_connection_only() {
    let (started, leave) = (Signal::new(), Signal::new());
    let server = start(holding(&started, &leave));
    let mut stuck = ask(&server, "/blocking");
    started.wait();
    for _ in 0..3 {
        Client::connect(&server).get("/").expect(200, "well");
    }
    leave.set();
    stuck.answer().expect(200, "held");
}

#[test]
fn a_stop_while_all_threads_are_taken_refuses_those_who_wait() {
    let (started, leave) = (Signal::new(), Signal::new());
    let server = start_with(holding(&started, &leave), with_threads(2));
    let mut inside: Vec<_> = ["/async", "/blocking"].into_iter().map(|path| ask(&server, path)).collect();
    started.wait_for(2);
    let mut waiting = ask(&server, "/");
    waiting.expect_silence(SHORT);
    server.stopper().stop(PATIENCE);
    waiting.expect_closed();
    leave.set();
    for client in &mut inside {
        client.answer().expect(200, "held");
    }
    let report = server.wait().unwrap();
    assert_eq!((report.finished, report.cut, report.pending), (2, 0, 0));
}

#[test]
fn a_panic_in_the_hook_for_threads_costs_connections_and_not_the_server() {
    // The first thread for connections does not come to work.
    let starts = Signal::new();
    let server = {
        let starts = starts.clone();
        configured(well(), |_, _| ()).on_thread(move || {
            if thread::current().name() == Some("transom-connection") {
                starts.set();
                assert_ne!(starts.count(), 1, "on purpose: in the hook");
            }
        })
    };
    let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    starts.wait();
    eventually("a thread that does come", || {
        let mut client = ask(&server, "/");
        client.try_answer().is_ok_and(|answer| answer.status == 200)
    });
}
