//! Unix: files are opened below the descriptor of a folder.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, statat};
use rustix::io::Errno;

use super::{About, Patience};

/// How often a lookup is tried again that a rename elsewhere in the tree has disturbed.
#[cfg(target_os = "linux")]
const ATTEMPTS: usize = 16;

/// A flag that has the system open a folder only as a place to look things up in.
#[cfg(target_os = "linux")]
const LOOKUP: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const LOOKUP: OFlags = OFlags::RDONLY;

/// A folder as a place to look things up in.
pub(in super::super) type Place = OwnedFd;

/// Opens a folder to look things up in.
pub(in super::super) fn open_folder(path: &Path, patience: Patience) -> io::Result<Place> {
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

/// Opens a file or folder below a folder.
pub(in super::super) fn open_below(place: &Place, path: &str, patience: Patience) -> io::Result<File> {
    let path = if path.is_empty() { "." } else { path };
    open_beneath(place.as_fd(), path, patience).map(File::from)
}

/// Opens a file that the program names. A terminal does not become this process's, and a pipe is not
/// waited for.
pub(in super::super) fn open_named(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Calls a function with each entry of a folder whose name is text, as long as it returns `true`: with the
/// name, and with a function that tells more. That returns `None` if the entry is neither a regular file nor a
/// folder, or is gone by now.
pub(in super::super) fn entries(
    _place: &Place,
    _path: &str,
    folder: &File,
    mut each: impl FnMut(&str, &dyn Fn() -> Option<About>) -> bool,
) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let about = || {
            let about = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            let kind = FileType::from_raw_mode(about.st_mode);
            matches!(kind, FileType::RegularFile | FileType::Directory).then(|| About {
                is_file: kind == FileType::RegularFile,
                size: u64::try_from(about.st_size).unwrap_or_default(),
                modified: u64::try_from(about.st_mtime).unwrap_or_default(),
            })
        };
        if name != "." && name != ".." && !each(name, &about) {
            break;
        }
    }
    Ok(())
}

/// Returns `true` if no file of the system can have a name that other systems have. On Unix all can.
pub(in super::super) fn is_reserved(_segment: &str) -> bool {
    false
}

/// Returns `true` if an error says that there is nothing to serve: no such file, one that this process may
/// not read, a link that leads out of the root or in a circle, a name that is too long, a socket.
pub(in super::super) fn is_missing(error: &io::Error) -> bool {
    is_one_of(
        error,
        &[
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
        ],
    )
}

/// Returns `true` if an error says that the system lacks something for now: descriptors, memory.
pub(in super::super) fn is_lack(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::MFILE, Errno::NFILE, Errno::NOMEM])
}

fn is_one_of(error: &io::Error, list: &[Errno]) -> bool {
    list.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Flags for what is served. A terminal must not become this process's, and a pipe not be waited for.
fn serving() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// Opens a path below a folder. The kernel keeps it there (openat2(2)).
#[cfg(target_os = "linux")]
fn open_beneath(folder: BorrowedFd<'_>, path: &str, patience: Patience) -> io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};

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
fn is_unknown(error: Errno) -> bool {
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

/// Fills the buffer with the bytes from a position on.
pub(in super::super) fn read_exact(
    file: &File,
    buffer: &mut [u8],
    from: u64,
    patience: Patience,
) -> io::Result<()> {
    match patience {
        Patience::None => read_from_memory(file, buffer, from),
        Patience::Blocking => file.read_exact_at(buffer, from),
    }
}

#[cfg(target_os = "linux")]
fn read_from_memory(file: &File, buffer: &mut [u8], from: u64) -> io::Result<()> {
    use std::io::IoSliceMut;

    use rustix::io::{ReadWriteFlags, preadv2};

    if buffer.is_empty() {
        return Ok(());
    }
    match preadv2(file, &mut [IoSliceMut::new(buffer)], from, ReadWriteFlags::NOWAIT) {
        Ok(length) if length == buffer.len() => Ok(()),
        // Not in memory, or not known: some file systems and old kernels cannot tell.
        Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Err(would_block()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_from_memory(_file: &File, _buffer: &mut [u8], _from: u64) -> io::Result<()> {
    Err(would_block())
}
