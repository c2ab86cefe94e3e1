"""Overload: how long requests may wait, and which of them are refused first."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Literal, TypeAlias

from transom import _native as native
from transom._check import seconds, shown, text
from transom._errors import InvalidArgumentError, make
from transom._native import quick

#: How long the requests of a route may wait, compared with those of other routes.
Priority: TypeAlias = Literal["low", "normal", "high", "vital"]

_PRIORITIES = ("low", "normal", "high", "vital")


@dataclass(frozen=True, slots=True)
class Overload:
    """How long a request may wait before its handler begins; see `Server`. The times are in seconds.

    >>> Overload(target=0.02)
    Overload(target=0.02, interval=0.1)

    Raises `InvalidArgumentError` if a time is out of range, or the target is more than the interval.
    """

    #: The longest wait while the server is overloaded, and at least the time in which a queue moves on
    #: eight times. Beyond: 503 with Retry-After.
    target: float = 0.005
    #: The longest wait otherwise, which lets a burst through, and at least the time in which a queue
    #: moves on 32 times. Also the time after which a server counts as overloaded because something always
    #: waited, or no more because nothing was refused.
    interval: float = 0.1

    def __post_init__(self) -> None:
        seconds("overload target", self.target, zero=False, least=0.001)
        seconds("overload interval", self.interval, zero=False, least=0.001)
        if self.target > self.interval:
            raise InvalidArgumentError(
                f"overload target is at most the interval, {shown(self.interval)}, got {shown(self.target)}"
            )

    @property
    def _milliseconds(self) -> tuple[int, int]:
        """The target and the interval, as the library takes them."""
        return round(self.target * 1000), round(self.interval * 1000)


class Congestion:
    """Decides what may wait in a queue of Python's, as the library does for its own queues.

    Priorities are names in bytes, and times are in seconds. Any thread may call the methods.
    """

    __slots__ = ("__weakref__", "_finalizer", "_pointer")

    def __init__(self, overload: Overload) -> None:
        pointer = quick.congestion_new(*overload._milliseconds)
        if not pointer:
            raise make(native.NO_MEMORY)
        self._pointer: int = pointer
        self._finalizer = weakref.finalize(self, quick.congestion_free, pointer)
        self._finalizer.atexit = False

    @property
    def is_overloaded(self) -> bool:
        """`True` while the queue is overloaded: something has always waited for an interval."""
        return bool(quick.congestion_is_overloaded(self._pointer))

    def note_idle(self) -> None:
        """Notes that nothing waits."""
        quick.congestion_note_idle(self._pointer)

    def note_start(self, waited: float) -> None:
        """Notes that something begins that has waited so long."""
        quick.congestion_note_start(self._pointer, int(waited * 1e9), 1)

    def admits(self, priority: bytes, waiting: int, oldest: float) -> bool:
        """Returns `True` if something may join `waiting` others, of which the oldest has waited so long."""
        return bool(quick.congestion_admits(self._pointer, priority, waiting, int(oldest * 1e9)))

    def may_start(self, priority: bytes, waited: float) -> bool:
        """Returns `True` if something may begin, or go on waiting, that has waited so long."""
        return bool(quick.congestion_may_start(self._pointer, priority, int(waited * 1e9)))


def check_priority(priority: Priority) -> Priority:
    """Returns a priority. Raises `InvalidArgumentError` if there is none of that name."""
    if text("priority", priority) not in _PRIORITIES:
        raise InvalidArgumentError(f"priority is one of {', '.join(_PRIORITIES)}, got {shown(priority)}")
    return priority
