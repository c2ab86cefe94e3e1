"""The settings of decompressed requests."""

from __future__ import annotations

from dataclasses import dataclass

from transom._check import whole

_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Decompression:
    """How request bodies are decompressed (RFC 9110 8.4); see `Router.route`.

    >>> Decompression(limit=64 * 1024).max_memory
    268435456

    Raises `InvalidArgumentError` for a value that is out of range.
    """

    #: The most bytes of a body after decompression. A larger one gets a 413.
    limit: int = 10 * 1024 * 1024
    #: The most bytes of memory for decompressed bodies of all requests of the route together; what goes
    #: beyond gets a 503. A whole body counts with its bytes, and a stream with the largest window of its
    #: coding: 64 KiB for gzip, 9 MiB for zstd and 17 MiB for brotli.
    max_memory: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        whole("decompression", self.limit, 0, _MOST)
        whole("memory for decompression", self.max_memory, 0, _MOST)


def made_decompression(given: int | Decompression | None) -> Decompression | None:
    """Returns the settings that the option `decompression` of a route stands for."""
    return given if given is None or isinstance(given, Decompression) else Decompression(limit=given)
