"""Values as JSON, as responses and events send them."""

from __future__ import annotations

import json
import re

#: Half of a surrogate pair, for which UTF-8 has no bytes, but JSON has an escape. The halves from U+DC80 to
#: U+DCFF are not among them: they stand for bytes that are not UTF-8.
_LONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")

#: Returns a value as compact JSON. Raises what `json.dumps` raises.
dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def encode(text: str) -> bytes:
    """Returns the bytes of JSON. What a client has sent as JSON can always be sent back."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return escaped(text).encode("utf-8", "surrogateescape")


def escaped(text: str) -> str:
    """Returns JSON whose halves of surrogate pairs are escapes."""
    return text if text.isascii() else _LONE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
