//! A file that gets its name at the end, so that one that is not finished leaves nothing.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IoSlice, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// The most chunks that one call writes.
const CHUNKS_PER_CALL: usize = 64;

/// How often a name is tried that exists already.
const TRIES: usize = 16;

/// A file without a name, or with one that nobody knows, on systems and file systems that do not have
/// such files.
#[derive(Debug)]
pub(super) struct NewFile {
    file: File,
    hidden: Option<Hidden>,
}

/// A name that is removed with its file.
#[derive(Debug)]
struct Hidden(PathBuf);

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl NewFile {
    pub fn create(folder: &Path) -> io::Result<Self> {
        // Not every file system has them; the next error is the one that tells what is wrong.
        if let Ok(file) = unnamed(folder) {
            return Ok(Self { file, hidden: None });
        }
        let (file, path) = with_new_name(folder, |path| {
            OpenOptions::new().read(true).write(true).create_new(true).open(path)
        })?;
        Ok(Self { file, hidden: Some(Hidden(path)) })
    }

    /// Writes chunks one after another, as many with one call as it takes.
    pub fn write(mut self, chunks: &[Bytes]) -> io::Result<Self> {
        for chunks in chunks.chunks(CHUNKS_PER_CALL) {
            let mut slices: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
            let mut left = &mut slices[..];
            // Empty chunks are no error.
            IoSlice::advance_slices(&mut left, 0);
            while !left.is_empty() {
                match self.file.write_vectored(left) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => IoSlice::advance_slices(&mut left, written),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(self)
    }

    /// Gives the file its name. A file that has the name is replaced in one step.
    pub fn keep(mut self, path: &Path) -> io::Result<()> {
        if let Some(mut hidden) = self.hidden.take() {
            fs::rename(&hidden.0, path)?;
            // Nothing has this name any more.
            hidden.0 = PathBuf::new();
            return Ok(());
        }
        match link(&self.file, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let ((), hidden) = with_new_name(&folder_of(path), |path| link(&self.file, path))?;
                fs::rename(&hidden, path).inspect_err(|_| drop(Hidden(hidden)))
            }
            linked => linked,
        }
    }

    /// Gives the file its name, or copies it if it cannot have that: on another file system.
    pub fn keep_or_copy(mut self, path: &Path) -> io::Result<()> {
        if self.hidden.is_none() {
            // Whatever is in the way: the copy tells what is wrong.
            if link(&self.file, path).is_ok() {
                return Ok(());
            }
        }
        self.file.rewind()?;
        let mut copy = Self::create(&folder_of(path))?;
        io::copy(&mut self.file, &mut copy.file)?;
        copy.keep(path)
    }

    /// Returns the file, positioned at its beginning. Its name is gone.
    pub fn into_file(mut self) -> io::Result<File> {
        self.file.rewind()?;
        Ok(self.file)
    }
}

/// Returns the folder of a file.
pub(super) fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_owned()
}

/// Makes a thing with a name in a folder that nothing has yet.
fn with_new_name<T>(folder: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(T, PathBuf)> {
    let mut tried = 0;
    loop {
        let number = RandomState::new().hash_one(tried);
        let path = folder.join(OsString::from(format!(".transom-{number:016x}")));
        match make(&path) {
            Ok(thing) => return Ok((thing, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tried < TRIES => tried += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(target_os = "linux")]
fn unnamed(folder: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    // The mode of a file that `File::create` makes. Nobody else can open the file before it has a name.
    Ok(open(folder, flags, Mode::from_raw_mode(0o666))?.into())
}

#[cfg(target_os = "linux")]
fn link(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    use std::os::fd::AsRawFd as _;
    let from = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(linkat(CWD, from, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn link(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
