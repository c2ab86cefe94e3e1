"""A group of WebSocket connections that get the same messages."""

from __future__ import annotations

import weakref
from ctypes import byref, c_size_t, c_void_p

from transom import _native as native
from transom._check import got
from transom._errors import check, make
from transom._native import quick
from transom._slow_reader import SLOW_READERS, SlowReader, check_slow
from transom._websocket import AsyncWebSocket, Socket, WebSocket
from transom._websocket_connection import encoded


class Broadcast:
    """A group of connections that get the same messages, which are encoded and compressed once.

    A member that reads too slowly, so that `queue_limit` bytes wait to be sent to it, keeps nobody waiting.
    With `slow="drop"`, it misses the message. With `"coalesce"`, it gets the newest of the messages that it
    has missed, once there is room, as for a state that is sent again and again. With `"close"`, its
    connection closes with 1008, after what waits.

    A connection that closes leaves the group. Any thread may use it, and no call waits.

    >>> from transom import Server
    >>> app, members = Server(), Broadcast()
    >>> @app.websocket("/chat")
    ... async def chat(socket):
    ...     members.add(socket)
    ...     async for message in socket:
    ...         members.send(message)
    """

    __slots__ = ("__weakref__", "_pointer")

    def __init__(self, slow: SlowReader = "drop") -> None:
        number = SLOW_READERS.index(check_slow(slow))
        made = c_void_p()
        check(quick.broadcast_new(number, byref(made)))
        if made.value is None:
            raise make(native.FORKED)
        #: The native object.
        self._pointer: int = made.value
        weakref.finalize(self, quick.broadcast_free, self._pointer).atexit = False

    def add(self, socket: WebSocket | AsyncWebSocket) -> None:
        """Adds a connection. Raises what `WebSocket.accept` raises if the handshake was not answered yet."""
        _is_open(quick.broadcast_add(self._pointer, _connection(socket)))

    def remove(self, socket: WebSocket | AsyncWebSocket) -> None:
        """Removes a connection, if it is there."""
        _is_open(quick.broadcast_remove(self._pointer, _connection(socket)))

    def send(self, message: str | bytes | bytearray | memoryview) -> int:
        """Sends a message to all members. Returns how many have got it, or will get it.

        Raises `TypeError`.
        """
        kind, data = encoded(message)
        reached = c_size_t()
        check(quick.broadcast_send(self._pointer, kind, data, len(data), byref(reached)))
        return reached.value

    def __len__(self) -> int:
        return int(quick.broadcast_count(self._pointer))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Broadcast to {len(self)} connections>"


def _connection(socket: Socket) -> int:
    if not isinstance(socket, Socket):
        raise TypeError(f"a member of a Broadcast is a WebSocket or an AsyncWebSocket, got {got(socket)}")
    return socket._connection.pointer


def _is_open(code: int) -> None:
    """Checks a status. A connection that has closed is no member, and no error."""
    if code not in (native.GONE, native.ALREADY_ANSWERED):
        check(code)
