//! The documents for C tell the truth: their programs compile, and what they name exists.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Scratch, include_dir};

/// What the documents take as known.
const PRELUDE: &str = "\
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <transom.h>
#include <unistd.h>
";

/// What a block of statements may use without declaring it.
const PARAMETERS: &str = "transom_server *server, const transom_request *request, \
    transom_responder *responder, transom_writer *writer";

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents() -> [(&'static str, String); 2] {
    ["docs/c.md", "docs/coming-from.md"].map(|path| (path, read(path)))
}

/// Returns the blocks of code in a language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("\n```{language}\n");
    document.split(&begin).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// All blocks of a document make one file: functions as they are, statements in a function.
fn program(document: &str) -> String {
    let mut program = PRELUDE.to_owned();
    for (number, block) in blocks(document, "c").into_iter().enumerate() {
        if block.contains("\n{\n") {
            let _ = write!(program, "{block}\n\n");
        } else {
            let _ = write!(
                program,
                "void block_{number}({PARAMETERS});\nvoid block_{number}({PARAMETERS})\n{{\n{block}\n}}\n\n"
            );
        }
    }
    program
}

#[test]
fn the_programs_of_the_documents_compile() {
    let scratch = Scratch::new("guide");
    for (path, document) in documents() {
        let source = scratch.path().join("guide.c");
        fs::write(&source, program(&document)).unwrap();
        let output = Command::new("cc")
            .args([
                "-std=gnu11",
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Werror",
                "-Wno-unused",
                "-Wno-unused-parameter",
            ])
            .args(["-fsyntax-only", "-I"])
            .arg(include_dir())
            .arg(&source)
            .output()
            .expect("a C compiler is installed");
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(blocks(&documents()[0].1, "c").len() > 8, "the guide has programs");
}

/// Returns the names in a text that begin with a prefix.
fn names<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == ':'));
    words.filter(|word| word.len() > prefix.len() && word.starts_with(prefix)).collect()
}

#[test]
fn what_the_documents_name_exists() {
    let header = read("include/transom.h");
    let cpp = read("include/transom.hpp");
    for (path, document) in documents() {
        let mut count = 0;
        for name in ["transom_", "TRANSOM_"].iter().flat_map(|prefix| names(&document, prefix)) {
            let name = name.split(['.', ':']).next().unwrap();
            let known = names(&header, name).iter().any(|word| word.trim_end_matches(['.', ':']) == name)
                || header.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(|word| word == name);
            assert!(known, "{path}: there is no {name}");
            count += 1;
        }
        assert!(count > 20, "{path} names functions");
        // The document calls an object of a class by the name of the class.
        for object in ["server.", "request.", "responder.", "response.", "Response::"] {
            for name in names(&document, object).iter().map(|name| &name[object.len()..]) {
                let method = name.trim_end_matches(['.', ':']);
                assert!(
                    ["c", "cc", "cpp"].contains(&method)
                        || cpp.contains(&format!(" {method}("))
                        || cpp.contains(&format!("&{method}(")),
                    "{path}: there is no {object}{method}"
                );
            }
        }
    }
}

/// Returns the lines of a program that are neither blank nor comments only.
fn lines_of_code(example: &str) -> usize {
    let text = read(&format!("bindings/c/examples/{example}"));
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| {
            !(line.is_empty()
                || line.starts_with("/*")
                || ["*", "*/"].contains(line)
                || line.starts_with("* "))
        })
        .count()
}

#[test]
fn the_ports_have_as_many_lines_as_the_document_says() {
    let document = read("docs/coming-from.md");
    let shared = lines_of_code("example.h");
    for (example, shared) in [("simplepost.c", shared), ("rest.c", shared), ("server.cpp", 0)] {
        let told = format!("| {}: [`{example}`]", lines_of_code(example) + shared);
        assert!(document.contains(&told), "the document does not say {told:?}");
    }
}
