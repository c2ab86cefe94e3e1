//! `docs/deploy.md` explains each line of the files in `deploy/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Returns the words of a line that the document must name: a directive, the key of a setting.
fn key(file: &str, line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches("- ");
    let key = match file.rsplit('.').next() {
        _ if line.is_empty() || line.starts_with(['#', '[', '}', ']']) || line == "---" => return None,
        Some("service" | "socket") => line.split('=').next(),
        Some("yaml") => line.split(':').next(),
        Some("cfg")
            if line.starts_with("http-check")
                || line.starts_with("timeout")
                || line.starts_with("option") =>
        {
            return Some(line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        }
        _ => line.split([' ', ';']).next(),
    };
    key.map(str::to_owned)
}

#[test]
fn each_line_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/deploy.md")).unwrap();
    let (mut missing, mut count) = (BTreeSet::new(), 0);
    for entry in fs::read_dir(root.join("deploy")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(document.contains(&format!("`deploy/{name}`")), "{name} is not in docs/deploy.md");
        let section =
            document.split("\n## ").find(|section| section.contains(&format!("`deploy/{name}`"))).unwrap();
        let code: Vec<&str> = section.split('`').skip(1).step_by(2).collect();
        let text = fs::read_to_string(root.join("deploy").join(&name)).unwrap();
        for key in text.lines().filter_map(|line| key(&name, line)) {
            count += 1;
            if !code.iter().any(|code| code.starts_with(&key)) {
                missing.insert(format!("{name}: {key}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count > 80, "only {count} lines");
}
