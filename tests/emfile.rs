//! A server whose process has no descriptors left says so once, does not spin,
//! answers the clients it has, and takes others when it can, for which idle ones
//! make room. It limits its own process, so it is alone in its binary and runs a
//! second time within itself.

mod common;

const MODEL: Model = Model::EventDriven;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use transom::{IntoResponse, Listener, Model, Request, Responder, Router};

use common::{Client, Later, Logs, PATIENCE, configured, eventually, start_single};

const INSIDE: &str = "TRANSOM_TEST_FEW_DESCRIPTORS";

#[test]
fn without_descriptors_it_waits_and_recovers() {
    with_descriptors(64..65, "without_descriptors_it_waits_and_recovers", inside);
}

#[test]
fn without_descriptors_idle_connections_make_room() {
    with_descriptors(64..65, "without_descriptors_idle_connections_make_room", inside_idle);
}

#[test]
fn with_a_thread_per_connection_clients_wait_until_there_are_descriptors_for_them() {
    with_descriptors(
        // A connection takes three of them: any remainder may be left in the end.
        64..67,
        "with_a_thread_per_connection_clients_wait_until_there_are_descriptors_for_them",
        inside_threads,
    );
}

/// Runs that test once more for each of these counts, in a process that may have
/// so many descriptors.
fn with_descriptors(counts: Range<u32>, name: &str, inside: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let start = |count: u32| {
        Command::new("sh")
            .args(["-c", "ulimit -n \"$2\" && exec \"$0\" --nocapture --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .args([name, &count.to_string()])
            .env(INSIDE, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let started: Vec<_> = counts.map(start).collect();
    for process in started {
        let output = process.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
    }
}

/// Processor time that this process has had. Its file is open already, as it
/// could not be opened later.
fn cpu_time(mut file: &File) -> Duration {
    let mut stat = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut stat).unwrap();
    // Behind the name, which may hold anything, utime and stime are 12th and 13th (proc_pid_stat(5)).
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Opens files until there are no descriptors left.
fn exhaust() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn well() -> Router {
    Router::new().get("/", async |_: Request| "well")
}

fn inside() {
    const COMPLAINT: &str = "ERROR cannot accept connections: ";
    let stat = File::open("/proc/self/stat").unwrap();
    let (sender, held) = mpsc::channel::<Responder>();
    // One worker: each says so for itself.
    let later = Later(move |_, responder| sender.send(responder).unwrap());
    let server = start_single(well().get("/held", later));
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let usual = descriptors();

    for episode in 1..=3 {
        let mut inside = Client::connect(&server);
        inside.request("/held");
        let responder = held.recv_timeout(PATIENCE).unwrap();
        let mut files = exhaust();
        // Room for the client's end of a connection, none for the server's.
        files.pop();
        let mut waiting = Client::connect(&server);
        waiting.request("/");
        eventually("a complaint", || Logs::count(COMPLAINT) == episode);
        let (before, begun) = (cpu_time(&stat), Instant::now());
        waiting.expect_silence(Duration::from_millis(600));
        let (spent, elapsed) = (cpu_time(&stat).saturating_sub(before), begun.elapsed());
        assert!(spent < elapsed / 4, "it spins: {spent:?} of processor time in {elapsed:?}");
        responder.send("well".into_response()).unwrap();
        inside.answer().expect(200, "well");
        assert_eq!(Logs::count(COMPLAINT), episode, "it says so again and again");

        drop(files);
        waiting.answer().expect(200, "well");
        Client::connect(&server).get("/").expect(200, "well");
        drop((inside, waiting));
        eventually("the end of all connections", || descriptors() == usual);
        // A worker that rests from its complaint has to see that there is room again.
        std::thread::sleep(Duration::from_millis(400));
    }
}

fn inside_idle() {
    let server = configured(well(), |_, timeouts| timeouts.drain = Some(Duration::from_millis(100)));
    let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    let mut inside = Client::connect(&server);
    inside.get("/").expect(200, "well");
    let mut files = exhaust();
    files.pop();
    let mut waiting = Client::connect(&server);
    waiting.get("/").expect(200, "well");
    inside.expect_closed();
    drop(files);
}

/// A connection there takes three descriptors, its client's not counted: there
/// are fewer places than threads that are allowed.
fn inside_threads() {
    let listener = Listener::bind("127.0.0.1:0").unwrap();
    // They take theirs first.
    let mut clients: Vec<_> = (0..24).map(|_| Client::connect_to(listener.local_addr())).collect();
    for client in &mut clients {
        client.request("/");
    }
    let server = configured(well(), |_, _| ()).model(Model::ThreadPerConnection).listen(listener);
    let _server = server.start().unwrap();
    for client in &mut clients {
        client.answer().expect(200, "well");
    }
    let complaints = ["ERROR cannot serve more connections: ", "ERROR cannot accept connections: "];
    assert!(complaints.iter().any(|it| Logs::count(it) > 0), "there were descriptors for all");
}
