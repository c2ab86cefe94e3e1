"""The application: its routes, its hooks and what it answers by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from transom._check import check_status, credentials, text
from transom._decompression import Decompression
from transom._errors import AlreadyStartedError, BadStatusError, InvalidArgumentError
from transom._handle import Handle
from transom._http_error import HTTPError
from transom._lifespan import Hooks, LifespanFunction
from transom._overload import Priority
from transom._ready import ReadyMiddleware
from transom._route import Handler, Route
from transom._route_options import RouteSettings, RouteTimeout
from transom._router import Binding, Router, not_found, refusals
from transom._running import Running
from transom._settings import Settings
from transom._static import StaticFiles

H = TypeVar("H", bound=Handler)
F = TypeVar("F", bound=Callable[[], Any])
L = TypeVar("L", bound=LifespanFunction)


class Application(Router):
    """The part of a server that is defined before it starts: all but its running."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._readiness: list[str] = []
        self._liveness: list[str] = []
        self._metrics_routes: list[str] = []
        self._status_pages: list[tuple[str, tuple[str, str] | None]] = []
        self._static: list[StaticFiles] = []
        self._pages: dict[int, tuple[str, str]] = {}
        self._hooks = Hooks()
        self._fallback: Binding | None = None
        self._running: Running | None = None
        #: `True` while the functions for the start run.
        self._starting = False
        # This native server is never started. It refuses bad settings and routes at once.
        self._trial = self._settings.configured()

    def fallback(
        self,
        *,
        blocking: bool | None = None,
        stream: bool = False,
        max_body: int | None = None,
        decompression: int | Decompression | None = None,
        timeout: RouteTimeout = ...,
        priority: Priority = "normal",
        middleware: Iterable[ReadyMiddleware] = (),
    ) -> Callable[[H], H]:
        """Decorates the handler for paths that no pattern matches; without it they get a 404.

        The options are those of `route`.
        """
        settings = RouteSettings.checked(
            blocking, stream, max_body, decompression, timeout, priority, middleware
        )

        def decorate(handler: H) -> H:
            route = Route(handler, blocking, None, settings)
            with self._lock:
                self._expect_idle()
                self._trial.fallback(0, settings)
                self._fallback = Binding(None, None, route, blocking, {}, (self,))
            return handler

        return decorate

    def error_page(
        self, status: int | None, body: str, *, content_type: str = "text/html; charset=utf-8"
    ) -> None:
        """Sets the body of error responses with a status; `None` stands for all that have no page.

        It is for the answers that the library gives by itself, for which no Python code runs, and for
        errors without a message in Python: an `HTTPError`, a handler that fails. `{status}` in the body
        becomes the status, and `{reason}` its reason phrase. `{detail}` becomes the sentence that says what
        the library refused; where there is none, the parts between `{?` and `?}` are left out.

        Raises `BadStatusError`, `BadHeaderError` or `AlreadyStartedError`.

        >>> from transom import Server
        >>> app = Server()
        >>> app.error_page(404, "<h1>{reason}</h1>")
        >>> import urllib.error, urllib.request
        >>> with app.start("127.0.0.1:0") as running:
        ...     try:
        ...         urllib.request.urlopen(running.url + "/none")
        ...     except urllib.error.HTTPError as error:
        ...         error.read()
        b'<h1>Not Found</h1>'
        """
        number = 0 if status is None else check_status(status)
        text("the body of a page", body)
        text("content_type", content_type)
        with self._lock:
            self._expect_idle()
            if status == 0:
                raise BadStatusError("0 is not a status: None stands for all")
            self._trial.own_body(number, content_type, body)
            self._pages[number] = (content_type, body)

    def on_start(self, function: F) -> F:
        """Decorates a function that runs before the server listens. It may be `async def`.

        It has no parameters. With `start` and `run`, it runs in the thread that calls them, and an
        asynchronous one in the event loop of the handlers; with `serve`, in the loop that is running.
        If it raises an exception, the server does not start, and the caller gets that exception.
        """
        with self._lock:
            self._expect_idle()
            self._hooks.on_start(function)
        return function

    def on_stop(self, function: F) -> F:
        """Decorates a function that runs once the server has stopped. It may be `async def`.

        It has no parameters. These functions run in the reverse order of `on_start`, `on_stop` and
        `lifespan`, also if the start has failed after their turn. An asynchronous one has 5 seconds.
        Exceptions are logged.
        """
        with self._lock:
            self._expect_idle()
            self._hooks.on_stop(function)
        return function

    def lifespan(self, function: L) -> L:
        """Decorates a generator function whose `yield` separates the start from the stop.

        It has no parameters, and may be asynchronous; it runs as `on_start` and `on_stop` do.

        >>> from transom import Server
        >>> app = Server()
        >>> @app.lifespan
        ... def announce():
        ...     print("starting")
        ...     yield
        ...     print("stopped")
        >>> with app.start("127.0.0.1:0"):
        ...     pass
        starting
        stopped
        """
        with self._lock:
            self._expect_idle()
            self._hooks.lifespan(function)
        return function

    def readiness(self, pattern: str) -> None:
        """Adds a route for GET that tells a load balancer whether to send requests here.

        It answers 200 `ready`, and 503 `stopping` with `Retry-After` once a stop has begun. No
        Python code runs for it. Set the timeout `stop_delay` to a little more than the load
        balancer takes to notice: for that time, the server still accepts clients.

        Raises `BadRouteError` or `AlreadyStartedError`, as `route` does.
        """
        text("a pattern", pattern)
        with self._lock:
            self._expect_idle()
            self._trial.readiness(pattern)
            self._readiness.append(pattern)

    def metrics_route(self, pattern: str) -> None:
        """Adds a route for GET that answers Prometheus with the metrics of `Server(metrics=)`.

        No Python code runs for it, so that it answers while a handler holds the interpreter lock.

        >>> from transom import Metrics, Server
        >>> app = Server(metrics=Metrics())
        >>> app.metrics_route("/metrics")
        >>> from urllib.request import urlopen
        >>> with app.start("127.0.0.1:0") as running:
        ...     b"http_server_active_requests 1" in urlopen(running.url + "/metrics").read()
        True

        Raises `InvalidArgumentError` if the server has no metrics, and `BadRouteError` or
        `AlreadyStartedError`, as `route` does.
        """
        text("a pattern", pattern)
        if self._settings.metrics is None:
            raise InvalidArgumentError("a route for metrics needs Server(metrics=)")
        with self._lock:
            self._expect_idle()
            self._trial.metrics_route(pattern, self._settings.metrics)
            self._metrics_routes.append(pattern)

    def status_page(self, path: str, *, password: tuple[str, str] | None = None) -> None:
        """Adds a live page that shows in a browser what the server does; it needs `Server(metrics=)`.

        `password` is a user name and a password that the browser asks for. They go over the network as they
        are: use TLS. Without it, the page answers clients on this machine only, on a loopback address or a
        Unix socket, and not by way of a proxy. A function of the program cannot decide who sees the page,
        because no Python code runs for it: so it works while a handler holds the interpreter lock.

        An open page is a connection: in the model "sequential" it holds the server.

        >>> from transom import Metrics, Server
        >>> app = Server(metrics=Metrics())
        >>> app.status_page("/status", password=("ada", "correct horse battery staple"))

        Raises `InvalidArgumentError` if the server has no metrics, if the password is empty, if it has a NUL
        or the user name a colon, and `BadRouteError` or `AlreadyStartedError`, as `route` does.
        """
        text("a path", path)
        if password is not None:
            password = credentials(password)
        if self._settings.metrics is None:
            raise InvalidArgumentError("a status page needs Server(metrics=)")
        with self._lock:
            self._expect_idle()
            self._trial.status_page(path, self._settings.metrics, password)
            self._status_pages.append((path, password))

    def static(
        self,
        prefix: str,
        folder: str | os.PathLike[str],
        *,
        index: str | None = "index.html",
        single_page: str | None = None,
        precompressed: bool = False,
        cache_control: Mapping[str, str] = MappingProxyType({}),
        content_types: Mapping[str, str] = MappingProxyType({}),
        charset: str | None = "utf-8",
        listing: bool = False,
        listing_limit: int = 10_000,
        dotfiles: bool = False,
        downloads: bool = False,
        range_limit: int = 32,
    ) -> None:
        """Serves the files of a folder for GET and HEAD under a prefix; an empty one is the root.

        Conditional requests and ranges are answered: 206 with one part or many, 304, 412, 416. Nothing
        outside the folder is served, nor, without `dotfiles`, a name that begins with a dot. Routes that
        are more specific win. No Python code runs for it: so middleware does not see it, and it answers
        while a handler holds the interpreter lock.

        `index` is the file that answers for its folder, and `single_page` the one that answers where there
        is none, for an application in the browser. `precompressed` sends `app.js.zst`, `app.js.br` or
        `app.js.gz` for `app.js` to clients that take it. `cache_control` has the values of that field by
        pattern, in which `*` is any text without a slash and `**` any text; the first that matches counts.
        `content_types` has the types of extensions in place of the usual ones, and `charset` is that of
        texts. `listing` lists folders without an index, at most `listing_limit` entries. `downloads` has
        clients store files under their names. A request for more than `range_limit` parts gets the whole
        file.

        >>> import tempfile, pathlib
        >>> from transom import Server
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> (folder / "app.js").write_text("hello()")
        7
        >>> app = Server()
        >>> app.static("/static", folder, cache_control={"*.js": "max-age=3600"})
        >>> from urllib.request import urlopen
        >>> with app.start("127.0.0.1:0") as running:
        ...     urlopen(running.url + "/static/app.js").read()
        b'hello()'

        Raises `SystemCallError` if the folder cannot be opened, `BadHeaderError` if a value is not that of a
        field, and `BadRouteError` or `AlreadyStartedError`, as `route` does.
        """
        files = StaticFiles(
            prefix,
            folder,
            index=index,
            single_page=single_page,
            precompressed=precompressed,
            cache_control=cache_control,
            content_types=content_types,
            charset=charset,
            listing=listing,
            listing_limit=listing_limit,
            dotfiles=dotfiles,
            downloads=downloads,
            range_limit=range_limit,
        )
        with self._lock:
            self._expect_idle()
            self._trial.static(files)
            self._static.append(files)

    def liveness(self, pattern: str) -> None:
        """Adds a route for GET that tells whether the server turns.

        It answers 200 `alive`, and 503 with the names of the parts that are stuck while the timeout
        `watchdog` says so: see `Running.stuck`. No Python code runs for it, so that it answers
        while a handler holds the interpreter lock. Kubernetes asks for it (`livenessProbe`). With the model
        `"sequential"` it has to wait for the connection that is being served.

        Raises `BadRouteError` or `AlreadyStartedError`, as `route` does.
        """
        text("a pattern", pattern)
        with self._lock:
            self._expect_idle()
            self._trial.liveness(pattern)
            self._liveness.append(pattern)

    def _expect_idle(self) -> None:
        running = self._running
        if running is not None:
            running._expect_unforked()
            if running._over:
                running.stop(0)
        if self._running is not None or self._starting:
            raise AlreadyStartedError("the server runs already; stop it first")

    _can_be_mounted = False

    def _check(self, added: list[Binding], replace: bool) -> None:
        self._expect_idle()
        try:
            if replace:
                self._trial = self._prepared(self._with(added, True))
            else:
                self._bind(self._trial, added)
        except Exception:
            self._trial = self._prepared(self._bindings)
            raise

    def _prepared(self, bindings: list[Binding]) -> Handle:
        """Returns a native server with the settings and these routes."""
        handle = self._settings.configured()
        self._bind(handle, bindings)
        for pattern in self._readiness:
            handle.readiness(pattern)
        for pattern in self._liveness:
            handle.liveness(pattern)
        for files in self._static:
            handle.static(files)
        if self._settings.metrics is not None:
            for pattern in self._metrics_routes:
                handle.metrics_route(pattern, self._settings.metrics)
            for path, password in self._status_pages:
                handle.status_page(path, self._settings.metrics, password)
        return handle

    @staticmethod
    def _bind(handle: Handle, bindings: list[Binding]) -> None:
        for route_id, binding in enumerate(bindings):
            if binding.pattern is None:
                handle.fallback(route_id, binding.route.settings)
            else:
                handle.route(binding.method, binding.pattern, route_id, binding.route.settings)

    def _all_bindings(self) -> list[Binding]:
        """Returns the routes, and those for requests without one if Python answers these too."""
        bindings = list(self._bindings)
        if self._layers or self._errors.find(HTTPError(405)) is not None:
            bindings += refusals(self, self._bindings)
        if self._fallback is not None:
            bindings.append(self._fallback)
        elif self._layers or self._errors.find(HTTPError(404)) is not None:
            bindings.append(not_found(self))
        return bindings

    @property
    def running(self) -> Running | None:
        """The running server, or `None` when the server does not run."""
        running = self._running
        return None if running is None or running._over else running
