//! The house rules that a machine can check: which way imports run, how long
//! files are, what may not be left in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each part of `src` and what it may name of the others.
const LAYERS: &[(&str, &[&str])] = &[
    ("guard", &[]),
    ("threads", &["memory"]),
    ("descriptor", &[]),
    ("reactor", &["descriptor", "guard"]),
    ("spare", &[]),
    ("memory", &[]),
    ("pool", &["guard", "threads"]),
    ("error", &[]),
    ("config", &[]),
    ("bounds", &["config", "error"]),
    ("message", &["descriptor", "error", "guard", "spare"]),
    ("proto", &["message", "config", "error"]),
    ("responder", &["message", "proto", "error", "guard"]),
    ("answering", &["message", "spare"]),
    ("handler", &["answering", "error", "guard", "message", "pool", "responder"]),
    ("pattern", &["message"]),
    ("router", &["message", "error", "handler", "pattern"]),
    (
        "conn",
        &["message", "proto", "config", "error", "guard", "memory", "pool", "router", "handler", "spare"],
    ),
    (
        "server",
        &[
            "message",
            "conn",
            "config",
            "descriptor",
            "error",
            "guard",
            "memory",
            "pool",
            "reactor",
            "router",
            "threads",
        ],
    ),
    ("fuzzing", &["message", "proto", "conn", "config", "error", "pool", "router", "threads"]),
];

/// Names of executors and reactors, which one file may use.
const RUNTIMES: &[&str] = &["async_executor", "async_io", "async_net", "async_channel", "smol", "polling"];
const RUNTIME_FILE: &str = "src/server/hosted.rs";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// The code without comments and without unit tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The parts of the crate that a file names after `crate::`, in `use` or in place.
fn named(code: &str) -> BTreeSet<String> {
    code.match_indices("crate::")
        // `$crate` in a macro is the caller's business.
        .filter(|(at, _)| !code[..*at].ends_with('$'))
        .map(|(at, prefix)| {
            code[at + prefix.len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        })
        .collect()
}

fn part(file: &str) -> &str {
    let name = file.trim_start_matches("src/");
    name.split_once('/').map_or(name.trim_end_matches(".rs"), |(folder, _)| folder)
}

/// Imports that run the wrong way, as sentences.
fn forbidden_imports(file: &str, text: &str) -> Vec<String> {
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == part(file)) else {
        return vec![format!("{file} belongs to no layer: add it to the table in tests/house.rs")];
    };
    named(&code(text))
        .into_iter()
        .filter(|name| name != part(file) && !allowed.contains(&name.as_str()))
        .map(|name| format!("{file} names {name}, which lies above it or beside it"))
        .collect()
}

#[test]
fn imports_run_one_way() {
    // The simulation is a test, in files of its own: it builds what a server would.
    let is_test = |file: &str| file.starts_with("src/conn/simulation/");
    let files = sources("src").into_iter().filter(|(file, _)| file != "src/lib.rs" && !is_test(file));
    let faults: Vec<_> = files.flat_map(|(file, text)| forbidden_imports(&file, &text)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_forbidden_import_is_found() {
    let bad = "use crate::message::Headers;\nuse crate::conn::Session;\n";
    assert_eq!(forbidden_imports("src/proto/head.rs", bad).len(), 1);
    assert_eq!(forbidden_imports("src/nowhere.rs", "").len(), 1);
}

#[test]
fn one_file_knows_the_executor() {
    for (file, text) in sources("src") {
        let code = code(&text);
        for runtime in RUNTIMES.iter().filter(|_| file != RUNTIME_FILE) {
            assert!(!code.contains(&format!("{runtime}::")), "{file} names {runtime}");
        }
    }
}

/// What code names that has to do with a socket.
const SOCKETS: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "socket2",
    "OwnedFd",
    "BorrowedFd",
    "RawFd",
];
/// What code names that reads a clock, or waits for a time, whatever it is imported as.
const CLOCKS: &[&str] = &[
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "elapsed",
    "sleep",
    "sleep_until",
    "wait_timeout",
    "wait_timeout_while",
    "recv_timeout",
    "park_timeout",
    "Timer",
    "clock_gettime",
    "timerfd_create",
    "gettimeofday",
];
/// The files of `message` and `proto` that may: `date` writes a time that it is given, and
/// the writer of a body may wait for room until a deadline.
const TIMED: &[&str] = &["src/message/date.rs", "src/message/pipe.rs", "src/message/writer.rs"];

/// The names that code uses, in paths and imports alike.
fn words(code: &str) -> BTreeSet<&str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').collect()
}

