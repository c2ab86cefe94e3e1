//! Compiles and runs the C programs in this folder, each with a time limit: see
//! `support/programs.rs` for the variables that change how.

#[path = "support/programs.rs"]
mod programs;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use programs::{Ended, crate_dir, in_static, shared, wait, wrapped};
use support::Scratch;

fn compile(source: &str, standard: &str, scratch: &Scratch, link: Vec<String>) -> PathBuf {
    programs::compile("cc", standard, &[crate_dir().join(source)], scratch, link)
}

fn run(name: &str, link: Vec<String>) {
    let scratch = Scratch::new(name);
    programs::run(&compile(&format!("tests/{name}.c"), "-std=c11", &scratch, link));
}

/// Defines a test for each program, and one which checks that the list is complete.
macro_rules! programs {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), shared());
        })*

        #[test]
        fn every_program_is_run() {
            let mut found: Vec<_> = std::fs::read_dir(crate_dir().join("tests"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
                .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
                .collect();
            found.sort();
            let mut run = vec![$(stringify!($name)),*];
            run.sort_unstable();
            assert_eq!(found, run);
        }
    };
}

programs! {
    access_log
    answering
    bad_input
    bounds
    broadcast
    clients
    compression
    conditions
    connection
    destructors
    events
    exchanges
    fanout
    fields
    files
    forking
    gone
    handover
    holding
    hosts
    intake
    lengths
    listening
    logging
    memory
    metrics
    static_files
    status
    models
    cookies
    middleware
    multipart
    overload
    own_answers
    ownership
    proxies
    pull
    random
    reading
    restarts
    round_trip
    routes
    sending
    signals
    soak
    standard
    stats
    stopping
    stops
    sse
    streaming
    stress
    succession
    tls
    watchdog
    websocket
    websocket_settings
    wraps
    upgrades
    uploads
    waits
}

#[test]
fn static_library_does_too() {
    run("round_trip", in_static());
}

/// The example for conformance probes listens, answers and stops cleanly in each model.
#[test]
fn conformance_example() {
    let scratch = Scratch::new("conformance");
    let program = compile("examples/conformance.c", "-std=c11", &scratch, shared());
    for model in ["sequential", "threads", "event"] {
        conforms(&program, model);
    }
    let (mut command, limit) = wrapped(&program);
    let child = command.args(["--model", "forking"]).stderr(Stdio::null()).spawn().unwrap();
    let status = wait(&mut Ended(child).0, limit).expect("it ends");
    assert_eq!(status.code(), Some(2));
}

fn conforms(program: &Path, model: &str) {
    let (mut command, limit) = wrapped(program);
    command.args(["--port", "0", "--workers", "2", "--model", model]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut child = Ended(child);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://").expect("an address").to_owned();
    for (target, body) in [("/plain", "hello"), ("/sleep/500", "slept")] {
        let mut client = TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(limit)).unwrap();
        write!(client, "GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(body), "{answer}");
    }
    // SAFETY: the call takes no pointers. The child has not been waited for, so no other
    // process has its id.
    assert_eq!(unsafe { libc::kill(child.0.id().cast_signed(), libc::SIGTERM) }, 0);
    let status = wait(&mut child.0, limit).expect("it stops");
    assert!(status.success(), "{status}");
}

/// The example listens on a fixed port, so the test does not run it.
#[test]
fn hello_example_compiles() {
    let scratch = Scratch::new("hello");
    compile("examples/hello.c", "-std=gnu11", &scratch, shared());
}
