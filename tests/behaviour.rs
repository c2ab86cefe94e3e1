//! `docs/behaviour.md` tells the truth: the tests it names exist, and its table
//! of refusals is that of the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all tests: Rust and Python functions, cases of the wire corpus,
/// C programs.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders = vec![root().join("src"), root().join("tests"), root().join("bindings")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            let prefixes: &[&str] = match extension {
                _ if path.is_dir() => {
                    folders.push(path);
                    continue;
                }
                "rs" => &["fn "],
                "py" => &["def ", "async def "],
                "txt" => &["case "],
                "c" => {
                    names.insert(path.file_name().unwrap().to_string_lossy().into_owned());
                    continue;
                }
                _ => continue,
            };
            for line in fs::read_to_string(&path).unwrap().lines() {
                let name = prefixes.iter().find_map(|prefix| line.trim_start().strip_prefix(prefix));
                names.extend(name.map(|name| name.split('(').next().unwrap_or_default().trim().to_owned()));
            }
        }
    }
    names
}

fn document() -> String {
    fs::read_to_string(root().join("docs/behaviour.md")).unwrap()
}

/// What stands in code font within brackets.
fn named(document: &str) -> BTreeSet<String> {
    document
        .split('[')
        .skip(1)
        .filter_map(|part| part.split_once(']'))
        .filter(|(names, behind)| names.starts_with('`') && !behind.starts_with('('))
        .flat_map(|(names, _)| names.split(','))
        .map(|name| name.trim().trim_matches('`').to_owned())
        .collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let (tests, named) = (tests(), named(&document()));
    assert!(named.len() > 80, "only {} tests are named", named.len());
    let missing: Vec<_> = named.difference(&tests).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn every_refusal_is_in_the_table_with_its_status() {
    let (document, code) = (document(), fs::read_to_string(root().join("src/error.rs")).unwrap());
    let table = code.split("rejects! {").nth(1).unwrap().split("\n}").next().unwrap();
    let mut rows = 0;
    for line in table.lines().filter(|line| line.contains('"')) {
        let mut words = line.split_whitespace();
        let (status, reason) = (words.nth(1).unwrap(), words.next().unwrap().trim_matches('"'));
        let number = document
            .lines()
            .find_map(|row| row.strip_prefix(&format!("| `{reason}` | ")))
            .unwrap_or_else(|| panic!("{reason} is not in the table"))
            .trim_end_matches(" |");
        let known: http::StatusCode = number.parse().unwrap();
        let name = known.canonical_reason().unwrap().to_uppercase().replace(' ', "_");
        assert_eq!(name, status, "{reason}");
        rows += 1;
    }
    assert_eq!(rows, document.lines().filter(|line| line.starts_with("| `") && line.ends_with(" |")).count());
}
