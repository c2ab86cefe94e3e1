"""The news that a server has begun to stop, and the functions that wait for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count

_log = logging.getLogger("transom")


class Stopping:
    """The stop of one run of a server: whether it has begun.

    Any thread may use it, and a signal handler may call `begin`: there are no locks.
    """

    def __init__(self) -> None:
        #: `True` once the stop has begun.
        self.has_begun = False
        self._functions: dict[int, Callable[[], object]] = {}
        self._numbers = count()

    def begin(self) -> None:
        """Calls the functions, once."""
        self.has_begun = True
        while self._functions:
            try:
                _, function = self._functions.popitem()
            except KeyError:
                break  # Another thread has taken the last one.
            _call(function)

    def add(self, function: Callable[[], object]) -> Callable[[], None]:
        """Calls a function when the stop begins, or at once. Returns a function that forgets it."""
        number = next(self._numbers)
        self._functions[number] = function
        if self.has_begun:
            mine = self._functions.pop(number, None)
            if mine is not None:
                _call(mine)
        return lambda: drop(self._functions, number)


def drop(functions: dict[int, Callable[[], object]], number: int) -> None:
    """Forgets a function, if it was not called."""
    functions.pop(number, None)


def _call(function: Callable[[], object]) -> None:
    """Calls a function of the application. Logs its exception."""
    try:
        function()
    except Exception:
        _log.exception("a function of `on_stopping` failed")
