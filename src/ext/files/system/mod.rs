//! The lookup of files, which differs between Unix and Windows.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(super) use unix::*;
#[cfg(windows)]
pub(super) use windows::*;

/// How long an operation may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// It must not wait for a disk or the network. It fails with `WouldBlock` instead.
    None,
    /// It may block.
    Blocking,
}

/// An entry of a folder, as a page shows it.
pub(super) struct About {
    pub is_file: bool,
    pub size: u64,
    /// In seconds of the Unix clock.
    pub modified: u64,
}
