"""The parser of multipart bodies (RFC 2046, RFC 7578). It gets the body in pieces of any size."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from transom._http_error import BodyError

#: The most bytes of white space after a boundary.
_MOST_PADDING = 64
#: The most bytes of a boundary (RFC 2046 5.1.1).
MOST_BOUNDARY = 70


class Sink(Protocol):
    """The receiver of the parts of a body."""

    def begin(self, head: bytes) -> None:
        """Takes the header section of the next part: lines that CR LF separates."""

    def write(self, data: memoryview) -> None:
        """Takes the next bytes of the content of the part."""

    def end(self) -> None:
        """Notes that the part is complete."""


class _State(Enum):
    #: Before the first boundary.
    PREAMBLE = 0
    #: After a boundary, in the same line.
    LINE = 1
    #: In the header section of a part.
    HEAD = 2
    #: In the content of a part.
    PART = 3
    #: After the last boundary.
    END = 4


class Parser:
    """A parser of a multipart body. The memory that it takes does not grow with the body."""

    def __init__(self, boundary: bytes, sink: Sink, most_head: int) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._sink = sink
        self._most_head = most_head
        self._state = _State.PREAMBLE
        #: The bytes before the content of a part that are not passed on.
        self._skip = 0
        # The first boundary may have no line before it.
        self._rest = b"\r\n"

    def feed(self, piece: bytes) -> None:
        """Parses the next piece of the body. Raises `BodyError` if the body is malformed."""
        data = self._rest + piece if self._rest else piece
        view = memoryview(data)
        at = 0
        while True:
            before = self._state
            match self._state:
                case _State.PREAMBLE | _State.PART:
                    at = self._pass(data, view, at)
                case _State.LINE:
                    at = self._line(data, at)
                case _State.HEAD:
                    at = self._head(data, at)
                case _State.END:
                    at = len(data)
            if self._state is before:
                break
        self._rest = data[at:]

    def close(self) -> None:
        """Notes the end of the body. Raises `BodyError` if the last boundary has not come."""
        if self._state is not _State.END:
            raise BodyError(400, "the form ends before its last boundary")

    def _pass(self, data: bytes, view: memoryview, at: int) -> int:
        """Passes content on up to the next boundary, and returns where the rest begins."""
        delimiter = self._delimiter
        found = data.find(delimiter, at)
        end = _partial(data, at, delimiter) if found < 0 else found
        if self._state is _State.PART:
            if end > at:
                self._sink.write(view[at + self._skip : end])
                self._skip = 0
            if found >= 0:
                self._sink.end()
        if found < 0:
            return end
        self._state = _State.LINE
        return found + len(delimiter)

    def _line(self, data: bytes, at: int) -> int:
        """Reads the rest of the line of a boundary. Returns where its CR LF begins."""
        if data.startswith(b"--", at):
            self._state = _State.END
            return at
        end = data.find(b"\r\n", at, at + _MOST_PADDING + 2)
        if end < 0:
            if len(data) - at >= _MOST_PADDING + 2:
                raise BodyError(400, "a boundary of the form is malformed")
            return at
        if data[at:end].strip(b" \t"):
            raise BodyError(400, "a boundary of the form is malformed")
        self._state = _State.HEAD
        return end

    def _head(self, data: bytes, at: int) -> int:
        """Reads the header section of a part, which begins with CR LF here."""
        end = data.find(b"\r\n\r\n", at, at + self._most_head + 6)
        if end < 0:
            if len(data) - at >= self._most_head + 6:
                raise BodyError(413, f"the header section of a part is larger than {self._most_head} bytes")
            return at
        self._sink.begin(data[at + 2 : end])
        self._state = _State.PART
        # The empty line may belong to the next boundary already, if the part has no content.
        self._skip = 2
        return end + 2


def _partial(data: bytes, at: int, delimiter: bytes) -> int:
    """Returns where a delimiter begins of which the end has not come; the end of the data if none does."""
    found = data.rfind(b"\r", max(at, len(data) - len(delimiter) + 1))
    return found if found >= 0 and delimiter.startswith(data[found:]) else len(data)
