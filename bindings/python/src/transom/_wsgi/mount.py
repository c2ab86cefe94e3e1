"""The place of a WSGI application in a server: the routes that lead to it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from transom._check import got, shown, text
from transom._errors import BadRouteError
from transom._functions import is_async, name_of
from transom._layers import Bridge
from transom._route import Route
from transom._route_options import RouteSettings
from transom._router import Binding, Router
from transom._wording import Wording
from transom._wsgi.host import Host


class Mount:
    """An application, and the path below which it gets the requests."""

    def __init__(self, path: str, application: Any) -> None:
        """Raises `TypeError` or `BadRouteError` for what cannot be mounted."""
        _expect_application(application)
        text("a path", path)
        if not path.startswith("/") or (path != "/" and path.endswith("/")) or "{" in path:
            raise BadRouteError(
                f"the path of an application begins with `/` and has neither one at its end nor a `{{`, "
                f"got {shown(path)}"
            )
        self._path = path.rstrip("/")
        self._application = application
        self._made: tuple[Bridge, dict[bool, Route]] | None = None

    def bindings(self, router: Router) -> list[Binding]:
        """Returns the routes to the application.

        The body of a GET is not streamed, so that the application can run in place: it has mostly none.
        """
        patterns = [f"{self._path}/{{*path}}"] + [self._path] * bool(self._path)
        return [
            MountedBinding(method, pattern, self._trial(method is None), None, {}, (router,), self)
            for pattern in patterns
            for method in ("GET", None)
        ]

    def route(self, streams: bool, bridge: Bridge) -> Route:
        """Returns the route of a run of the server. Patterns share it, and with it the record of its runs."""
        if self._made is None or self._made[0] is not bridge:
            self._made = bridge, {}
        routes = self._made[1]
        if streams not in routes:
            host = Host(self._application, self._path, bridge)
            routes[streams] = host.route = self._new_route(host, streams)
        return routes[streams]

    def _trial(self, streams: bool) -> Route:
        return self._new_route(Host(self._application, self._path, Bridge()), streams)

    def _new_route(self, host: Host, streams: bool) -> Route:
        return Route(host.handler(), None, f"{self._path}/{{*path}}", RouteSettings(stream=streams))


@dataclass(frozen=True, slots=True)
class MountedBinding(Binding):
    """A route to an application. Nothing of the server is around it: it has middleware of its own."""

    mount: Mount

    def compiled(self, wording: Wording, bridge: Bridge) -> Route:
        """Returns the route for a run of the server."""
        return self.mount.route(self.route.settings.stream, bridge)


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
