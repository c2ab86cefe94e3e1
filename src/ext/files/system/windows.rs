//! Windows: a path is opened one name after another, and each folder is held meanwhile.
//!
//! Safe Rust cannot open a file below the handle of a folder, so each step opens a longer path. A folder that
//! is held without the right to delete it cannot be renamed or replaced, and a link is never followed
//! (`FILE_FLAG_OPEN_REPARSE_POINT`). So what was checked at one step is still there at the next. The
//! paths begin with `\\?\`, and Windows takes each of their names as it is: no `..`, no device, no
//! dots or spaces cut off.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{About, Patience};

const FILE_SHARE_READ: u32 = 1;
const FILE_SHARE_WRITE: u32 = 2;
const FILE_SHARE_DELETE: u32 = 4;
const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
/// Opens a link itself, and not where it leads.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// Opens folders too.
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;

const ERROR_FILE_NOT_FOUND: i32 = 2;
const ERROR_PATH_NOT_FOUND: i32 = 3;
const ERROR_TOO_MANY_OPEN_FILES: i32 = 4;
const ERROR_ACCESS_DENIED: i32 = 5;
const ERROR_NOT_ENOUGH_MEMORY: i32 = 8;
const ERROR_BAD_PATHNAME: i32 = 161;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_INVALID_NAME: i32 = 123;
const ERROR_FILENAME_EXCED_RANGE: i32 = 206;
const ERROR_DELETE_PENDING: i32 = 303;
const ERROR_DIRECTORY: i32 = 267;
const ERROR_CANT_ACCESS_FILE: i32 = 1920;
const ERROR_NO_SYSTEM_RESOURCES: i32 = 1450;

/// A folder as a place to look things up in: its path, in which no part is a link.
pub(in super::super) type Place = PathBuf;

/// Looks up a folder, and follows the links in its path.
pub(in super::super) fn open_folder(path: &Path, patience: Patience) -> io::Result<Place> {
    if patience == Patience::None {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let path = fs::canonicalize(path)?;
    if !fs::metadata(&path)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(path)
}

/// Opens a file or folder below a folder.
pub(in super::super) fn open_below(place: &Place, path: &str, patience: Patience) -> io::Result<File> {
    if patience == Patience::None {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let mut here = place.clone();
    if path.is_empty() {
        return open(&here, FILE_SHARE_DELETE);
    }
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let _held = hold(&mut here, folders)?;
    here.push(checked(name)?);
    open(&here, FILE_SHARE_DELETE)
}

/// Adds the names of folders to a path, and returns their handles. As long as those are held, none of the
/// folders becomes another one.
fn hold(here: &mut PathBuf, folders: &str) -> io::Result<Vec<File>> {
    let mut held = Vec::new();
    for step in folders.split('/').filter(|step| !step.is_empty()) {
        here.push(checked(step)?);
        let folder = open(here, 0)?;
        if !folder.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        held.push(folder);
    }
    Ok(held)
}

/// Returns a name that adds one step to a path, and not a path of its own.
fn checked(name: &str) -> io::Result<&str> {
    if is_reserved(name) || name.contains('\\') { Err(io::ErrorKind::NotFound.into()) } else { Ok(name) }
}

/// Opens a file or folder that is no link, nor another thing whose content is elsewhere. With
/// `FILE_SHARE_DELETE`, others may remove it meanwhile.
fn open(path: &Path, share: u32) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | share)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)?;
    if file.metadata()?.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(file)
}

/// Opens a file that the program names, or a folder, which then turns out to be none.
pub(in super::super) fn open_named(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)
}

/// Calls a function with each entry of a folder whose name is text, as long as it returns `true`: with the
/// name, and with a function that tells more. That returns `None` if the entry is neither a regular file nor a
/// folder, or is gone by now.
pub(in super::super) fn entries(
    place: &Place,
    path: &str,
    _folder: &File,
    mut each: impl FnMut(&str, &dyn Fn() -> Option<About>) -> bool,
) -> io::Result<()> {
    let mut here = place.clone();
    let _held = hold(&mut here, path)?;
    for entry in fs::read_dir(&here)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let about = || entry.metadata().ok().and_then(|about| self::about(&about));
        if !each(name, &about) {
            break;
        }
    }
    Ok(())
}

