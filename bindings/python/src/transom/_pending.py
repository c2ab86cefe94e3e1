"""Results of handlers that stand for a response: one that is awaited, and one that was sent."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any


class Pending:
    """An awaitable that a plain function has returned, such as a coroutine."""

    __slots__ = ("awaitable",)

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.awaitable = awaitable

    def close(self) -> None:
        """Closes a coroutine that will not be awaited."""
        close = getattr(self.awaitable, "close", None)
        if close is not None:
            close()


class Answered:
    """The body of a response that a handler has sent by itself."""

    __slots__ = ()
