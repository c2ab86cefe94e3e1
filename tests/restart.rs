//! A server that is started and stopped a thousand times leaves no thread, no
//! descriptor and no memory behind. It counts what the whole process has, so
//! it is alone in its binary.

mod common;

const MODEL: Model = Model::EventDriven;

use std::fs;
use std::thread;
use std::time::Duration;

use transom::{Model, Request, Router, blocking};

use common::{Client, PATIENCE, Signal, configured, eventually, forever};

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

fn threads() -> usize {
    entries("/proc/self/task")
}

fn descriptors() -> usize {
    entries("/proc/self/fd")
}

/// Threads and descriptors, when they have come to rest: a thread that has been joined
/// may be counted for a moment more.
fn at_rest() -> (usize, usize) {
    let mut last = (threads(), descriptors());
    eventually("a standstill of threads and descriptors", || {
        thread::sleep(Duration::from_millis(20));
        let now = (threads(), descriptors());
        std::mem::replace(&mut last, now) == now
    });
    last
}

/// Resident memory in KiB: counted, where the kernel does so, as `VmRSS` may be off by
/// some pages for each core (proc(5)).
fn memory() -> usize {
    let counted = fs::read_to_string("/proc/self/smaps_rollup").map(|text| (text, "Rss:"));
    let (text, name) =
        counted.unwrap_or_else(|_| (fs::read_to_string("/proc/self/status").unwrap(), "VmRSS:"));
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// One life of a server: some clients, idle, served, and now and then cut.
fn live(model: Model, round: usize) {
    let started = Signal::new();
    let app = {
        let started = started.clone();
        Router::new()
            .get("/", async |_: Request| "well")
            .get("/blocking", blocking(|_: Request| "blocked"))
            .get("/never", move |_: Request| {
                started.set();
                forever()
            })
    };
    let workers = 1 + round % 2;
    let server = configured(app, |_, timeouts| timeouts.drain = Some(Duration::from_millis(1)));
    let server = server.model(model).workers(workers).bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut client = Client::connect(&server);
    client.get("/").expect(200, "well");
    if round.is_multiple_of(4) {
        client.get("/blocking").expect(200, "blocked");
    }
    let mut stuck = None;
    if round.is_multiple_of(10) {
        stuck.insert(Client::connect(&server)).request("/never");
        started.wait();
    }
    let deadline = if stuck.is_some() { Duration::ZERO } else { PATIENCE };
    server.stop(deadline);
    let report = server.wait().unwrap();
    assert_eq!((report.cut, report.pending), (u64::from(stuck.is_some()), 0));
    client.expect_closed();
}

/// So many lives after as many as it takes to have what is made once and kept.
fn lives_leave_nothing_behind(model: Model, first: usize, count: usize) {
    (0..first).for_each(|round| live(model, round));
    let before = at_rest();
    let memory_before = memory();
    (0..count).for_each(|round| live(model, round));
    eventually("no more threads and descriptors than before", || {
        threads() <= before.0 && descriptors() <= before.1
    });
    let mut grown = memory().saturating_sub(memory_before);
    // On a busy machine more threads may be there at once than before, and the allocator has an arena
    // for each. What is lost in each life is lost again.
    for _ in 0..3 {
        if grown >= 1536 {
            let memory_before = memory();
            (0..count).for_each(|round| live(model, round));
            grown = memory().saturating_sub(memory_before);
        }
    }
    assert!(grown < 1536, "{model}: {grown} KiB more than before");
}

#[test]
fn a_thousand_lives_leave_nothing_behind() {
    // What is made once and kept: the reactor, its thread, the allocator's arenas.
    lives_leave_nothing_behind(Model::EventDriven, 200, 1000);
    lives_leave_nothing_behind(Model::Sequential, 50, 200);
    lives_leave_nothing_behind(Model::ThreadPerConnection, 50, 200);
}
