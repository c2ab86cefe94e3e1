"""The host of one ASGI application in one run of a server: the handler of its requests."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from transom._asgi.exchange import Exchange
from transom._asgi.scope import Place, Scopes
from transom._asgi.sender import OVER, DisconnectedError
from transom._asgi.shared import Shared
from transom._asgi.websocket import WebSocketExchange
from transom._functions import name_of
from transom._handle import Handle
from transom._layers import Bridge
from transom._native import STREAMS, UPGRADE
from transom._request import Request
from transom._route import Route
from transom._websocket_asked import asks_for_websocket, is_handshake
from transom._websocket_closed import WebSocketClosed
from transom._websocket_connection import WebSocketConnection
from transom._websocket_options import WebSocketSettings

if TYPE_CHECKING:
    from transom._loop import LoopSide

_log = logging.getLogger("transom")


class Host:
    """A handler that calls an ASGI application and sends its responses by itself.

    It belongs to one event loop: only that loop calls it.
    """

    def __init__(
        self,
        application: Any,
        path: str,
        bridge: Bridge,
        state: dict[str, Any],
        websocket: WebSocketSettings,
    ) -> None:
        self._application = application
        self._path = path
        self._bridge = bridge
        self._state = state
        self._websocket = websocket
        self._scopes: Scopes | None = None
        self._side: LoopSide
        self._shared: Shared
        #: The route of the handler, for messages.
        self.route: Route
        # Messages about the handler name the application.
        self.__module__, _, self.__qualname__ = name_of(application).rpartition(".")

    def handler(self) -> Host:
        """Returns the handler: the host itself."""
        return self

    def _prepare(self) -> Scopes:
        """Makes what is needed for the first request. The server runs then, and knows its address."""
        dispatcher = self._bridge.dispatcher
        assert dispatcher is not None
        self._side = dispatcher.loop  # type: ignore[assignment]
        self._shared = Shared(self._side.answer, self._refuse)
        self._scopes = Scopes(self._path, _place_of(dispatcher.handle), self._state)
        return self._scopes

    async def __call__(self, request: Request) -> None:
        scopes = self._scopes or self._prepare()
        request._events = self._side.events
        flags = request._head[11]
        if flags & UPGRADE and asks_for_websocket(request):
            await self._connect(scopes, request)
            return
        exchange = Exchange(self._shared, request)
        try:
            scope = scopes.make(request)
            if flags & STREAMS:
                exchange.expect_length(scope["headers"])
            await self._application(scope, exchange.receive, exchange.send)
            if exchange.state != OVER:
                self._unfinished(request, exchange)
        except BaseException as error:
            self._failed(request, exchange, error)
        finally:
            exchange.end()

    async def _connect(self, scopes: Scopes, request: Request) -> None:
        """Calls the application for a WebSocket connection."""
        if not is_handshake(request):
            try:
                # The library refuses it, and says what is missing.
                WebSocketConnection.accept(request._token, self._websocket.upgrade, []).free()
            except WebSocketClosed:
                pass
            return
        exchange = WebSocketExchange(self._shared, request, self._websocket)
        try:
            await self._application(scopes.make_websocket(request), exchange.receive, exchange.send)
            if exchange.is_unfinished:
                self._unfinished(request, exchange)
        except BaseException as error:
            self._failed(request, exchange, error)
        finally:
            exchange.end()

    def _unfinished(self, request: Request, exchange: Exchange | WebSocketExchange) -> None:
        """Ends a response that the application has left unfinished. It may do so if the client has left."""
        if not exchange.is_gone:
            raise RuntimeError(exchange.fault)
        if not exchange.has_begun:
            dispatcher = self._bridge.dispatcher
            assert dispatcher is not None
            # A client that has only closed its sending side waits for a response.
            self._side.answer(request._token, dispatcher.wording.server_error)

    def _failed(self, request: Request, exchange: Exchange | WebSocketExchange, error: BaseException) -> None:
        """Answers for an application that has raised an exception, and logs it."""
        dispatcher = self._bridge.dispatcher
        assert dispatcher is not None
        if exchange.is_gone and _is_caused_by_disconnect(error):
            # `send` has raised the exception, so the response has begun, or was sent by the server.
            _log.debug("the application ended, because the client of %r has disconnected", request)
            _release(error)
            return
        if isinstance(error, CancelledError) and self._side.is_closing:
            _log.warning("the server stops, and cancelled the application at %r", request)
            return
        begun = exchange.has_begun
        exchange.abort()
        if begun:
            dispatcher.report_begun(self.route, request, error)
        else:
            self._side.answer(request._token, dispatcher.failure(self.route, request, error))

    def _refuse(self, request: Request, error: Exception) -> None:
        """Answers a request whose body cannot be read to its end."""
        dispatcher = self._bridge.dispatcher
        assert dispatcher is not None
        self._side.answer(request._token, dispatcher.failure(self.route, request, error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an exception and those that led to it, at most 16."""
    for _ in range(16):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _is_caused_by_disconnect(error: BaseException) -> bool:
    """Returns `True` for the exception of `send`, and for those that an application has made of it."""
    return any(isinstance(each, DisconnectedError) for each in _chain(error))


def _release(error: BaseException) -> None:
    """Lets go of what an application held where an exception was raised, such as the generator of its stream.

    If a frame has its task in a variable, as in the handler of Django, then the task, the exception and the
    frame refer to each other, and the generator would end only when the garbage collector comes by.
    """
    for each in _chain(error):
        each.__traceback__ = None


def _place_of(handle: Handle) -> Place | None:
    """Returns the address of a server, or `None` if it depends on the connection."""
    addresses = handle.addresses
    if len(addresses) != 1:
        return None
    if addresses[0].startswith("unix:"):
        return addresses[0].removeprefix("unix:"), None
    host, _, port = addresses[0].rpartition(":")
    host = host.strip("[]")
    return None if host in ("0.0.0.0", "::") else (host, int(port))
