"""The wrapper `wsgi.file_wrapper`: a file whose blocks are the body of a response."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from typing import Any

_BLOCK = 64 * 1024
#: The files whose bytes are those of their descriptors.
_DIRECT = (io.FileIO, io.BufferedReader, io.BufferedRandom)
#: The most objects around a file, such as a file of a framework around one of `tempfile`.
_MOST_AROUND = 4


class FileWrapper:
    """A file as an iterable of its blocks. The system sends a regular file, without a copy in Python."""

    def __init__(self, filelike: Any, block_size: int = _BLOCK) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.block_size)
        if not data:
            raise StopIteration
        return data

    def close(self) -> None:
        """Closes the file, if it can be closed."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()

    def part(self) -> tuple[int, int, int] | None:
        """Returns a descriptor, the offset of the next byte, and the number of bytes from there on.

        `None` if the bytes are not those of a regular file, or of a part of it that is left.
        """
        file = _direct(self.filelike)
        if file is None:
            return None
        try:
            descriptor = file.fileno()
            about = os.fstat(descriptor)
            offset = file.tell()
        except (OSError, ValueError):
            return None
        # A file that the system generates when it is read (/proc, /sys) does not tell its size.
        if not stat.S_ISREG(about.st_mode) or not 0 <= offset < about.st_size:
            return None
        return descriptor, offset, about.st_size - offset


def _direct(file: Any) -> Any:
    """Returns the file of the system that a file reads from as it is, or `None`.

    An object that has a descriptor may change what it reads, as `gzip.GzipFile` does. So only files of `io`
    are sent by the system, and objects that only pass the calls on to one.
    """
    for _ in range(_MOST_AROUND):
        if type(file) in _DIRECT:
            return file if type(file) is io.FileIO or type(file.raw) is io.FileIO else None
        inner = getattr(file, "file", None)
        is_temporary = type(file).__module__ == "tempfile"
        if inner is None or not (is_temporary or getattr(file, "read", None) == getattr(inner, "read", 0)):
            return None
        file = inner
    return None
