//! `include/transom.h` is what cbindgen makes of the sources, and it declares exactly the
//! functions that the library exports. `abi.txt` is the binary interface that it describes.
//!
//! `transom.def` lists the functions for Windows.
//!
//! `TRANSOM_BLESS=1 cargo test -p transom-capi --test header` writes the files.

#[path = "support/abi.rs"]
mod abi;
mod support;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Scratch, include_dir, library_dir};

/// The files with public items, in the order of their functions in the header, and the title
/// of the section that begins with the first function of the file.
const FILES: &[(&str, &str)] = &[
    ("library", "The library"),
    ("logger", ""),
    ("status", "Errors"),
    ("error", ""),
    ("bytes", ""),
    ("percent", ""),
    ("user_data", ""),
    ("handler", ""),
    ("server", "Server: creating and freeing"),
    ("routes", "Server: routes"),
    ("route", ""),
    ("settings", "Server: settings, before the start"),
    ("hosts", ""),
    ("proxies", ""),
    ("overload", ""),
    ("congestion", ""),
    ("tls", "TLS: certificates and keys"),
    ("exchange_hook", ""),
    ("log_sink", ""),
    ("log_lines", ""),
    ("access_log", "Access log"),
    ("compression", "Compression"),
    ("metric_records", ""),
    ("metrics", "Metrics"),
    ("status_page", "The status page"),
    ("static_files", "Static files"),
    ("own_answer", ""),
    ("server_hooks", "Server: hooks, before the start"),
    ("middleware", "Ready middleware"),
    ("reject", ""),
    ("run", "Server: listening, starting, stopping"),
    ("tls_listeners", ""),
    ("restart", "Server: restarts"),
    ("watchdog", "Server: the watchdog"),
    ("stats", ""),
    ("connections", ""),
    ("request", "Request: reading, until it is answered"),
    ("values", ""),
    ("cookies", "Cookies: setting and signing"),
    ("multipart", "Multipart forms: reading the parts of a request body"),
    ("connection", ""),
    ("tls_info", ""),
    ("wrap", ""),
    ("responder", "Responder: sending the response, once, on any thread"),
    ("file", ""),
    ("response", "Response: reading and changing it, in a callback"),
    ("writer", "Writer: a body that is written piece by piece"),
    ("packed", ""),
    ("pull", "Pulling: requests in batches, on threads of the host"),
    ("events", "Events: reports on threads of the host"),
    ("watch", ""),
    ("stopping", ""),
    ("upgraded", "Upgraded: a connection that has left HTTP"),
    ("websocket_upgrade", "WebSocket: connections that send and receive messages"),
    ("websocket", ""),
    ("websocket_send", ""),
    ("websocket_receive", ""),
    ("websocket_message", ""),
    ("websocket_watch", ""),
    ("slow_reader", ""),
    ("broadcast", ""),
    ("sse_event", ""),
    ("sse", "Server-sent events"),
    ("sse_broadcast", ""),
    ("client", "Client: a connection in memory, for tests"),
];

fn source(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file).with_extension("rs")
}

fn generate() -> String {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(cbindgen::Config::from_file(config).unwrap());
    for (file, _) in FILES {
        builder = builder.with_src(source(file));
    }
    let mut bytes = Vec::new();
    builder.generate().expect("cbindgen understands the sources").write(&mut bytes);
    with_sections(&with_sizes(&with_tags(&with_stars(&String::from_utf8(bytes).unwrap()))))
}

/// Formats comments as C programmers do: a star on each line, or all on one line.
fn with_stars(header: &str) -> String {
    let mut out = String::new();
    let mut lines = header.lines().peekable();
    while let Some(line) = lines.next() {
        let indent = &line[..line.len() - line.trim_start().len()];
        if line.trim() != "/*" || lines.peek().is_some_and(|next| next.trim_start().starts_with('*')) {
            out += line;
            out += "\n";
            continue;
        }
        let text: Vec<_> = lines.by_ref().take_while(|line| line.trim() != "*/").collect();
        let text = text.iter().map(|line| line.strip_prefix(indent).unwrap_or(line));
        let text: Vec<_> = text.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
        if let [only] = text[..] {
            let _ = writeln!(out, "{indent}/* {only} */");
        } else {
            let _ = writeln!(out, "{indent}/*");
            for line in text {
                out += format!("{indent} * {line}").trim_end();
                out += "\n";
            }
            let _ = writeln!(out, "{indent} */");
        }
    }
    out
}

/// Gives structs and enums a tag, so that other headers can declare them.
fn with_tags(header: &str) -> String {
    let mut out = String::new();
    let mut rest = header;
    while let Some(at) = rest.find("typedef struct {").into_iter().chain(rest.find("typedef enum {")).min() {
        let brace = at + rest[at..].find('{').unwrap();
        let end = brace + rest[brace..].find("\n} ").unwrap() + 3;
        let name = &rest[end..end + rest[end..].find(';').unwrap()];
        out += &rest[..brace];
        out += name;
        out += " ";
        rest = &rest[brace..];
    }
    out + rest
}

