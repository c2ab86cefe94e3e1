"""The middleware of the library that the routes of one server use."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from ctypes import byref, c_void_p

from transom._arguments import encode_name
from transom._errors import ErrorSlot
from transom._native import quick
from transom._ready import ReadyMiddleware


class NativeMiddleware:
    """The native middleware of a server, one for each object of Python, so that what counts does so for all
    routes that have the object.
    """

    __slots__ = ("__weakref__", "_made")

    def __init__(self) -> None:
        #: Each with its object, whose identity lasts as long.
        self._made: dict[int, tuple[ReadyMiddleware, c_void_p]] = {}
        weakref.finalize(self, _free, self._made)

    def of(self, middleware: ReadyMiddleware) -> c_void_p:
        """Returns the native middleware of an object. Raises `InvalidArgumentError` for a bad setting."""
        known = self._made.get(id(middleware))
        if known is not None:
            return known[1]
        made = c_void_p()
        slot = ErrorSlot()
        argument = None if middleware._argument is None else encode_name(middleware._argument)
        slot.check(quick.middleware_new(encode_name(middleware._name), argument, byref(made), slot.reference))
        try:
            for setting, value in middleware._settings:
                slot = ErrorSlot()
                given = None if value is None else encode_name(value)
                slot.check(quick.middleware_set(made, encode_name(setting), given, slot.reference))
        except BaseException:
            quick.middleware_free(made)
            raise
        self._made[id(middleware)] = (middleware, made)
        return made

    def all_of(self, listed: Iterable[ReadyMiddleware]) -> list[c_void_p]:
        """Returns the native middleware of several objects."""
        return [self.of(middleware) for middleware in listed]


def _free(made: dict[int, tuple[ReadyMiddleware, c_void_p]]) -> None:
    """Frees native middleware. The routes that use it keep it."""
    for _, native in made.values():
        quick.middleware_free(native)
