//! Compiles and runs the C++ programs in `cpp/`, which use `transom.hpp`, each with a time limit:
//! see `support/programs.rs` for the variables that change how. Without a C++ compiler, the tests
//! say so and pass.

#[path = "support/programs.rs"]
mod programs;
mod support;

use std::fs;
use std::process::{Command, Stdio};

use programs::{crate_dir, in_static, shared};
use support::Scratch;

/// Returns true if there is a C++ compiler, and otherwise says that the test does nothing.
fn compiler_is_there() -> bool {
    let version = Command::new("c++").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let found = version.is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: there is no C++ compiler");
    }
    found
}

fn run(name: &str, standard: &str, link: Vec<String>) {
    if !compiler_is_there() {
        return;
    }
    let scratch = Scratch::new(name);
    let folder = crate_dir().join("tests/cpp");
    let mut sources = vec![folder.join(name).with_extension("cpp")];
    // The second translation unit, if the program has one.
    sources.extend(Some(folder.join(format!("{name}_other.cc"))).filter(|path| path.exists()));
    programs::run(&programs::compile("c++", standard, &sources, &scratch, link));
}

/// Defines a test for each program, and one which checks that the list is complete.
macro_rules! programs {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), "-std=c++17", shared());
        })*

        #[test]
        fn every_program_is_run() {
            let mut found: Vec<_> = fs::read_dir(crate_dir().join("tests/cpp"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "cpp"))
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
    allocations
    clients
    deferred
    events
    exceptions
    handlers
    hooks
    owning
    reading
    setup
    sse
    static_files
    streaming
    two_units
    websocket
    wraps
}

#[test]
fn static_library_does_too() {
    run("two_units", "-std=c++17", in_static());
}

#[test]
fn the_latest_standard_does_too() {
    run("handlers", "-std=c++2b", shared());
}

/// The guide and the header show the first example as it is.
#[test]
fn the_first_program_is_the_example() {
    let root = crate_dir().join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let example = read("bindings/c/examples/hello.cpp");
    assert!(
        read("docs/c.md").contains(&format!("```cpp\n{example}```\n")),
        "docs/c.md shows another program"
    );
    let (_, program) = example.split_once("*/\n").unwrap();
    let header = read("include/transom.hpp").replace("\n *     ", "\n").replace("\n *\n", "\n\n");
    assert!(header.contains(program), "include/transom.hpp shows another program");
}
