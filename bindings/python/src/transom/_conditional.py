"""Conditional requests and ranges for files: RFC 9110, sections 13 and 14."""

from __future__ import annotations

import re
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import quote

from transom._multi import Headers
from transom._ranges import Part, parts_of

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
#: The characters of a token of RFC 8187 that need no encoding.
_PLAIN = "!#$&+-.^_`|~"


def http_date(seconds: float) -> str:
    """Returns a time as a date of HTTP (RFC 9110 5.6.7). Seconds are those of the Unix clock.

    >>> http_date(0)
    'Thu, 01 Jan 1970 00:00:00 GMT'
    """
    return formatdate(seconds, usegmt=True)


def _time_of(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _lists(field: str, tag: str, *, weakly: bool) -> bool:
    """Returns `True` if a list of tags has this one, by the weak or the strong comparison."""
    if field.strip() == "*":
        return True
    tags = _TAG.findall(field)
    return tag.removeprefix("W/") in [one.removeprefix("W/") for one in tags] if weakly else tag in tags


def outcome(method: str, headers: Headers, tag: str, modified: str, size: int) -> tuple[int, list[Part]]:
    """Returns the status of a response with a file, and with a 206 the parts to send.

    The order of the fields is that of RFC 9110 13.2.2.
    """
    changed = _time_of(modified) or 0.0
    match = ", ".join(headers.get_all("if-match"))
    none_match = ", ".join(headers.get_all("if-none-match"))
    if match:
        if not _lists(match, tag, weakly=False):
            return 412, []
    elif (since := _time_of(headers.get("if-unmodified-since", ""))) is not None and changed > since:
        return 412, []
    if none_match:
        if _lists(none_match, tag, weakly=True):
            return (304 if method in ("GET", "HEAD") else 412), []
    elif (
        method in ("GET", "HEAD")
        and (since := _time_of(headers.get("if-modified-since", ""))) is not None
        and changed <= since
    ):
        return 304, []
    if method != "GET" or not _is_current(headers, tag, changed):
        return 200, []
    parts = parts_of(headers.get_all("range"), size)
    if parts is None:
        return 200, []
    return (206, parts) if parts else (416, [])


def _is_current(headers: Headers, tag: str, changed: float) -> bool:
    """Returns `True` if `If-Range` allows a part (RFC 9110 13.1.5)."""
    condition = headers.get("if-range", "").strip()
    if not condition:
        return True
    if condition.endswith('"'):
        # A weak tag identifies no part.
        return condition == tag and not tag.startswith("W/")
    return _time_of(condition) == changed


def disposition(name: str) -> str:
    """Returns the value of a Content-Disposition that has a client store a body under a name.

    Characters that are not safe in a file name become `_` (RFC 6266 4.3, RFC 8187).

    >>> disposition("caf\\u00e9.txt")
    'attachment; filename="caf_.txt"; filename*=UTF-8\\'\\'caf%C3%A9.txt'
    """
    safe = re.sub(r'[\x00-\x1f\x7f"\\/:*?<>|]', "_", name).strip(". ") or "_"
    plain = safe.encode("ascii", "replace").decode().replace("?", "_")
    value = f'attachment; filename="{plain}"'
    if plain != safe:
        value += "; filename*=UTF-8''" + quote(safe, safe=_PLAIN, errors="replace")
    return value
