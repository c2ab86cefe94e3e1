//! Compiles programs in C and C++, and runs each with a time limit.
//!
//! `TRANSOM_TEST_WRAPPER` is a command that runs each program, for example
//! `valgrind --leak-check=full --error-exitcode=1`; the limit is then four times as long.
//! `TRANSOM_TEST_CFLAGS` are more options for the compiler, for example
//! `-fsanitize=address,undefined`. `TRANSOM_TEST_SECONDS` is how long `random.c` runs, and
//! `TRANSOM_TEST_SOAK_SECONDS` how long `soak.c` runs; both are added to the limit.

#![allow(dead_code, reason = "each test uses a part")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Scratch, include_dir, library_dir};

/// Long enough for any program on a machine with other work to do.
const LIMIT: Duration = Duration::from_secs(300);
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// The folder of the crate.
pub fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the linker options for the shared library.
pub fn shared() -> Vec<String> {
    let dir = library_dir().display();
    // With the old tag, the folder is searched before those of LD_LIBRARY_PATH, which cargo sets.
    let path = format!("-Wl,--disable-new-dtags,-rpath,{dir}");
    vec![format!("-L{dir}"), path, "-ltransom".into()]
}

/// Returns the linker options for the static library.
pub fn in_static() -> Vec<String> {
    vec![library_dir().join("libtransom.a").display().to_string(), "-ldl".into(), "-lm".into()]
}

/// Compiles a program of one or several files, and returns its path.
pub fn compile(
    compiler: &str,
    standard: &str,
    sources: &[PathBuf],
    scratch: &Scratch,
    link: Vec<String>,
) -> PathBuf {
    let program = scratch.path().join(sources[0].file_stem().unwrap());
    let more = std::env::var("TRANSOM_TEST_CFLAGS").unwrap_or_default();
    let output = Command::new(compiler)
        .arg(standard)
        .args(WARNINGS)
        .args(more.split_whitespace())
        .args(["-g", "-pthread", "-I"])
        .arg(include_dir())
        .args(sources)
        .args(link)
        .arg("-o")
        .arg(&program)
        .output()
        .expect("a compiler is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// A process that is killed if the test ends first.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the process ends, or returns `None` after the limit.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}

/// Returns the command that runs a program, and its time limit.
pub fn wrapped(program: &Path) -> (Command, Duration) {
    let wrapper = std::env::var("TRANSOM_TEST_WRAPPER").unwrap_or_default();
    let mut words = wrapper.split_whitespace();
    let seconds = |name| std::env::var(name).ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let longer = Duration::from_secs(seconds("TRANSOM_TEST_SECONDS") + seconds("TRANSOM_TEST_SOAK_SECONDS"));
    let (mut command, limit) = match words.next() {
        Some(word) => {
            let mut command = Command::new(word);
            command.args(words).arg(program);
            (command, LIMIT * 4)
        }
        None => (Command::new(program), LIMIT),
    };
    command.current_dir(program.parent().unwrap());
    (command, limit + longer)
}

/// Runs a program, which must end well within the limit.
pub fn run(program: &Path) {
    let name = program.file_name().unwrap().display();
    let (mut command, limit) = wrapped(program);
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
