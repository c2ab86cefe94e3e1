"""JSON of a request, and the limits on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from transom._check import whole
from transom._http_error import BodyError

#: The most levels that a limit may allow: those that Rust's parser reads.
_DEEPEST = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLimits:
    """The limits on JSON that `Request.json` reads.

    Raises `InvalidArgumentError` if a value is out of range.

    >>> JsonLimits(size=64 * 1024)
    JsonLimits(depth=100, size=65536)
    """

    #: The most arrays and objects that are inside each other, at most 127. Beyond it, the client gets a 400.
    depth: int = 100
    #: The most bytes of the JSON; `None` for no limit besides that of the body. Beyond it, the client gets a
    #: 413.
    size: int | None = None

    def __post_init__(self) -> None:
        whole("depth of JSON", self.depth, 0, _DEEPEST)
        if self.size is not None:
            whole("size of JSON", self.size, 0, 2**63 - 1)


DEFAULT = JsonLimits()


def parsed(body: bytes, limits: JsonLimits) -> Any:
    """Returns the value that a body is in JSON. Raises `BodyError`."""
    if limits.size is not None and len(body) > limits.size:
        raise BodyError(413, f"the JSON is larger than {limits.size} bytes")
    try:
        value = json.loads(body)
    except ValueError as error:
        raise BodyError(400, f"the body is not JSON: {error}") from error
    except RecursionError:
        raise _too_deep(limits) from None
    # Most JSON has fewer arrays and objects in all. In each encoding of it, theirs are among these bytes.
    if body.count(b"[") + body.count(b"{") > limits.depth and _is_deeper(value, limits.depth):
        raise _too_deep(limits)
    return value


def _too_deep(limits: JsonLimits) -> BodyError:
    return BodyError(400, f"the JSON is nested more than {limits.depth} levels deep")


def _is_deeper(value: Any, most: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return bool(level)
