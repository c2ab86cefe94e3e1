"""A WebSocket connection of the library, and how its statuses become results and exceptions."""

from __future__ import annotations

import threading
from ctypes import byref, c_bool, c_int32, c_size_t, c_void_p, create_string_buffer, string_at
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

from transom import _native as native
from transom._check import got, whole
from transom._errors import ErrorSlot, InvalidArgumentError, make
from transom._native import quick, uninitialized
from transom._websocket_closed import WebSocketClosed
from transom._websocket_options import Upgrade

#: A message as it is received: a `str` is a text, and `bytes` are binary.
Message: TypeAlias = str | bytes


class WebSocketPiece(NamedTuple):
    """A piece of a message, as `AsyncWebSocket.receive_piece` returns it."""

    #: The bytes, or the text, which has whole characters.
    payload: Message
    #: `True` for the last piece of its message.
    is_last: bool


#: The bytes of the place for a message, from which it is copied. A longer one gets a place of its own.
_ROOM = 64 * 1024
#: The longest reason of a Close, in bytes (RFC 6455 5.5.1).
_LONGEST_REASON = 123
_LONGEST_PING = 125
_LONGEST_NAME = 1024
#: The codes that a Close may have (RFC 6455 7.4): those without one that is only for the log.
_CODES = (*range(1000, 1004), *range(1007, 1015))
#: The code of a connection that ended without a Close.
LOST = 1006


class _Room(threading.local):
    """The place of a thread for the message that it receives. Any thread may wait in the library."""

    def __init__(self) -> None:
        self.buffer = create_string_buffer(_ROOM)
        self.kind = c_int32()
        self.length = c_size_t()
        self.is_last = c_bool()
        self.places = byref(self.kind), byref(self.is_last), byref(self.length)


_room = _Room()


def encoded(message: Any) -> tuple[int, bytes]:
    """Returns the kind of a message and its bytes. Raises `TypeError`, or `ValueError` for no Unicode."""
    if isinstance(message, str):
        return native.WEBSOCKET_TEXT, message.encode()
    if isinstance(message, bytes):
        return native.WEBSOCKET_BINARY, message
    if isinstance(message, (bytearray, memoryview)):
        return native.WEBSOCKET_BINARY, bytes(message)
    raise TypeError(f"a message is str or bytes, got {got(message)}")


