"""The tasks that wait for WebSocket connections, and the messages that they send together."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_void_p
from typing import Any

from transom import _native as native
from transom._native import quick
from transom._websocket_connection import WebSocketConnection


class WebSocketWaits:
    """The futures of these tasks. It is used in one event loop, which delivers the events.

    When several connections have messages, their tasks run in one turn of the loop. What they send leaves at
    the end of the turn, so that the threads of the server are woken once.
    """

    def __init__(self) -> None:
        #: The tasks that wait for a message, by the numbers of their connections.
        self.receivers: dict[int, Any] = {}
        #: Those that wait for room.
        self._senders: dict[int, list[Any]] = {}
        #: `True` until the end of a turn in which the tasks of several connections run.
        self._gathers = False
        #: The connections to which something was sent in this turn.
        self._fed: list[int] = []

    async def until_message(self, socket: int, loop: Any, timeout: float | None) -> bool:
        """Waits for the event of a message, which was asked for. Returns `False` after `timeout` seconds.

        Raises `RuntimeError` if another task waits for it.
        """
        receivers = self.receivers
        if socket in receivers:
            raise RuntimeError("two tasks receive from one connection at the same time")
        future = receivers[socket] = loop.create_future()
        expiry = None if timeout is None else loop.call_later(timeout, _settle, future, False)
        try:
            return bool(await future)
        finally:
            del receivers[socket]
            if expiry is not None:
                expiry.cancel()

    async def until_room(
        self, socket: int, loop: Any, register: Callable[[], int], timeout: float | None
    ) -> bool:
        """Waits for the event of room, which `register` asks for. Returns `False` after `timeout` seconds."""
        future = loop.create_future()
        futures = self._senders.setdefault(socket, [])
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
            if not futures and self._senders.get(socket) is futures:
                del self._senders[socket]

    def tell_room(self, socket: int) -> None:
        """Wakes the tasks that wait for room."""
        for future in self._senders.get(socket, ()):
            _settle(future, True)

    def gather(self, loop: Any) -> None:
        """Lets what is sent in the next turn leave at its end. The tasks that were woken run in it."""
        if not self._gathers:
            self._gathers = True
            loop.call_soon(self._flush)

    def send(self, connection: WebSocketConnection, kind: int, data: bytes) -> bool:
        """Sends a message. Returns `False` if there is no room. Raises `WebSocketClosed`."""
        if not self._gathers:
            return connection.send(kind, data, 0)
        if not connection.feed(kind, data):
            return False
        self._fed.append(connection.pointer)
        return True

    def _flush(self) -> None:
        self._gathers = False
        fed, self._fed = self._fed, []
        if fed:
            quick.websocket_flush((c_void_p * len(fed))(*fed), len(fed))


def _settle(future: Any, outcome: bool) -> None:
    if not future.done():
        future.set_result(outcome)
