"""The header fields of a response: as arguments, and as the lines of a header block."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from transom._check import kind_of, shown, text
from transom._errors import BadHeaderError
from transom._reserved import WITHOUT_CONTENT
from transom._reserved import check as check_fields

#: Header fields as an argument: a mapping, or pairs, in which a name may repeat.
HeadersInput: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"
BYTES = "application/octet-stream"

#: The fields that are not kept from one response for others: their values are for one client.
SECRET = ("set-cookie", "authorization", "www-authenticate")

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def is_token(name: str) -> bool:
    """Returns `True` if a name is a token (RFC 9110 5.6.2), as names of fields and cookies must be."""
    return _NAME.fullmatch(name) is not None


def header_line(name: str, value: str) -> bytes:
    """Returns the line of a header field.

    Raises `BadHeaderError` if a character may not be sent, and `TypeError` if an argument is no str.
    """
    if not isinstance(name, str) or not isinstance(value, str):
        wrong = name if not isinstance(name, str) else value
        where = f"{shown(name)}: {shown(value)}"
        raise TypeError(f"header names and values are str, got {kind_of(wrong)} in {where}")
    if not name:
        raise BadHeaderError("header name is empty")
    if not is_token(name):
        at = _length_of(_NAME, name)
        raise BadHeaderError(
            f"header name {shown(name)}: character {name[at]!r} at {at} is not allowed in a name"
        )
    if not _VALUE.fullmatch(value):
        at = _length_of(_VALUE, value)
        raise BadHeaderError(
            f"header {shown(name)}: character {value[at]!r} at {at} of the value is not allowed"
        )
    return f"{name}: {value}\r\n".encode("latin-1")


def _length_of(pattern: re.Pattern[str], text: str) -> int:
    """Returns the number of characters at the start of a text that match a pattern."""
    match = pattern.match(text)
    return 0 if match is None else match.end()


@lru_cache(maxsize=256)
def content_type_line(content_type: str) -> bytes:
    """Returns the line of a Content-Type field. The cache encodes common types once."""
    return header_line("content-type", content_type)


def usual_type(content_type: str, status: int) -> str | None:
    """Returns the default content type of a response, or `None` if its status has no content."""
    return None if status in WITHOUT_CONTENT else content_type


def block_of(status: int, headers: HeadersInput, given: str | None, usual: str | None) -> bytes:
    """Returns the header block, with the content type that was given, or else the default one."""
    if given is not None:
        text("content_type", given)
    if usual is not None:
        usual = usual_type(usual, status)
    if not headers:
        content_type = usual if given is None else given
        return b"" if content_type is None else content_type_line(content_type)
    pairs = pairs_of(headers)
    lines = lines_of(status, pairs)
    typed = any(name.lower() == "content-type" for name, _ in pairs)
    if typed and given is not None:
        raise ValueError("both content_type and a Content-Type header were given")
    content_type = None if typed else usual if given is None else given
    return lines if content_type is None else content_type_line(content_type) + lines


def lines_of(status: int, pairs: list[tuple[str, str]]) -> bytes:
    """Returns the lines of header fields. Raises `BadHeaderError` if one cannot be sent."""
    lines = b"".join([header_line(name, value) for name, value in pairs])
    check_fields(status, pairs)
    return lines


def fields_of_block(block: bytes) -> list[tuple[str, str]]:
    """Returns the fields of a header block, in order, with repeated names."""
    lines = block.decode("latin-1").split("\r\n")[:-1]
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


def block_without(fields: list[tuple[str, str]], name: str) -> bytes:
    """Returns the header block without the fields of one name, which is given in lower case."""
    return b"".join([header_line(*pair) for pair in fields if pair[0].lower() != name])


def pairs_of(headers: Any) -> list[tuple[str, str]]:
    """Returns the pairs of either form of `HeadersInput`."""
    if isinstance(headers, Mapping):
        return list(headers.items())
    if isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise TypeError(f"headers are a mapping or pairs of str, got {kind_of(headers)}")
    pairs = []
    for pair in headers:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"headers are a mapping or pairs of str, got {shown(pair)} in them")
        pairs.append((pair[0], pair[1]))
    return pairs
