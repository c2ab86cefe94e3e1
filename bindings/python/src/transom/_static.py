"""The files of a folder, as the library serves them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Mapping
from ctypes import byref, c_void_p

from transom._check import flag, got, text, whole
from transom._errors import ErrorSlot, InvalidArgumentError, WrongTypeError
from transom._native import quick, waiting


class StaticFiles:
    """A folder that is served under a prefix, with its settings: see `Server.static`."""

    __slots__ = ("__weakref__", "_finalizer", "pointer", "prefix")

    def __init__(
        self,
        prefix: str,
        folder: str | os.PathLike[str],
        *,
        index: str | None,
        single_page: str | None,
        precompressed: bool,
        cache_control: Mapping[str, str],
        content_types: Mapping[str, str],
        charset: str | None,
        listing: bool,
        listing_limit: int,
        dotfiles: bool,
        downloads: bool,
        range_limit: int,
    ) -> None:
        if not isinstance(folder, (str, os.PathLike)):
            raise WrongTypeError(f"the folder of static files is a str or os.PathLike, got {got(folder)}")
        self.prefix = text("a prefix", prefix)
        path = os.fsencode(folder)
        if b"\0" in path:
            raise InvalidArgumentError(f"the path of a folder has no NUL, got {folder!r}")
        made, slot = c_void_p(), ErrorSlot()
        slot.check(waiting.files_new(path, byref(made), slot.reference))
        #: The native object.
        self.pointer = made.value or 0
        self._finalizer = weakref.finalize(self, quick.files_free, self.pointer)
        self._finalizer.atexit = False
        numbers = {
            "precompressed": int(flag("precompressed", precompressed)),
            "listing": int(flag("listing", listing)),
            "listing_limit": whole("listing_limit", listing_limit, 0, 2**63 - 1),
            "dotfiles": int(flag("dotfiles", dotfiles)),
            "downloads": int(flag("downloads", downloads)),
            "range_limit": whole("range_limit", range_limit, 0, 2**63 - 1),
        }
        for name, number in numbers.items():
            slot = ErrorSlot()
            slot.check(quick.files_set(self.pointer, name.encode(), number, slot.reference))
        slot = ErrorSlot()
        slot.check(quick.files_set_index(self.pointer, _optional("index", index), slot.reference))
        slot = ErrorSlot()
        slot.check(quick.files_set_charset(self.pointer, _optional("charset", charset), slot.reference))
        if single_page is not None:
            slot = ErrorSlot()
            page = _encoded("single_page", single_page)
            slot.check(quick.files_set_single_page(self.pointer, page, slot.reference))
        for pattern, value in _pairs("cache_control", cache_control):
            slot = ErrorSlot()
            slot.check(quick.files_add_cache_control(self.pointer, pattern, value, slot.reference))
        for extension, content_type in _pairs("content_types", content_types):
            slot = ErrorSlot()
            slot.check(quick.files_add_content_type(self.pointer, extension, content_type, slot.reference))


def _encoded(what: str, given: str) -> bytes:
    encoded = text(what, given).encode("utf-8", "replace")
    if b"\0" in encoded:
        raise InvalidArgumentError(f"{what} has no NUL, got {given!r}")
    return encoded


def _optional(what: str, given: str | None) -> bytes | None:
    return None if given is None else _encoded(what, given)


def _pairs(what: str, given: Mapping[str, str]) -> Iterable[tuple[bytes, bytes]]:
    if not isinstance(given, Mapping):
        raise WrongTypeError(f"{what} is a dict of str to str, got {got(given)}")
    return [(_encoded(what, name), _encoded(what, value)) for name, value in given.items()]
