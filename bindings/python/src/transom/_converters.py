"""Converters: the `:int` of `{id:int}` in a pattern, and what it makes of a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias
from uuid import UUID

from transom._errors import BadRouteError

#: Converts a value of a path. Raises `ValueError` if the value is not of that form.
Converter: TypeAlias = Callable[[str], Any]

_NAMED = re.compile(r"\{([^{}:*]*):([^{}]*)\}")


def _matching(form: str, convert: Converter) -> Converter:
    """Returns a converter for values of a form: Python's own functions accept more, such as `1_000`."""
    pattern = re.compile(form)

    def converter(value: str) -> Any:
        if not pattern.fullmatch(value):
            raise ValueError(value)
        return convert(value)

    return converter


#: The converters by their names. `str` and `path` leave the value as it is.
_CONVERTERS: dict[str, Converter | None] = {
    "str": None,
    "path": None,
    "int": _matching(r"-?[0-9]+", int),
    "float": _matching(r"-?[0-9]+(\.[0-9]+)?", float),
    "uuid": _matching(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", UUID),
}


def parse_pattern(pattern: str) -> tuple[str, dict[str, Converter]]:
    """Returns the pattern as the library has it, and the converters of its parameters.

    Raises `BadRouteError` if there is no such converter.

    >>> parse_pattern("/files/{name:path}")
    ('/files/{*name}', {})
    """
    converters: dict[str, Converter] = {}

    def replace(match: re.Match[str]) -> str:
        name, kind = match.groups()
        if kind not in _CONVERTERS:
            known = ", ".join(_CONVERTERS)
            raise BadRouteError(f"bad route {pattern}: there is no converter {kind!r}; there are {known}")
        converter = _CONVERTERS[kind]
        if converter is not None:
            converters[name] = converter
        return f"{{*{name}}}" if kind == "path" else f"{{{name}}}"

    return _NAMED.sub(replace, pattern), converters


def shape_of(pattern: str) -> str:
    """Returns a pattern without the names of its parameters: two of the same shape match the same paths.

    >>> shape_of("/users/{id}/{*rest}")
    '/users/{}/{*}'
    """
    return re.sub(r"\{(\*?)[^{}]*\}", r"{\1}", pattern)
