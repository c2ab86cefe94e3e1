"""The status and the header fields of a response, as an application gives them in a message."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from transom._check import got, shown
from transom._errors import BadHeaderError, BadStatusError
from transom._headers import header_line
from transom._reserved import RULED, WITHOUT_LENGTH
from transom._reserved import check as check_fields

#: The most bytes of a line that is kept, and the most lines.
_LONGEST = 96
_MOST = 1024
#: The fields with rules. A Content-Length that is a number needs none but its own.
_RULED = frozenset(name.encode() for name in RULED if name != "content-length")
_LENGTH = re.compile(rb"[0-9]{1,18}")


class _RuledError(Exception):
    """A field has rules that depend on the response."""


class _Lines(dict[tuple[bytes, bytes], bytes]):
    """The lines of header fields that were checked. Applications send the same fields again and again."""

    def __missing__(self, pair: tuple[bytes, bytes]) -> bytes:
        name, value = pair
        if type(name) is not bytes or type(value) is not bytes:
            raise TypeError(f"the name and the value of a header are bytes, got {shown(pair)}")
        lower = name.lower()
        if lower in _RULED or (lower == b"content-length" and not _LENGTH.fullmatch(value)):
            raise _RuledError
        line = header_line(name.decode("latin-1"), value.decode("latin-1"))
        # What is secret or seldom repeated is not kept.
        if len(line) <= _LONGEST and lower != b"set-cookie":
            if len(self) >= _MOST:
                self.clear()
            self[pair] = line
        return line


_lines = _Lines()


def block_of(status: int, headers: Any, has_trailers: bool = False) -> bytes:
    """Returns the lines of header fields. Their order, case and duplicates are kept.

    Raises `BadHeaderError` or `TypeError` for what cannot be sent.
    """
    try:
        if status not in WITHOUT_LENGTH:
            return b"".join([_lines[pair] for pair in headers])
    except BadHeaderError:
        raise
    except (TypeError, ValueError, _RuledError):
        # Checked below, so that an error does not name this one as its context.
        pass
    return _slow_block(status, headers, has_trailers)


def _slow_block(status: int, headers: Any, has_trailers: bool) -> bytes:
    """Does what `block_of` does, for pairs of any kind and fields with rules."""
    fields = fields_of(headers)
    if status in WITHOUT_LENGTH:
        # Frameworks add the length of the body, which is 0, to each response.
        fields = [pair for pair in fields if pair[0].lower() != "content-length"]
    if status:
        check_fields(status, [pair for pair in fields if not has_trailers or pair[0].lower() != "trailer"])
    return b"".join([header_line(name, value) for name, value in fields])


def fields_of(headers: Any) -> list[tuple[str, str]]:
    """Returns header fields as pairs of text. Raises `TypeError` if they are none."""
    if isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise TypeError(f"the headers of a message are pairs of bytes, got {got(headers)}")
    fields = []
    for pair in headers:
        match pair:
            case (
                bytes() | bytearray() | memoryview() as name,
                bytes() | bytearray() | memoryview() as value,
            ):
                fields.append((bytes(name).decode("latin-1"), bytes(value).decode("latin-1")))
            case _:
                # `match` takes no bytes as a pair.
                raise TypeError(f"a header of a message is a pair of bytes, got {shown(pair)}")
    return fields


def expect_status(status: Any) -> int:
    """Returns the status of a message. Raises `BadStatusError` or `TypeError` if it is none."""
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"the status of http.response.start is an int, got {got(status)}")
    if not 200 <= status <= 599:
        raise BadStatusError(f"the status of http.response.start is 200 to 599, got {shown(status)}")
    return int(status)
