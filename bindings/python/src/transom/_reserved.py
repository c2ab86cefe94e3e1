"""Header fields that a response cannot set: the server writes them, or they speak of one connection.

The native library has the same rules and refuses such a response; here an exception says so
where the field is set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from transom._errors import BadHeaderError

#: The statuses whose responses have no content.
WITHOUT_CONTENT = (204, 205, 304)

_NEVER = {
    "te": "it is a field of requests",
    "keep-alive": "the server decides how long a connection lasts",
    "proxy-connection": "the server decides how long a connection lasts",
    "transfer-encoding": "the server chooses how the body is framed",
    "trailer": "no trailer section follows",
}
_LENGTH = re.compile(r"[0-9]+")


def check(status: int, fields: Iterable[tuple[str, str]]) -> None:
    """Raises `BadHeaderError` for the first field that a response of that status cannot set."""
    for name, value in fields:
        why = _fault(status, name.lower(), value.strip(" \t"))
        if why is not None:
            raise BadHeaderError(f"header {name!r} is not sent: {why}")


def _fault(status: int, name: str, value: str) -> str | None:
    if name == "content-length":
        if not _LENGTH.fullmatch(value):
            return f"{value!r} is no number of bytes"
        if status == 204 or (status == 205 and value.strip("0")):
            return f"a {status} has no content"
        return None
    if name == "connection":
        options = {option.strip(" \t").lower() for option in value.split(",")} - {"", "close", "keep-alive"}
        if options <= ({"upgrade"} if status == 426 else set()):
            return None
        return "of a connection only `close` can be asked for"
    if name == "upgrade":
        return None if status == 426 else "other protocols are offered in a 426 only"
    return _NEVER.get(name)
