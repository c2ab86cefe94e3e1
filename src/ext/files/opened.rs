//! A file that was opened to be served, with the facts that its answer depends on.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::root::Root;
use super::system::{Patience, is_missing, read_exact};
use crate::Body;
use crate::Bytes;

/// The largest part of a file that is read into memory, bytes. The kernel sends longer ones.
const READ_AT_ONCE: u64 = 64 * 1024;

/// The outcome of looking up a path.
pub(super) enum Found {
    File(Opened),
    Folder(File),
    /// Nothing that is served: no file of that path, or one that is neither a regular file nor a folder.
    Nothing,
}

/// A regular file.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    pub size: u64,
    pub modified: SystemTime,
}

impl Found {
    /// Looks a path up. Fails if the system cannot tell what is there.
    pub fn at(root: &Root, path: &str, patience: Patience) -> io::Result<Self> {
        match root.open(path, patience) {
            Ok(file) => Self::of(file),
            Err(error) if is_missing(&error) => Ok(Self::Nothing),
            Err(error) => Err(error),
        }
    }

    pub fn of(file: File) -> io::Result<Self> {
        let about = file.metadata()?;
        let kind = about.file_type();
        if kind.is_file() {
            let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            return Ok(Self::File(Opened { file, size: about.len(), modified }));
        }
        Ok(if kind.is_dir() { Self::Folder(file) } else { Self::Nothing })
    }

    pub fn into_file(self) -> Option<Opened> {
        match self {
            Self::File(opened) => Some(opened),
            Self::Folder(_) | Self::Nothing => None,
        }
    }
}

impl Opened {
    /// Returns the time of the last change in whole seconds of the Unix clock, which is what HTTP tells.
    pub fn modified_seconds(&self) -> u64 {
        self.since_epoch().as_secs()
    }

    pub fn since_epoch(&self) -> Duration {
        self.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
    }

    /// Returns a part of the file as a body.
    ///
    /// # Errors
    /// `WouldBlock` if the bytes are not in memory and there is no patience; `UnexpectedEof` if the file has
    /// become shorter.
    pub fn body(self, part: Range<u64>, patience: Patience) -> io::Result<Body> {
        let length = part.end - part.start;
        if length > READ_AT_ONCE {
            return Body::file_range(self.file, part).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidInput => io::ErrorKind::UnexpectedEof.into(),
                _ => error,
            });
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        read_exact(&self.file, &mut bytes, part.start, patience)?;
        Ok(Bytes::from(bytes).into())
    }

    pub fn into_file(self) -> File {
        self.file
    }
}
