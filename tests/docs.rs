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
        "s" if digits == 0 => "0ns".to_owned(),
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

#[cfg(all(feature = "forms", feature = "serde"))]
#[test]
fn the_table_of_limits_on_content_is_that_of_the_code() {
    let readme = read("README.md");
    let defaults = [
        ("FormLimits", format!("{:#?}", transom::FormLimits::default())),
        ("JsonLimits", format!("{:#?}", transom::JsonLimits::default())),
    ];
    for (group, debug) in defaults {
        for (name, value) in fields(&debug).into_iter().filter(|(name, _)| name != "folder") {
            let key = format!("| `{group}.{name}` |");
            let row = readme.lines().find(|line| line.starts_with(&key));
            let row = row.unwrap_or_else(|| panic!("no row {key}"));
            assert_eq!(number(row.split('|').nth(2).unwrap_or_default().trim()), value, "{key}");
        }
    }
}

/// The settings of one group in `config.rs`: its name, each setting, and what its doc says.
fn documented_settings() -> Vec<(&'static str, String, String)> {
    let source = read("src/config.rs");
    let (mut group, mut doc, mut found) = ("", String::new(), Vec::new());
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
            continue;
        }
        if line.starts_with("pub(crate) struct ") {
            break;
        }
        if line.starts_with("pub struct ") {
            group = if line.contains("Limits") { "limits" } else { "timeouts" };
        } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            found.push((group, name.to_owned(), doc.clone()));
        }
        if !line.starts_with('#') {
            doc.clear();
        }
    }
    found
}

#[test]
fn what_a_setting_is_enforced_in_names_it() {
    let mut checked = 0;
    for (group, name, doc) in documented_settings() {
        let setting = format!("{group}.{name}");
        assert!(doc.contains("Enforced "), "{setting} does not say where it is enforced");
        for place in doc.split("Enforced in `").skip(1) {
            let module = place.split('`').next().unwrap_or_default().replace("::", "/");
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(module);
            let source = fs::read_to_string(file.with_extension("rs"))
                .or_else(|_| fs::read_to_string(file.join("mod.rs")))
                .unwrap_or_else(|error| panic!("{setting} is enforced in {}: {error}", file.display()));
            let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let is_named = code.match_indices(&setting).any(|(at, _)| {
                !code[at + setting.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
            });
            assert!(is_named, "{} does not name {setting}", file.display());
            checked += 1;
        }
    }
    assert!(checked >= 20, "only {checked} places are named");
}

#[test]
fn the_levels_of_the_log_are_those_of_the_code() {
    let docs = read("src/lib.rs");
    let section = docs.split("//! # Logging").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let mut code = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_file() {
                code.push_str(&fs::read_to_string(path).unwrap());
            } else if !path.ends_with("simulation") {
                folders.push(path);
            }
        }
    }
    for level in ["Error", "Warn", "Info", "Debug", "Trace"] {
        let (logged, named) = (
            code.contains(&format!("Level::{level}")),
            section.contains(&format!("//! - {}:", level.to_lowercase())),
        );
        assert_eq!(logged, named, "{level}: in the code, in the docs");
    }
}

#[test]
fn the_programs_of_the_readme_are_the_examples() {
    let readme = read("README.md");
    for path in ["examples/hello.rs", "bindings/c/examples/hello.c", "bindings/python/examples/hello.py"] {
        let program = read(path);
        assert!(readme.contains(program.trim()), "the README does not show {path} as it is");
    }
}

#[test]
fn the_files_that_the_architecture_names_exist() {
    let document = read("ARCHITECTURE.md");
    let files = document.split('`').skip(1).step_by(2).filter(|name| name.strip_suffix(".rs").is_some());
    let missing: Vec<_> = files
        .filter(|name| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"));
            !path.join("src").join(name).is_file() && !path.join(name).is_file()
        })
        .collect();
    assert!(missing.is_empty(), "no such files: {missing:?}");
    assert!(document.matches(".rs`").count() > 30, "the walk names its files");
}

#[test]
fn the_states_of_a_connection_are_drawn_as_in_the_code() {
    let drawing = |text: &str| {
        let drawn = text.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
        drawn.expect("a drawing in a block of text").lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    };
    let code = read("src/conn/http1.rs");
    let code: Vec<_> = code.lines().map(|line| line.trim_start_matches("//!")).collect();
    let code: Vec<_> = code.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    assert_eq!(drawing(&read("ARCHITECTURE.md")), drawing(&code.join("\n")));
}

#[test]
fn the_documents_for_contributors_are_short() {
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let lines = read(document).lines().count();
        assert!(lines < 120, "{document} has {lines} lines");
    }
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents: Vec<_> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "benches/README.md"]
            .map(|name| root.join(name))
            .to_vec();
    let entries = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    // A folder has pictures.
    documents.extend(entries.filter(|path| path.is_file()));
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        // A lambda of C++ in a block of code looks like a link.
        let prose: String = text.split("```").step_by(2).collect();
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !path.is_empty() && !link.starts_with("http") {
                assert!(document.parent().unwrap().join(path).exists(), "{}: {link}", document.display());
            }
        }
    }
}