class WebSocketConnection:
    """A connection of the library, which `free` gives back. Any thread may use it."""

    __slots__ = ("_closed", "_own", "pointer", "subprotocol")

    def __init__(self, pointer: int) -> None:
        #: The number by which the library knows it.
        self.pointer = pointer
        #: How it has closed, once it has.
        self._closed: tuple[int, str] | None = None
        #: The code and the reason with which this side has closed first.
        self._own: tuple[int, str] | None = None
        room = create_string_buffer(_LONGEST_NAME)
        length = quick.websocket_subprotocol(pointer, room, _LONGEST_NAME)
        #: The subprotocol that was chosen.
        self.subprotocol = room.value.decode("latin-1") if length else None

    @classmethod
    def accept(cls, token: int, upgrade: Upgrade, fields: list[tuple[str, str]]) -> WebSocketConnection:
        """Answers a handshake. Raises `WebSocketClosed` if it is refused, or its client has left.

        Raises `BadHeaderError` if the fields cannot be sent: the handshake can then still be answered.
        """
        array = native.field_array(fields)
        made, slot = c_void_p(), ErrorSlot()
        code = quick.responder_accept_websocket(
            quick.token_responder(token), upgrade.pointer, array, len(array), byref(made), slot.reference
        )
        if code in (native.BAD_HANDSHAKE, native.GONE, native.ALREADY_ANSWERED, native.STOPPED):
            raise WebSocketClosed(LOST, str(slot.error_of(code)))
        slot.check(code)
        assert made.value is not None
        return cls(made.value)

    def receive(self, timeout: int, view: SimpleNamespace = quick) -> Message | None:
        """Returns the next message; waits up to `timeout` milliseconds, and returns `None` if there is none.

        Raises `WebSocketClosed` once there are no more.
        """
        room = _room
        code = view.websocket_receive_into(self.pointer, room.buffer, _ROOM, timeout, *room.places)
        while code == native.BUFFER_TOO_SMALL:
            data: bytes = uninitialized(None, room.length.value)
            code = quick.websocket_receive_into(self.pointer, data, len(data), 0, *room.places)
            if code == native.OK:
                return data.decode() if room.kind.value == native.WEBSOCKET_TEXT else data
        return self._copied(code, room)

    def receive_or_await(self, events: int) -> Message | None:
        """Returns the next message. If there is none, returns `None`, and asks for the event of one.

        Raises `WebSocketClosed` once there are no more.
        """
        room = _room
        receive = quick.events_receive_websocket_message
        code = receive(events, self.pointer, room.buffer, _ROOM, *room.places)
        while code == native.BUFFER_TOO_SMALL:
            data: bytes = uninitialized(None, room.length.value)
            code = receive(events, self.pointer, data, len(data), *room.places)
            if code == native.OK:
                return data.decode() if room.kind.value == native.WEBSOCKET_TEXT else data
        if code == native.WOULD_BLOCK:
            return None
        return self._copied(code, room)

    def _copied(self, code: int, room: _Room) -> Message | None:
        """Returns the message that is in the place of this thread, if one is."""
        if code == native.OK:
            data = string_at(room.buffer, room.length.value)
            return data.decode() if room.kind.value == native.WEBSOCKET_TEXT else data
        if code in (native.WOULD_BLOCK, native.TIMEOUT):
            return None
        raise self._error_of(code)

    def receive_piece(self, timeout: int, view: SimpleNamespace = quick) -> WebSocketPiece | None:
        """Returns the next piece of a message, as `receive` does a message."""
        payload = self.receive(timeout, view)
        return None if payload is None else WebSocketPiece(payload, _room.is_last.value)

    def receive_piece_or_await(self, events: int) -> WebSocketPiece | None:
        """Returns the next piece of a message, as `receive_or_await` does a message."""
        payload = self.receive_or_await(events)
        return None if payload is None else WebSocketPiece(payload, _room.is_last.value)

    def send(self, kind: int, data: bytes, timeout: int, view: SimpleNamespace = quick) -> bool:
        """Sends a message; waits for room up to `timeout` milliseconds, and returns `False` if there is none.

        Raises `WebSocketClosed`.
        """
        code = view.websocket_send(self.pointer, kind, data, len(data), timeout)
        return code == native.OK or self._is_sent(code)

    def feed(self, kind: int, data: bytes) -> bool:
        """Queues a message that leaves with the next flush. Returns `False` if there is no room.

        Raises `WebSocketClosed`.
        """
        code = quick.websocket_feed(self.pointer, kind, data, len(data))
        return code == native.OK or self._is_sent(code)

    def send_piece(
        self, kind: int, data: bytes, is_last: bool, timeout: int, view: SimpleNamespace = quick
    ) -> bool:
        """Sends a piece of a message, as `send` does a message.

        Raises `TypeError` if the pieces differ in kind.
        """
        code = view.websocket_send_piece(self.pointer, kind, data, len(data), is_last, timeout)
        if code == native.INVALID_ARGUMENT:
            raise TypeError("the pieces of a message are all str, or all bytes")
        return self._is_sent(code)

    def _is_sent(self, code: int) -> bool:
        if code == native.OK:
            return True
        if code in (native.WOULD_BLOCK, native.TIMEOUT):
            return False
        raise self._error_of(code)

    def _error_of(self, code: int) -> Exception:
        if code == native.NO_MEMORY:
            return MemoryError("no memory for a message")
        if code in (native.OK, native.GONE, native.ALREADY_ANSWERED, native.STOPPED):
            return WebSocketClosed(*(self.closed or self._own or (LOST, "")))
        return make(code)

    def ping(self, payload: bytes) -> None:
        """Sends a Ping. Raises `InvalidArgumentError` or `TypeError`."""
        if not isinstance(payload, (bytes, bytearray, memoryview)):
            raise TypeError(f"the payload of a Ping is bytes, got {got(payload)}")
        payload = bytes(payload)
        if len(payload) > _LONGEST_PING:
            raise InvalidArgumentError(
                f"the payload of a Ping has at most {_LONGEST_PING} bytes, got {len(payload)}"
            )
        code = quick.websocket_ping(self.pointer, payload, len(payload))
        if code not in (native.OK, native.GONE, native.ALREADY_ANSWERED):
            raise make(code)

    def close(self, code: int, reason: str) -> None:
        """Begins to close the connection. Raises `InvalidArgumentError` or `TypeError`."""
        code, text = close_of(code, reason)
        if not self.is_closed:
            self._own = self._own or (code, text.decode())
        status = quick.websocket_close(self.pointer, code, text)
        if status not in (native.OK, native.GONE, native.ALREADY_ANSWERED):
            raise make(status)

    @property
    def closed(self) -> tuple[int, str] | None:
        """The code and the reason with which the connection has closed; `None` if it has not."""
        if self._closed is None:
            code = quick.websocket_close_code(self.pointer)
            if code:
                room = create_string_buffer(_LONGEST_REASON + 1)
                quick.websocket_close_reason(self.pointer, room, len(room))
                self._closed = code, room.value.decode("utf-8", "replace")
        return self._closed

    @property
    def is_closed(self) -> bool:
        """`True` once nothing more can be sent."""
        return self._closed is not None or bool(quick.websocket_is_closed(self.pointer))

    @property
    def queued(self) -> int:
        """The number of bytes that wait to be sent."""
        return int(quick.websocket_queued(self.pointer))

    def free(self) -> None:
        """Gives the connection back. It closes in order if it is open."""
        closed = self.closed
        quick.websocket_free(self.pointer)
        self._closed = closed or self._own or (1000, "")


def close_of(code: Any, reason: Any) -> tuple[int, bytes]:
    """Returns the code and the reason of a Close, as the library takes them. The reason is cut to 123 bytes.

    Raises `InvalidArgumentError` or `TypeError` for what no Close may have.
    """
    whole("the code of a Close", code, 1000, 4999)
    if code < 3000 and code not in _CODES:
        raise InvalidArgumentError(f"{code} is not a code that a Close may have (RFC 6455 7.4)")
    if not isinstance(reason, str):
        raise TypeError(f"the reason of a Close is a str, got {got(reason)}")
    if "\0" in reason:
        raise InvalidArgumentError("the reason of a Close has no NUL")
    # As the library does: between characters.
    return int(code), reason.encode("utf-8", "replace")[:_LONGEST_REASON].decode("utf-8", "ignore").encode()
