"""The handlers of WebSocket connections in one run of a server: where they run, and how they end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import Context
from typing import Any

from transom import _native as native
from transom._batch import answer
from transom._dispatch import Dispatcher
from transom._functions import name_of
from transom._pool import Pool
from transom._request import Request
from transom._response import Response
from transom._route import Route
from transom._websocket import AsyncWebSocket, Socket, WebSocket
from transom._websocket_asked import asks_for_websocket, is_handshake
from transom._websocket_closed import WebSocketClosed
from transom._websocket_connection import WebSocketConnection
from transom._websocket_handshake import Handshake

#: What a response may have that the answer to a handshake has not.
_OF_BODIES = ("content-type", "content-length")
_INTERNAL_ERROR = 1011
_log = logging.getLogger("transom")


class WebSocketHost:
    """Runs each handler once its request has come through the middleware.

    An asynchronous one is a task of the event loop. A plain one has a thread of its own, of at most
    `threads`; a handshake for which there is none gets a 503.
    """

    def __init__(self, dispatcher: Dispatcher, threads: int, on_thread: Callable[[], None]) -> None:
        self._dispatcher = dispatcher
        self._pool = Pool(threads, 0, on_thread)
        self._change = threading.Condition()
        self._open = 0

    @property
    def is_open(self) -> bool:
        """`True` while a handler runs."""
        return self._open > 0

    def wait(self, timeout: float) -> bool:
        """Waits until no handler runs, at most `timeout` seconds. Returns `False` if one does."""
        with self._change:
            return self._change.wait_for(lambda: not self._open, timeout)

    def close(self, timeout: float) -> bool:
        """Ends the threads. Returns `False` if a handler still runs on one after `timeout` seconds."""
        return self._pool.close(timeout)

    def begin(self, route: Route, request: Request, response: Response, context: Context) -> None:
        """Runs the handler of a connection, or refuses a request that asks for none."""
        dispatcher = self._dispatcher
        handshake = response._chunks
        assert isinstance(handshake, Handshake)
        fields = [pair for pair in response.fields if pair[0].lower() not in _OF_BODIES]
        if not (asks_for_websocket(request) and is_handshake(request)):
            # The library says what is missing.
            try:
                WebSocketConnection.accept(request._token, handshake.settings.upgrade, fields).free()
            except WebSocketClosed:
                pass
            dispatcher.background.release(request._token)
            return
        with self._change:
            self._open += 1
        begun = False
        try:
            if handshake.is_async:
                begun = dispatcher.loop.begin(
                    lambda: self._serve_async(handshake, route, request, fields), context
                )
            else:
                begun = self._pool.submit(lambda: context.run(self._serve, handshake, route, request, fields))
                if not begun:
                    dispatcher.handle.refuse(request._token, native.REJECT_POOL_FULL)
        finally:
            if not begun:
                self._end(request, None)

    def _serve(
        self, handshake: Handshake, route: Route, request: Request, fields: list[tuple[str, str]]
    ) -> None:
        dispatcher = self._dispatcher
        turn = dispatcher.turn
        socket = WebSocket(request, handshake.settings, fields, dispatcher.events, turn)
        try:
            with turn or nullcontext():
                value = handshake.handler(socket)
            self._returned(handshake, socket, value)
        except BaseException as error:
            self._failed(route, socket, error)
        finally:
            self._end(request, socket)

    async def _serve_async(
        self, handshake: Handshake, route: Route, request: Request, fields: list[tuple[str, str]]
    ) -> None:
        from asyncio import CancelledError

        dispatcher = self._dispatcher
        request._events = dispatcher.loop.events
        socket = AsyncWebSocket(request, handshake.settings, fields, request._events)
        try:
            value: Any = handshake.handler(socket)
            while hasattr(value, "__await__"):
                value = await value
            self._returned(handshake, socket, value)
        except BaseException as error:
            if isinstance(error, CancelledError) and dispatcher.stopping.has_begun:
                # The deadline of the stop has passed.
                raise
            self._failed(route, socket, error)
        finally:
            self._end(request, socket)

    def _returned(self, handshake: Handshake, socket: Socket, value: Any) -> None:
        """Opens the connection if the handler has not done so: it closes in order then."""
        if value is not None:
            close = getattr(value, "close", None)
            if hasattr(value, "__await__") and close is not None:
                close()
            raise TypeError(
                f"handler {name_of(handshake.handler)} of WebSocket connections has returned "
                f"{type(value).__name__}: it returns None, and raises HTTPError to refuse one"
            )
        if not socket.is_answered:
            socket.accept()

    def _failed(self, route: Route, socket: Socket, error: BaseException) -> None:
        """Ends a connection whose handler has raised an exception, and logs it unless it is expected."""
        dispatcher, request = self._dispatcher, socket.request
        if not socket.is_answered:
            answer(dispatcher.handle, request._token, dispatcher.failure(route, request, error))
        elif isinstance(error, WebSocketClosed) and socket.is_closed:
            _log.debug("the handler of %r has ended, because the connection has closed: %s", request, error)
        else:
            dispatcher.report_begun(route, request, error)
            socket.close(_INTERNAL_ERROR)

    def _end(self, request: Request, socket: Socket | None) -> None:
        if socket is not None:
            socket._finish()
        request._end()
        self._dispatcher.background.release(request._token)
        with self._change:
            self._open -= 1
            self._change.notify_all()
