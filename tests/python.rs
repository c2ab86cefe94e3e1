//! The Python suite, run with the library of this build.

use std::path::Path;
use std::process::Command;

#[test]
fn the_python_suite_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Where this test lies is where the library goes: target/<profile>/deps/.
    let exe = std::env::current_exe().unwrap();
    let folder = exe.parent().and_then(Path::parent).unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(root).args(["build", "--quiet", "--package", "transom-capi"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the C library does not build");

    let package = root.join("bindings/python");
    let output = Command::new("python3")
        .args(["-W", "error::ResourceWarning"])
        .arg(package.join("tests/run.py"))
        .env("PYTHONPATH", package.join("src"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("TRANSOM_LIBRARY", folder.join("libtransom.so"))
        .output()
        .expect("python3 is needed for the Python suite");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stdout));
    // Nothing may have been found.
    let ran = report.lines().find(|line| line.starts_with("Ran ")).unwrap_or_default();
    assert!(!ran.is_empty() && !ran.starts_with("Ran 0 "), "no test ran: {report}");
    println!("{ran}");
}
