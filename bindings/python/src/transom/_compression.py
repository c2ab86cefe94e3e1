"""The settings of compressed responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ctypes import c_void_p
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from transom import _native as native
from transom._check import got, shown, text, whole
from transom._errors import ErrorSlot, InvalidArgumentError, check, make
from transom._native import quick

#: A content coding (RFC 9110 8.4.1).
Coding: TypeAlias = Literal["zstd", "br", "gzip"]

#: The levels of each coding.
_LEVELS = {"zstd": (1, 19), "br": (0, 11), "gzip": (1, 9)}
_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """How responses are compressed (RFC 9110 8.4); see `Server`.

    >>> Compression(levels={"br": 5}, min_size=2048).min_size
    2048

    A response says `Cache-Control: no-transform` to be sent as it is, for example because it holds a secret
    beside what the request said (BREACH, CVE-2013-3587).

    Raises `InvalidArgumentError` or `TypeError` for a value that cannot be one.
    """

    #: The codings in their order: of those that a client likes alike, the first is taken.
    codings: Iterable[Coding] = ("zstd", "br", "gzip")
    #: The effort: 1 to 19 for zstd (default 3), 0 to 11 for brotli (4), 1 to 9 for gzip (4).
    levels: Mapping[Coding, int] = field(default_factory=dict)
    #: Shorter responses are sent as they are, in bytes.
    min_size: int = 1024
    #: The media types that are compressed, such as `application/json`, `text/*` or `*/*+xml`; `None` for
    #: those of texts.
    types: Iterable[str] | None = None
    #: The streams that are compressed at once; further ones are sent as they are. Each holds 250 KiB with
    #: zstd, 400 KiB with gzip and 750 KiB with brotli.
    max_streams: int = 1024

    def __post_init__(self) -> None:
        codings = _texts("codings", self.codings)
        for name in codings:
            _coding(name)
        if not isinstance(self.levels, Mapping):
            raise TypeError(f"levels are a mapping of codings to numbers, got {got(self.levels)}")
        for name, level in self.levels.items():
            whole(f"the level of {name}", level, *_LEVELS[_coding(name)])
        whole("min_size", self.min_size, 0, _MOST)
        whole("max_streams", self.max_streams, 0, _MOST)
        types = None if self.types is None else _texts("types", self.types)
        for kind in types or ():
            if "/" not in kind or "," in kind:
                raise InvalidArgumentError(f"a media type is such as 'text/html', got {shown(kind)}")
        object.__setattr__(self, "codings", codings)
        object.__setattr__(self, "types", types)

    def _give(self, server: int) -> None:
        """Gives a native server these settings."""
        pointer: int | None = quick.compression_new()
        if not pointer:
            raise make(native.NO_MEMORY)
        made = c_void_p(pointer)
        try:
            slot = ErrorSlot()
            slot.check(quick.compression_set_codings(made, ", ".join(self.codings).encode(), slot.reference))
            for name, level in self.levels.items():
                slot = ErrorSlot()
                slot.check(quick.compression_set_level(made, name.encode(), level, slot.reference))
            check(quick.compression_set_min_size(made, self.min_size))
            check(quick.compression_set_max_streams(made, self.max_streams))
            if self.types is not None:
                check(quick.compression_set_types(made, ", ".join(self.types).encode()))
            slot = ErrorSlot()
            slot.check(quick.server_set_compression(server, made, slot.reference))
        finally:
            quick.compression_free(made)


def _texts(what: str, values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{what} are several str, got {got(values)}")
    return tuple(text(f"one of the {what}", value) for value in values)


def _coding(name: str) -> str:
    if name not in _LEVELS:
        raise InvalidArgumentError(f"a coding is 'zstd', 'br' or 'gzip', got {shown(name)}")
    return name


def made_compression(given: Compression | bool) -> Compression | None:
    """Returns the settings that the argument `compression` of a server stands for."""
    if isinstance(given, Compression):
        return given
    if isinstance(given, bool):
        return Compression() if given else None
    raise TypeError(f"compression is True, False or a Compression, got {got(given)}")
