"""Serving a WSGI application in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transom._addresses import Addresses
from transom._running import Running
from transom._server import Server
from transom._tls import Tls

if TYPE_CHECKING:
    # The checkers have these modules; the package does not need them to run.
    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Unpack

    from transom._settings import ServerSettings


def serve_wsgi(
    application: WSGIApplication,
    address: Addresses = "127.0.0.1:8080",
    *,
    tls: Tls | None = None,
    **settings: Unpack[ServerSettings],
) -> Running:
    """Serves a WSGI application (PEP 3333) on threads of its own, and returns once the server listens.

    The settings are those of `Server`, `address` and `tls` those of `Server.start`, and
    `Server.mount_wsgi` says how applications run. Raises what these raise.

    >>> from urllib.request import urlopen
    >>> def application(environ, start_response):
    ...     start_response("200 OK", [("Content-Type", "text/plain")])
    ...     return [b"hello"]
    >>> with serve_wsgi(application, "127.0.0.1:0", threads=8) as running:
    ...     urlopen(running.url).read()
    b'hello'
    """
    server = Server(**settings)
    server.mount_wsgi("/", application)
    return server.start(address, tls=tls)
