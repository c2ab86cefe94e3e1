"""The conversion of a handler's return value to a response."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from transom._check import check_status, kind_of
from transom._headers import block_without, lines_of, pairs_of
from transom._pending import Pending
from transom._reserved import WITHOUT_CONTENT
from transom._reserved import check as check_fields
from transom._response import Response


def from_value(value: Any) -> Response:
    """Converts the return value of a handler. Raises `TypeError` if its type is not supported."""
    if isinstance(value, Response):
        return value
    if value is None:
        return Response(status=204)
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return Response(value)
    if isinstance(value, (dict, list)):
        return Response.json(value)
    if isinstance(value, tuple):
        return _from_tuple(value)
    if isinstance(value, (Iterator, AsyncIterator)):
        response = Response.stream(value)
        # A generator may still raise an error before its first chunk, which then decides the status.
        response._prompt = False
        return response
    if isinstance(value, Mapping):
        return Response.json(dict(value))
    if hasattr(value, "__await__"):
        response = Response()
        response._chunks = Pending(value)
        return response
    raise TypeError(
        "a handler returns str, bytes, dict, list, None, a tuple (value, status[, headers]), "
        f"an iterator or a Response, got {kind_of(value)}"
    )


def _from_tuple(value: tuple[Any, ...]) -> Response:
    if not 2 <= len(value) <= 3:
        raise TypeError(
            f"a tuple returned by a handler is (value, status[, headers]), got {len(value)} items"
        )
    response = from_value(value[0])
    if isinstance(response._chunks, Pending):
        response._chunks.close()
        raise TypeError(f"a {kind_of(value[0])} in a tuple is not awaited: await it before it is returned")
    status = check_status(value[1])
    is_own = response is value[0]
    _, block, body = response._parts
    if is_own:
        check_fields(status, response.fields)
    pairs = pairs_of(value[2]) if len(value) == 3 else []
    lines = lines_of(status, pairs)
    names_type = any(name.lower() == "content-type" for name, _ in pairs)
    if names_type or (status in WITHOUT_CONTENT and not is_own):
        block = block_without(response.fields, "content-type")
    # A `Response` of the application is not changed: it may be returned again.
    changed = Response(status=status)
    changed._parts = status, block + lines, body
    changed._chunks, changed._prompt = response._chunks, response._prompt
    changed._jobs = response._jobs
    return changed
