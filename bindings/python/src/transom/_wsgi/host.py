"""The host of one WSGI application in one run of a server: the handler of its requests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from transom._dispatch import Dispatcher
from transom._functions import name_of
from transom._handle import Handle
from transom._layers import Bridge
from transom._packed import Parts
from transom._request import Request
from transom._response import ANSWERED, Response
from transom._route import Route
from transom._wsgi.environ import Environs
from transom._wsgi.exchange import new_exchange


class Host:
    """A WSGI application, and what it needs in a run of a server."""

    def __init__(self, application: Any, path: str, bridge: Bridge) -> None:
        self._application = application
        self._path = path
        self._bridge = bridge
        #: The route of the handler, for messages.
        self.route: Route | None = None

    def handler(self) -> Callable[[Request], Parts | Response]:
        """Returns a handler that calls the application. Messages about it name the application."""
        application = self._application
        dispatcher: Dispatcher | None = None
        make_environ: Callable[[Request], dict[str, Any]]

        def handle(request: Request) -> Parts | Response:
            nonlocal dispatcher, make_environ
            if dispatcher is None:
                make_environ = self._environs().make
                dispatcher = self._bridge.dispatcher
                assert dispatcher is not None
            exchange = new_exchange(request, dispatcher)
            environ = make_environ(request)
            environ["wsgi.early_hints"] = exchange.early_hints
            try:
                chunks = application(environ, exchange.start_response)
                if type(chunks) is list or type(chunks) is tuple:
                    whole = exchange.whole(chunks)
                    if whole is not None:
                        return whole
                else:
                    try:
                        exchange.send(chunks)
                    finally:
                        close = getattr(chunks, "close", None)
                        if close is not None:
                            close()
            except BaseException as error:
                if not exchange.has_begun:
                    raise
                assert self.route is not None
                dispatcher.report_begun(self.route, request, error)
            exchange.end()
            return ANSWERED

        handle.__module__, _, handle.__qualname__ = name_of(application).rpartition(".")
        return handle

    def _environs(self) -> Environs:
        dispatcher = self._bridge.dispatcher
        assert dispatcher is not None
        name = _name_of(dispatcher.handle)
        return Environs(self._path, name, dispatcher.turn is None, _is_one_of_several())


def _name_of(handle: Handle) -> tuple[str, str] | None:
    """Returns the host and the port of a server, or `None` if they depend on the connection."""
    addresses = handle.addresses
    if len(addresses) != 1 or addresses[0].startswith("unix:"):
        return None
    host, _, port = addresses[0].rpartition(":")
    host = host.strip("[]")
    return None if host in ("0.0.0.0", "::") else (host, port)


def _is_one_of_several() -> bool:
    """Returns `True` if this process is one of several that `multiprocessing` has started."""
    multiprocessing = sys.modules.get("multiprocessing")
    return multiprocessing is not None and multiprocessing.parent_process() is not None
