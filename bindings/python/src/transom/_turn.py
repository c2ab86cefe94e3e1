"""One plain handler at a time: the steps of an iterator take turns with handlers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any


class InTurn:
    """An iterator whose steps, and whose end, each hold the turn of plain handlers.

    A step that waits while its client leaves gives the turn up: nobody waits for it any
    more, and nothing can interrupt it.
    """

    def __init__(self, chunks: Iterator[Any], turn: threading.Lock, close: Callable[[Any], None]) -> None:
        self._chunks = chunks
        self._turn = turn
        self._close = close
        #: Held while the two below are changed.
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
        """Closes what it goes through."""
        self._take()
        try:
            self._close(self._chunks)
        finally:
            self._give_up()

    def leave(self) -> None:
        """The client has left. May be called on any thread."""
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
