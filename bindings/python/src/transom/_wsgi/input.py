"""The stream `wsgi.input`: the body of a request that is read while it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO, UnsupportedOperation
from typing import NoReturn

from transom._body import BodyStream
from transom._http_error import BodyError


class BadInputError(BodyError, OSError):
    """The body cannot be read to its end. It is an `OSError`, as frameworks expect of `wsgi.input`."""


class Input:
    """The body of a request as a file. It ends where the body ends, with a Content-Length or chunks.

    A body that is cut off, malformed, too large or too slow raises an `OSError`, and never looks complete.
    """

    def __init__(self, open_stream: Callable[[], BodyStream]) -> None:
        # A body that is not read needs no stream.
        self._open_stream = open_stream
        self._stream: BodyStream | None = None
        #: What was taken from the stream and not read yet, from `_at` on.
        self._rest = b""
        self._at = 0

    def _next(self) -> bytes:
        """Returns the next piece, empty at the end."""
        if self._stream is None:
            self._stream = self._open_stream()
        try:
            return next(self._stream, b"")
        except BodyError as error:
            raise BadInputError(error.status, error.message) from None

    def _take(self, size: int) -> bytes:
        """Returns up to `size` bytes of what is there."""
        piece = self._rest[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def _fill(self) -> bool:
        """Takes the next piece if nothing is there. Returns `False` at the end."""
        if self._at >= len(self._rest):
            self._rest, self._at = self._next(), 0
        return bool(self._rest)

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads `size` bytes, or all that is left. Waits until so many have come, or the end."""
        if size is None or size < 0:
            pieces = [self._rest[self._at :]]
            self._rest, self._at = b"", 0
            while piece := self._next():
                pieces.append(piece)
            return b"".join(pieces)
        pieces = []
        while size > 0 and self._fill():
            pieces.append(self._take(size))
            size -= len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Reads a line with its end, at most `size` bytes of it."""
        left = -1 if size is None else size
        pieces: list[bytes] = []
        while left and self._fill():
            end = self._rest.find(b"\n", self._at) + 1
            stop = end or len(self._rest)
            piece = self._take(stop - self._at if left < 0 else min(left, stop - self._at))
            pieces.append(piece)
            left = left if left < 0 else left - len(piece)
            if piece.endswith(b"\n"):
                break
        return b"".join(pieces)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Reads lines: all, or as many as have `hint` bytes in all."""
        lines, total = [], 0
        while line := self.readline():
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line


class _Empty(BytesIO):
    """An empty body. It has nothing to change, so all requests without a body share one."""

    def close(self) -> None:
        """Does nothing, since other requests read it too."""

    def write(self, data: object, /) -> NoReturn:
        """Raises `UnsupportedOperation`, as a file does that is open to be read."""
        raise UnsupportedOperation("not writable")

    def writelines(self, lines: object, /) -> NoReturn:
        """Raises `UnsupportedOperation`."""
        raise UnsupportedOperation("not writable")

    def writable(self) -> bool:
        """Returns `False`."""
        return False


EMPTY = _Empty()
