//! The README tells the truth: its tables match the code, its programs are the
//! examples.

use std::fs;
use std::path::Path;

use transom::{Limits, Timeouts};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The fields that `{:#?}` shows, with their values.
fn fields(debug: &str) -> Vec<(String, String)> {
    let flat = debug.replace("Some(\n", "Some(").replace(",\n    )", ")");
    flat.lines()
        .filter_map(|line| line.trim().trim_end_matches(',').split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.replace("Some(", "").replace(')', "").trim().to_owned()))
        .collect()
}

/// `8 KiB`, `10 MiB`, `10,000`, `10 s` as the number that the code holds.
fn number(text: &str) -> String {
    if text == "off" {
        return "None".into();
    }
    let plain = text.replace(',', "");
    let (digits, unit) = plain.split_once(' ').unwrap_or((&plain, ""));
    let digits: u64 = digits.parse().unwrap_or_else(|_| panic!("{text} is no number"));
    match unit {
        "KiB" => (digits * 1024).to_string(),
        "MiB" => (digits * 1024 * 1024).to_string(),
        "s" => format!("{digits}s"),
        _ => digits.to_string(),
    }
}

#[test]
fn the_table_of_limits_is_that_of_the_code() {
    let readme = read("README.md");
    let defaults = [
        ("limits", format!("{:#?}", Limits::default())),
        ("timeouts", format!("{:#?}", Timeouts::default())),
    ];
    let mut rows = 0;
    for (group, debug) in defaults {
        for (name, value) in fields(&debug) {
            let key = format!("| `{group}.{name}` |");
            let row =
                readme.lines().find(|line| line.starts_with(&key)).unwrap_or_else(|| panic!("no row {key}"));
            rows += 1;
            if name == "pool_threads" {
                continue; // depends on the machine
            }
            let cell = row.split('|').nth(2).unwrap_or_default().trim();
            assert_eq!(number(cell), value, "{key}");
        }
    }
    let written = readme
        .lines()
        .filter(|line| line.starts_with("| `limits.") || line.starts_with("| `timeouts."))
        .count();
    assert_eq!(written, rows, "the README has rows that the code does not");
}

#[test]
fn the_programs_of_the_readme_are_the_examples() {
    let readme = read("README.md");
    for path in ["examples/hello.rs", "bindings/c/examples/hello.c", "bindings/python/examples/hello.py"] {
        let program = read(path);
        assert!(readme.contains(program.trim()), "the README does not show {path} as it is");
    }
}
