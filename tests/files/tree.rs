//! A folder of files for a test, with things beside it that must never be served.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// The time of each file, in seconds of the Unix clock.
pub const CHANGED: u64 = 784_111_777;
#[allow(dead_code, reason = "not each test tells it")]
pub const CHANGED_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// A folder that is removed with its contents.
pub struct Tree(PathBuf);

impl Tree {
    /// Returns an empty folder that no other test has. Its `public` is there, and empty too.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("transom-files-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("public")).unwrap();
        Self(path)
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.0.join(below)
    }

    pub fn public(&self) -> PathBuf {
        self.path("public")
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, path: &str, contents: impl AsRef<[u8]>) -> &Self {
        self.write_at(path, contents, CHANGED)
    }

    pub fn write_at(&self, path: &str, contents: impl AsRef<[u8]>, changed: u64) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        set_time(&path, changed);
        self
    }
}

/// Sets the time of a file's last change.
pub fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
