//! The house rules that a machine can check: which way imports run, how long
//! files are, what may not be left in them.

#[path = "support/imports.rs"]
mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use imports::{Graph, circle, code, graph};

/// Names of executors and reactors, which one file may use.
const RUNTIMES: &[&str] = &["async_executor", "async_io", "async_net", "async_channel", "smol", "polling"];
const RUNTIME_FILE: &str = "src/server/models/hosted.rs";

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

/// A row of the map in ARCHITECTURE.md.
struct Part {
    name: String,
    imports: BTreeSet<String>,
    files: BTreeSet<String>,
}

/// Returns the map of ARCHITECTURE.md, from the bottom up.
fn map() -> Vec<Part> {
    fn words(cell: &str) -> impl Iterator<Item = String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned)
    }
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = text.split("|---|---|---|---|\n").nth(1).expect("the map is a table of four columns");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        Part {
            name: words(cells[1]).next().expect("a row begins with the name of a part"),
            imports: words(cells[2]).collect(),
            files: words(cells[3]).collect(),
        }
    })
    .collect()
}

/// Returns the imports of a file that its row in the map does not name, as sentences.
fn forbidden_imports(map: &[Part], file: &str, text: &str) -> Vec<String> {
    let Some(here) = map.iter().find(|here| here.name == part(file)) else {
        return vec![format!("{file} is in no part: add it to the map in ARCHITECTURE.md")];
    };
    // Extensions name what the crate exports, item by item: no part, and no list of paths.
    let is_public =
        |name: &str| here.name == "ext" && !name.is_empty() && map.iter().all(|part| part.name != name);
    named(&code(text))
        .into_iter()
        .filter(|name| *name != here.name && !here.imports.contains(name) && !is_public(name))
        .map(|name| format!("{file} imports from {name}, which the map does not allow"))
        .collect()
}

/// The simulations are tests, in files of their own: they build what a server would.
fn is_test(file: &str) -> bool {
    file.starts_with("src/conn/simulation/") || file.starts_with("src/tls/simulation/")
}

