"""Texts and times as the library takes them."""

from __future__ import annotations

from transom import _native as native
from transom._errors import BadAddressError, BadRouteError


def encode_address(address: str) -> bytes:
    """Encodes an address. Raises `BadAddressError` for one that the library cannot take."""
    if "\0" in address:
        raise BadAddressError(f"bad address {address!r}: it contains a NUL")
    if not _is_unicode(address):
        raise BadAddressError(f"bad address {address!r}: it contains a lone surrogate")
    return address.encode()


def expect_pattern(pattern: str, method: str | None) -> None:
    """Raises `BadRouteError` for texts that the library cannot take."""
    for part in (pattern, method or ""):
        if "\0" in part:
            raise BadRouteError(f"bad route {method or '*'} {pattern!r}: it contains a NUL")
        if not _is_unicode(part):
            raise BadRouteError(f"bad route {method or '*'} {pattern!r}: it contains a lone surrogate")


def milliseconds(timeout: float | None) -> int:
    """Converts seconds to milliseconds. `None` means no timeout; a time above 0 is at least 1 ms."""
    if timeout is None:
        return native.FOREVER
    return max(int(timeout * 1000), int(timeout > 0))


def _is_unicode(value: str) -> bool:
    """Returns `True` if a text can be encoded: a lone surrogate cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def encode_name(name: str) -> bytes:
    """Encodes the name of a setting for the library. One with other characters stays unknown."""
    return name.encode("ascii", "backslashreplace").replace(b"\0", b"\\0")
