//! The root of the files: opens what is below it, and nothing else.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use rustix::fs::{CWD, Mode, OFlags};

/// How long a folder that was opened is used before its path is looked up again, milliseconds. The path
/// may be a link that a deployment points elsewhere.
const LOOK_AGAIN_MS: u64 = 1_000;
/// How often a lookup is tried again that a rename elsewhere in the tree has disturbed.
const ATTEMPTS: usize = 16;

/// A flag that has the system open a folder only as a place to look things up in.
#[cfg(target_os = "linux")]
const LOOKUP: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const LOOKUP: OFlags = OFlags::RDONLY;

/// How long an operation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It must not wait for a disk or the network. It fails with `WouldBlock` instead.
    None,
    /// It may block.
    Blocking,
}

/// A folder whose files are served.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    folder: RwLock<Arc<OwnedFd>>,
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
        let folder = self.folder(patience)?;
        let path = if path.is_empty() { "." } else { path };
        open_beneath(folder.as_fd(), path, patience).map(File::from)
    }

    fn folder(&self, patience: Patience) -> io::Result<Arc<OwnedFd>> {
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

fn open_folder(path: &Path, patience: Patience) -> io::Result<OwnedFd> {
    let flags = LOOKUP | OFlags::DIRECTORY | OFlags::CLOEXEC;
    #[cfg(target_os = "linux")]
    if patience == Patience::None {
        let cached = rustix::fs::ResolveFlags::CACHED;
        let opened = rustix::fs::openat2(CWD, path, flags, Mode::empty(), cached);
        return opened.map_err(|error| if is_unknown(error) { would_block() } else { error.into() });
    }
    if patience == Patience::None {
        return Err(would_block());
    }
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// Flags for what is served. A terminal must not become this process's, and a pipe not be waited for.
fn serving() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// Opens a path below a folder. The kernel keeps it there (openat2(2)).
#[cfg(target_os = "linux")]
fn open_beneath(folder: BorrowedFd<'_>, path: &str, patience: Patience) -> io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    use rustix::io::Errno;

    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if patience == Patience::None {
        resolve |= ResolveFlags::CACHED;
    }
    for _ in 0..ATTEMPTS {
        match openat2(folder, path, serving(), Mode::empty(), resolve) {
            // With CACHED: the names are not in memory. Without: a rename took place meanwhile.
            Err(Errno::AGAIN) if patience == Patience::Blocking => {}
            // A kernel before 5.12 does not know CACHED.
            Err(error) if is_unknown(error) && patience == Patience::None => return Err(would_block()),
            // A kernel before 5.6, and some sandboxes, have no openat2.
            Err(Errno::NOSYS | Errno::PERM) => return walk(folder, path),
            opened => return Ok(opened?),
        }
    }
    walk(folder, path)
}

#[cfg(target_os = "linux")]
fn is_unknown(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(error, Errno::NOSYS | Errno::PERM | Errno::INVAL)
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(folder: BorrowedFd<'_>, path: &str, patience: Patience) -> io::Result<OwnedFd> {
    match patience {
        Patience::None => Err(would_block()),
        Patience::Blocking => walk(folder, path),
    }
}

fn would_block() -> io::Error {
    io::ErrorKind::WouldBlock.into()
}

/// Opens a path below a folder one name after another. It follows no links, so none can lead out.
fn walk(folder: BorrowedFd<'_>, path: &str) -> io::Result<OwnedFd> {
    let (folders, name) = path.rsplit_once('/').map_or((None, path), |(folders, name)| (Some(folders), name));
    let mut here: Option<OwnedFd> = None;
    for step in folders.into_iter().flat_map(|folders| folders.split('/')) {
        let flags = LOOKUP | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = here.as_ref().map_or(folder, AsFd::as_fd);
        let next = rustix::fs::openat(from, step, flags, Mode::empty())?;
        here = Some(next);
    }
    let from = here.as_ref().map_or(folder, AsFd::as_fd);
    Ok(rustix::fs::openat(from, name, serving() | OFlags::NOFOLLOW, Mode::empty())?)
}
