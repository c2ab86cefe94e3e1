"""A route: a handler, and the choice between running it in place and on the thread pool."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeAlias

from transom._error_handlers import ErrorAnswers
from transom._functions import is_async, name_of
from transom._headers import HeadersInput
from transom._request import Request
from transom._response import Body, Response
from transom._route_options import RouteSettings

_Whole: TypeAlias = (
    Response | Body | Mapping[str, Any] | list[Any] | Iterator[Body] | AsyncIterator[Body] | None
)
#: What a handler may return, or what the coroutine that it returns may return.
HandlerResult: TypeAlias = _Whole | tuple[_Whole, int] | tuple[_Whole, int, HeadersInput]
#: A handler: a function that takes a request and returns its response.
Handler: TypeAlias = Callable[[Request], HandlerResult | Awaitable[HandlerResult]]

#: A run in place that takes longer than this is recorded, in seconds.
SHORT = 0.001
#: A run in place that takes longer than this sends the handler to the pool, in seconds.
LONG = 0.05
#: A mean above this, over at least three recorded runs, sends the handler to the pool, in seconds.
MEAN = 0.0005

_FIRST_STREAK = 16
_LAST_STREAK = 4096
_WINDOW = 1000


class Route:
    """A handler and the record of its runs.

    A plain function runs in place, on the thread that pulls requests, while it is quick, and
    on the thread pool otherwise. It starts on the pool. After 16 runs in a row of less
    than 1 ms, it runs in place, until one run takes more than 50 ms or the mean exceeds
    0.5 ms. A single late run is mostly due to the scheduler, so it changes nothing. After each
    return to the pool, the handler needs four times as many short runs, up to 4096.
    `blocking=True` and `blocking=False` fix the place.
    """

    __slots__ = (
        "_adaptive",
        "_late",
        "_needed",
        "_streak",
        "_strikes",
        "errors",
        "gives_parts",
        "handler",
        "in_place",
        "inline",
        "is_async",
        "is_host",
        "needs_loop",
        "place",
        "priority",
        "runs",
        "settings",
    )

    def __init__(
        self, handler: Handler, blocking: bool | None, pattern: str | None, settings: RouteSettings
    ) -> None:
        _check(handler)
        self.handler = handler
        #: The error handlers of the application.
        self.errors: ErrorAnswers | None = None
        #: The settings of the route for the library.
        self.settings = settings
        #: The priority of its requests, as the library takes it.
        self.priority = settings.priority.encode()
        #: The name of the route in log messages.
        self.place = "the fallback" if pattern is None else f"route {pattern}"
        self.is_async = is_async(handler)
        #: `True` if the handler is expected to need an event loop. A plain decorator around an
        #: `async def` function does.
        self.needs_loop = self.is_async or is_async(inspect.unwrap(handler))
        if blocking is not None and not isinstance(blocking, bool):
            raise TypeError(f"blocking is True, False or None, got {type(blocking).__name__}")
        if self.is_async and blocking is not None:
            raise TypeError(f"{name_of(handler)} is asynchronous: `blocking` is for plain functions")
        #: `True` if the handler always runs in place (`blocking=False`).
        self.in_place = blocking is False
        #: `True` if the next run is in place.
        self.inline = self.in_place
        #: `True` if the handler sends its responses by itself, in the event loop: a host of applications.
        self.is_host = False
        #: `True` if the handler returns the parts of a response, and a `Response` only if it was sent.
        self.gives_parts = False
        # A handler that reads a body in pieces waits for its client.
        self._adaptive = blocking is None and not self.is_async and not settings.stream
        #: The number of runs in place since the record was cleared.
        self.runs = 0
        self._strikes = 0
        self._late = 0.0
        self._streak = 0
        self._needed = _FIRST_STREAK

    def adapt(self) -> None:
        """Lets a handler run in place although it may wait for the body that it reads in pieces.

        Most bodies are short and come with their heads. If one does not, another thread takes over from
        the handler that waits, as from one that blocks.
        """
        self._adaptive = True

    def ran_late(self, elapsed: float) -> None:
        """Records a run in place that was not short, with its duration in seconds."""
        self._strikes += 1
        self._late += elapsed
        if not self._adaptive:
            return
        if elapsed > LONG or (self._strikes >= 3 and self._late > self.runs * MEAN):
            self.demote()
        elif self.runs > _WINDOW:
            self._clear()

    def demote(self) -> None:
        """Sends the handler to the pool, unless its place is fixed."""
        if self._adaptive and self.inline:
            self.inline = False
            self._streak = 0
            self._needed = min(self._needed * 4, _LAST_STREAK)

    def ran_on_pool(self, elapsed: float) -> None:
        """Records a run on the pool, with its duration in seconds."""
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


def _check(handler: Handler) -> None:
    """Raises `TypeError` unless the handler can be called with one request."""
    if not callable(handler):
        raise TypeError(f"a handler is a function that takes a request, got {type(handler).__name__}")
    try:
        # A decorator may call the function that it wraps with more arguments than it takes itself.
        inspect.signature(handler, follow_wrapped=False).bind(None)
    except TypeError as error:
        raise TypeError(f"handler {name_of(handler)} cannot be called with one request: {error}") from None
    except ValueError:
        pass  # some builtins have no signature
