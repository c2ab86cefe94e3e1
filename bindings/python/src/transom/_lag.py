"""The requests that wait for an event loop, if the time that they wait is limited."""

from __future__ import annotations

import threading
from collections import deque
from time import perf_counter

from transom import _native as native
from transom._handle import Handle
from transom._overload import Congestion, Overload
from transom._request import Request
from transom._route import Route
from transom._timed_jobs import VITAL


class Lag:
    """The lag of an event loop: requests wait for it from the post on another thread until it runs them."""

    def __init__(self, handle: Handle, overload: Overload) -> None:
        self._handle = handle
        self._target = overload.target
        self._congestion = Congestion(overload)
        self._lock = threading.Lock()
        #: When each request was posted that waits, other than vital ones.
        self._waiting: deque[float] = deque()

    def admitted(self, handed: list[tuple[Route, Request]]) -> tuple[list[tuple[Route, Request]], float]:
        """Returns the requests that may wait, and the time. Refuses the others."""
        admitted = []
        now = perf_counter()
        for route, request in handed:
            with self._lock:
                oldest = now - self._waiting[0] if self._waiting else 0.0
                may_wait = self._congestion.admits(route.priority, len(self._waiting), oldest)
                if may_wait and route.priority != VITAL:
                    self._waiting.append(now)
            if may_wait:
                admitted.append((route, request))
            else:
                self._refuse(request)
        return admitted, now

    def lets_start(self, route: Route, request: Request, since: float) -> bool:
        """Returns `True` if the handler may start. Refuses the request otherwise."""
        waited = perf_counter() - since
        if route.priority != VITAL:
            with self._lock:
                self._waiting.popleft()
        # A loop that comes to its requests in time has no queue that stands.
        if waited <= self._target:
            self._congestion.note_idle()
        if not self._congestion.may_start(route.priority, waited):
            self._refuse(request)
            return False
        if route.priority != VITAL:
            self._congestion.note_start(waited)
        return True

    def _refuse(self, request: Request) -> None:
        self._handle.refuse(request._token, native.REJECT_OVERLOADED)
