"""The handler of a handshake: what a route of WebSocket connections has in place of the handler itself."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from transom._functions import is_async, name_of
from transom._pending import Answered
from transom._request import Request
from transom._response import Response
from transom._websocket import AsyncWebSocket, WebSocket
from transom._websocket_options import WebSocketSettings

#: A handler of WebSocket connections: plain, or asynchronous.
WebSocketHandler: TypeAlias = Callable[[WebSocket], None] | Callable[[AsyncWebSocket], Awaitable[None]]


class Handshake(Answered):
    """The body of the response that the handler of a handshake returns: the connection takes its place."""

    __slots__ = ("handler", "is_async", "settings")

    def __init__(self, handler: WebSocketHandler, settings: WebSocketSettings) -> None:
        """Raises `TypeError` unless the handler can be called with one connection."""
        if not callable(handler):
            raise TypeError(f"a handler is a function that takes a connection, got {type(handler).__name__}")
        try:
            inspect.signature(handler, follow_wrapped=False).bind(None)
        except TypeError as error:
            raise TypeError(
                f"handler {name_of(handler)} cannot be called with one connection: {error}"
            ) from None
        except ValueError:
            pass  # some builtins have no signature
        self.handler: Callable[[Any], Any] = handler
        self.settings = settings
        #: `True` if the handler runs in the event loop. A plain decorator around one that does counts.
        self.is_async = is_async(handler) or is_async(inspect.unwrap(handler))

    def responder(self) -> Callable[[Request], Any]:
        """Returns the handler of handshakes. It is quick: the handler of the connection runs later."""
        if self.is_async:

            async def begin(request: Request) -> Response:
                return self._response()

        else:

            def begin(request: Request) -> Response:  # type: ignore[misc]
                return self._response()

        # Messages name the handler of the application.
        begin.__module__, begin.__qualname__ = name_of(self.handler).rpartition(".")[::2]
        return begin

    def _response(self) -> Response:
        response = Response()
        response._parts = 101, b"", b""
        response._chunks = self
        return response
