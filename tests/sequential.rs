//! The socket tests in the sequential model, and what only that model promises:
//! one connection at a time, on one thread, and turns for those who wait.

mod common;
mod sockets;

const MODEL: transom::Model = transom::Model::Sequential;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::stream;
use transom::{Address, Handle, Limits, Request, Response, Router, Server, Timeouts, blocking};

use common::{Client, PATIENCE, SHORT, Signal, configured, own_address, socket_path, start_with};

fn well() -> Router {
    Router::new().get("/", async |_: Request| "well")
}

/// A route that holds its requests until it is let go.
fn holding(started: &Signal, leave: &Signal) -> Router {
    let (started, leave) = (started.clone(), leave.clone());
    well().get("/held", move |_: Request| {
        let (started, leave) = (started.clone(), leave.clone());
        async move {
            started.set();
            while leave.count() == 0 {
                smol::Timer::after(Duration::from_millis(2)).await;
            }
            // So that the thread looks about before it has the answer: who waits by now is seen.
            for _ in 0..4 {
                futures_lite::future::yield_now().await;
            }
            "held"
        }
    })
}

/// An idle connection does not leave by itself for as long as a test may take.
fn patient(_: &mut Limits, timeouts: &mut Timeouts) {
    timeouts.drain = Some(PATIENCE * 10);
}

/// A connection that asks for `/` and waits for its turn.
fn waiting(server: &Handle) -> Client {
    let mut client = Client::connect(server);
    client.request("/");
    client
}

#[test]
fn a_client_that_waits_gets_its_turn_behind_the_next_answer() {
    let server = start_with(well(), patient);
    let mut first = Client::connect(&server);
    for _ in 0..3 {
        let answer = first.get("/");
        answer.expect(200, "well");
        assert!(!answer.closes(), "nobody waits");
    }
    let mut second = waiting(&server);
    second.expect_silence(SHORT);
    let answer = first.get("/");
    answer.expect(200, "well");
    assert!(answer.closes(), "somebody waits");
    first.expect_closed();
    let answer = second.answer();
    answer.expect(200, "well");
    assert!(!answer.closes(), "nobody waits any more");
    second.get("/").expect(200, "well");
}

