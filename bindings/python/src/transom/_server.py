"""The application: its routes, its settings, and the methods that run it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from transom._access_log import AccessLog
from transom._access_log import access_log as make_access_log
from transom._check import check_status, credentials, flag, got, seconds, shown, text, whole
from transom._errors import (
    AlreadyStartedError,
    BadAddressError,
    BadStatusError,
    InvalidArgumentError,
    WrongTypeError,
)
from transom._handle import Handle, Report
from transom._http_error import HTTPError
from transom._layers import Bridge
from transom._lifespan import Hooks, Lifespan
from transom._metrics import Metrics
from transom._route import Handler, Route
from transom._route_options import RouteSettings, RouteTimeout
from transom._router import Binding, Router, not_found, refusals
from transom._running import STOP_TIMEOUT, Running
from transom._signals import say_what_is_finished, signals_taken, wait_for_sign
from transom._standard import standard_held
from transom._thread import SimpleQueue
from transom._tls import Tls
from transom._wording import ErrorFormat, Wording

if TYPE_CHECKING:
    import asyncio

H = TypeVar("H", bound=Handler)
F = TypeVar("F", bound=Callable[[], Any])
_Forwarded = Literal["x-forwarded", "forwarded"]
_Model = Literal["sequential", "threads", "event"]

_ADDRESS = "127.0.0.1:8080"
_MOST_THREADS = 1024
#: The library's default for the limit `pool_queue`, which also bounds the jobs of the thread pool.
_POOL_QUEUE = 1024


class Server(Router):
    """An HTTP server: its routes and its settings.

    `model` chooses how native threads serve connections. Handlers run on Python threads or on
    an event loop in every model.

    - `"event"`: `workers` native threads serve all connections. One thread serves far
      more connections than Python can answer.
    - `"threads"`: each connection has a native thread, up to the limit `connection_threads`.
      Further clients wait in the kernel's backlog.
    - `"sequential"`: one native thread serves one connection at a time, and other clients
      wait in the backlog. Handlers do not run at the same time, with one exception: a
      handler that runs past the timeout `handler`, or streams to a client that has
      disconnected, may still run when the next one starts.

    `"threads"` and `"sequential"` exist on Linux only. With them, a connection makes room
    while other clients wait for one: it closes after its response, or after it has been
    idle for as long as the timeout `drain`.

    `unix_mode` is the file mode of a Unix socket, such as `0o660` for the owner and the group.
    The mode is set before any client can connect. By default the umask decides.

    `proxy_protocol` is for a server behind HAProxy, nginx or a load balancer that sends a PROXY
    header (version 1 or 2) at the beginning of each connection. It names the proxies by their
    networks, such as `["10.0.0.0/8", "::1", "unix"]`. `Request.client` is then the client that
    the header names. A connection from another address, or without a header, is closed.

    `forwarded` and `trusted_proxies` are for a server behind HTTP proxies. `Request.client` and
    `Request.scheme` are then what the proxies in these networks tell in the fields that they
    write: `X-Forwarded-For` and `X-Forwarded-Proto` (`"x-forwarded"`) or `Forwarded` (`"forwarded"`,
    RFC 7239). With `forwarded_host=True`, `Request.host` is what they tell too. The proxies must set
    each of these fields, or remove it. `Request.connection_client` is the proxy. The limit
    `connections_per_address` bounds the requests of one client that are in progress at once.

    `access_log` is an `AccessLog`, or the path of a file: a line is written there for each response.

    With `inherit=True`, the server listens on the sockets that another process passed to this
    one: a predecessor, with `Running.hand_over`, or systemd, with socket activation. If there
    are none, it listens on the address that `start`, `run` or `serve` gets.

    With `error_format="json"`, error responses without words of the application's are JSON
    (`application/problem+json`, RFC 9457) with the members `status`, `title`, and `detail` if there is a
    message: those of the server itself, of `HTTPError`, and of handlers that fail.

    With `notify_systemd=True`, systemd is told that the server serves and stops, and its watchdog
    is fed while the native threads and Python turn (see `Running.stuck`), if systemd started the
    program with `Type=notify`.

    `metrics` counts the responses; see `Metrics` and `metrics_route`.

    `threads` is the size of the thread pool for plain handlers that block. The default is
    the number of processors + 4, at most 32. Besides the pool, one plain handler may run in
    place (see `Server.route`), and one more for each handler that has blocked in place. With
    `threads=1`, one plain handler or one step of a plain iterator runs at a time, so handlers
    need no locks against each other. `async def` handlers do not count.

    `limits` (in bytes, or a count) and `timeouts` (in seconds, or `None` for no timeout) override
    the library's defaults by name. All timeouts but `watchdog` are on by default:

    - limits: `target`, `head`, `headers`, `body`, `chunk_extensions`, `trailers`,
      `connections`, `connections_per_address`, `handshakes`, `head_rate`, `body_rate`,
      `write_rate`, `bodies`, `output`, `drain`, `pool_queue`, `connection_threads`, `thread_stack`, `backlog`
    - timeouts: `head`, `idle`, `handshake`, `body`, `write`, `handler`, `drain`, `linger`,
      `linger_idle`, `stop_delay`, `watchdog`

    A handler takes a `Request` and returns text, bytes, a dict or list (sent as JSON),
    `None` (204), a tuple `(value, status[, headers])`, an iterator (sent in chunks) or a
    `Response`. An `async def` handler runs on an event loop. A plain handler that is quick
    runs in place, which costs least, and one that blocks runs on the thread pool. The
    server measures which of the two a handler is: see `Server.route`.

    >>> app = Server(limits={"body": 1024 * 1024}, timeouts={"idle": 5.0})
    >>> @app.get("/users/{id}")
    ... def user(request):
    ...     return {"id": request.params["id"]}
    >>> from urllib.request import urlopen
    >>> with app.start("127.0.0.1:0") as running:
    ...     urlopen(running.url + "/users/7").read()
    b'{"id":"7"}'

    Raises `InvalidArgumentError` if a name is unknown or a value is out of range.
    """

    def __init__(
        self,
        *,
        model: _Model = "event",
        workers: int = 1,
        threads: int | None = None,
        limits: Mapping[str, int] | None = None,
        timeouts: Mapping[str, float | None] | None = None,
        unix_mode: int | None = None,
        inherit: bool = False,
        notify_systemd: bool = False,
        metrics: Metrics | None = None,
        proxy_protocol: Iterable[str] | None = None,
        forwarded: _Forwarded | None = None,
        trusted_proxies: Iterable[str] | None = None,
        forwarded_host: bool = False,
        access_log: AccessLog | str | os.PathLike[str] | None = None,
        error_format: ErrorFormat = "text",
    ) -> None:
        super().__init__()
        if not isinstance(model, str):
            raise WrongTypeError(f"model is a str, got {got(model)}")
        self._model = model
        self._workers = whole("workers", workers, 1, _MOST_THREADS)
        usual = min(32, (os.cpu_count() or 1) + 4)
        self._threads = usual if threads is None else whole("threads", threads, 1, _MOST_THREADS)
        self._limits = _mapping("limits", limits)
        self._timeouts = _mapping("timeouts", timeouts)
        if unix_mode is not None:
            whole("unix_mode", unix_mode, 0, 0o777)
        self._unix_mode = unix_mode
        self._inherit = flag("inherit", inherit)
        self._notify_systemd = flag("notify_systemd", notify_systemd)
        self._readiness: list[str] = []
        self._liveness: list[str] = []
        if metrics is not None and not isinstance(metrics, Metrics):
            raise WrongTypeError(f"metrics is a Metrics, got {got(metrics)}")
        self._metrics = metrics
        self._metrics_routes: list[str] = []
        self._status_pages: list[tuple[str, tuple[str, str] | None]] = []
        self._proxy_protocol = _networks("proxy_protocol", proxy_protocol)
        if forwarded is not None and not isinstance(forwarded, str):
            raise WrongTypeError(f"forwarded is a str, got {got(forwarded)}")
        self._forwarded = forwarded
        self._trusted_proxies = _networks("trusted_proxies", trusted_proxies)
        if (self._forwarded is None) != (self._trusted_proxies is None):
            raise InvalidArgumentError("forwarded and trusted_proxies are given together or not at all")
        self._forwarded_host = flag("forwarded_host", forwarded_host)
        if self._forwarded_host and self._forwarded is None:
            raise InvalidArgumentError("forwarded_host needs forwarded and trusted_proxies")
        self._access_log = make_access_log(access_log)
        if error_format not in ("text", "json"):
            raise InvalidArgumentError(f"error_format is 'text' or 'json', got {shown(error_format)}")
        self._error_format = error_format
        self._pages: dict[int, tuple[str, str]] = {}
        self._hooks = Hooks()
        self._fallback: Binding | None = None
        self._running: Running | None = None
        #: `True` while the functions for the start run.
        self._starting = False
        # This native server is never started. It refuses bad settings and routes at once.
        self._trial = self._configured()

    def _configured(self) -> Handle:
        handle = Handle()
        handle.set_model(self._model)
        handle.set_workers(self._workers)
        if self._unix_mode is not None:
            handle.set_unix_mode(self._unix_mode)
        if self._notify_systemd:
            handle.notify_systemd()
        if self._metrics is not None:
            handle.count_in(self._metrics)
        if self._proxy_protocol is not None:
            handle.set_proxy_protocol(self._proxy_protocol)
        if self._forwarded is not None and self._trusted_proxies is not None:
            handle.trust_forwarded(self._forwarded, self._trusted_proxies, self._forwarded_host)
        if self._access_log is not None:
            handle.add_access_log(self._access_log)
        for name, value in self._limits.items():
            handle.set_limit(name, value)
        for name, timeout in self._timeouts.items():
            handle.set_timeout(name, timeout)
        return handle

    def fallback(
        self,
        *,
        blocking: bool | None = None,
        stream: bool = False,
        max_body: int | None = None,
        timeout: RouteTimeout = ...,
    ) -> Callable[[H], H]:
        """Decorates the handler for paths that no pattern matches; without it they get a 404.

        The options are those of `route`.
        """
        settings = RouteSettings.checked(blocking, stream, max_body, timeout)

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
        becomes the status, and `{reason}` its reason phrase.

        Raises `BadStatusError`, `BadHeaderError` or `AlreadyStartedError`.

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

    def lifespan(self, function: F) -> F:
        """Decorates a generator function whose `yield` separates the start from the stop.

        It has no parameters, and may be asynchronous; it runs as `on_start` and `on_stop` do.

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
        if self._metrics is None:
            raise InvalidArgumentError("a route for metrics needs Server(metrics=)")
        with self._lock:
            self._expect_idle()
            self._trial.metrics_route(pattern, self._metrics)
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
        if self._metrics is None:
            raise InvalidArgumentError("a status page needs Server(metrics=)")
        with self._lock:
            self._expect_idle()
            self._trial.status_page(path, self._metrics, password)
            self._status_pages.append((path, password))

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
            running.expect_unforked()
            if running.over:
                running.stop(0)
        if self._running is not None or self._starting:
            raise AlreadyStartedError("the server runs already; stop it first")

    can_be_mounted = False

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
        handle = self._configured()
        self._bind(handle, bindings)
        for pattern in self._readiness:
            handle.readiness(pattern)
        for pattern in self._liveness:
            handle.liveness(pattern)
        if self._metrics is not None:
            for pattern in self._metrics_routes:
                handle.metrics_route(pattern, self._metrics)
            for path, password in self._status_pages:
                handle.status_page(path, self._metrics, password)
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
        if self.layers or self.errors.find(HTTPError(405)) is not None:
            bindings += refusals(self, self._bindings)
        if self._fallback is not None:
            bindings.append(self._fallback)
        elif self.layers or self.errors.find(HTTPError(404)) is not None:
            bindings.append(not_found(self))
        return bindings

    def _start(
        self,
        address: str,
        loop: asyncio.AbstractEventLoop | None,
        tls: Tls | None,
        redirect: str | None,
        lifespan: Lifespan,
    ) -> Running:
        if not isinstance(address, str):
            raise TypeError(f"an address is a str such as {_ADDRESS!r}, got {got(address)}")
        if tls is not None and not isinstance(tls, Tls):
            raise TypeError(f"tls is a Tls, got {got(tls)}")
        if redirect is not None and not isinstance(redirect, str):
            raise TypeError(f"redirect is an address such as {_ADDRESS!r}, got {got(redirect)}")
        if redirect is not None and tls is None:
            raise InvalidArgumentError("redirect needs tls: it leads to https")
        with self._lock:
            self._expect_idle()
            wording = Wording(self._error_format, self._pages)
            bindings = self._all_bindings()
            handle = self._prepared(bindings)
            for status, (content_type, body) in wording.own_bodies.items():
                handle.own_body(status, content_type, body)
            bridge = Bridge()
            routes = [binding.compiled(wording, bridge) for binding in bindings]
            backlog = self._limits.get("pool_queue", _POOL_QUEUE)
            running = Running(
                handle, routes, self._threads, backlog, self._forget, wording, lifespan, bridge.is_used, loop
            )
            bridge.dispatcher = running.dispatcher
            self._starting = True
            try:
                with standard_held():
                    running.begin(address, self._inherit, tls, redirect)
            finally:
                self._starting = False
            self._running = running
            return running

    def _forget(self) -> None:
        self._running = None

    @property
    def running(self) -> Running | None:
        """The running server, or `None` when the server does not run."""
        running = self._running
        return None if running is None or running.over else running

    def start(
        self, address: str = _ADDRESS, *, tls: Tls | None = None, redirect: str | None = None
    ) -> Running:
        """Starts the server on threads of its own, and returns once it listens.

        An address is one of `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`,
        `[fe80::1%eth0]:8080`, `unix:/path`, or on Linux `unix:@name` for an abstract name.
        Port 0 stands for any free port. With `tls`, the server speaks TLS there. `redirect` is a
        second address: each request there gets a 308 to the same address by `https`, except for
        those below `/.well-known/acme-challenge/`, which are served. `async def` handlers run on
        one event loop, on a thread of its own. `start` installs no signal handler. A server that
        has stopped may be started again.

        Raises `BadAddressError`, `AddressInUseError`, `PermissionDeniedError` or
        `AlreadyStartedError`, or, if the system has no threads or descriptors left,
        `SystemCallError` or another `OSError`, with the reason. No thread and no socket
        is left then.
        """
        return self._start(address, None, tls, redirect, self._hooks.run())

    def run(
        self,
        address: str = _ADDRESS,
        *,
        tls: Tls | None = None,
        redirect: str | None = None,
        quiet: bool = False,
        stop_timeout: float = STOP_TIMEOUT,
    ) -> Report:
        """Serves until Ctrl-C, SIGTERM, or a call of `Running.stop`.

        `run` prints the URL of the server unless `quiet`. In the main thread, both signals
        stop the server: it takes no new requests, and the requests that are being served
        get `stop_timeout` seconds to finish. A second signal cuts them off at once. If the
        stop takes a moment, a line on stderr says so unless `quiet`. `run` then returns, so a
        program that ends with it exits with 0, and the earlier signal handlers are restored.

        If a handler raises `KeyboardInterrupt` or `SystemExit`, the server stops and `run`
        raises that exception. `tls` and `redirect` are those of `start`, and `run` also raises what
        `start` raises.
        """
        flag("quiet", quiet)
        seconds("stop_timeout", stop_timeout)
        signs: SimpleQueue[object] = SimpleQueue()
        with signals_taken(signs, self._hurry):
            running = self.start(address, tls=tls, redirect=redirect)
            try:
                running.notify(signs)
                if not quiet:
                    print(f"listening on {running.url}", flush=True)
                by_signal = wait_for_sign(signs) is not None
            except BaseException:
                running.stop(0)
                raise
            if by_signal and not quiet:
                running.on_slow_stop = say_what_is_finished
            report = running.stop(max(stop_timeout, running.granted))
        if running.fatal is not None:
            raise running.fatal
        return report

    def _hurry(self) -> None:
        """Cuts off the requests that are being served, if a server runs."""
        if self.running is not None:
            self.running.hurry()

    async def serve(
        self,
        address: str = _ADDRESS,
        *,
        tls: Tls | None = None,
        redirect: str | None = None,
        ready: Callable[[Running], object] | None = None,
        stop_timeout: float = STOP_TIMEOUT,
    ) -> Report:
        """Serves in the running event loop, until it is cancelled or `server.running.stop()` is called.

        `async def` handlers run as tasks of this loop; they need no further thread. `ready` is
        called once the server listens. A cancellation stops the server: the requests that are
        being served get `stop_timeout` seconds to finish. A second cancellation cuts them off.
        `tls` and `redirect` are those of `start`. Raises what `start` raises.
        """
        from asyncio import get_running_loop

        seconds("stop_timeout", stop_timeout)
        if ready is not None and not callable(ready):
            raise TypeError(f"ready is a function that takes a Running, got {got(ready)}")
        lifespan = self._hooks.run()
        with self._lock:
            self._expect_idle()
            self._starting = True
        try:
            try:
                await lifespan.start_here()
            finally:
                self._starting = False
            running = self._start(address, get_running_loop(), tls, redirect, lifespan)
        except BaseException:
            await lifespan.stop_here()
            raise
        return await running.serve_here(stop_timeout, ready)


def _networks(what: str, given: Iterable[str] | None) -> list[str] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"{what} is several networks, such as ['10.0.0.0/8', 'unix'], got {got(given)}")
    networks = list(given)
    if not all(isinstance(network, str) for network in networks):
        raise TypeError(f"networks are str, got {shown(networks)}")
    for network in networks:
        if "," in network or "\0" in network:
            raise BadAddressError(f"bad address {network!r}: it is more than one network")
    return networks


def _mapping(what: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{what} is a mapping from names to numbers, got {got(given)}")
    return dict(given or {})