/// Whether code imports the module of times itself, under whatever name, or all of it.
fn imports_time(code: &str) -> bool {
    let imports = code.split("use ").skip(1).filter_map(|rest| rest.split_once(';'));
    imports.flat_map(|(import, _)| import.split("time").skip(1)).any(|after| {
        let is_word = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        is_word && (!after.starts_with("::") || after.starts_with("::*") || after.starts_with("::{self"))
    })
}

/// The clocks and sockets that code of `message` or `proto` names and may not.
fn forbidden_words<'a>(file: &str, code: &'a str) -> Vec<&'a str> {
    let may_wait = TIMED.contains(&file);
    let is_forbidden = |word: &&str| SOCKETS.contains(word) || (!may_wait && CLOCKS.contains(word));
    let module = (!may_wait && imports_time(code)).then_some("time");
    words(code).into_iter().filter(is_forbidden).chain(module).collect()
}

#[test]
fn messages_and_protocol_know_no_socket_and_no_clock() {
    let mut waiting = BTreeSet::new();
    for (file, text) in sources("src/message").into_iter().chain(sources("src/proto")) {
        let code = code(&text);
        assert_eq!(forbidden_words(&file, &code), Vec::<&str>::new(), "{file}");
        if words(&code).iter().any(|word| CLOCKS.contains(word)) {
            waiting.insert(file);
        }
    }
    assert!(waiting.iter().eq(TIMED), "files that are allowed a clock and have none: {TIMED:?}, {waiting:?}");
}

#[test]
fn a_clock_is_found_however_it_is_spelled() {
    for code in [
        "use std::time::Instant;",
        "use std::time::{Duration, Instant as Now};",
        "std::time::SystemTime::now()",
        "use std::time;",
        "use std::time as t;",
        "use std::{io, time};",
        "use std::time::*;",
        "use std::time::{self, Duration};",
        "std::thread::sleep(pause)",
        "since.elapsed()",
        "rustix::time::clock_gettime(id)",
    ] {
        assert_ne!(forbidden_words("src/message/body.rs", code), Vec::<&str>::new(), "{code}");
    }
    assert_eq!(forbidden_words("src/message/body.rs", "use std::time::Duration;"), Vec::<&str>::new());
    assert_ne!(forbidden_words("src/message/pipe.rs", "use std::net::TcpStream;"), Vec::<&str>::new());
}

#[test]
fn unsafe_stays_in_the_c_layer() {
    assert!(fs::read_to_string(root().join("src/lib.rs")).unwrap().contains("#![forbid(unsafe_code)]"));
}

#[test]
fn a_file_has_one_noun_and_says_which() {
    for (file, text) in sources("src").into_iter().chain(sources("bindings/c/src")) {
        assert!(text.starts_with("//! "), "{file} does not begin with what it is");
        // Examples in doc comments are for readers of the docs; code is for readers of the file.
        let lines = code(&text).lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 400, "{file} has {lines} lines of code");
    }
}

#[test]
fn nothing_is_left_open() {
    let marks = [
        "TO".to_owned() + "DO",
        "FIX".to_owned() + "ME",
        "to".to_owned() + "do!(",
        "unimpl".to_owned() + "emented!(",
        "dbg".to_owned() + "!(",
    ];
    for folder in ["src", "tests", "examples", "bindings/c"] {
        for (file, text) in sources(folder) {
            for mark in &marks {
                assert!(!text.contains(mark.as_str()), "{file} holds {mark}");
            }
        }
    }
}
