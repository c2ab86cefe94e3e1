"""Conditional requests and ranges for files: RFC 9110, sections 13 and 14."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from transom._http_date import seconds_of
from transom._multi import Headers
from transom._ranges import Part, parts_of

#: A tag of a list, after what separates it from the one before.
_TAG = re.compile(r'[, \t]*((?:W/)?"[^"]*")')
#: The characters of a token of RFC 8187 that need no encoding.
_PLAIN = "!#$&+-.^_`|~"


def _tags(field: str) -> Iterator[str]:
    """Yields the tags of a list. It ends at the first character that belongs to no tag."""
    at = 0
    while found := _TAG.match(field, at):
        yield found[1]
        at = found.end()


def _lists(fields: list[str], tag: str, *, weakly: bool) -> bool:
    """Returns `True` if a list of tags is `*` or has this one, by the weak or the strong comparison."""
    if "*" in fields:
        return True
    tags = (one for field in fields for one in _tags(field))
    if weakly:
        return any(one.removeprefix("W/") == tag.removeprefix("W/") for one in tags)
    return not tag.startswith("W/") and tag in tags


def _date(headers: Headers, name: str) -> int | None:
    """Returns the date of a field. One that is there twice, or is no date, does not count."""
    fields = headers.get_all(name)
    return seconds_of(fields[0]) if len(fields) == 1 else None


def _is_after(changed: int | None, since: int | None) -> bool | None:
    """Compares two times; `None` if one is not there."""
    return None if changed is None or since is None else changed > since


def outcome(method: str, headers: Headers, tag: str, modified: str, size: int) -> tuple[int, list[Part]]:
    """Returns the status of a response with a file, and with a 206 the parts to send.

    The order of the fields is that of RFC 9110 13.2.2.
    """
    changed = seconds_of(modified)
    is_read = method in ("GET", "HEAD")
    # A field that is there and empty names no tag.
    if match := headers.get_all("if-match"):
        if not _lists(match, tag, weakly=False):
            return 412, []
    elif _is_after(changed, _date(headers, "if-unmodified-since")):
        return 412, []
    if none_match := headers.get_all("if-none-match"):
        if _lists(none_match, tag, weakly=True):
            return (304 if is_read else 412), []
    elif is_read and _is_after(changed, _date(headers, "if-modified-since")) is False:
        return 304, []
    if method != "GET" or not _is_current(headers, tag, changed):
        return 200, []
    parts = parts_of(headers.get_all("range"), size)
    if parts is None:
        return 200, []
    return (206, parts) if parts else (416, [])


def _is_current(headers: Headers, tag: str, changed: int | None) -> bool:
    """Returns `True` if `If-Range` is not there, or names this representation (RFC 9110 13.1.5)."""
    fields = headers.get_all("if-range")
    if not fields:
        return True
    # A weak tag identifies no bytes, and neither does the date of a file that may change again within the
    # second (RFC 9110 8.8.2.2), which is why its tag is weak.
    if len(fields) > 1 or tag.startswith("W/"):
        return False
    if fields[0].endswith('"'):
        return fields[0] == tag
    return changed is not None and seconds_of(fields[0]) == changed


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
