//! The libraries as they are linked: the symbols that the archive exports, and the paths
//! that a release build contains.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Scratch, include_dir, library_dir};

/// Another static library in Rust, which contains the standard library.
const OTHER: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn other_length(number: u32) -> usize {
    let caught = std::panic::catch_unwind(|| {
        let texts: Vec<String> = (0..number).map(|each| format!("{each:?}")).collect();
        assert!(number > 0, "on purpose");
        texts.join(" ").len()
    });
    caught.unwrap_or(usize::MAX)
}
"#;

const PROGRAM: &str = r#"
#include <transom.h>
size_t other_length(uint32_t number);
int main(void)
{
    transom_server *server = transom_server_new();
    int ok = transom_server_start(server, "127.0.0.1:0", NULL) == TRANSOM_OK;
    ok = ok && other_length(3) == 5 && other_length(0) == SIZE_MAX && transom_server_port(server) != 0;
    transom_server_free(server);
    return !ok;
}
"#;

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the command, and returns its output.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{text}{errors}", output.status);
    text.into_owned()
}

/// Returns the archive as a release build makes it.
fn archive(scratch: &Scratch) -> PathBuf {
    let archive = scratch.path().join("libtransom.a");
    fs::copy(library_dir().join("libtransom.a"), &archive).unwrap();
    run(Command::new(folder().join("localize.sh")).arg(&archive));
    archive
}

#[test]
fn the_archive_lies_beside_another_static_library_of_rust() {
    let scratch = Scratch::new("archive");
    let place = |name: &str| scratch.path().join(name);
    let archive = archive(&scratch);

    let symbols = run(Command::new("nm").args(["-g", "--defined-only"]).arg(&archive));
    let names: Vec<_> = symbols.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    assert!(names.len() > 50, "{symbols}");
    let others: Vec<_> = names.iter().filter(|name| !name.starts_with("transom_")).collect();
    assert!(others.is_empty(), "{others:?}");

    fs::write(place("other.rs"), OTHER).unwrap();
    fs::write(place("program.c"), PROGRAM).unwrap();
    let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
    let options = ["--edition=2024", "--crate-type=staticlib", "-Copt-level=1", "-Clto=fat"];
    run(Command::new(rustc).args(options).arg("-o").arg(place("libother.a")).arg(place("other.rs")));
    for archives in [[&archive, &place("libother.a")], [&place("libother.a"), &archive]] {
        let mut link = Command::new("cc");
        link.args(["-std=c11", "-pthread", "-I"]).arg(include_dir()).arg(place("program.c"));
        run(link.args(archives).args(["-ldl", "-lm", "-o"]).arg(place("program")));
        run(&mut Command::new(place("program")));
    }
}

#[test]
fn cargo_runs_rustc_through_the_script() {
    let root = folder().join("../..").canonicalize().unwrap();
    let config = fs::read_to_string(root.join(".cargo/config.toml")).unwrap();
    assert!(config.contains("\nrustc-wrapper = \"bindings/c/rustc.sh\"\n"), "{config}");
    let script = root.join("bindings/c/rustc.sh");
    let arguments = |options: &[&str]| {
        let mut command = Command::new(&script);
        command.args(["echo", "--crate-name", "x"]).args(options);
        run(command.env("CARGO_HOME", "/some/cargo").env("RUSTUP_HOME", "/some/rustup")).trim().to_owned()
    };
    assert_eq!(arguments(&["-C", "debuginfo=2"]), "--crate-name x -C debuginfo=2");
    let here = root.display();
    assert_eq!(
        arguments(&["-C", "opt-level=3"]),
        format!(
            "--crate-name x -C opt-level=3 --remap-path-prefix=/some/rustup=rustup \
             --remap-path-prefix=/some/cargo=cargo --remap-path-prefix={here}=."
        )
    );
    let failed = Command::new(&script).args(["false", "-C", "opt-level=3"]).status().unwrap();
    assert!(!failed.success());
}

/// Checks release builds only; CI runs it in one.
#[test]
fn no_folder_of_the_machine_is_in_a_library_for_release() {
    if cfg!(debug_assertions) && std::env::var_os("TRANSOM_TEST_LIBRARY").is_none() {
        return;
    }
    let root = folder().join("../..").canonicalize().unwrap();
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    for name in ["libtransom.so", "libtransom.a"] {
        let library = fs::read(library_dir().join(name)).unwrap();
        for folder in [root.to_str().unwrap(), home.as_str()] {
            let count = library.windows(folder.len()).filter(|bytes| *bytes == folder.as_bytes()).count();
            assert_eq!(count, 0, "{folder} in {name}");
        }
    }
}