#[test]
fn pipelined_requests_behind_the_answer_that_says_close_are_not_answered() {
    let (started, leave) = (Signal::new(), Signal::new());
    let server = start_with(holding(&started, &leave), patient);
    let mut first = Client::connect(&server);
    first.send("GET /held HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    started.wait();
    let mut second = waiting(&server);
    leave.set();
    let answer = first.answer();
    answer.expect(200, "held");
    assert!(answer.closes());
    first.expect_closed();
    // It lingers for bytes that nobody wants, but not for longer than the client stays.
    drop(first);
    second.answer().expect(200, "well");
}

#[test]
fn an_idle_connection_leaves_when_another_waits_and_not_before() {
    const DRAIN: Duration = Duration::from_millis(400);
    let server = start_with(well(), |_, timeouts| timeouts.drain = Some(DRAIN));
    for asks in [true, false] {
        let mut first = Client::connect(&server);
        if asks {
            first.get("/").expect(200, "well");
        }
        first.expect_silence(DRAIN * 2);
        let begun = Instant::now();
        let mut second = waiting(&server);
        first.expect_closed();
        let elapsed = begun.elapsed();
        assert!(elapsed >= DRAIN, "it had only {elapsed:?}");
        assert!(elapsed < DRAIN + PATIENCE / 2, "it had {elapsed:?}");
        second.answer().expect(200, "well");
    }
}

#[test]
fn an_idle_connection_may_still_ask_while_another_waits() {
    let server = start_with(well(), |_, timeouts| timeouts.drain = Some(PATIENCE));
    let mut first = Client::connect(&server);
    first.get("/").expect(200, "well");
    let mut second = waiting(&server);
    second.expect_silence(SHORT);
    first.send("GET / HT");
    second.expect_silence(SHORT);
    first.send("TP/1.1\r\nHost: h\r\n\r\n");
    let answer = first.answer();
    answer.expect(200, "well");
    assert!(answer.closes());
    second.answer().expect(200, "well");
}

#[test]
fn half_a_head_has_its_time_though_another_waits() {
    let server = start_with(well(), |_, timeouts| timeouts.head = Some(SHORT * 2));
    let begun = Instant::now();
    let mut slow = Client::connect(&server);
    slow.send("GET / HTTP/1.1\r\nHos");
    let mut second = waiting(&server);
    assert_eq!(slow.answer().status, 408);
    assert!(begun.elapsed() >= SHORT * 2);
    drop(slow);
    second.answer().expect(200, "well");
}

#[test]
fn a_reader_that_stops_holds_up_the_others_until_it_is_given_up() {
    let app = well().get("/large", async |_: Request| vec![b'x'; 64 << 20]);
    let server = start_with(app, |_, timeouts| timeouts.write = Some(SHORT));
    let mut stuck = Client::narrow(&server);
    let begun = Instant::now();
    stuck.request("/large");
    stuck.head();
    waiting(&server).answer().expect(200, "well");
    assert!(begun.elapsed() >= SHORT);
}

#[test]
fn a_client_that_waits_in_vain_and_goes_harms_nobody() {
    let (started, leave) = (Signal::new(), Signal::new());
    let server = start_with(holding(&started, &leave), patient);
    let mut first = Client::connect(&server);
    first.request("/held");
    started.wait();
    drop(waiting(&server));
    waiting(&server).reset();
    let mut last = waiting(&server);
    leave.set();
    first.answer().expect(200, "held");
    last.answer().expect(200, "well");
}

#[test]
fn a_handler_that_blocks_holds_up_all_others() {
    let (started, leave) = (Signal::new(), Signal::new());
    let app = {
        let (started, leave) = (started.clone(), leave.clone());
        let held = blocking(move |_: Request| {
            started.set();
            leave.wait();
            "held"
        });
        well().get("/held", held)
    };
    let server = start_with(app, patient);
    let mut first = Client::connect(&server);
    first.request("/held");
    started.wait();
    let mut others: Vec<_> = (0..3).map(|_| waiting(&server)).collect();
    others[0].expect_silence(SHORT);
    leave.set();
    let answer = first.answer();
    answer.expect(200, "held");
    assert!(answer.closes(), "it keeps a connection while others wait");
    for client in &mut others {
        client.answer().expect(200, "well");
    }
}

/// Sees that what it is told of happens one at a time and on one thread.
#[derive(Default)]
struct Witness {
    inside: AtomicUsize,
    most: AtomicUsize,
    threads: Mutex<HashSet<thread::ThreadId>>,
}

impl Witness {
    fn see<R>(&self, work: impl FnOnce() -> R) -> R {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        self.threads.lock().unwrap().insert(thread::current().id());
        let result = work();
        self.inside.fetch_sub(1, Ordering::SeqCst);
        result
    }
}

#[test]
fn nothing_of_the_host_runs_twice_at_once_or_on_another_thread() {
    let witness = Arc::<Witness>::default();
    let see = |witness: &Arc<Witness>| {
        let witness = Arc::clone(witness);
        move || witness.see(|| thread::sleep(Duration::from_micros(200)))
    };
    let (in_async, in_blocking, in_stream, in_hook) =
        (see(&witness), see(&witness), see(&witness), see(&witness));
    let app = Router::new()
        .get("/async", move |_: Request| {
            let work = in_async.clone();
            async move {
                work();
                futures_lite::future::yield_now().await;
                work();
                "done"
            }
        })
        .get(
            "/blocking",
            blocking(move |_: Request| {
                in_blocking();
                "done"
            }),
        )
        .get("/stream", move |_: Request| {
            let work = in_stream.clone();
            let chunks = stream::iter(["do", "ne"].map(|text| Ok(text.into())));
            let chunks = futures_lite::StreamExt::map(chunks, move |chunk| {
                work();
                chunk
            });
            async { Response::stream("text/plain", chunks) }
        });
    // A client may need its time to ask, though others wait.
    let server = configured(app, |_, timeouts| timeouts.drain = Some(PATIENCE));
    let server = &server.on_exchange(move |_| in_hook()).bind("127.0.0.1:0").unwrap().start().unwrap();
    thread::scope(|scope| {
        for path in ["/async", "/blocking", "/stream", "/async", "/blocking"] {
            scope.spawn(move || {
                for _ in 0..10 {
                    let mut good = Client::connect(server);
                    good.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
                    good.answer().expect(200, "done");
                    drop(good);
                    let mut bad = Client::connect(server);
                    bad.send("nonsense\r\n\r\n");
                    assert_eq!(bad.answer().status, 400);
                }
            });
        }
    });
    assert_eq!(witness.most.load(Ordering::SeqCst), 1, "at once");
    assert_eq!(witness.threads.lock().unwrap().len(), 1, "threads");
}

#[test]
fn several_listeners_take_turns() {
    let (started, leave) = (Signal::new(), Signal::new());
    let order = Arc::<Mutex<Vec<bool>>>::default();
    let app = {
        let order = Arc::clone(&order);
        holding(&started, &leave).get("/which", move |request: Request| {
            order.lock().unwrap().push(request.peer() == transom::Peer::Unix);
            async { "well" }
        })
    };
    let unix = format!("unix:{}", socket_path().display());
    let server = configured(app, patient).bind("127.0.0.1:0").unwrap().bind(&unix).unwrap().start().unwrap();
    let mut first = Client::connect(&server);
    first.request("/held");
    started.wait();
    let connect = |address: &Address| {
        let mut client = Client::connect_to(address);
        client.request("/which");
        client
    };
    // All of one before any of the other: in the order they came, they would not take turns.
    let mut clients: Vec<_> =
        server.local_addrs().iter().flat_map(|address| [address; 4]).map(connect).collect();
    leave.set();
    first.answer().expect(200, "held");
    for client in &mut clients {
        client.answer().expect(200, "well");
    }
    let order = order.lock().unwrap();
    assert!(order.windows(2).all(|pair| pair[0] != pair[1]), "Unix or not: {order:?}");
}

/// How many connections can be made within a while.
fn connected(address: &Address, count: usize) -> Vec<socket2::Socket> {
    let Address::Tcp(address) = address else { panic!("no TCP address") };
    let connect = |_| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.connect_timeout(&(*address).into(), SHORT).map(|()| socket).ok()
    };
    (0..count).filter_map(connect).collect()
}

