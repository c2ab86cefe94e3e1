"""The functions of an application that run before its server starts and after it has stopped."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias

from transom._check import got

#: A function that runs at the start or at the stop. It may be `async def`.
Hook: TypeAlias = Callable[[], object]
#: A generator function with one `yield`: before it for the start, after it for the stop.
LifespanFunction: TypeAlias = Callable[[], Iterator[Any] | AsyncIterator[Any]]

_log = logging.getLogger("transom")


class _Pair:
    """A function for the start and one for the stop, as a context manager."""

    def __init__(self, start: Hook | None, stop: Hook | None) -> None:
        self._start = start
        self._stop = stop

    def __enter__(self) -> object:
        return None if self._start is None else self._start()

    def __exit__(self, *_: object) -> object:
        return None if self._stop is None else self._stop()


class Hooks:
    """The functions in the order in which they were given."""

    def __init__(self) -> None:
        self._makers: list[Callable[[], Any]] = []
        #: `True` if one of the functions is asynchronous.
        self.need_loop = False

    def __bool__(self) -> bool:
        return bool(self._makers)

    def on_start(self, function: Hook) -> None:
        """Adds a function for the start."""
        self._expect_function("on_start", function)
        self._makers.append(lambda: _Pair(function, None))

    def on_stop(self, function: Hook) -> None:
        """Adds a function for the stop."""
        self._expect_function("on_stop", function)
        self._makers.append(lambda: _Pair(None, function))

    def lifespan(self, function: Any) -> None:
        """Adds a generator function for both."""
        self._expect_function("lifespan", function)
        self.need_loop |= inspect.isasyncgenfunction(function)
        if inspect.isasyncgenfunction(function):
            self._makers.append(asynccontextmanager(function))
        elif inspect.isgeneratorfunction(function):
            self._makers.append(contextmanager(function))
        else:
            raise TypeError("lifespan takes a generator function with one `yield`, plain or asynchronous")

    def add_manager(self, make: Callable[[], Any]) -> None:
        """Adds an asynchronous context manager for both, which is made anew for each run."""
        self._makers.append(make)
        self.need_loop = True

    def _expect_function(self, what: str, function: object) -> None:
        if not callable(function):
            raise TypeError(f"{what} takes a function without parameters, got {got(function)}")
        try:
            inspect.signature(function).bind()
        except TypeError as error:
            raise TypeError(f"{what} takes a function without parameters: {error}") from None
        except ValueError:
            pass  # some builtins have no signature
        self.need_loop |= inspect.iscoroutinefunction(function)

    def run(self) -> Lifespan:
        """Returns the functions for one run of the server."""
        return Lifespan(list(self._makers), self.need_loop)


class Lifespan:
    """The functions for one run of the server. Those for the stop run in the reverse order."""

    def __init__(self, makers: list[Callable[[], Any]], needs_loop: bool) -> None:
        self._makers = makers
        #: `True` if one of the functions is asynchronous.
        self.needs_loop = needs_loop
        self._entered: list[Any] = []

    def start(self, wait: Callable[[Awaitable[Any]], Any]) -> None:
        """Runs the functions for the start; `wait` waits for asynchronous ones. Raises what one raises."""
        for make in self._makers:
            manager = make()
            begun = _enter(manager)
            if inspect.isawaitable(begun):
                wait(begun)
            self._entered.append(manager)

    async def start_here(self) -> None:
        """Runs the functions for the start in the event loop that is running."""
        for make in self._makers:
            manager = make()
            begun = _enter(manager)
            if inspect.isawaitable(begun):
                await begun
            self._entered.append(manager)

    def stop(self, wait: Callable[[Awaitable[Any]], Any]) -> None:
        """Runs the functions for the stop of all that were started, once. Logs their exceptions."""
        while self._entered:
            try:
                ended = _exit(self._entered.pop())
                if inspect.isawaitable(ended):
                    wait(ended)
            except Exception:
                _log.exception("a function for the stop failed")

    async def stop_here(self) -> None:
        """Runs the functions for the stop in the event loop that is running."""
        while self._entered:
            try:
                ended = _exit(self._entered.pop())
                if inspect.isawaitable(ended):
                    await ended
            except Exception:
                _log.exception("a function for the stop failed")


def _enter(manager: Any) -> Any:
    return manager.__aenter__() if hasattr(manager, "__aenter__") else manager.__enter__()


def _exit(manager: Any) -> Any:
    if hasattr(manager, "__aexit__"):
        return manager.__aexit__(None, None, None)
    return manager.__exit__(None, None, None)
