//! Compiles and runs the C programs in this folder, each with a time limit.
//!
//! `TRANSOM_TEST_WRAPPER` is a command that runs each program, for example
//! `valgrind --leak-check=full --error-exitcode=1`; the limit is then ten times as long.
//! `TRANSOM_TEST_CFLAGS` are more options for the compiler, for example
//! `-fsanitize=address,undefined`.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Scratch, include_dir, library_dir};

const LIMIT: Duration = Duration::from_secs(60);
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the linker options for the shared library.
fn shared() -> Vec<String> {
    let dir = library_dir().display();
    vec![format!("-L{dir}"), format!("-Wl,-rpath,{dir}"), "-ltransom".into()]
}

/// Returns the linker options for the static library.
fn in_static() -> Vec<String> {
    vec![library_dir().join("libtransom.a").display().to_string(), "-ldl".into(), "-lm".into()]
}

fn compile(source: &Path, scratch: &Scratch, standard: &str, link: Vec<String>) -> PathBuf {
    let program = scratch.path().join(source.file_stem().unwrap());
    let more = std::env::var("TRANSOM_TEST_CFLAGS").unwrap_or_default();
    let output = Command::new("cc")
        .arg(standard)
        .args(WARNINGS)
        .args(more.split_whitespace())
        .args(["-g", "-pthread", "-I"])
        .arg(include_dir())
        .arg(source)
        .args(link)
        .arg("-o")
        .arg(&program)
        .output()
        .expect("a C compiler is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// A process that is killed if the test ends first.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

fn wrapped(program: &Path) -> (Command, Duration) {
    let wrapper = std::env::var("TRANSOM_TEST_WRAPPER").unwrap_or_default();
    let mut words = wrapper.split_whitespace();
    let (mut command, limit) = match words.next() {
        Some(word) => {
            let mut command = Command::new(word);
            command.args(words).arg(program);
            (command, LIMIT * 10)
        }
        None => (Command::new(program), LIMIT),
    };
    command.current_dir(program.parent().unwrap());
    (command, limit)
}

fn run(name: &str, link: Vec<String>) {
    let scratch = Scratch::new(name);
    let source = crate_dir().join("tests").join(name).with_extension("c");
    let program = compile(&source, &scratch, "-std=c11", link);
    let (mut command, limit) = wrapped(&program);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Ended(child);
    let collect = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let output = [
        collect(Box::new(child.0.stdout.take().unwrap())),
        collect(Box::new(child.0.stderr.take().unwrap())),
    ];
    let status = wait(&mut child.0, limit);
    drop(child);
    let output = output.map(|text| text.join().unwrap());
    match status {
        Some(status) => assert!(status.success(), "{name}: {status}\n{}{}", output[0], output[1]),
        None => panic!("{name}: not done after {limit:?}\n{}{}", output[0], output[1]),
    }
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
    answering
    bad_input
    bounds
    connection
    events
    exchanges
    fields
    files
    forking
    gone
    holding
    hosts
    lengths
    listening
    logging
    memory
    models
    overload
    own_answers
    ownership
    pull
    restarts
    round_trip
    routes
    signals
    standard
    stopping
    streaming
    stress
    uploads
}

#[test]
fn static_library_does_too() {
    run("round_trip", in_static());
}

/// The example for conformance probes listens, answers and stops cleanly in each model.
#[test]
fn conformance_example() {
    let scratch = Scratch::new("conformance");
    let program = compile(&crate_dir().join("examples/conformance.c"), &scratch, "-std=c11", shared());
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
    compile(&crate_dir().join("examples/hello.c"), &scratch, "-std=gnu11", shared());
}
