//! The crates that are built for this one, and the size of a program with it: the documentation tells
//! them, and there are bounds.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The features of the crate.
const FEATURES: [&str; 15] = [
    "access-log",
    "cookies",
    "files",
    "forms",
    "serde",
    "tower",
    "metrics",
    "middleware",
    "sse",
    "status",
    "tracing",
    "tls",
    "tls-ring",
    "websocket",
    "compression",
];
/// The most crates without a feature, those that build scripts need included.
const MOST_ALONE: usize = 40;
/// The most crates that a program contains with all features at once.
const MOST_LINKED: usize = 75;
/// The crates that a program contains.
const LINKED: &str = "normal";
/// These, and those that build scripts need.
const BUILT: &str = "normal,build";

/// Returns the number of crates with these features.
fn crates(features: &str, edges: &str) -> usize {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["tree", "--locked", "--package", "transom", "--edges", edges, "--prefix", "none"])
        .args([
            "--target",
            "x86_64-unknown-linux-gnu",
            "--no-dedupe",
            "--format",
            "{p}",
            "--features",
            features,
        ])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {told}");
    let names = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<_> =
        names.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    crates.len()
}

#[test]
fn the_readme_tells_how_many_crates_each_feature_adds() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let core = crates("", BUILT);
    assert!(core <= MOST_ALONE, "{core} crates without a feature");
    assert!(readme.contains(&format!("Without features it is {core} crates")), "{core} crates");
    for feature in FEATURES {
        let row = format!("| `{feature}` |");
        let row = readme.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{row}"));
        let told: usize = row.split('|').nth(3).unwrap().trim().parse().unwrap();
        assert_eq!(told, crates(feature, BUILT) - core, "{row}");
    }
    let all = crates(&FEATURES.join(","), LINKED);
    assert!(all <= MOST_LINKED, "{all} crates with every feature");
}

/// How far a size may be from the one that docs/performance.md tells, in per cent. It changes with the
/// compiler.
const TOLERANCE: u64 = 5;

/// Returns the size of the stripped program with a feature, in bytes.
fn program_size(feature: &str) -> u64 {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["build", "--quiet", "--locked", "--release", "--package", "transom", "--example"])
        .args(["size-program", "--features", feature])
        .status()
        .unwrap();
    assert!(built.success(), "the program does not build with the feature {feature:?}");
    // This test is in <target>/<profile>/deps/.
    let exe = std::env::current_exe().unwrap();
    let target = exe.ancestors().nth(3).unwrap();
    let built = target.join("release/examples/size-program");
    let stripped = built.with_extension("stripped");
    // Cargo's own stripping would build the dependencies once more.
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(&built).status().unwrap();
    assert!(strip.success(), "strip fails");
    fs::metadata(stripped).unwrap().len()
}

/// Builds a program for release with each of the features that `TRANSOM_TEST_SIZES` names, one after
/// another, which takes half a minute each: `none` is no feature, and `all` is each of them.
#[test]
fn the_size_of_a_program_is_what_the_documentation_tells() {
    let asked = std::env::var("TRANSOM_TEST_SIZES").unwrap_or_default();
    let asked = if asked == "all" { format!("none {}", FEATURES.join(" ")) } else { asked };
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md")).unwrap();
    let mut wrong = Vec::new();
    for feature in asked.split_whitespace() {
        assert!(feature == "none" || FEATURES.contains(&feature), "{feature} is no feature");
        let size = program_size(if feature == "none" { "" } else { feature });
        println!("| {feature} | {size} |");
        let row = page.lines().find_map(|line| {
            line.replace('`', "").strip_prefix(&format!("| {feature} | ")).map(str::to_owned)
        });
        let told = row.and_then(|row| row.split('|').next()?.trim().replace(',', "").parse::<u64>().ok());
        if told.is_none_or(|told| size.abs_diff(told) * 100 > told * TOLERANCE) {
            wrong.push(format!(
                "with the feature {feature}: {size} bytes, docs/performance.md tells {told:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