#[test]
fn beyond_the_backlog_the_kernel_does_not_answer() {
    const BACKLOG: u32 = 3;
    let (started, leave) = (Signal::new(), Signal::new());
    let server = start_with(holding(&started, &leave), |limits, timeouts| {
        limits.backlog = Some(BACKLOG);
        patient(limits, timeouts);
    });
    let mut first = Client::connect(&server);
    first.request("/held");
    started.wait();
    // Linux holds one more than it is told.
    let held = connected(server.local_addr(), 6);
    assert_eq!(held.len(), BACKLOG as usize + 1);
    // One more tries again on its own (tcp(7)), until there is room.
    let late = {
        let address = server.local_addr().clone();
        thread::spawn(move || Client::connect_to(&address).get("/").expect(200, "well"))
    };
    leave.set();
    first.answer().expect(200, "held");
    drop(held);
    late.join().unwrap();
}

#[test]
fn the_backlog_of_an_inherited_listener_is_as_it_was_unless_it_is_set() {
    for (backlog, room) in [(None, 2), (Some(5), 6)] {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(1).unwrap();
        let listener = std::net::TcpListener::from(listener);
        let (started, leave) = (Signal::new(), Signal::new());
        let server = configured(holding(&started, &leave), |limits, timeouts| {
            limits.backlog = backlog;
            patient(limits, timeouts);
        });
        let server = server.listen(listener.try_into().unwrap()).start().unwrap();
        let mut first = Client::connect(&server);
        first.request("/held");
        started.wait();
        assert_eq!(connected(server.local_addr(), 8).len(), room, "backlog {backlog:?}");
        leave.set();
        first.answer().expect(200, "held");
    }
}

#[test]
fn a_stop_refuses_those_who_wait_and_finishes_the_one_it_serves() {
    let (started, leave) = (Signal::new(), Signal::new());
    let server = configured(holding(&started, &leave), patient);
    let server = server.bind(&own_address()).unwrap().start().unwrap();
    let mut first = Client::connect(&server);
    first.request("/held");
    started.wait();
    let mut others: Vec<_> = (0..3).map(|_| waiting(&server)).collect();
    server.stopper().stop(PATIENCE);
    // At once, and not only when the first has its answer.
    for client in &mut others {
        client.expect_closed();
    }
    assert!(std::net::TcpStream::connect(tcp(&server)).is_err(), "it still takes connections");
    leave.set();
    first.answer().expect(200, "held");
    let report = server.wait().unwrap();
    assert_eq!((report.finished, report.cut, report.pending), (1, 0, 0));
}

fn tcp(server: &Handle) -> std::net::SocketAddr {
    let Address::Tcp(address) = *server.local_addr() else { panic!("no TCP address") };
    address
}

#[test]
fn one_thread_does_it_all() {
    let starts = Signal::new();
    let server: Server = {
        let starts = starts.clone();
        let app = well().get("/blocking", blocking(|_: Request| "blocked"));
        configured(app, |_, _| ()).on_thread(move || starts.set())
    };
    let server = server.bind("127.0.0.1:0").unwrap().bind("127.0.0.1:0").unwrap().start().unwrap();
    for address in server.local_addrs() {
        Client::connect_to(address).get("/").expect(200, "well");
        Client::connect_to(address).get("/blocking").expect(200, "blocked");
    }
    server.stop(PATIENCE);
    assert_eq!(starts.count(), 1);
}
