"""A route: a handler, and whether it runs in place or on the thread pool."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias

from transom._headers import HeadersInput
from transom._request import Request
from transom._response import Body, Response

_Whole: TypeAlias = (
    Response | Body | Mapping[str, Any] | list[Any] | Iterator[Body] | AsyncIterator[Body] | None
)
#: What a handler may return, or a coroutine in the end.
HandlerResult: TypeAlias = _Whole | tuple[_Whole, int] | tuple[_Whole, int, HeadersInput]
#: A function that takes a request and answers it.
Handler: TypeAlias = Callable[[Request], HandlerResult | Awaitable[HandlerResult]]

#: A run in place longer than this, in seconds, is looked at.
SHORT = 0.001
#: A run in place longer than this sends the handler to the pool at once.
LONG = 0.05
#: So does a mean above this, over at least three runs that were not short.
MEAN = 0.0005

_FIRST_STREAK = 16
_LAST_STREAK = 4096
_WINDOW = 1000


class Route:
    """A handler and its record.

    A plain function runs in place, on the thread that pulls requests, as long as it
    is quick, and otherwise on the thread pool. It begins on the pool; sixteen runs in
    a row under a millisecond bring it in place. There it stays until one run takes
    more than 50 ms or its mean exceeds half a millisecond (single late runs are mostly
    the scheduler's doing). Each return to the pool makes the next promotion need four
    times as many short runs, up to 4096. `blocking=True` or `False` fixes the place.
    """

    __slots__ = (
        "_adaptive",
        "_late",
        "_needed",
        "_streak",
        "_strikes",
        "handler",
        "in_place",
        "inline",
        "is_async",
        "needs_loop",
        "place",
        "runs",
    )

    def __init__(self, handler: Handler, blocking: bool | None, pattern: str | None) -> None:
        _check(handler)
        self.handler = handler
        #: What the log calls it.
        self.place = "the fallback" if pattern is None else f"route {pattern}"
        self.is_async = _is_async(handler)
        #: Whether its answers will need an event loop, as far as can be told before: that of a plain
        #: decorator around an `async def` does.
        self.needs_loop = self.is_async or _is_async(inspect.unwrap(handler))
        if blocking is not None and not isinstance(blocking, bool):
            raise TypeError(f"blocking is True, False or None, got {type(blocking).__name__}")
        if self.is_async and blocking is not None:
            raise TypeError(f"{name_of(handler)} is asynchronous: `blocking` is for plain functions")
        #: Whether it always runs in place, as the host has promised that it is quick.
        self.in_place = blocking is False
        #: Whether the next run is in place.
        self.inline = self.in_place
        self._adaptive = blocking is None and not self.is_async
        #: Runs in place since the record was last cleared.
        self.runs = 0
        self._strikes = 0
        self._late = 0.0
        self._streak = 0
        self._needed = _FIRST_STREAK

    def ran_late(self, elapsed: float) -> None:
        """Records a run in place that was not short; `elapsed` is in seconds."""
        self._strikes += 1
        self._late += elapsed
        if not self._adaptive:
            return
        if elapsed > LONG or (self._strikes >= 3 and self._late > self.runs * MEAN):
            self.demote()
        elif self.runs > _WINDOW:
            self._clear()

    def demote(self) -> None:
        """Sends the handler to the pool, if its place is not fixed."""
        if self._adaptive and self.inline:
            self.inline = False
            self._streak = 0
            self._needed = min(self._needed * 4, _LAST_STREAK)

    def ran_on_pool(self, elapsed: float) -> None:
        """Records a run on the pool; `elapsed` is in seconds."""
        if not self._adaptive or self.inline:
            return
        if elapsed > SHORT:
            self._streak = 0
            return
        self._streak += 1
        if self._streak >= self._needed:
            self._clear()
            self.inline = True

    def _clear(self) -> None:
        self.runs = 0
        self._strikes = 0
        self._late = 0.0


def name_of(handler: Handler) -> str:
    """How a handler is called in messages."""
    name = getattr(handler, "__qualname__", None) or repr(handler)
    return f"{getattr(handler, '__module__', None) or '?'}.{name}"


def _check(handler: Handler) -> None:
    """Raises `TypeError` unless it can be called with a request."""
    if not callable(handler):
        raise TypeError(f"a handler is a function that takes a request, got {type(handler).__name__}")
    try:
        # A decorator may give the function that it wraps more arguments than it takes itself.
        inspect.signature(handler, follow_wrapped=False).bind(None)
    except TypeError as error:
        raise TypeError(f"handler {name_of(handler)} cannot be called with one request: {error}") from None
    except ValueError:
        pass  # some builtins have no signature


def _is_async(function: Handler) -> bool:
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    called = getattr(function, "__call__", None)  # noqa: B004 - an object whose method is asynchronous
    return any(is_kind(function) or is_kind(called) for is_kind in kinds)