/// Inserts checks of the sizes that packed records must have, before the functions.
fn with_sizes(header: &str) -> String {
    const CHECKS: &str = "\
/* A compiler that lays the records of a batch out differently fails here. */
#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L)
#ifdef __cplusplus
#define TRANSOM_STATIC_ASSERT static_assert
#else
#define TRANSOM_STATIC_ASSERT _Static_assert
#endif
TRANSOM_STATIC_ASSERT(sizeof(transom_request_record) == 56, \"a request record has 56 bytes\");
TRANSOM_STATIC_ASSERT(sizeof(transom_param_record) == 8, \"a param record has 8 bytes\");
TRANSOM_STATIC_ASSERT(sizeof(transom_tls_record) == 24, \"a TLS record has 24 bytes\");
TRANSOM_STATIC_ASSERT(sizeof(transom_response_record) == 32, \"a response record has 32 bytes\");
TRANSOM_STATIC_ASSERT(sizeof(transom_series_record) == 64, \"a series record has 64 bytes\");
TRANSOM_STATIC_ASSERT(sizeof(transom_metric_record) == 40, \"a metric record has 40 bytes\");
TRANSOM_STATIC_ASSERT(sizeof(transom_event) == 16, \"an event has 16 bytes\");
#endif

";
    let at = header.find("#ifdef __cplusplus\nextern \"C\"").unwrap();
    format!("{}{CHECKS}{}", &header[..at], &header[at..])
}

/// Inserts a line with the title before the first function of each section.
fn with_sections(header: &str) -> String {
    let mut header = header.to_owned();
    for (file, title) in FILES {
        if title.is_empty() {
            continue;
        }
        let text = fs::read_to_string(source(file)).unwrap();
        let defined =
            names(&text).into_iter().filter_map(|name| Some((text.find(&format!("fn {name}("))?, name)));
        let (_, name) = defined.min().unwrap();
        let functions = header.find("extern \"C\"").unwrap();
        let function = functions + header[functions..].find(&format!("{name}(")).unwrap();
        let at = header[..function].rfind("\n\n").unwrap();
        header.insert_str(at, &format!("\n\n\n/* ---- {title} {} */", "-".repeat(80 - title.len())));
    }
    header
}

/// Returns the names of the functions in a text: every `transom_...(`.
fn names(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices('(') {
        let before = &text[..at];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = &before[before.trim_end_matches(is_name).len()..];
        if name.starts_with("transom_") {
            names.insert(name.to_owned());
        }
    }
    names
}

fn without_comments(header: &str) -> String {
    let mut out = String::new();
    let mut rest = header;
    while let Some((code, comment)) = rest.split_once("/*") {
        out += code;
        rest = comment.split_once("*/").unwrap().1;
    }
    out + rest
}

#[test]
fn header_is_fresh() {
    let path = include_dir().join("transom.h");
    let fresh = generate();
    if std::env::var_os("TRANSOM_BLESS").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    let difference = fresh.lines().zip(committed.lines()).position(|(fresh, committed)| fresh != committed);
    assert!(
        fresh == committed,
        "include/transom.h is stale, from line {difference:?} on: run with TRANSOM_BLESS=1"
    );
}

/// While the ABI version is 0, the record may change; later, it may only grow.
#[test]
#[cfg(target_pointer_width = "64")]
fn the_binary_interface_is_the_recorded_one() {
    let scratch = Scratch::new("abi");
    let header = generate();
    // Not the file, which another test may be writing.
    fs::write(scratch.path().join("transom.h"), &header).unwrap();
    let fresh = abi::record(&without_comments(&header), scratch.path(), scratch.path());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("abi.txt");
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(abi::fault(&recorded, &fresh), None);
    if std::env::var_os("TRANSOM_BLESS").is_some() {
        fs::write(&path, &fresh).unwrap();
        return;
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (recorded, fresh) = (lines(&recorded), lines(&fresh));
    let changed: Vec<_> = recorded.symmetric_difference(&fresh).collect();
    assert!(changed.is_empty(), "bindings/c/abi.txt is stale: run with TRANSOM_BLESS=1\n{changed:#?}");
}

#[test]
fn a_change_of_the_binary_interface_is_found() {
    let scratch = Scratch::new("change");
    let record = |header: &str| {
        fs::write(scratch.path().join("transom.h"), header).unwrap();
        abi::record(header, scratch.path(), scratch.path())
    };
    let first = "#define TRANSOM_ABI_VERSION 1\ntypedef enum e { TRANSOM_A = 1, } e;\n\
        typedef struct s { int a; int b; } s;\ntypedef void (*transom_fn)(s *of);\nint transom_f(s *of);\n";
    let recorded = record(first);
    for line in [
        "abi TRANSOM_ABI_VERSION    1\n",
        "field s at    4: int b\n",
        "function transom_f: int (s *of)\n",
        "size s    8\n",
        "type void (*transom_fn)(s *of)\n",
        "value e    1: TRANSOM_A\n",
    ] {
        assert!(recorded.contains(line), "{recorded}");
    }
    let after = |from: &str, to: &str| {
        assert!(first.contains(from));
        abi::fault(&recorded, &record(&first.replacen(from, to, 1)))
    };
    for (from, to) in [
        ("TRANSOM_A = 1", "TRANSOM_A = 2"),
        ("int a; int b;", "int b; int a;"),
        ("int b;", "int b; int c;"),
        ("(*transom_fn)(s *of)", "(*transom_fn)(s *of, int more)"),
        ("int transom_f(s *of)", "long transom_f(s *of)"),
        ("int transom_f(s *of);", ""),
    ] {
        let fault = after(from, to).unwrap_or_else(|| panic!("{from} became {to}"));
        assert!(fault.contains("must move"), "{fault}");
        // The number moves, or it is 0.
        let moved = first.replace("VERSION 1", "VERSION 2").replacen(from, to, 1);
        assert_eq!(abi::fault(&recorded, &record(&moved)), None);
        let early = record(&first.replace("VERSION 1", "VERSION 0"));
        assert_eq!(abi::fault(&early, &record(&moved.replace("VERSION 2", "VERSION 0"))), None);
    }
    assert_eq!(after("TRANSOM_A = 1,", "TRANSOM_A = 1, TRANSOM_B = 2,"), None);
    assert_eq!(after("(s *of);\nint", "(s *renamed);\nint"), None);
    assert_eq!(after("int transom_f", "int transom_g(void);\nint transom_f"), None);
    let growing = first.replace("int a;", "size_t size;");
    let grown = growing.replace("int b;", "int b; int c;");
    let [growing, grown] = [growing, grown].map(|header| record(&format!("#include <stddef.h>\n{header}")));
    assert_eq!(abi::fault(&growing, &grown), None);
}

#[test]
fn header_names_what_the_library_exports() {
    let library = library_dir().join("libtransom.so");
    let output =
        Command::new("nm").args(["-D", "--defined-only"]).arg(&library).output().expect("nm is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let symbols = String::from_utf8(output.stdout).unwrap();
    let exported: BTreeSet<_> =
        symbols.lines().filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect();
    let header = fs::read_to_string(include_dir().join("transom.h")).unwrap();
    assert_eq!(names(&without_comments(&header)), exported);
}

/// `transom.def` lists the functions for the linkers of Windows.
#[test]
fn the_definition_file_names_what_the_header_does() {
    let functions = names(&without_comments(&generate()));
    let first = "; The functions of transom.dll. tests/header.rs makes this file from the header.\n\
        LIBRARY transom.dll\nEXPORTS\n";
    let fresh = functions.iter().fold(first.to_owned(), |text, name| text + "    " + name + "\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("transom.def");
    if std::env::var_os("TRANSOM_BLESS").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(fresh == committed, "bindings/c/transom.def is stale: run with TRANSOM_BLESS=1");
}

#[test]
fn every_function_is_documented_and_called_by_a_test_program() {
    let header = fs::read_to_string(include_dir().join("transom.h")).unwrap();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let programs = fs::read_dir(tests).unwrap().map(|entry| entry.unwrap().path());
    let programs = programs.filter(|path| path.extension().is_some_and(|extension| extension == "c"));
    let called: BTreeSet<_> = programs.flat_map(|path| names(&fs::read_to_string(path).unwrap())).collect();
    let (_, functions) = header.split_once("extern \"C\"").unwrap();
    for name in names(&without_comments(functions)) {
        assert!(called.contains(&name), "no program in tests/ calls {name}");
        let declaration = functions
            .split("\n\n")
            .find(|part| without_comments(part).contains(&format!("{name}(")))
            .unwrap();
        assert!(declaration.trim_start().starts_with("/*"), "{name} has no comment");
    }
}

/// Returns a program of this folder without its comments.
fn test_program(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    without_comments(&fs::read_to_string(path).unwrap())
}

#[test]
fn every_function_is_called_at_random() {
    let header = without_comments(&fs::read_to_string(include_dir().join("transom.h")).unwrap());
    let (_, functions) = header.split_once("extern \"C\"").unwrap();
    let called = names(&test_program("random.c"));
    let missing: Vec<_> = names(functions).into_iter().filter(|name| !called.contains(name)).collect();
    assert!(missing.is_empty(), "tests/random.c does not call {missing:?}");
}

#[test]
fn the_free_functions_of_every_function_are_counted() {
    let header = without_comments(&fs::read_to_string(include_dir().join("transom.h")).unwrap());
    let (_, functions) = header.split_once("extern \"C\"").unwrap();
    let counted = test_program("destructors.c");
    let mut taking = 0;
    for declaration in functions.split(';').filter(|text| text.contains("transom_free_fn free_fn")) {
        for name in names(declaration) {
            // The program has a table of those that it calls through a macro.
            let row = format!("{{\"{}\",", name.trim_start_matches("transom_"));
            let is_counted = names(&counted).contains(&name) || counted.contains(&row);
            assert!(is_counted, "tests/destructors.c does not call {name}");
            taking += 1;
        }
    }
    assert!(taking > 10, "the header has functions that take a free function");
}

/// Returns the arguments of each call or declaration of a function in a text.
fn arguments<'a>(text: &'a str, function: &str) -> Vec<Vec<&'a str>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, name) in text.match_indices(&format!("{function}(")) {
        if text[..at].ends_with(is_name) {
            continue;
        }
        let (mut depth, mut begin, mut list) = (0, at + name.len(), Vec::new());
        for (end, c) in text[begin..].char_indices().map(|(end, c)| (at + name.len() + end, c)) {
            match c {
                '(' => depth += 1,
                ',' | ')' if depth == 0 => {
                    list.push(text[begin..end].trim());
                    begin = end + 1;
                }
                ')' => depth -= 1,
                _ => {}
            }
            if c == ')' && begin == end + 1 {
                break;
            }
        }
        found.push(list);
    }
    found
}

#[test]
fn every_pointer_is_tried_with_null() {
    let header = without_comments(&fs::read_to_string(include_dir().join("transom.h")).unwrap());
    let (_, functions) = header.split_once("extern \"C\"").unwrap();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let programs = fs::read_dir(tests).unwrap().map(|entry| entry.unwrap().path());
    let programs = programs.filter(|path| path.extension().is_some_and(|extension| extension == "c"));
    let programs: String = programs.map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut missing = Vec::new();
    for name in names(functions) {
        let calls = arguments(&programs, &name);
        for (index, parameter) in arguments(functions, &name)[0].iter().enumerate() {
            let is_pointer = parameter.contains('*') || parameter.contains("_fn ");
            if is_pointer && !calls.iter().any(|call| call.get(index) == Some(&"NULL")) {
                missing.push(format!("{name}: {parameter}"));
            }
        }
    }
    assert!(missing.is_empty(), "no program in tests/ passes NULL for {missing:#?}");
}

/// Functions of `transom.h` that `transom.hpp` does not call, each with the reason.
const LEFT_OUT: [(&str, &str); 10] = [
    ("transom_server_route", "Server::route is a Route that is added"),
    ("transom_bytes_equal", "std::string_view compares"),
    ("transom_request_headers", "Request::headers is a range, without a list to make room for"),
    ("transom_responder_local_address", "for hosts of batches; Request::local_address is for C++"),
    ("transom_responder_send_text", "Responder::text takes a text that is not NUL-terminated"),
    ("transom_server_next_batch", "packed records are for other languages; Server::next is for C++"),
    ("transom_server_refuse_larger", "part of the batches"),
    ("transom_server_respond_batch", "part of the batches"),
    ("transom_token_responder", "part of the batches"),
    ("transom_token_read", "part of the batches"),
];

/// A new function of `transom.h` gets a wrapper in `transom.hpp`, or a line above.
#[test]
fn every_function_is_reached_by_the_header_for_cpp_or_left_out_for_a_reason() {
    let read = |name: &str| without_comments(&fs::read_to_string(include_dir().join(name)).unwrap());
    let (header, cpp) = (read("transom.h"), read("transom.hpp"));
    let (_, functions) = header.split_once("extern \"C\"").unwrap();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: BTreeSet<_> = cpp.split(|c| !is_name(c)).collect();
    let left_out: BTreeSet<_> = LEFT_OUT.iter().map(|(name, _)| *name).collect();
    let declared = names(functions);
    for name in &declared {
        let (reached, left_out) = (words.contains(&name[..]), left_out.contains(&name[..]));
        assert!(reached || left_out, "include/transom.hpp does not call {name}");
        assert!(!reached || !left_out, "include/transom.hpp calls {name}, which LEFT_OUT names");
    }
    for name in left_out {
        assert!(declared.contains(name), "LEFT_OUT names {name}, which transom.h does not declare");
    }
}

#[test]
fn library_has_a_soname_and_stays_loaded() {
    let library = library_dir().join("libtransom.so");
    let output = Command::new("readelf").arg("-d").arg(&library).output().expect("readelf is installed");
    let dynamic = String::from_utf8_lossy(&output.stdout);
    assert!(dynamic.contains("[libtransom.so.0]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
}
