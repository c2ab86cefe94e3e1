//! Shared by the tests: the folders of the build, and a folder for temporary files.

#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `include/` of the repository.
pub fn include_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include")
}

/// Builds `libtransom.so` and `libtransom.a`, and returns their folder. Cargo does not build
/// them for tests, but it can be run here, because it holds no lock while tests run.
/// `TRANSOM_TEST_LIBRARY` names the folder of libraries that were built in another way.
pub fn library_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        if let Some(built) = std::env::var_os("TRANSOM_TEST_LIBRARY") {
            return built.into();
        }
        // target[/triple]/profile/deps/test-1234
        let test = std::env::current_exe().unwrap();
        let profile_dir = test.parent().and_then(Path::parent).unwrap();
        let profile = match profile_dir.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => "dev",
            name => name,
        };
        let above = profile_dir.parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--offline",
            "--package",
            "transom-capi",
            "--lib",
            "--profile",
            profile,
        ]);
        build.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
        if above.join("CACHEDIR.TAG").exists()
            && above.parent().is_some_and(|dir| dir.join("CACHEDIR.TAG").exists())
        {
            // The build is for a named target.
            build.arg("--target").arg(above.file_name().unwrap());
            build.arg("--target-dir").arg(above.parent().unwrap());
        } else {
            build.arg("--target-dir").arg(above);
        }
        let output = build.output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        profile_dir.to_owned()
    })
}

/// A folder that is removed at the end.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
