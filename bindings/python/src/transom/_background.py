"""Work after a response: functions of the application that run once the response was handed over."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from transom._check import got
from transom._functions import is_async, name_of

_log = logging.getLogger("transom")


class Work:
    """A function with its arguments. It runs in a copy of the context in which it was added."""

    __slots__ = ("_arguments", "_named", "context", "function", "is_async")

    def __init__(
        self, function: Callable[..., object], arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> None:
        if not callable(function):
            close = getattr(function, "close", None)
            if hasattr(function, "__await__") and close is not None:
                # Python would warn that the coroutine was never awaited.
                close()
            raise TypeError(
                "background work is a function and its arguments, such as background(send, message), "
                f"got {got(function)}"
            )
        self.function = function
        self._arguments = arguments
        self._named = named
        self.is_async = is_async(function)
        self.context: Context = copy_context()

    def call(self) -> Any:
        """Calls the function, in the current context."""
        return self.function(*self._arguments, **self._named)


class Background:
    """The work after responses, of one run of a server. Any thread may use it."""

    def __init__(self) -> None:
        #: The jobs of requests that are not over, by their tokens.
        self.waiting: dict[int, list[Work]] = {}
        #: The jobs that are left of requests that are over, while one of them runs.
        self._begun: dict[int, deque[Work]] = {}
        #: Runs a job on another thread or in the loop, and calls the function at its end. Returns `False`
        #: if there is no room.
        self.begin: Callable[[Work, Callable[[], None]], bool] = lambda job, then: False
        self._change = threading.Condition()

    @property
    def is_running(self) -> bool:
        """`True` while jobs run whose requests are over."""
        return bool(self._begun)

    @property
    def count(self) -> int:
        """The number of requests with jobs that have not ended."""
        return len(self._begun) + len(self.waiting)

    def add(self, token: int, jobs: list[Work]) -> None:
        """Adds jobs to a request. They run when it is over, one after another."""
        with self._change:
            begun = self._begun.get(token)
            if begun is not None:
                begun.extend(jobs)
            else:
                self.waiting.setdefault(token, []).extend(jobs)

    def release(self, token: int) -> None:
        """Runs the jobs of a request that is over: its response was handed over, or there is none."""
        with self._change:
            jobs = self.waiting.pop(token, None)
            if jobs is None:
                return
            self._begun[token] = deque(jobs)
        self._go_on(token)

    def _go_on(self, token: int) -> None:
        """Begins the next job of a request."""
        while True:
            with self._change:
                jobs = self._begun[token]
                if not jobs:
                    del self._begun[token]
                    self._change.notify_all()
                    return
                job = jobs.popleft()
            try:
                if self.begin(job, partial(self._go_on, token)):
                    return
                _log.error("background work %s was dropped: there is no room", name_of(job.function))
            except Exception as error:
                report(job, error)

    def wait(self, timeout: float) -> bool:
        """Waits until no jobs are left, at most `timeout` seconds. Returns `False` if some are."""
        with self._change:
            return self._change.wait_for(lambda: not self.count, timeout)


def report(job: Work, error: BaseException) -> None:
    """Logs the exception of a job."""
    try:
        _log.error("background work %s failed: %s", name_of(job.function), error, exc_info=error)
    except Exception:
        # A log handler of the host that fails must not keep the next job from running.
        pass
