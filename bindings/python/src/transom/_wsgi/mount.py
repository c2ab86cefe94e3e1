"""The place of a WSGI application in a server."""

from __future__ import annotations

import inspect
from typing import Any

from transom._check import got
from transom._functions import is_async, name_of
from transom._layers import Bridge
from transom._mount import Mount
from transom._route import Route
from transom._wsgi.host import Host


class WsgiMount(Mount):
    """A WSGI application, and the path below which it gets the requests."""

    def __init__(self, path: str, application: Any) -> None:
        """Raises `TypeError` or `BadRouteError` for what cannot be mounted."""
        _expect_application(application)
        super().__init__(path)
        self._application = application

    def _new_host(self, bridge: Bridge) -> Host:
        return Host(self._application, self._path, bridge)

    def _new_route(self, bridge: Bridge, streams: bool) -> Route:
        route = super()._new_route(bridge, streams)
        route.adapt()
        route.gives_parts = True
        return route


def _expect_application(application: Any) -> None:
    """Raises `TypeError` unless an application can be called with an environment and `start_response`."""
    if not callable(application):
        raise TypeError(f"a WSGI application is a function (environ, start_response), got {got(application)}")
    if is_async(application):
        raise TypeError(f"{name_of(application)} is asynchronous: it is no WSGI application")
    try:
        inspect.signature(application).bind({}, None)
    except TypeError as error:
        raise TypeError(
            f"{name_of(application)} is no WSGI application: it cannot be called with "
            f"(environ, start_response): {error}"
        ) from None
    except ValueError:
        pass  # some builtins have no signature
