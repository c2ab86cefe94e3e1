"""The values of header fields that have parameters, such as `form-data; name="a"` (RFC 9110 5.6.6)."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

# A quoted string with escapes that ends where the parameter ends. Otherwise a quoted string as browsers
# write it, in which a backslash is a character like any other.
_PARAMETER = re.compile(
    rb"[ \t]*;[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*"
    rb'(?:"((?:[^"\\]|\\.)*)"(?=[ \t]*(?:;|$))|"([^"]*)"|([^;"]*)))?',
    re.DOTALL,
)
_ESCAPE = re.compile(rb'\\(["\\])')
_EXTENDED = re.compile(rb"(utf-8|iso-8859-1)'[^']*'((?:%[0-9a-f]{2}|[!#$&+\-.^_`|~0-9a-z])*)", re.IGNORECASE)


def parse_parameters(value: bytes) -> tuple[str, dict[str, bytes]]:
    """Returns the first word of a value, in lower case, and its parameters by their names in lower case.

    Raises `ValueError` if the value is malformed, or has a parameter twice.

    >>> parse_parameters(b'form-data; name="a\\\\"b"; filename=c.txt')
    ('form-data', {'name': b'a"b', 'filename': b'c.txt'})
    """
    word, _, _ = value.partition(b";")
    at = len(word)
    parameters: dict[str, bytes] = {}
    while at < len(value):
        match = _PARAMETER.match(value, at)
        if match is None:
            if value[at:].strip(b" \t"):
                raise ValueError("a parameter is malformed")
            break
        at = match.end()
        name, escaped, quoted, plain = match.groups()
        if name is None:
            # A semicolon that no parameter follows.
            continue
        key = name.decode("ascii").lower()
        if key in parameters:
            raise ValueError(f"the parameter {key} is there twice")
        if escaped is not None:
            parameters[key] = _ESCAPE.sub(rb"\1", escaped)
        else:
            parameters[key] = quoted if quoted is not None else plain.strip(b" \t")
    return word.strip(b" \t").decode("latin-1").lower(), parameters


def decode_extended(value: bytes) -> str:
    """Decodes the value of a parameter whose name ends in `*` (RFC 8187). Raises `ValueError`.

    >>> decode_extended(b"UTF-8''%e2%82%ac.txt")
    '\u20ac.txt'
    """
    match = _EXTENDED.fullmatch(value)
    if match is None:
        raise ValueError("an extended parameter is malformed")
    return unquote_to_bytes(match[2]).decode(match[1].decode("ascii"))
