"""A WebSocket connection, as its handler has it: plain, or asynchronous."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from transom._arguments import milliseconds
from transom._check import flag, seconds
from transom._events import Events
from transom._headers import HeadersInput, lines_of, pairs_of
from transom._native import waiting
from transom._request import Request
from transom._websocket_closed import WebSocketClosed
from transom._websocket_connection import Message, WebSocketConnection, WebSocketPiece, encoded
from transom._websocket_options import WebSocketSettings

#: The number of messages after which a task lets others run.
_TURN = 64


class Socket:
    """What both kinds of connection have."""

    def __init__(
        self, request: Request, settings: WebSocketSettings, fields: list[tuple[str, str]], events: Events
    ) -> None:
        #: The request of the handshake. It may be read at any time.
        self.request = request
        self._settings = settings
        #: The fields that middleware has added to the answer.
        self._fields = fields
        self._events = events
        self._accepting = threading.Lock()
        self._made: WebSocketConnection | None = None
        self._refused: WebSocketClosed | None = None
        #: The first pieces of the message that `receive` puts together.
        self._pieces: list[Message] = []

    def accept(self, subprotocol: str | None = None, headers: HeadersInput = ()) -> None:
        """Answers the handshake: `101 Switching Protocols`. The first use of the connection does it, too.

        `subprotocol` takes the place of those of the route: it is chosen if the client lists it. `headers`
        are more fields of the answer, such as a Set-Cookie.

        Raises `WebSocketClosed` if the handshake is refused, or the client has left; `BadHeaderError` or
        `TypeError` for fields that cannot be sent; and `RuntimeError` if it was answered before.
        """
        pairs = pairs_of(headers)
        lines_of(101, pairs)
        upgrade = self._settings.upgrade
        if subprotocol is not None:
            upgrade = self._settings.with_subprotocol(subprotocol)
        with self._accepting:
            if self._refused is not None:
                raise self._refused
            if self._made is not None:
                raise RuntimeError("the handshake was answered before")
            try:
                fields = [*self._fields, *pairs]
                self._made = WebSocketConnection.accept(self.request._token, upgrade, fields)
            except WebSocketClosed as refused:
                self._refused = refused
                raise
            finally:
                if self.is_answered:
                    # The request is over: nothing is told about it any more.
                    self.request._end()

    @property
    def is_answered(self) -> bool:
        """`True` once the handshake was answered: from then on, an `HTTPError` cannot refuse it."""
        return self._made is not None or self._refused is not None

    @property
    def _connection(self) -> WebSocketConnection:
        """The connection. The handshake is answered if it was not."""
        if self._made is None:
            try:
                self.accept()
            except RuntimeError:
                pass  # Another thread has been quicker.
        assert self._made is not None
        return self._made

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was chosen (RFC 6455 1.9), or `None`. Raises what `accept` raises."""
        return self._connection.subprotocol

    def try_send(self, message: str | bytes | bytearray | memoryview) -> bool:
        """Sends a message if there is room for it now, and returns `False` if there is none.

        There is room while fewer than `queue_limit` bytes wait to be sent. Any thread may call it. Raises
        `WebSocketClosed` or `TypeError`.
        """
        return self._connection.send(*encoded(message), 0)

    def try_send_piece(self, piece: str | bytes | bytearray | memoryview, is_last: bool) -> bool:
        """Sends a piece of a message if there is room for it now, and returns `False` if there is none.

        See `send_piece`. Raises `WebSocketClosed` or `TypeError`.
        """
        return self._connection.send_piece(*encoded(piece), flag("is_last", is_last), 0)

    def ping(self, payload: bytes = b"") -> None:
        """Sends a Ping, of at most 125 bytes. The peer answers it, which is received as no message.

        The setting `ping_interval` finds out by itself that a peer is gone.
        """
        self._connection.ping(payload)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begins to close the connection, after the messages that wait to be sent. The first close counts.

        Nothing can be sent then, and messages of the peer still come until it closes too. The reason is cut
        to 123 bytes. Any thread may call it. Raises `InvalidArgumentError` for a code that no Close may have.
        """
        self._connection.close(code, reason)

    @property
    def is_closed(self) -> bool:
        """`True` once the connection closes: nothing can be sent any more."""
        return self._refused is not None or (self._made is not None and self._made.is_closed)

    @property
    def close_code(self) -> int | None:
        """The code with which the connection has closed (RFC 6455 7.4); `None` while messages may come.

        1001 if the server stops or the peer leaves, 1005 if the Close had no code, and 1006 if the connection
        ended without a Close.
        """
        closed = self._closed
        return None if closed is None else closed[0]

    @property
    def close_reason(self) -> str:
        """The reason of the Close; empty if there is none."""
        closed = self._closed
        return "" if closed is None else closed[1]

    @property
    def _closed(self) -> tuple[int, str] | None:
        if self._refused is not None:
            return self._refused.code, self._refused.reason
        return None if self._made is None else self._made.closed

    @property
    def queued(self) -> int:
        """The number of bytes that wait to be sent."""
        return self._connection.queued

    def _put_together(self, piece: WebSocketPiece) -> Message | None:
        """Keeps a piece. Returns its message if it is the last one."""
        payload, is_last = piece
        if not self._pieces and is_last:
            return payload
        self._pieces.append(payload)
        if not is_last:
            return None
        pieces, self._pieces = self._pieces, []
        # The pieces of a message have one kind.
        return type(payload)().join(pieces)  # type: ignore[arg-type]

    def _finish(self) -> None:
        """Closes the connection in order, if it is open. The handler has returned."""
        if self._made is not None:
            self._made.free()

    def __repr__(self) -> str:
        closed = self._closed
        state = "open" if closed is None else f"closed: {closed[0]}"
        return (
            f"<{type(self).__name__} {self.request.target} {state if self.is_answered else 'not accepted'}>"
        )


class WebSocket(Socket):
    """A WebSocket connection of a plain handler, which has a thread for itself: see `Server.websocket`.

    Iterating over it yields the messages until the connection closes: a `str` for a text, and `bytes` for a
    binary message. `close_code` then says why it has closed. Other threads may send.
    """

    def __init__(
        self,
        request: Request,
        settings: WebSocketSettings,
        fields: list[tuple[str, str]],
        events: Events,
        turn: threading.Lock | None,
    ) -> None:
        super().__init__(request, settings, fields, events)
        #: Held by the plain handler that runs, if only one may run at a time.
        self._turn = turn
        self._thread = threading.get_ident()

    def receive(self, timeout: float | None = None) -> Message:
        """Waits for the next message and returns it.

        Raises `WebSocketClosed` once the connection has closed and there are no more, and `TimeoutError`
        after `timeout` seconds.
        """
        limit = seconds("timeout", timeout, none=True)
        connection = self._connection
        if self._settings.in_pieces:
            return self._receive_whole(limit)
        time = milliseconds(limit)
        message: Message | None = self._wait(lambda: connection.receive(time, waiting))
        if message is None:
            raise TimeoutError(f"no message has come within {timeout:g} s")
        return message

    def _receive_whole(self, timeout: float | None) -> Message:
        """Returns the next message, of which pieces come."""
        end = None if timeout is None else monotonic() + timeout
        message: Message | None = None
        while message is None:
            left = None if end is None else max(0.0, end - monotonic())
            message = self._put_together(self.receive_piece(left))
        return message

    def receive_piece(self, timeout: float | None = None) -> WebSocketPiece:
        """Waits for the next piece of a message and returns it; raises what `receive` raises.

        With `in_pieces=True`, messages come in pieces as they arrive; otherwise each is one piece.
        `timeout` is in seconds; `None` is no limit.
        """
        time = milliseconds(seconds("timeout", timeout, none=True))
        connection = self._connection
        piece: WebSocketPiece | None = self._wait(lambda: connection.receive_piece(time, waiting))
        if piece is None:
            raise TimeoutError(f"no message has come within {timeout:g} s")
        return piece

    def send(self, message: str | bytes | bytearray | memoryview, timeout: float | None = None) -> None:
        """Sends a message. Waits for room while `queue_limit` bytes or more wait to be sent.

        Raises `WebSocketClosed`, `TimeoutError` after `timeout` seconds, or `TypeError`.
        """
        time = milliseconds(seconds("timeout", timeout, none=True))
        kind, data = encoded(message)
        connection = self._connection
        if not connection.send(kind, data, 0) and not self._wait(
            lambda: connection.send(kind, data, time, waiting)
        ):
            raise TimeoutError(f"the peer has read too little within {timeout:g} s")

    def send_piece(
        self, piece: str | bytes | bytearray | memoryview, is_last: bool, timeout: float | None = None
    ) -> None:
        """Sends a piece of a message, so that a large one need not be in memory whole. Waits for room.

        The pieces of a message come from one thread, one after another, all of them `str` or all of them
        bytes. They are not compressed. Messages that others send meanwhile leave after the last piece.

        Raises `WebSocketClosed`, `TimeoutError` after `timeout` seconds, or `TypeError`.
        """
        time = milliseconds(seconds("timeout", timeout, none=True))
        kind, data = encoded(piece)
        is_last = flag("is_last", is_last)
        connection = self._connection
        if not connection.send_piece(kind, data, is_last, 0) and not self._wait(
            lambda: connection.send_piece(kind, data, is_last, time, waiting)
        ):
            raise TimeoutError(f"the peer has read too little within {timeout:g} s")

    def _wait(self, function: Callable[[], Any]) -> Any:
        """Calls a function that waits. Other plain handlers may run meanwhile."""
        # Only the thread of the handler holds the turn.
        turn = self._turn if threading.get_ident() == self._thread else None
        if turn is None:
            return function()
        turn.release()
        try:
            return function()
        finally:
            turn.acquire()

    def wait_closed(self, timeout: float | None = None) -> None:
        """Waits until the connection has closed. Messages that come meanwhile are dropped.

        Raises `TimeoutError` if no message comes within `timeout` seconds, and the connection does not close.
        """
        try:
            while True:
                self.receive_piece(timeout)
        except WebSocketClosed:
            pass

    def __iter__(self) -> WebSocket:
        return self

    def __next__(self) -> Message:
        try:
            return self.receive()
        except WebSocketClosed:
            raise StopIteration from None


class AsyncWebSocket(Socket):
    """A WebSocket connection of an `async def` handler, which is a task: see `Server.websocket`.

    Iterating over it yields the messages until the connection closes: a `str` for a text, and `bytes` for a
    binary message. `close_code` then says why it has closed. Other tasks may send.
    """

    _count = 0

    async def receive(self, timeout: float | None = None) -> Message:
        """Waits for the next message and returns it.

        Raises `WebSocketClosed` once the connection has closed and there are no more, `TimeoutError` after
        `timeout` seconds, and `RuntimeError` if another task receives.
        """
        if timeout is not None:
            seconds("timeout", timeout, none=True)
        connection = self._made or self._connection
        if self._settings.in_pieces:
            return await self._receive_whole(timeout)
        self._count += 1
        if self._count % _TURN == 0:
            await self._let_others_run()
        events = self._events
        while (message := connection.receive_or_await(events.pointer)) is None:
            if not await events.websocket_message(connection.pointer, timeout):
                raise TimeoutError(f"no message has come within {timeout:g} s")
        return message

    async def _receive_whole(self, timeout: float | None) -> Message:
        """Returns the next message, of which pieces come."""
        end = None if timeout is None else monotonic() + timeout
        message: Message | None = None
        while message is None:
            left = None if end is None else max(0.0, end - monotonic())
            message = self._put_together(await self.receive_piece(left))
        return message

    async def receive_piece(self, timeout: float | None = None) -> WebSocketPiece:
        """Waits for the next piece of a message and returns it; raises what `receive` raises.

        With `in_pieces=True`, messages come in pieces as they arrive; otherwise each is one piece.
        `timeout` is in seconds; `None` is no limit.
        """
        seconds("timeout", timeout, none=True)
        connection = self._connection
        self._count += 1
        if self._count % _TURN == 0:
            await self._let_others_run()
        while (piece := connection.receive_piece_or_await(self._events.pointer)) is None:
            if not await self._events.websocket_message(connection.pointer, timeout):
                raise TimeoutError(f"no message has come within {timeout:g} s")
        return piece

    async def send(self, message: str | bytes | bytearray | memoryview, timeout: float | None = None) -> None:
        """Sends a message. Waits for room while `queue_limit` bytes or more wait to be sent.

        Raises `WebSocketClosed`, `TimeoutError` after `timeout` seconds, or `TypeError`.
        """
        if timeout is not None:
            seconds("timeout", timeout, none=True)
        kind, data = encoded(message)
        connection = self._made or self._connection
        self._count += 1
        if self._count % _TURN == 0:
            await self._let_others_run()
        while not self._events.websockets.send(connection, kind, data):
            if not await self._events.websocket_room(connection.pointer, timeout):
                raise TimeoutError(f"the peer has read too little within {timeout:g} s")

    async def send_piece(
        self, piece: str | bytes | bytearray | memoryview, is_last: bool, timeout: float | None = None
    ) -> None:
        """Sends a piece of a message, so that a large one need not be in memory whole. Waits for room.

        The pieces of a message come from one task, one after another, all of them `str` or all of them bytes.
        They are not compressed. Messages that others send meanwhile leave after the last piece.

        Raises `WebSocketClosed`, `TimeoutError` after `timeout` seconds, or `TypeError`.
        """
        seconds("timeout", timeout, none=True)
        kind, data = encoded(piece)
        is_last = flag("is_last", is_last)
        connection = self._connection
        self._count += 1
        if self._count % _TURN == 0:
            await self._let_others_run()
        while not connection.send_piece(kind, data, is_last, 0):
            if not await self._events.websocket_room(connection.pointer, timeout):
                raise TimeoutError(f"the peer has read too little within {timeout:g} s")

    async def _let_others_run(self) -> None:
        """Lets other tasks run: a peer that is fast must not keep them from it."""
        from asyncio import sleep

        await sleep(0)

    async def wait_closed(self) -> None:
        """Waits until the connection has closed. Messages that come meanwhile are dropped."""
        try:
            while True:
                await self.receive_piece()
        except WebSocketClosed:
            pass

    def __aiter__(self) -> AsyncWebSocket:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.receive()
        except WebSocketClosed:
            raise StopAsyncIteration from None
