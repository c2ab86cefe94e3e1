"""Range requests: the parts of a file that a client asks for (RFC 9110 14)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator

#: The most parts that one request may ask for. A request for more gets the whole file.
_LIMIT = 32
#: Two parts are sent as one if fewer bytes than this are between them: the head of a part takes more.
_WORTH_A_PART = 80
#: One part: `0-99`, `100-`, `-50`.
_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
#: The largest number that is read, and its digits. Any larger one is larger than any file too.
_MOST = 2**64 - 1
_DIGITS = 20
#: The most bytes that one read takes.
_CHUNK = 64 * 1024

#: An offset and a length.
Part = tuple[int, int]


def parts_of(fields: list[str], size: int) -> list[Part] | None:
    """Returns the parts that the fields Range ask for; `None` for the whole file, and none for a 416.

    A range that breaks the grammar, and one with too many parts, is ignored (RFC 9110 14.2). Parts that
    overlap, or nearly touch, are sent as one (15.3.7.2).

    >>> parts_of(["bytes=0-9,-10"], 1000)
    [(0, 10), (990, 10)]
    """
    if len(fields) != 1:
        return None
    unit, equals, listed = fields[0].partition("=")
    # Empty elements of a list do not count (RFC 9110 5.6.1.2).
    elements = [element.strip(" \t") for element in listed.split(",")]
    elements = [element for element in elements if element]
    if not equals or unit.lower() != "bytes" or not 1 <= len(elements) <= _LIMIT:
        return None
    wanted: list[tuple[int, int, int]] = []
    for place, element in enumerate(elements):
        spec = _SPEC.fullmatch(element)
        if spec is None:
            return None
        first, last = (_number(digits) for digits in spec.groups())
        if first is None:
            if last is None:
                return None
            start, end = max(0, size - last), size
        else:
            if last is not None and last < first:
                return None
            start, end = first, size if last is None else min(last + 1, size)
        if start < end:
            wanted.append((start, end, place))
    return _merged(wanted)


def _number(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0") or "0"
    return min(int(digits), _MOST) if len(digits) <= _DIGITS else _MOST


def _merged(wanted: list[tuple[int, int, int]]) -> list[Part]:
    """Merges parts that overlap or nearly touch. A merged part stands where the first of them stood."""
    merged: list[tuple[int, int, int]] = []
    for start, end, place in sorted(wanted):
        if merged and start <= merged[-1][1] + _WORTH_A_PART:
            before = merged.pop()
            start, end, place = before[0], max(before[1], end), min(before[2], place)
        merged.append((start, end, place))
    merged.sort(key=lambda part: part[2])
    return [(start, end - start) for start, end, _ in merged]


def byte_ranges(
    parts: list[Part], size: int, content_type: str, read: Callable[[int, int], bytes]
) -> tuple[str, int, Iterator[bytes]]:
    """Returns a body with several parts of a file (RFC 9110 14.6): its media type, its length, its pieces.

    `read` returns bytes of the file from an offset on, as many as it is told.
    """
    # A string that no file has by chance, and that nobody can guess.
    boundary = secrets.token_hex(16)
    heads = []
    for number, (offset, length) in enumerate(parts):
        head = (
            f"--{boundary}\r\ncontent-type: {content_type}\r\n"
            f"content-range: bytes {offset}-{offset + length - 1}/{size}\r\n\r\n"
        )
        heads.append(("\r\n" if number else "").encode() + head.encode("latin-1"))
    end = f"\r\n--{boundary}--\r\n".encode()

    def pieces() -> Iterator[bytes]:
        for head, (offset, length) in zip(heads, parts, strict=True):
            yield head
            for at in range(offset, offset + length, _CHUNK):
                yield read(at, min(_CHUNK, offset + length - at))
        yield end

    total = sum(map(len, heads)) + sum(length for _, length in parts) + len(end)
    return f"multipart/byteranges; boundary={boundary}", total, pieces()
