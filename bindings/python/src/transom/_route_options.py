"""The options of a route, besides its pattern and its methods."""

from __future__ import annotations

from collections.abc import Iterable
from ctypes import byref, c_uint64
from dataclasses import dataclass
from types import EllipsisType
from typing import TypeAlias, TypedDict

from transom._check import flag, seconds, whole
from transom._decompression import Decompression, made_decompression
from transom._errors import InvalidArgumentError
from transom._native import quick
from transom._overload import Priority, check_priority
from transom._ready import ReadyMiddleware, ready_middleware

#: A timeout of a route, in seconds. `None` stands for none, and `...` for the one of the server.
RouteTimeout: TypeAlias = float | EllipsisType | None


class RouteOptions(TypedDict, total=False):
    """The keyword arguments of the decorators; `Server.route` explains them."""

    replace: bool
    blocking: bool | None
    stream: bool
    max_body: int | None
    decompression: int | Decompression | None
    timeout: RouteTimeout
    priority: Priority
    middleware: Iterable[ReadyMiddleware]


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """The settings of a route for the library."""

    #: `True` if the handler reads the body in pieces.
    stream: bool = False
    #: The most bytes of a body; `None` for the limit of the server.
    max_body: int | None = None
    #: How bodies are decompressed; `None` for bodies that are not.
    decompression: Decompression | None = None
    #: The time from the call of the handler to its response, in seconds.
    timeout: RouteTimeout = ...
    #: How long requests may wait, compared with those of other routes.
    priority: Priority = "normal"
    #: Ready middleware around the handler, the outermost first.
    middleware: tuple[ReadyMiddleware, ...] = ()

    @classmethod
    def checked(
        cls,
        blocking: bool | None,
        stream: bool,
        max_body: int | None,
        decompression: int | Decompression | None,
        timeout: RouteTimeout,
        priority: Priority,
        middleware: Iterable[ReadyMiddleware],
    ) -> RouteSettings:
        """Returns the settings. Raises `InvalidArgumentError` or `TypeError` if one is out of range."""
        if flag("stream", stream) and blocking is False:
            raise InvalidArgumentError(
                "a route with stream=True cannot have blocking=False: reading may wait"
            )
        if max_body is not None:
            least, most = c_uint64(), c_uint64()
            quick.limit_range(b"body", byref(least), byref(most))
            whole("max_body", max_body, least.value, most.value)
        decompressed = made_decompression(decompression)
        if not isinstance(timeout, EllipsisType):
            seconds("timeout of a route", timeout, zero=False, none=True, least=0.001)
        around = tuple(ready_middleware(middleware))
        return cls(stream, max_body, decompressed, timeout, check_priority(priority), around)
