//! The crates that are built for this one: the README tells how many, and there are bounds.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// The most crates without a feature, and with all of them at once.
const BOUNDS: (usize, usize) = (40, 75);

/// Returns the number of crates with these features, those that build scripts need included.
fn crates(features: &str) -> usize {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["tree", "--locked", "--package", "transom", "--edges", "normal,build", "--prefix", "none"])
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
    let core = crates("");
    assert!(core <= BOUNDS.0, "{core} crates without a feature");
    assert!(readme.contains(&format!("Without features it is {core} crates")), "{core} crates");
    for feature in ["access-log", "serde", "tower", "metrics", "status", "tracing", "tls", "tls-ring"] {
        let row = format!("| `{feature}` |");
        let row = readme.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{row}"));
        let told: usize = row.split('|').nth(3).unwrap().trim().parse().unwrap();
        assert_eq!(told, crates(feature) - core, "{row}");
    }
    let all = crates("access-log,serde,tower,metrics,status,tracing,tls,tls-ring");
    assert!(all <= BOUNDS.1, "{all} crates with every feature");
}