fn about(about: &Metadata) -> Option<About> {
    let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let is_link = about.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0;
    (!is_link && (about.is_file() || about.is_dir())).then(|| About {
        is_file: about.is_file(),
        size: about.len(),
        modified: modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
    })
}

/// The names of devices, whatever follows after a dot.
const DEVICES: [&str; 8] = ["con", "prn", "aux", "nul", "conin$", "conout$", "clock$", "config$"];

/// Returns `true` if a name means something else to Windows than a file of that name: a device such as
/// `NUL.txt` or `COM1`; a stream or a drive (`:`); a pattern; a name that ends in a dot or a space,
/// which Windows cuts off; and a name such as `ENV~1`, which may be the short name of a file that has
/// another one.
pub(in super::super) fn is_reserved(segment: &str) -> bool {
    let is_odd = |byte: u8| byte < b' ' || b"<>:\"|?*".contains(&byte);
    if segment.bytes().any(is_odd) || segment.ends_with(['.', ' ']) {
        return true;
    }
    if segment.as_bytes().windows(2).any(|pair| pair[0] == b'~' && pair[1].is_ascii_digit()) {
        return true;
    }
    let stem = segment.split('.').next().unwrap_or_default().trim_end_matches(' ');
    if DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) {
        return true;
    }
    let mut letters = stem.chars();
    let number = letters.next_back();
    let is_port = ["com", "lpt"].iter().any(|port| letters.as_str().eq_ignore_ascii_case(port));
    // Windows takes the raised digits 1 to 3 of Latin-1 for digits.
    is_port && number.is_some_and(|c| c.is_ascii_digit() || ['\u{b9}', '\u{b2}', '\u{b3}'].contains(&c))
}

/// Returns `true` if an error says that there is nothing to serve: no such file, one that this process may
/// not read, or that another program has locked, a link, a name that is too long.
pub(in super::super) fn is_missing(error: &io::Error) -> bool {
    let missing = [
        ERROR_FILE_NOT_FOUND,
        ERROR_PATH_NOT_FOUND,
        ERROR_ACCESS_DENIED,
        ERROR_SHARING_VIOLATION,
        ERROR_INVALID_NAME,
        ERROR_BAD_PATHNAME,
        ERROR_FILENAME_EXCED_RANGE,
        ERROR_DELETE_PENDING,
        ERROR_DIRECTORY,
        ERROR_CANT_ACCESS_FILE,
    ];
    match error.raw_os_error() {
        Some(code) => missing.contains(&code),
        None => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

/// Returns `true` if an error says that the system lacks something for now: handles, memory.
pub(in super::super) fn is_lack(error: &io::Error) -> bool {
    let lacks = [ERROR_TOO_MANY_OPEN_FILES, ERROR_NOT_ENOUGH_MEMORY, ERROR_NO_SYSTEM_RESOURCES];
    error.raw_os_error().is_some_and(|code| lacks.contains(&code))
}

/// Fills the buffer with the bytes from a position on.
pub(in super::super) fn read_exact(
    file: &File,
    mut buffer: &mut [u8],
    mut from: u64,
    patience: Patience,
) -> io::Result<()> {
    if patience == Patience::None {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    while !buffer.is_empty() {
        let length = file.seek_read(buffer, from)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        from += length as u64;
        buffer = &mut buffer[length..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_takes_for_something_else_are_reserved() {
        for name in [
            "CON",
            "con",
            "Nul.txt",
            "aux.",
            "prn ",
            "nul .txt",
            "COM1",
            "com0",
            "lpt9.log",
            "COM\u{b9}",
            "lpt\u{b3}.x",
            "CONIN$",
            "conout$",
            "a:b",
            "a.txt:$DATA",
            "c:",
            "a.",
            "a ",
            "a. .",
            "ENV~1",
            "GIT~1",
            "progra~1.txt",
            "a*",
            "a?",
            "\"a",
            "<a>",
            "a|b",
            "a\u{1f}",
        ] {
            assert!(is_reserved(name), "{name:?}");
        }
        for name in
            ["a.txt", "console", "nullable.js", "com", "com10", "comx", "lpt", "a~b", "~", "a b", ".a"]
        {
            assert!(!is_reserved(name), "{name:?}");
        }
    }
}
