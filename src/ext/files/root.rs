//! The root of the files: opens what is below it, and nothing else.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use super::system::{Patience, Place, open_below, open_folder};

/// How long a folder that was opened is used before its path is looked up again, milliseconds. The path
/// may be a link that a deployment points elsewhere.
const LOOK_AGAIN_MS: u64 = 1_000;

/// A folder whose files are served.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    folder: RwLock<Arc<Place>>,
    begin: Instant,
    /// When the path was looked up, in milliseconds since `begin`.
    looked_up: AtomicU64,
}

impl Root {
    pub fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let folder = open_folder(&path, Patience::Blocking).map_err(|error| {
            io::Error::new(error.kind(), format!("the folder {}: {error}", path.display()))
        })?;
        Ok(Self {
            path,
            folder: RwLock::new(Arc::new(folder)),
            begin: Instant::now(),
            looked_up: AtomicU64::new(0),
        })
    }

    /// Opens what has that path below the root: a regular file, a folder, or anything else. It never
    /// waits for the other end of a named pipe. Links are followed as long as they stay below the root.
    pub fn open(&self, path: &str, patience: Patience) -> io::Result<File> {
        let place = self.place(patience)?;
        open_below(&place, path, patience)
    }

    /// Returns the folder as a place to look things up in.
    pub fn place(&self, patience: Patience) -> io::Result<Arc<Place>> {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Relaxed, also below: the time decides only who looks the folder up again. The lock passes the folder on.
        if now.saturating_sub(self.looked_up.load(Ordering::Relaxed)) >= LOOK_AGAIN_MS {
            match open_folder(&self.path, patience) {
                Ok(folder) => *self.folder.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(folder),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // A deployment may be about to put another folder there.
                Err(_) => {}
            }
            self.looked_up.store(now, Ordering::Relaxed);
        }
        Ok(Arc::clone(&self.folder.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
