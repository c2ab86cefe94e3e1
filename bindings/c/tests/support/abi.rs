//! The binary interface, as `abi.txt` records it: a line for each function, type, field and value.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

const INTRODUCTION: &str = "\
# The binary interface of 64-bit systems: every function with its types, every value, and the
# size and offsets of every struct. tests/header.rs makes it from include/transom.h, and fails
# if this file differs: run with TRANSOM_BLESS=1. From ABI version 1 on, a line must stay as it
# is until TRANSOM_ABI_VERSION moves.
";

/// The declarations of a header, as lines of the record, and a C program that prints the others.
#[derive(Default)]
struct Reading {
    lines: Vec<String>,
    program: String,
}

impl Reading {
    /// Lets the program print a line with a number in place of `%`.
    fn print(&mut self, line: &str, number: &str) {
        let line = line.replace('%', "%4lld");
        let _ = writeln!(self.program, "    printf(\"{line}\\n\", (long long)({number}));");
    }

    fn constant(&mut self, line: &str) {
        let Some((name, _)) = line.split_once(' ') else { return };
        // Other macros are for the compiler, and a version is not part of the interface.
        let is_number = name.starts_with("TRANSOM_") && !line.contains("assert") && !line.contains("__");
        if is_number && !name.contains('(') && !name.starts_with("TRANSOM_VERSION_") {
            let kind = if name == "TRANSOM_ABI_VERSION" { "abi" } else { "constant" };
            self.print(&format!("{kind} {name} %"), name);
        }
    }

    fn statement(&mut self, statement: &str) {
        let text = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((head, body)) = text.split_once('{') {
            let (body, name) = body.rsplit_once('}').unwrap_or((body, ""));
            let name = Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or_else(|| last_word(head));
            if head.contains("enum") {
                self.values(name, body);
            } else {
                self.fields(name, body);
            }
        } else if let Some(declared) = text.strip_prefix("typedef ") {
            self.lines.push(format!("type {declared}"));
        } else if text.contains("transom_") && text.contains('(') && !text.contains("sizeof") {
            let text = text.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '_').trim_start();
            let (head, arguments) = text.split_once('(').unwrap();
            let name = last_word(head);
            let returns = head.trim_end().strip_suffix(name).unwrap_or(head);
            self.lines.push(format!("function {name}: {returns}({arguments}"));
        }
    }

    fn values(&mut self, name: &str, body: &str) {
        for value in body.split(',').map(|item| item.split('=').next().unwrap().trim()) {
            if !value.is_empty() {
                self.print(&format!("value {name} %: {value}"), value);
            }
        }
        self.print(&format!("size {name} %"), &format!("sizeof({name})"));
    }

    fn fields(&mut self, name: &str, body: &str) {
        let fields: Vec<_> = body.split(';').map(str::trim).filter(|field| !field.is_empty()).collect();
        // A struct that begins with its size may grow.
        if fields.first() != Some(&"size_t size") {
            self.print(&format!("size {name} %"), &format!("sizeof({name})"));
        }
        for field in fields {
            let (declared, _) = field.split_once('[').unwrap_or((field, ""));
            let place = format!("offsetof({name}, {})", last_word(declared));
            self.print(&format!("field {name} at %: {field}"), &place);
        }
    }
}

fn last_word(text: &str) -> &str {
    let text = text.trim();
    &text[text.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()..]
}

/// Returns the record of a header whose comments were removed. `include` is the folder of the
/// header, and `scratch` one for temporary files.
pub fn record(header: &str, include: &Path, scratch: &Path) -> String {
    let mut reading = Reading::default();
    let mut code = String::new();
    for line in header.lines() {
        if let Some(defined) = line.strip_prefix("#define ") {
            reading.constant(defined);
        } else if !line.starts_with('#') && !line.starts_with("extern \"C\"") && !line.starts_with("}  //") {
            code += line;
            code += "\n";
        }
    }
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ';' if depth == 0 => {
                reading.statement(&code[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    let mut lines: BTreeSet<String> = reading.lines.into_iter().collect();
    lines.extend(run(&reading.program, include, scratch).lines().map(str::to_owned));
    lines.into_iter().fold(INTRODUCTION.to_owned(), |text, line| text + &line + "\n")
}

/// Compiles and runs a program of these statements, and returns what it prints.
fn run(statements: &str, include: &Path, scratch: &Path) -> String {
    let (source, program) = (scratch.join("abi.c"), scratch.join("abi"));
    let text = format!(
        "#include <stddef.h>\n#include <stdio.h>\n#include <transom.h>\nint main(void)\n{{\n{statements}}}\n"
    );
    fs::write(&source, text).unwrap();
    let mut compile = Command::new("cc");
    compile.args(["-std=c11", "-I"]).arg(include).arg(&source).arg("-o").arg(&program);
    let compiled = compile.output().expect("a C compiler is installed");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap()
}

/// Returns a line without the names of arguments, which no compiled program knows.
fn without_names(line: &str) -> String {
    let Some((head, arguments)) = line.rsplit_once('(') else { return line.to_owned() };
    let types = arguments.trim_end_matches(')').split(',').map(|argument| {
        let declared = argument.trim();
        let bare = declared[..declared.len() - last_word(declared).len()].trim_end();
        if bare.is_empty() { declared } else { bare }
    });
    format!("{head}({})", types.collect::<Vec<_>>().join(", "))
}

/// Returns what is wrong if the record changes from one to the other.
pub fn fault(recorded: &str, fresh: &str) -> Option<String> {
    let lines = |text: &str| -> BTreeSet<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(without_names).collect()
    };
    let version = |lines: &BTreeSet<String>| lines.iter().find(|line| line.starts_with("abi ")).cloned();
    let (recorded, fresh) = (lines(recorded), lines(fresh));
    let (before, after) = (version(&recorded), version(&fresh));
    let lost: Vec<_> = recorded.difference(&fresh).collect();
    let is_fixed = before.as_ref().is_some_and(|version| !version.ends_with(" 0"));
    (is_fixed && before == after && !lost.is_empty()).then(|| {
        format!("programs that are compiled would break, so TRANSOM_ABI_VERSION must move:\n{lost:#?}")
    })
}
