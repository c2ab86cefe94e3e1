"""The header fields that a handler cannot set: the server frames messages and keeps connections.

The native library has the same rules and refuses such a response. Here an exception says so
where the field is set. A test holds the two to each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from transom._errors import BadHeaderError

#: The statuses whose responses have no content.
WITHOUT_CONTENT = (204, 205, 304)
#: The statuses whose responses have no Content-Length either (RFC 9110 8.6 and 15.3.6).
WITHOUT_LENGTH = (204, 205)

_REASONS = {
    "te": "it is a field of requests",
    "keep-alive": "the server decides how long a connection lasts",
    "proxy-connection": "the server decides how long a connection lasts",
    "transfer-encoding": "the server chooses how the body is framed",
    "trailer": "no trailer section follows",
}
#: The names of the fields that have rules: they frame messages, or are about the connection.
RULED = frozenset(("connection", "content-length", "upgrade", *_REASONS))
_DIGITS = re.compile(r"0*([0-9]{1,20})")


def check(status: int, fields: Iterable[tuple[str, str]]) -> None:
    """Raises `BadHeaderError` for the first field that a response of that status cannot set."""
    lengths: set[int] = set()
    for name, value in fields:
        reason = _fault(status, name.lower(), value, lengths)
        if reason is not None:
            raise BadHeaderError(f"header {name!r} is not sent: {reason}")


def _fault(status: int, name: str, value: str, lengths: set[int]) -> str | None:
    if name == "content-length":
        return _length_fault(status, value, lengths)
    if name == "connection":
        options = {option.lower() for option in _members(value)} - {"", "close", "keep-alive"}
        if options <= ({"upgrade"} if status == 426 else set()):
            return None
        return "a handler can ask only for `close`"
    if name == "upgrade":
        return None if status == 426 else "other protocols are offered in a 426 only"
    return _REASONS.get(name)


def _length_fault(status: int, value: str, lengths: set[int]) -> str | None:
    """Returns the fault of a Content-Length. Adds its number to those of the lines before."""
    matches = [_DIGITS.fullmatch(member) for member in _members(value)]
    # A list of equal numbers is one number (RFC 9110 8.6).
    numbers = {None if match is None else int(match[1]) for match in matches}
    length = numbers.pop()
    if numbers or length is None or length >= 2**64:
        return "it is not a number of bytes"
    if status == 204:
        return "a response of this status has no content, nor a length (RFC 9110 8.6)"
    if status == 205 and length > 0:
        return "a response of this status has no content (RFC 9110 15.3.6)"
    lengths.add(length)
    return "it differs from the one before" if len(lengths) > 1 else None


def _members(value: str) -> list[str]:
    """Returns the members of a list in a field value."""
    return [member.strip(" \t") for member in value.split(",")]
