"""One WebSocket connection of an application: its events, and what becomes of its messages."""

from __future__ import annotations

from asyncio import Future, get_running_loop, sleep
from typing import Any

from transom._asgi.application import Message
from transom._asgi.head import block_of, fields_of
from transom._asgi.sender import EXPECTED, OVER, DisconnectedError, Sender
from transom._asgi.shared import Shared
from transom._check import got, shown
from transom._request import Request
from transom._websocket_closed import WebSocketClosed
from transom._websocket_connection import LOST, WebSocketConnection, encoded
from transom._websocket_options import WebSocketSettings

#: The states of a connection: the application has not decided, it refuses with a response, the connection is
#: open, and the application has closed it or its response is complete.
_CONNECTING, _DENYING, _OPEN, _ENDED = range(4)
#: The number of messages after which other tasks run.
_TURN = 64
_FORBIDDEN = 403
#: The fields that only the server sets in the answer to a handshake.
_OWN = frozenset(
    (
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    )
)


class WebSocketExchange:
    """A connection as the functions `receive` and `send` of ASGI. It is used in the event loop alone."""

    def __init__(self, shared: Shared, request: Request, settings: WebSocketSettings) -> None:
        self._shared = shared
        self._request = request
        self._settings = settings
        self._state = _CONNECTING
        self._connection: WebSocketConnection | None = None
        self._denial: Sender | None = None
        self._has_told_connect = False
        self._is_watched = False
        #: The tasks that wait in `receive` for the decision of the application.
        self._waiting: tuple[Future[None], ...] = ()
        self._count = 0
        #: `True` once the client is known to have left.
        self.is_gone = False

    @property
    def has_begun(self) -> bool:
        """`True` once the handshake was answered, or the beginning of a response was sent."""
        if self._denial is not None:
            return self._denial.state not in (EXPECTED, EXPECTED + 1)
        return self._state != _CONNECTING

    async def receive(self) -> Message:
        """Returns the next event: that the client connects, a message, or that the connection has closed."""
        if not self._has_told_connect:
            self._has_told_connect = True
            return {"type": "websocket.connect"}
        while self._state in (_CONNECTING, _DENYING) and not self.is_gone:
            await self._until_change()
        connection = self._connection
        if connection is None:
            return {"type": "websocket.disconnect", "code": LOST, "reason": ""}
        self._count += 1
        if self._count % _TURN == 0:
            # A client that sends fast must not keep other tasks from running.
            await sleep(0)
        try:
            events = self._request._events
            while (message := connection.receive_or_await(events.pointer)) is None:
                await events.websocket_message(connection.pointer)
        except WebSocketClosed as closed:
            self.is_gone = True
            return {"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason}
        key = "text" if isinstance(message, str) else "bytes"
        return {"type": "websocket.receive", key: message}

    async def _until_change(self) -> None:
        """Waits until the application has decided, or the client has left."""
        future = get_running_loop().create_future()
        self._waiting = (*self._waiting, future)
        try:
            if not self._is_watched:
                self._is_watched = True
                self._request._presence.on_gone(self._left)
            await future
        finally:
            self._waiting = tuple(each for each in self._waiting if each is not future)

    def _left(self) -> None:
        # Once the handshake is answered, the connection tells it.
        if self._connection is None:
            self.is_gone = True
        self._settle()

    def _settle(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def send(self, message: Message) -> None:
        """Takes a message of the application: the function `send` of ASGI."""
        kind = message["type"]
        state = self._state
        if state == _OPEN:
            if kind == "websocket.send":
                await self._send(message)
                return
            if kind == "websocket.close":
                self._close(message)
                return
        elif state == _CONNECTING:
            if kind == "websocket.accept":
                self._accept(message)
                return
            if kind == "websocket.close":
                self._end(_ENDED)
                self._shared.answer(self._request._token, (_FORBIDDEN, b"", b""))
                return
            if kind == "websocket.http.response.start":
                denial = Sender(self._shared, self._request)
                await denial.send({**message, "type": "http.response.start"})
                self._denial = denial
                self._state = _DENYING
                return
        elif state == _DENYING and kind == "websocket.http.response.body":
            assert self._denial is not None
            await self._denial.send({**message, "type": "http.response.body"})
            if self._denial.state == OVER:
                self._end(_ENDED)
            return
        self._refuse(kind)

    def _refuse(self, kind: Any) -> None:
        """Raises the error for a message that does not come next."""
        if self.is_gone:
            raise DisconnectedError
        expected = {
            _CONNECTING: "websocket.accept, websocket.close or websocket.http.response.start",
            _DENYING: "websocket.http.response.body",
            _OPEN: "websocket.send or websocket.close",
            _ENDED: "no message, because the application has ended the connection",
        }[self._state]
        raise RuntimeError(
            f"the application sent the message {shown(kind)}, and what comes next is {expected}"
        )

    def _accept(self, message: Message) -> None:
        subprotocol = message.get("subprotocol")
        headers = message.get("headers") or ()
        block_of(101, headers)
        fields = fields_of(headers)
        for name, _ in fields:
            if name.lower().encode("latin-1") in _OWN:
                raise RuntimeError(f"the server sets the field {name} of websocket.accept")
        upgrade = self._settings.upgrade
        if subprotocol is not None:
            upgrade = self._settings.with_subprotocol(subprotocol)
        try:
            self._connection = WebSocketConnection.accept(self._request._token, upgrade, fields)
        except WebSocketClosed:
            self.is_gone = True
            self._end(_ENDED)
            raise DisconnectedError from None
        self._end(_OPEN)

    async def _send(self, message: Message) -> None:
        content = message.get("bytes")
        if content is None:
            content = message.get("text")
            if not isinstance(content, str):
                raise TypeError(f"websocket.send has bytes, or a text that is a str, got {got(content)}")
        elif isinstance(content, str):
            raise TypeError(f"the bytes of websocket.send are bytes, got {got(content)}")
        kind, data = encoded(content)
        self._count += 1
        if self._count % _TURN == 0:
            # A client that sends fast must not keep other tasks from running.
            await sleep(0)
        connection = self._connection
        try:
            while True:
                if connection is None:
                    # The exchange has ended while this task waited.
                    raise DisconnectedError
                if self._request._events.websockets.send(connection, kind, data):
                    return
                await self._request._events.websocket_room(connection.pointer)
                connection = self._connection
        except WebSocketClosed:
            self.is_gone = True
            raise DisconnectedError from None

    def _close(self, message: Message) -> None:
        assert self._connection is not None
        code = message.get("code")
        self._connection.close(1000 if code is None else code, message.get("reason") or "")
        self._state = _ENDED

    def _end(self, state: int) -> None:
        """Changes the state, and wakes the tasks that wait for that."""
        self._state = state
        self._settle()

    def abort(self) -> None:
        """Ends a connection whose application has failed: 1011, or the response is cut off."""
        if self._connection is not None:
            self._connection.close(1011, "")
        elif self._denial is not None:
            self._denial.abort()

    def end(self) -> None:
        """Ends what the application has left: the connection closes in order."""
        if self._connection is not None:
            self._connection.free()
        elif self._denial is not None and self._denial.state != OVER:
            self._denial.abort()
        self._request._end()
        self._end(_ENDED)

    @property
    def is_unfinished(self) -> bool:
        """`True` if the application must not return yet: the handshake or a response is not complete."""
        return self._state in (_CONNECTING, _DENYING)

    @property
    def fault(self) -> str:
        """The words for an application that has returned too early."""
        if self._state == _CONNECTING:
            return "the application has returned without an answer to the handshake"
        return "the application has returned before the end of the response"
