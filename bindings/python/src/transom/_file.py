"""A response body that is a file, or a part of one."""

from __future__ import annotations

import os
import stat
import sys
from time import time

from transom import _native as native
from transom._descriptors import READING, given
from transom._errors import ErrorSlot
from transom._native import quick

#: While a file is younger than this, in seconds, another change may leave its time as it is.
_RESOLUTION = 1.0


class FilePart:
    """A part of an open regular file. The system sends it, without a copy in Python.

    Raises what `open` raises, and `ValueError` if the path is no regular file or the file is
    too short.
    """

    __slots__ = ("_file", "_offset", "_to_end", "changed", "length", "modified", "own_tag", "tag")

    def __init__(self, path: str | os.PathLike[str], offset: int, length: int | None) -> None:
        self._file = open(path, "rb", buffering=0, opener=_open)  # noqa: SIM115 - see __del__
        about = os.fstat(self._file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ValueError(f"{os.fspath(path)!r} is no regular file")
        left = about.st_size - offset
        if offset < 0 or left < 0 or (length is not None and not 0 <= length <= left):
            wanted = "the rest" if length is None else f"{length} bytes"
            raise ValueError(f"{wanted} from {offset} on: the file has {about.st_size} bytes")
        self._offset = offset
        now = time()
        #: When the file was changed, in seconds of the Unix clock; never in the future.
        self.changed = min(about.st_mtime, now)
        #: A tag that changes with the file. It is weak while another change may leave the time as it is.
        weak = "" if now - about.st_mtime >= _RESOLUTION else "W/"
        self.own_tag = f'{weak}"{about.st_mtime_ns:x}-{about.st_size:x}"'
        #: The ETag of the response if it may be conditional, and its Last-Modified.
        self.tag: str | None = None
        self.modified: str | None = None
        # A file that the system generates when it is read (/proc, /sys) has a size of 0.
        self._to_end = length is None
        #: The number of bytes that are sent, as the file's size says.
        self.length = left if length is None else length

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()

    def read(self, offset: int, length: int) -> bytes:
        """Returns bytes of the file. Raises `OSError` if it has become too short."""
        pieces = []
        while length > 0:
            piece = _read_at(self._file.fileno(), length, offset)
            if not piece:
                raise OSError("a file has become shorter while it is sent")
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)

    def send(
        self, token: int, status: int, fields: list[tuple[str, str]], part: tuple[int, int] | None = None
    ) -> None:
        """Sends the file, or a part of it, as the response to a request, without waiting."""
        offset, length = part or (self._offset, native.TO_END if self._to_end else self.length)
        send_descriptor(token, status, fields, self._file.fileno(), offset, length)


def send_descriptor(
    token: int, status: int, fields: list[tuple[str, str]], descriptor: int, offset: int, length: int
) -> None:
    """Sends a part of an open file as the response to a request, without waiting.

    The descriptor remains the caller's. Raises `InvalidArgumentError` if the file has no such part.
    """
    slot = ErrorSlot()
    array = native.field_array(fields)
    code = quick.responder_send_file(
        quick.token_responder(token),
        status,
        array,
        len(array),
        given(descriptor),
        offset,
        length,
        slot.reference,
    )
    slot.check_present(code)


def _open(path: str, _flags: int) -> int:
    return os.open(path, READING)


if sys.platform == "win32":

    def _read_at(descriptor: int, length: int, offset: int) -> bytes:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, length)

else:
    _read_at = os.pread
