//! A server that is started and stopped a thousand times leaves no thread, no
//! descriptor and no memory behind. It counts what the whole process has, so
//! it is alone in its binary.

mod common;

use std::fs;
use std::time::Duration;

use transom::{Request, Router, blocking};

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

/// Resident memory in KiB.
fn memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// One life of a server: some clients, idle, served, and now and then cut.
fn live(round: usize) {
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
    let server = configured(app, |_, _| ()).workers(workers).bind("127.0.0.1:0").unwrap().start().unwrap();
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

#[test]
fn a_thousand_lives_leave_nothing_behind() {
    // What is made once and kept: the reactor, its thread, the allocator's arenas.
    (0..200).for_each(live);
    let before = (threads(), descriptors());
    let memory_before = memory();
    (0..1000).for_each(live);
    eventually("as many threads and descriptors as before", || (threads(), descriptors()) == before);
    let grown = memory().saturating_sub(memory_before);
    assert!(grown < 1536, "{grown} KiB more than before");
}
