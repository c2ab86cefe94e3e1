//! A file that was opened to be served, with the facts that its answer depends on.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::root::{Patience, Root};
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

/// Returns `true` if an error says that there is nothing to serve: no such file, one that this process may
/// not read, a link that leads out of the root or in a circle, a name that is too long, a socket.
fn is_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let missing = [
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::ACCESS,
        Errno::XDEV,
        Errno::LOOP,
        Errno::NAMETOOLONG,
        Errno::NXIO,
        Errno::INVAL,
        Errno::NODEV,
        Errno::ILSEQ,
        #[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
        Errno::MLINK,
    ];
    missing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
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

/// Fills the buffer with the bytes from a position on.
#[cfg(target_os = "linux")]
fn read_exact(file: &File, buffer: &mut [u8], from: u64, patience: Patience) -> io::Result<()> {
    use std::io::IoSliceMut;
    use std::os::unix::fs::FileExt as _;

    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    if patience == Patience::Blocking {
        return file.read_exact_at(buffer, from);
    }
    if buffer.is_empty() {
        return Ok(());
    }
    match preadv2(file, &mut [IoSliceMut::new(buffer)], from, ReadWriteFlags::NOWAIT) {
        Ok(length) if length == buffer.len() => Ok(()),
        // Not in memory, or not known: some file systems and old kernels cannot tell.
        Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_exact(file: &File, buffer: &mut [u8], from: u64, patience: Patience) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;

    match patience {
        Patience::None => Err(io::ErrorKind::WouldBlock.into()),
        Patience::Blocking => file.read_exact_at(buffer, from),
    }
}
