"""The WebSocket connections of a test client."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from transom._check import got
from transom._link import Link
from transom._multi import Headers
from transom._test_response import StreamedResponse, TestResponse
from transom._websocket_closed import WebSocketClosed
from transom._websocket_connection import LOST, Message, close_of

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_NO_CODE = 1005
_PIECE = 64 * 1024


class WebSocketRefused(Exception):
    """The server has refused a handshake. `response` is what it has answered."""

    def __init__(self, response: TestResponse) -> None:
        super().__init__(
            f"the handshake was refused: {response.status} {response.reason}: {response.text!r:.80}"
        )
        #: The response.
        self.response = response


class Handshake:
    """The fields of a handshake, and the check of its answer."""

    def __init__(self) -> None:
        self._key = base64.b64encode(os.urandom(16))
        #: The fields of the request.
        self.fields = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", self._key.decode()),
        ]

    def check(self, headers: Headers) -> None:
        """Raises `ConnectionError` unless the server has answered with the key that it must derive."""
        derived = base64.b64encode(hashlib.sha1(self._key + _GUID).digest()).decode()
        if headers.get("sec-websocket-accept") != derived:
            raise ConnectionError("the server has answered the handshake with a wrong key")


class TestWebSocket:
    """A connection of a test client. As a context manager, it closes at the end.

    Iterating over it yields the messages until the server closes. A Ping of the server is answered.
    """

    # Tells pytest that this is no class of tests.
    __test__ = False

    def __init__(self, response: StreamedResponse, link: Link, raise_failure: Callable[[], None]) -> None:
        #: The header fields of the answer to the handshake.
        self.headers = response.headers
        #: The subprotocol that the server has chosen, or `None`.
        self.subprotocol: str | None = response.headers.get("sec-websocket-protocol")
        self._response = response
        self._file: Any = response._answer.fp
        self._link = link
        self._raise_failure = raise_failure
        self._received = bytearray()
        self._closed: WebSocketClosed | None = None
        self._has_sent_close = False

    def send(self, message: str | bytes) -> None:
        """Sends a message. Raises `WebSocketClosed` if the connection has closed, or `TypeError`."""
        if self._has_sent_close:
            raise self._closed or WebSocketClosed(LOST)
        if isinstance(message, str):
            self._write(_TEXT, message.encode())
        elif isinstance(message, (bytes, bytearray, memoryview)):
            self._write(_BINARY, bytes(message))
        else:
            raise TypeError(f"a message is str or bytes, got {got(message)}")

    def ping(self, payload: bytes = b"") -> None:
        """Sends a Ping. The answer is received as no message."""
        self._write(_PING, payload)

    def receive(self) -> Message:
        """Waits for the next message and returns it: a `str` for a text, and `bytes` for a binary one.

        Raises `WebSocketClosed` with the code and the reason if the server has closed; `TimeoutError` if it
        is silent for the client's `timeout`; and the exception of the handler, as `TestClient.request` does.
        """
        kind, data = 0, bytearray()
        while True:
            first, payload = self._frame()
            opcode = first & 0x0F
            if opcode == _PING:
                self._write(_PONG, payload)
            elif opcode == _CLOSE:
                self._end(payload)
            elif opcode != _PONG:
                kind = kind or opcode
                data += payload
                if first & 0x80:
                    return data.decode() if kind == _TEXT else bytes(data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the connection in order, and waits for the server's Close. Messages that come are dropped.

        Raises the exception of the handler, as `TestClient.request` does.
        """
        if self._closed is None and not self._has_sent_close:
            number, text = close_of(code, reason)
            self._has_sent_close = True
            self._write(_CLOSE, struct.pack("!H", number) + text)
        try:
            while True:
                self.receive()
        except WebSocketClosed:
            pass

    @property
    def close_code(self) -> int | None:
        """The code with which the server has closed, or `None`."""
        return None if self._closed is None else self._closed.code

    @property
    def close_reason(self) -> str:
        """The reason with which the server has closed; empty if there is none."""
        return "" if self._closed is None else self._closed.reason

    def leave(self) -> None:
        """Breaks the connection off, as a client does that loses its network."""
        self._closed = self._closed or WebSocketClosed(LOST)
        self._has_sent_close = True
        self._response._end(self._link.close)

    def _end(self, payload: bytes) -> None:
        """Notes the server's Close, answers it, and raises what says so, or the exception of the handler."""
        code = struct.unpack_from("!H", payload)[0] if len(payload) > 1 else _NO_CODE
        closed = self._closed = WebSocketClosed(code, payload[2:].decode())
        if not self._has_sent_close:
            self._has_sent_close = True
            self._write(_CLOSE, payload[:2])
        self._response._end(self._link.finish)
        raise closed

    def _frame(self) -> tuple[int, bytes]:
        """Returns the first byte of the next frame, and its payload."""
        if self._closed is not None:
            self._raise_failure()
            raise self._closed
        first, length = self._take(2)
        if length == 126:
            (length,) = struct.unpack("!H", self._take(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._take(8))
        return first, self._take(length)

    def _take(self, count: int) -> bytes:
        while len(self._received) < count:
            try:
                piece = self._file.read1(_PIECE)
            except ConnectionError:
                piece = b""
            if not piece:
                closed = self._closed = WebSocketClosed(LOST)
                self._has_sent_close = True
                self._response._end(self._link.close)
                raise closed
            self._received += piece
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _write(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        elif length < 65536:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
        # The mask is there against caches in the network, of which a test has none (RFC 6455 10.3).
        if not self._link.write(head + bytes(4) + payload) and self._closed is None:
            # What the server has sent before it went says why.
            self._has_sent_close = True

    def __iter__(self) -> Iterator[Message]:
        try:
            while True:
                yield self.receive()
        except WebSocketClosed:
            pass

    def __enter__(self) -> TestWebSocket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif self._closed is None:
            self.leave()
