"""The place of an application in a server: the routes that lead to it. WSGI and ASGI share it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from transom._check import shown, text
from transom._errors import BadRouteError
from transom._layers import Bridge
from transom._route import Route
from transom._route_options import RouteSettings
from transom._router import Binding, Router
from transom._wording import Wording


class Mount(ABC):
    """An application, and the path below which it gets the requests."""

    def __init__(self, path: str) -> None:
        """Raises `TypeError` or `BadRouteError` for a path where nothing can be mounted."""
        text("a path", path)
        if not path.startswith("/") or (path != "/" and path.endswith("/")) or "{" in path:
            raise BadRouteError(
                f"the path of an application begins with `/` and has neither one at its end nor a `{{`, "
                f"got {shown(path)}"
            )
        self._path = path.rstrip("/")
        self._made: tuple[Bridge, dict[bool, Route]] | None = None

    @abstractmethod
    def _new_host(self, bridge: Bridge) -> Any:
        """Returns a host of the application: it has a `handler()`, and is told the `route` of that."""

    def bindings(self, router: Router) -> list[Binding]:
        """Returns the routes to the application.

        The body of a GET is not streamed, which costs less: it has mostly none.
        """
        patterns = [f"{self._path}/{{*path}}"] + [self._path] * bool(self._path)
        return [
            MountedBinding(
                method, pattern, self._new_route(Bridge(), method is None), None, {}, (router,), self
            )
            for pattern in patterns
            for method in ("GET", None)
        ]

    def route(self, streams: bool, bridge: Bridge) -> Route:
        """Returns the route of a run of the server. Patterns share it, and with it the record of its runs."""
        if self._made is None or self._made[0] is not bridge:
            self._made = bridge, {}
        routes = self._made[1]
        if streams not in routes:
            routes[streams] = self._new_route(bridge, streams)
        return routes[streams]

    def _new_route(self, bridge: Bridge, streams: bool) -> Route:
        host = self._new_host(bridge)
        host.route = Route(host.handler(), None, f"{self._path}/{{*path}}", RouteSettings(stream=streams))
        route: Route = host.route
        return route


@dataclass(frozen=True, slots=True)
class MountedBinding(Binding):
    """A route to an application. Nothing of the server is around it: it has middleware of its own."""

    mount: Mount

    def compiled(self, wording: Wording, bridge: Bridge) -> Route:
        """Returns the route for a run of the server."""
        return self.mount.route(self.route.settings.stream, bridge)
