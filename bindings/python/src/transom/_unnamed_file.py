"""A temporary file without a name: it may get one, or be copied by the system."""

from __future__ import annotations

import os
import tempfile
from typing import IO

#: The most that one call of the system copies, in bytes: Python's signal handlers run between two.
_PIECE = 64 * 1024 * 1024


def unnamed_file(folder: str | None) -> IO[bytes]:
    """Makes a temporary file in a folder, by default the system's. Raises `OSError`."""
    unnamed = getattr(os, "O_TMPFILE", 0)
    if unnamed:
        try:
            # `tempfile` adds O_EXCL, with which the file could never get a name. The mode is that of a file
            # that `open` makes: nobody else can open the file before it has a name.
            descriptor = os.open(folder or tempfile.gettempdir(), os.O_RDWR | os.O_CLOEXEC | unnamed, 0o666)
        except OSError:
            pass  # Not every file system has such files, and `tempfile` raises what is wrong.
        else:
            return os.fdopen(descriptor, "w+b")
    return tempfile.TemporaryFile(dir=folder)


def give_name(descriptor: int, path: str | os.PathLike[str]) -> bool:
    """Gives a file a name that is new. Returns `False` if the file cannot have it."""
    if not hasattr(os, "O_TMPFILE"):
        return False
    try:
        # With a folder, Python calls `linkat`, which can follow the link to the file.
        os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)
    except (OSError, NotImplementedError):
        return False
    return True


def copy_within_system(source: int, target: int) -> bool:
    """Copies a whole file to one that is empty. Returns `False` if the system cannot."""
    if not hasattr(os, "copy_file_range"):
        return False
    done = 0
    while True:
        try:
            count = os.copy_file_range(source, target, _PIECE, offset_src=done, offset_dst=done)
        except OSError:
            if done:
                raise
            return False
        if not count:
            # A file system that cannot copy may say that there is nothing.
            return done == os.fstat(source).st_size
        done += count
