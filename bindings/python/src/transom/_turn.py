"""The steps of a plain iterator while only one plain handler may run at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any


class InTurn:
    """An iterator that holds the lock of plain handlers during each step, and while it is closed.

    If the client disconnects while a step waits, the iterator releases the lock: nothing
    can interrupt the step, and other handlers must not wait for it.
    """

    def __init__(self, chunks: Iterator[Any], turn: threading.Lock, close: Callable[[Any], None]) -> None:
        self._chunks = chunks
        self._turn = turn
        self._close = close
        #: Held while `_holds` or `_has_left` is changed.
        self._change = threading.Lock()
        self._holds = False
        self._has_left = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self._take()
        if self._has_left:
            self._give_up()
        try:
            return next(self._chunks)
        finally:
            self._give_up()

    def close(self) -> None:
        """Closes the iterator."""
        self._take()
        try:
            self._close(self._chunks)
        finally:
            self._give_up()

    def leave(self) -> None:
        """Records that the client has disconnected. Any thread may call it."""
        with self._change:
            self._has_left = True
        self._give_up()

    def _take(self) -> None:
        self._turn.acquire()
        with self._change:
            self._holds = True

    def _give_up(self) -> None:
        with self._change:
            held, self._holds = self._holds, False
        if held:
            self._turn.release()
