"""Serving an ASGI application in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transom._addresses import Addresses
from transom._asgi.application import ASGIApplication, LifespanMode
from transom._running import Running
from transom._server import STARTUP_TIMEOUT, Server
from transom._tls import Tls
from transom._websocket_options import WebSocketLimits

if TYPE_CHECKING:
    # The checkers have this module; the package does not need it to run.
    from typing_extensions import Unpack

    from transom._settings import ServerSettings


def serve_asgi(
    application: ASGIApplication,
    address: Addresses = "127.0.0.1:8080",
    *,
    tls: Tls | None = None,
    lifespan: LifespanMode = "auto",
    startup_timeout: float | None = STARTUP_TIMEOUT,
    websocket: WebSocketLimits | None = None,
    **settings: Unpack[ServerSettings],
) -> Running:
    """Serves an ASGI 3 application on threads of its own, and returns once the server listens.

    The settings are those of `Server`, `address` and `tls` those of `Server.start`, and `lifespan`,
    `startup_timeout` and `websocket` those of `Server.mount_asgi`, which says how applications run. Raises
    what these raise.

    >>> from urllib.request import urlopen
    >>> async def application(scope, receive, send):
    ...     if scope["type"] == "http":
    ...         await send({"type": "http.response.start", "status": 200})
    ...         await send({"type": "http.response.body", "body": b"hello"})
    >>> with serve_asgi(application, "127.0.0.1:0") as running:
    ...     urlopen(running.url).read()
    b'hello'
    """
    server = Server(**settings)
    server.mount_asgi(
        "/", application, lifespan=lifespan, startup_timeout=startup_timeout, websocket=websocket
    )
    return server.start(address, tls=tls)
