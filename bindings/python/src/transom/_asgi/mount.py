"""The place of an ASGI application in a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transom._asgi.application import LifespanMode, expect_application, expect_mode
from transom._check import got, seconds
from transom._layers import Bridge
from transom._mount import Mount
from transom._route import Route
from transom._websocket_options import WebSocketLimits, WebSocketSettings

if TYPE_CHECKING:
    # asyncio is loaded only when it is needed: it takes as much memory as everything else.
    from transom._asgi.host import Host
    from transom._asgi.lifespan import LifespanTask


class AsgiMount(Mount):
    """An ASGI application, and the path below which it gets the requests."""

    def __init__(
        self,
        path: str,
        application: Any,
        lifespan: LifespanMode,
        startup_timeout: float | None,
        websocket: WebSocketLimits | None,
    ) -> None:
        """Raises `TypeError`, `InvalidArgumentError` or `BadRouteError` for what cannot be mounted."""
        expect_application(application)
        super().__init__(path)
        self._application = application
        self._mode = expect_mode(lifespan)
        self._timeout = seconds("startup_timeout", startup_timeout, zero=False, none=True)
        # Applications look at the Origin themselves.
        self._websocket = WebSocketSettings(_limits(websocket), any_origin=True)
        #: What the lifespan of this run of the server has left for the requests.
        self._state: dict[str, Any] = {}

    def _new_host(self, bridge: Bridge) -> Host:
        from transom._asgi.host import Host

        return Host(self._application, self._path, bridge, self._state, self._websocket)

    def _new_route(self, bridge: Bridge, streams: bool) -> Route:
        route = super()._new_route(bridge, streams)
        route.is_host = True
        return route

    def lifespan(self) -> LifespanTask:
        """Returns the lifespan of the application for the next run of the server."""
        from transom._asgi.lifespan import LifespanTask

        # Hosts are made after this, or before the application has left anything here.
        self._state.clear()
        return LifespanTask(self._application, self._mode, self._timeout, self._state, self._drain)

    async def _drain(self, grace: float) -> None:
        """Waits for the requests of this run."""
        dispatcher = None if self._made is None else self._made[0].dispatcher
        if dispatcher is not None:
            await dispatcher.loop.drain(grace)


def _limits(given: WebSocketLimits | None) -> WebSocketLimits:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"websocket is a mapping from names of settings to values, got {got(given)}")
    return {} if given is None else given
