"""The tasks that wait for a WebSocket connection: for a message, or for room to send one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transom import _native as native


class WebSocketWaits:
    """The futures of these tasks. It is used in one event loop, which delivers the events."""

    def __init__(self) -> None:
        #: By the kinds of the events, and the numbers of the connections.
        self._futures: dict[tuple[int, int], list[Any]] = {}

    def is_awaited(self, kind: int, socket: int) -> bool:
        """Returns `True` if a task waits for such an event."""
        return (kind, socket) in self._futures

    async def until(
        self, kind: int, socket: int, register: Callable[[], int], timeout: float | None = None
    ) -> bool:
        """Waits for an event, which `register` asks for. Returns `False` after `timeout` seconds."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        future = loop.create_future()
        key = kind, socket
        futures = self._futures.setdefault(key, [])
        futures.append(future)
        expiry = None
        try:
            if register() != native.OK:
                # The connection is gone, which its next use tells.
                return True
            if timeout is not None:
                expiry = loop.call_later(timeout, _settle, future, False)
            return bool(await future)
        finally:
            if expiry is not None:
                expiry.cancel()
            futures.remove(future)
            if not futures and self._futures.get(key) is futures:
                del self._futures[key]

    def tell(self, kind: int, socket: int) -> None:
        """Wakes the tasks that wait for an event."""
        for future in self._futures.get((kind, socket), ()):
            _settle(future, True)


def _settle(future: Any, outcome: bool) -> None:
    if not future.done():
        future.set_result(outcome)
