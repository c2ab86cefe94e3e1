"""A router: routes, middleware and error handlers, to be mounted under a prefix."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Any, TypeVar

from transom._check import flag, got, shown, text
from transom._converters import Converter, parse_pattern, shape_of
from transom._decompression import Decompression
from transom._error_handlers import ErrorAnswers, ErrorHandlers
from transom._errors import BadRouteError, InvalidArgumentError
from transom._functions import is_async
from transom._handle import Handle
from transom._http_error import HTTPError
from transom._layers import Bridge, Layer, convert, surround
from transom._overload import Priority
from transom._ready import ReadyMiddleware
from transom._request import Request
from transom._response import Response
from transom._route import Handler, HandlerResult, Route
from transom._route_options import RouteSettings, RouteTimeout
from transom._websocket_handshake import Handshake, WebSocketHandler
from transom._websocket_options import WebSocketSettings
from transom._wording import Wording

if TYPE_CHECKING:
    # The checkers have this module; the package does not need it to run.
    from typing_extensions import Unpack

    from transom._route_options import RouteOptions
    from transom._websocket_options import WebSocketOptions

H = TypeVar("H", bound=Handler)
W = TypeVar("W", bound=WebSocketHandler)
#: A function around handlers, before them, after them, and one that answers for an error.
Around = TypeVar("Around", bound=Callable[[Request, Any], HandlerResult | Awaitable[HandlerResult]])
Before = TypeVar("Before", bound=Callable[[Request], HandlerResult])
After = TypeVar("After", bound=Callable[[Request, Response], HandlerResult])
Answering = TypeVar("Answering", bound=Callable[[Request, Any], HandlerResult])


@dataclass(frozen=True, slots=True)
class Binding:
    """A route for one method, or for any, as the library has it."""

    method: str | None
    #: `None` for the fallback.
    pattern: str | None
    #: The handler, and the record of its runs unless something is around it.
    route: Route
    blocking: bool | None
    converters: dict[str, Converter]
    #: The routers of the route, the outermost first.
    routers: tuple[Router, ...]

    def within(self, router: Router, prefix: str, converters: dict[str, Converter]) -> Binding:
        """Returns the binding as a router has it that mounts another under a prefix."""
        assert self.pattern is not None
        return replaced(
            self,
            pattern=prefix + self.pattern,
            converters={**converters, **self.converters},
            routers=(router, *self.routers),
        )

    def takes_place_of(self, other: Binding) -> bool:
        """Returns `True` if both match the same requests."""
        if self.pattern is None or other.pattern is None:
            return self.pattern is other.pattern
        return self.method == other.method and shape_of(self.pattern) == shape_of(other.pattern)

    def compiled(self, wording: Wording, bridge: Bridge) -> Route:
        """Returns the route with everything that is around its handler."""
        answers = ErrorAnswers([router._errors for router in reversed(self.routers)], wording)
        layers = [layer for router in self.routers for layer in router._layers]
        handler = self.route.handler
        if self.converters:
            handler = convert(handler, self.converters)
        if layers:
            handler = surround(handler, layers, answers, bridge, self.route.in_place, self.route.priority)
        if handler is self.route.handler:
            self.route.errors = answers
            return self.route
        route = Route(
            handler, None if is_async(handler) else self.blocking, self.pattern, self.route.settings
        )
        route.place = self.route.place
        route.errors = answers
        return route


class Router:
    """Routes, middleware and error handlers that a `Server` or another router mounts under a prefix.

    A pattern begins with `/` or is empty, which stands for the prefix itself. Middleware and error
    handlers of a router are for its own routes and those of the routers that it mounts.

    >>> from transom import Server
    >>> users = Router()
    >>> @users.get("/{id:int}")
    ... def user(request):
    ...     return {"id": request.params["id"]}
    >>> app = Server()
    >>> app.mount("/users", users)
    >>> from urllib.request import urlopen
    >>> with app.start("127.0.0.1:0") as running:
    ...     urlopen(running.url + "/users/7").read()
    b'{"id":7}'
    """

    def __init__(self) -> None:
        self._bindings: list[Binding] = []
        #: The routers that mount this one, each with the prefix and its converters.
        self._parents: list[tuple[Router, str, dict[str, Converter]]] = []
        self._lock = threading.RLock()
        #: The middleware, the outermost first.
        self._layers: list[Layer] = []
        #: The error handlers.
        self._errors = ErrorHandlers()

    def route(
        self,
        pattern: str,
        *,
        methods: Iterable[str] | None = ("GET",),
        replace: bool = False,
        blocking: bool | None = None,
        stream: bool = False,
        max_body: int | None = None,
        decompression: int | Decompression | None = None,
        timeout: RouteTimeout = ...,
        priority: Priority = "normal",
        middleware: Iterable[ReadyMiddleware] = (),
    ) -> Callable[[H], H]:
        """Decorates a handler for a pattern and for methods; `None` stands for any method.

        `{name}` in a pattern matches one segment of the path. `{*name}`, at the end of a
        pattern, matches the rest of the path, which may be empty. A handler for GET also answers
        HEAD. Methods are case-sensitive: `GET`, not `get`.

        A parameter may have a converter. `{id:int}` is an `int` in `Request.params`, `{x:float}` a
        `float` and `{u:uuid}` a `uuid.UUID`. `{name:str}` is `{name}`, and `{name:path}` is `{*name}`.
        A value that does not convert gets a 404. Numbers are ASCII digits with an optional `-`, and a
        fraction for `float`.

        With `replace=True`, the handler takes the place of an earlier one for the same method and
        paths, so that a cell of a notebook can run again.

        A plain function runs in place, on the thread that takes requests from the library,
        while its runs are short, and on the thread pool otherwise. A new handler runs
        on the pool. After 16 runs in a row that each took less than 1 ms, it runs in
        place. A run in place of more than 50 ms, or a mean of more than 0.5 ms, sends the
        handler back to the pool; each time, it needs more short runs to return. While a
        handler blocks in place, another thread takes over the remaining requests.
        `blocking=True` keeps a handler on the pool, and `blocking=False` keeps it in place.
        With `serve`, plain functions run on the pool unless `blocking=False`.

        With `stream=True`, the handler is called when the head of a request has come, and reads
        the body with `Request.stream` while it comes. A plain function then runs on the pool, and
        occupies a thread while it waits for its client; an `async def` handler does not.
        `max_body` is the most bytes of a body, in place of the limit `body` of the server; a larger body
        gets a 413. With `decompression`, a body that is compressed by zstd, brotli or gzip is decompressed,
        to at most so many bytes (RFC 9110 8.4); a larger one gets a 413, one that is malformed a 400, and one
        with another coding a 415. A `Decompression` also limits the memory. `timeout` is the time from the
        call of the handler to its response, in seconds, in place of the timeout `handler` of the server;
        `None` stands for no timeout. While a body is read, the timeout starts again with each part that
        comes. `priority` says how long requests may wait with `Server(overload=)`: `"low"` half as long as
        the others, so that they are refused first; `"high"` twice as long; `"vital"` requests are never
        refused because of overload, and go first. `middleware` is ready middleware for this route, such as
        `RateLimit`, inside that of the server; an object that several routes have counts their requests
        together.

        Raises `BadRouteError` if the pattern or a method is refused, `InvalidArgumentError` if an
        option is out of range, `AlreadyStartedError` while the server runs, and `TypeError` if the function
        cannot be called with one request.
        """
        flag("replace", replace)
        settings = RouteSettings.checked(
            blocking, stream, max_body, decompression, timeout, priority, middleware
        )
        text("a pattern", pattern)
        if isinstance(methods, str):
            raise TypeError(f"methods are several str, such as [{methods!r}], got one str")
        if methods is not None and not isinstance(methods, Iterable):
            raise TypeError(f"methods are several str, such as ['GET'], or None for any, got {got(methods)}")
        wanted: list[str | None] = [None] if methods is None else list(methods)
        if not wanted:
            raise InvalidArgumentError("methods are several str, such as ['GET'], or None for any, got none")
        if not all(method is None or isinstance(method, str) for method in wanted):
            raise TypeError(f"methods are str, got {shown(wanted)}")

        def decorate(handler: H) -> H:
            route = Route(handler, blocking, pattern, settings)
            parsed, converters = parse_pattern(pattern)
            self._add(
                [Binding(method, parsed, route, blocking, converters, (self,)) for method in wanted], replace
            )
            return handler

        return decorate

    def get(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorates a handler for GET and HEAD; see `route`."""
        return self.route(pattern, methods=["GET"], **options)

    def post(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorates a handler for POST; see `route`."""
        return self.route(pattern, methods=["POST"], **options)

    def put(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorates a handler for PUT; see `route`."""
        return self.route(pattern, methods=["PUT"], **options)

    def delete(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorates a handler for DELETE; see `route`."""
        return self.route(pattern, methods=["DELETE"], **options)

    def patch(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorates a handler for PATCH; see `route`."""
        return self.route(pattern, methods=["PATCH"], **options)

    def head(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorates a handler for HEAD; see `route`."""
        return self.route(pattern, methods=["HEAD"], **options)

    def options(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorates a handler for OPTIONS; see `route`."""
        return self.route(pattern, methods=["OPTIONS"], **options)

    def any(self, pattern: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        """Decorates a handler for each method that has no handler of its own; see `route`."""
        return self.route(pattern, methods=None, **options)

    def websocket(self, pattern: str, **options: Unpack[WebSocketOptions]) -> Callable[[W], W]:
        """Decorates a handler of WebSocket connections (RFC 6455) for a pattern: a function that takes one.

        An `async def` handler gets an `AsyncWebSocket`, and is a task of the event loop. A plain handler gets
        a `WebSocket`, and holds a thread for as long as the connection lasts: see `websocket_threads` of
        `Server`. The connection closes in order (1000) when the handler returns, with 1001 when the server
        stops, and with 1011 if the handler raises an exception, which is logged.

        Middleware runs around the handshake, and may answer it with any response. The handshake is answered
        when the handler first uses the connection. Before that, it may look at `request`, and raise
        `HTTPError` to refuse it. Requests that ask for no WebSocket get a 426.

        `subprotocols` are those that the handler speaks, and the first that the client lists is chosen.
        `origins` are origins whose pages may connect, such as `["https://example.com"]`, beside pages of the
        host itself; with `any_origin=True`, all may. Others get a 403, because a browser sends the
        cookies of its user with a handshake, whatever page asks.

        `message_limit` bounds a message, decompressed (1 MiB by default), and `frame_limit` a frame (16
        MiB): a larger one closes the connection with 1009. A message that comes more slowly than
        `message_rate` bytes a second (500) for `message_timeout` seconds (30) closes it with 1008. Senders
        wait while `queue_limit` bytes (256 KiB) wait to be sent. `compression=False` turns permessage-deflate
        off, `context_takeover=True` compresses with what came before, for about 350 KiB a connection, and
        messages of fewer than `compress_from` bytes (64) are sent as they are. After `ping_interval` seconds
        (30) of silence a Ping is sent, and the connection ends if the peer stays silent for `ping_timeout`
        seconds (30); with `ping_interval=None` no Pings are sent. `close_timeout` bounds the wait for the
        peer's Close (5 s). With `in_pieces=True`, `receive_piece` returns a message in pieces as they arrive,
        so that a large one is not kept in memory whole.

        With `replace=True`, the handler takes the place of an earlier one. Raises what `route` raises.

        >>> from transom import Server
        >>> app = Server()
        >>> @app.websocket("/echo")
        ... async def echo(socket):
        ...     async for message in socket:
        ...         await socket.send(message)
        >>> from transom.testing import TestClient
        >>> with TestClient(app) as client, client.websocket("/echo") as socket:
        ...     socket.send("hello")
        ...     socket.receive()
        'hello'
        """
        replace = flag("replace", options.pop("replace", False))
        text("a pattern", pattern)
        settings = WebSocketSettings.of(options)

        def decorate(handler: W) -> W:
            handshake = Handshake(handler, settings)
            blocking = None if handshake.is_async else False
            route = Route(handshake.responder(), blocking, pattern, RouteSettings())
            parsed, converters = parse_pattern(pattern)
            self._add([Binding("GET", parsed, route, blocking, converters, (self,))], replace)
            return handler

        return decorate

    def mount(self, prefix: str, router: Router) -> None:
        """Adds the routes of a router under a prefix, also those that it gets later.

        A prefix begins with `/` and does not end with one; it may have parameters. Raises what `route`
        raises.
        """
        text("a prefix", prefix)
        if not isinstance(router, Router) or not router._can_be_mounted:
            raise TypeError(f"mount takes a Router, got {got(router)}")
        if not prefix.startswith("/") or prefix.endswith("/"):
            raise BadRouteError(f"a prefix begins with `/` and does not end with one, got {shown(prefix)}")
        if self._is_within(router):
            raise InvalidArgumentError("a router cannot be mounted in itself")
        parsed, converters = parse_pattern(prefix)
        self._add([binding.within(self, parsed, converters) for binding in router._bindings], False)
        router._parents.append((self, parsed, converters))

    #: `True` for routers that others can mount.
    _can_be_mounted = True

    def _is_within(self, router: Router) -> bool:
        """Returns `True` if this router is another one, or is mounted in it."""
        return self is router or any(parent._is_within(router) for parent, _, _ in self._parents)

    def middleware(self, function: Around) -> Around:
        """Decorates a function that runs around the handlers: `(request, next)`.

        `next(request)` gives the `Response` of what is further inside; the function returns that, or
        whatever a handler may return. The first middleware is the outermost. An `async def` function
        awaits `next(request)`, and is for handlers of both kinds: plain handlers then run on the thread
        pool. A plain function is for plain handlers only; if there is an asynchronous one, the start of
        the server raises `InvalidArgumentError`.

        If the handler raises an `HTTPError`, or an exception for which there is an error handler,
        `next` returns the response to it. It raises other exceptions.

        Middleware of a server also runs for paths without a route (404) and methods without one (405).
        It does not run for requests that the library refuses.

        >>> from transom import Server
        >>> app = Server()
        >>> @app.middleware
        ... async def name_server(request, next):
        ...     response = await next(request)
        ...     response.set_header("x-server", "mine")
        ...     return response
        """
        self._add_layer(Layer.checked("around", function))
        return function

    def before(self, function: Before) -> Before:
        """Decorates a plain function that runs before the handlers: `(request)`.

        If it returns something other than `None`, that is the response, and the handler does not run.
        It runs where the handler runs; see `middleware` for the order.
        """
        self._add_layer(Layer.checked("before", function))
        return function

    def after(self, function: After) -> After:
        """Decorates a plain function that runs after the handlers: `(request, response)`.

        It may change the response, or return another.
        """
        self._add_layer(Layer.checked("after", function))
        return function

    def error(self, what: int | type[Exception]) -> Callable[[Answering], Answering]:
        """Decorates a plain function that answers for a status or a class of exceptions: `(request, error)`.

        It returns what a handler may return, but no stream. If it says nothing about the status, the
        response has that of the error, and its header fields; 500 if the error is no `HTTPError`. The
        function for the nearest class is chosen, then the one for the status. `error(500)` is for all
        exceptions that nothing else is for, and these are logged.

        `error(404)` and `error(405)` of a server are also for paths and methods without a route. No
        Python code runs for requests that the library refuses (400, 408, 413, 431, 503): see
        `Server.error_page` and the setting `error_format`.

        >>> from transom import Server
        >>> app = Server()
        >>> @app.error(LookupError)
        ... def not_found(request, error):
        ...     return {"error": str(error)}, 404
        """

        def decorate(function: Answering) -> Answering:
            with self._lock:
                self._expect_idle()
                self._errors.add(what, function)
            return function

        return decorate

    def _add_layer(self, layer: Layer) -> None:
        with self._lock:
            self._expect_idle()
            self._layers.append(layer)

    def _expect_idle(self) -> None:
        """Raises `AlreadyStartedError` if a server with this router runs."""
        for parent, _, _ in self._parents:
            parent._expect_idle()

    def _add(self, added: list[Binding], replace: bool) -> None:
        """Adds bindings here and in all routers around this one, or nowhere. Raises `BadRouteError`."""
        with self._lock:
            self._check(added, replace)
            self._take(added, replace)

    def _check(self, added: list[Binding], replace: bool) -> None:
        """Raises an error if the bindings cannot be added."""
        self._expect_idle()
        if not self._parents:
            trial = Handle()
            for binding in self._with(added, replace):
                trial.route(
                    binding.method, f"/{binding.pattern}".replace("//", "/"), 0, binding.route.settings
                )
        for parent, prefix, converters in self._parents:
            parent._check([binding.within(parent, prefix, converters) for binding in added], replace)

    def _take(self, added: list[Binding], replace: bool) -> None:
        self._bindings = self._with(added, replace)
        for parent, prefix, converters in self._parents:
            parent._take([binding.within(parent, prefix, converters) for binding in added], replace)

    def _with(self, added: list[Binding], replace: bool) -> list[Binding]:
        """Returns the bindings with those that are added, and without those that they replace."""
        kept = self._bindings
        if replace:
            kept = [old for old in kept if not any(new.takes_place_of(old) for new in added)]
        return [*kept, *added]


def not_found(router: Router) -> Binding:
    """Returns the fallback that answers 404, so that Python answers requests without a route."""

    def no_route(request: Request) -> Any:
        raise HTTPError(404)

    return Binding(None, None, Route(no_route, None, None, RouteSettings()), None, {}, (router,))


def refusals(router: Router, bindings: list[Binding]) -> list[Binding]:
    """Returns the routes that answer 405, with the methods that each pattern has (RFC 9110 15.5.6)."""
    by_shape: dict[str, list[Binding]] = {}
    for binding in bindings:
        if binding.pattern is not None:
            by_shape.setdefault(shape_of(binding.pattern), []).append(binding)
    return [_refusal(router, same) for same in by_shape.values() if all(one.method for one in same)]


def _refusal(router: Router, same: list[Binding]) -> Binding:
    methods = {binding.method for binding in same if binding.method is not None}
    allow = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))

    def no_method(request: Request) -> Any:
        raise HTTPError(405, headers={"allow": allow})

    pattern = same[0].pattern
    return Binding(None, pattern, Route(no_method, None, pattern, RouteSettings()), None, {}, (router,))
