//! The headers and the examples compile without a warning: with every compiler that is installed,
//! in every standard that they support. Nothing is linked or run here.
//!
//! With `TRANSOM_TEST_COMPILERS=all`, a compiler that is not installed fails the test.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Scratch, include_dir};

const C: [&str; 4] = ["cc", "gcc", "clang", "musl-gcc"];
const CPP: [&str; 3] = ["c++", "g++", "clang++"];

const WARNINGS: [&str; 7] =
    ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wsign-conversion", "-Werror"];

/// Every warning that Clang has, but for those that hold for any C++ or any struct.
const EVERYTHING: [&str; 12] = [
    "-Weverything",
    "-Werror",
    "-Wno-padded",                      // tells of each struct with padding
    "-Wno-declaration-after-statement", // C89
    "-Wno-pre-c11-compat",              // C99
    "-Wno-pre-c23-compat",              // C11
    "-Wno-c++98-compat-pedantic",       // C++98
    "-Wno-unused-macros",               // each macro that is for the headers of the system
    "-Wno-weak-vtables",                // each exception class of a header
    "-Wno-unsafe-buffer-usage",         // each pointer
    "-Wno-switch-default",              // contradicts -Wcovered-switch-default
    "-Wno-unknown-warning-option",      // an older Clang does not know all of these
];

/// Returns those that are installed, once if two names are the same compiler, and says which are
/// left out.
fn installed(compilers: &[&'static str]) -> Vec<&'static str> {
    let mut versions = BTreeSet::new();
    let mut found = Vec::new();
    for compiler in compilers {
        let Ok(output) = Command::new(compiler).arg("--version").stderr(Stdio::null()).output() else {
            let all = std::env::var("TRANSOM_TEST_COMPILERS").is_ok_and(|value| value == "all");
            assert!(!all, "{compiler} is not installed");
            eprintln!("{compiler} is left out: it is not installed");
            continue;
        };
        let version = String::from_utf8_lossy(&output.stdout).into_owned();
        // It begins with the name by which the compiler was called. The one for musl is gcc.
        let version = version.split_once(' ').map_or("", |(_, rest)| rest).to_owned();
        if versions.insert((version, compiler.contains("musl"))) {
            found.push(*compiler);
        }
    }
    found
}

#[track_caller]
fn check(compiler: &str, standard: &str, sources: &[PathBuf]) {
    let warnings: &[&str] = if compiler.starts_with("clang") { &EVERYTHING } else { &WARNINGS };
    let output = Command::new(compiler)
        .arg(format!("-std={standard}"))
        .args(warnings)
        // The examples use POSIX, which the standards without GNU extensions hide.
        .args(["-D_GNU_SOURCE", "-fsyntax-only", "-I"])
        .arg(include_dir())
        .args(sources)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{compiler} -std={standard} {warnings:?}: {report}");
}

/// Writes a file that includes the header twice.
fn include(header: &str, scratch: &Scratch, extension: &str) -> PathBuf {
    let path = scratch.path().join(header).with_extension(extension);
    let text = format!("#include <{header}>\n#include <{header}>\nint main(void) {{ return TRANSOM_OK; }}\n");
    fs::write(&path, text).unwrap();
    path
}

/// Returns the examples whose names end in the extension.
fn examples(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        // It needs a header that is not everywhere; its own test runs it.
        .filter(|path| path.file_stem().is_some_and(|stem| stem != "uv"))
        .collect()
}

#[test]
fn c_compiles_everywhere_without_a_warning() {
    let scratch = Scratch::new("c");
    let mut sources = examples("c");
    sources.push(include("transom.h", &scratch, "c"));
    for compiler in installed(&C) {
        for standard in ["c99", "c11", "c17", "c2x", "gnu99", "gnu2x"] {
            check(compiler, standard, &sources);
        }
    }
}

#[test]
fn the_c_header_compiles_as_cpp_everywhere_without_a_warning() {
    let scratch = Scratch::new("c-as-cpp");
    let source = [include("transom.h", &scratch, "cpp")];
    for compiler in installed(&CPP) {
        for standard in ["c++11", "c++14", "c++17", "c++20", "c++2b"] {
            check(compiler, standard, &source);
        }
    }
}

#[test]
fn cpp_compiles_everywhere_without_a_warning() {
    let scratch = Scratch::new("cpp");
    let mut sources = examples("cpp");
    sources.push(include("transom.hpp", &scratch, "cpp"));
    for compiler in installed(&CPP) {
        for standard in ["c++17", "c++20", "c++2b"] {
            check(compiler, standard, &sources);
        }
    }
}

/// `transom.hpp` refuses options that it does not support, and says why.
#[test]
fn the_header_for_cpp_refuses_what_it_does_not_support() {
    let scratch = Scratch::new("refused");
    let source = include("transom.hpp", &scratch, "cpp");
    let handler = scratch.path().join("handler.cpp");
    let mutable = "#include <transom.hpp>\nvoid add(transom::Server &server);\n\
        void add(transom::Server &server) { server.get(\"/\", [i = 0]() mutable { return std::to_string(i++); }); }\n";
    fs::write(&handler, mutable).unwrap();
    for compiler in installed(&CPP) {
        for (options, source, sentence) in [
            (["-std=c++17", "-fno-exceptions"], &source, "transom.hpp needs exceptions: use transom.h"),
            (["-std=c++14", "-fexceptions"], &source, "transom.hpp needs C++17: compile with -std=c++17"),
            (["-std=c++17", "-fexceptions"], &handler, "a lambda must not be mutable"),
        ] {
            let output = Command::new(compiler)
                .args(options)
                .args(["-fsyntax-only", "-I"])
                .arg(include_dir())
                .arg(source)
                .output()
                .unwrap();
            let report = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && report.contains(sentence), "{compiler}: {report}");
        }
    }
}

#[test]
fn the_header_for_cpp_defines_no_macro_but_its_guard() {
    let header = fs::read_to_string(include_dir().join("transom.hpp")).unwrap();
    let macros: Vec<_> = header.lines().filter(|line| line.starts_with("#define")).collect();
    assert_eq!(macros, ["#define TRANSOM_HPP"]);
}