#[test]
fn imports_run_down_the_map() {
    let map = map();
    let mut above = BTreeSet::new();
    for part in &map {
        assert!(
            part.imports.is_subset(&above),
            "{} imports from a part that is not above it in the map",
            part.name
        );
        above.insert(part.name.clone());
    }
    let files = sources("src").into_iter().filter(|(file, _)| file != "src/lib.rs" && !is_test(file));
    let faults: Vec<_> = files.flat_map(|(file, text)| forbidden_imports(&map, &file, &text)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_map_names_every_file_and_no_other() {
    let mut files = BTreeMap::<String, BTreeSet<String>>::new();
    for (file, _) in sources("src").iter().filter(|(file, _)| file != "src/lib.rs" && !is_test(file)) {
        let inside = file.trim_start_matches("src/").trim_end_matches(".rs").split_once('/');
        let names = files.entry(part(file).to_owned()).or_default();
        names.extend(inside.map(|(_, name)| name.to_owned()).filter(|name| !name.ends_with("mod")));
    }
    let map: BTreeMap<_, _> = map().into_iter().map(|part| (part.name, part.files)).collect();
    assert_eq!(files, map);
}

#[test]
fn the_map_names_every_import() {
    let files = sources("src");
    for here in map() {
        let named: BTreeSet<_> = files
            .iter()
            .filter(|(file, _)| part(file) == here.name && !is_test(file))
            .flat_map(|(_, text)| named(&code(text)))
            .collect();
        let unused: Vec<_> = here.imports.difference(&named).collect();
        assert!(unused.is_empty(), "the map lets {} import from {unused:?}, and it does not", here.name);
    }
}

#[test]
fn a_forbidden_import_is_found() {
    let bad = "use crate::message::Request;\nuse crate::conn::Session;\n";
    assert_eq!(forbidden_imports(&map(), "src/http1/head.rs", bad).len(), 1);
    assert_eq!(forbidden_imports(&map(), "src/nowhere.rs", "").len(), 1);
    let extension = "use crate::Body;\nuse crate::message::Request;\nuse crate::{conn, Response};\n";
    assert_eq!(forbidden_imports(&map(), "src/ext/tower.rs", extension).len(), 2);
}

/// Returns the imports between the files of a folder, tests aside.
fn imports_in(folder: &str) -> Graph {
    let strip = |file: String| file.trim_start_matches(folder).trim_start_matches('/').to_owned();
    let files: Vec<_> = sources(folder)
        .into_iter()
        .filter(|(file, _)| !is_test(file))
        .map(|(file, text)| (strip(file), text))
        .collect();
    graph(&files)
}

#[test]
fn no_files_import_from_each_other() {
    let graph = imports_in("src");
    assert!(
        graph["conn/exchange.rs"].contains("message/request.rs"),
        "the graph sees through a folder's list"
    );
    assert_eq!(circle(&graph), None);
}

#[test]
fn no_files_of_the_c_layer_import_from_each_other() {
    let mut graph = imports_in("bindings/c/src");
    assert_eq!(circle(&graph), None);
    // The graph is not empty: one import more makes a circle.
    graph.get_mut("user_data.rs").unwrap().insert("responder.rs".to_owned());
    let found = circle(&graph).unwrap_or_default();
    assert!(found.iter().any(|file| file == "responder.rs"), "{found:?}");
}

#[test]
fn a_circle_is_found() {
    let files = [
        ("lib.rs", "mod one;\nmod two;\npub use one::{A, b};"),
        ("one/mod.rs", "mod a;\nmod b;\npub use a::A;\npub(crate) use b::b;"),
        ("one/a.rs", "use std::fmt;\nuse super::{b, other};\n"),
        ("one/b.rs", "fn b() { crate::two::go() }"),
        ("two.rs", "use crate::{\n    one::A as First,\n};\n#[cfg(test)]\nmod tests {}"),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let circle_of = |files: &[(String, String)]| circle(&graph(files)).map(|circle| circle.join(" "));
    assert_eq!(circle_of(&files).as_deref(), Some("one/a.rs one/b.rs two.rs one/a.rs"));
    let mut mended = files.clone();
    mended[4].1 =
        "use std::fmt;\n// use crate::one::A;\n#[cfg(test)]\nmod tests { use crate::one::A; }".to_owned();
    assert_eq!(circle_of(&mended), None);
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
/// The folders that know no socket and no clock.
const PURE: &[&str] = &["src/fields", "src/message", "src/http1"];

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

/// The clocks and sockets that code names.
fn forbidden_words(code: &str) -> Vec<&str> {
    let is_forbidden = |word: &&str| SOCKETS.contains(word) || CLOCKS.contains(word);
    words(code).into_iter().filter(is_forbidden).chain(imports_time(code).then_some("time")).collect()
}

#[test]
fn fields_messages_and_protocol_know_no_socket_and_no_clock() {
    for (file, text) in PURE.iter().flat_map(|folder| sources(folder)) {
        assert_eq!(forbidden_words(&code(&text)), Vec::<&str>::new(), "{file}");
    }
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
        "use std::net::TcpStream;",
    ] {
        assert_ne!(forbidden_words(code), Vec::<&str>::new(), "{code}");
    }
    assert_eq!(forbidden_words("use std::time::Duration;"), Vec::<&str>::new());
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

/// The lines above an atomic operation in which its order must be argued.
const ARGUED_WITHIN: usize = 40;

/// Returns the places with an order of memory that no comment above them argues. Tests argue nothing.
fn unargued(file: &str, text: &str) -> Vec<String> {
    let lines: Vec<_> = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().lines().collect();
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let needs =
        |line: &str| !is_comment(line) && (line.contains("Ordering::Relaxed") || line.contains("fence("));
    let argues = |line: &&str| is_comment(line) && (line.contains("Relaxed") || line.contains("barrier"));
    let needing = lines.iter().enumerate().filter(|(_, line)| needs(line)).map(|(number, _)| number);
    needing
        .filter(|number| !lines[number.saturating_sub(ARGUED_WITHIN)..*number].iter().any(argues))
        .map(|number| format!("{file}:{}: why is the order of memory enough?", number + 1))
        .collect()
}

#[test]
fn each_relaxed_order_and_each_fence_is_argued_beside_it() {
    let files = sources("src").into_iter().filter(|(file, _)| !is_test(file));
    let files = files.chain(sources("bindings/c/src"));
    let faults: Vec<_> = files.flat_map(|(file, text)| unargued(&file, &text)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(unargued("a.rs", "fn a() {\n    fence(Ordering::Acquire);\n}\n").len(), 1);
    assert_eq!(unargued("a.rs", "// Relaxed: a count.\ncount.load(Ordering::Relaxed);\n").len(), 0);
}
