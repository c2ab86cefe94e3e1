"""The server: an application with its settings, and the methods that run it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from transom._access_log import AccessLog
from transom._addresses import Address, Addresses, checked, checked_redirect
from transom._application import Application
from transom._asgi.application import ASGIApplication, LifespanMode
from transom._asgi.mount import AsgiMount
from transom._check import flag, got, seconds
from transom._compression import Compression
from transom._errors import InvalidArgumentError
from transom._layers import Bridge
from transom._lifespan import Lifespan
from transom._metrics import Metrics
from transom._overload import Overload
from transom._ready import ReadyMiddleware
from transom._report import Report
from transom._running import STOP_TIMEOUT, Running
from transom._settings import POOL_QUEUE, WEBSOCKET_THREADS, ForwardedFields, Model, Settings
from transom._signals import say_what_is_finished, signals_taken, wait_for_sign
from transom._standard import standard_held
from transom._thread import SimpleQueue
from transom._tls import Tls
from transom._websocket_options import WebSocketLimits
from transom._wording import ErrorFormat, Wording
from transom._wsgi.mount import WsgiMount

if TYPE_CHECKING:
    import asyncio

    from _typeshed.wsgi import WSGIApplication

_ADDRESS = "127.0.0.1:8080"
#: How long an ASGI application may take to start up, in seconds, by default.
STARTUP_TIMEOUT = 60.0


class Server(Application):
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

    With `reuse_port=True`, other sockets with this option (`SO_REUSEPORT`), also of other processes of the
    same user, may listen on the TCP addresses of the server, and the kernel spreads new connections over
    them. When such a server stops, connections that wait in its backlog are reset. To serve on more than
    one core, see `Processes`, which loses none.

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

    `overload` limits how long requests wait when more comes than the server can do: for Python, for the
    thread pool and for the event loop. What would wait longer gets a 503 with `Retry-After` at once, in
    the words of the server, and counts in `Stats.refusals` as `"overloaded"`; the rest is answered soon.
    See `Overload` for the times, and `priority` in `Server.route` for what is refused first.

    `middleware` is ready middleware, the outermost first, such as `Cors` or `RateLimit`. The library runs
    it around all routes, before a request reaches Python; `Router.middleware` is for functions of yours.

    `compression=True` compresses responses for clients that accept it, by zstd, brotli or gzip; a
    `Compression` has settings. A stream is compressed as it comes, and each event of it leaves at once.

    `reserve` has the number of places for the connections of each address, in their order, beside the limit
    `connections`: with `reserve=[0, 8]`, up to 8 health checks can connect to the second address although
    the server is full. Let only those connect there who watch the server. Sockets that another process
    passed to this one have them in the order in which they were passed.

    `threads` is the size of the thread pool for plain handlers that block. The default is
    the number of processors + 4, at most 32. Besides the pool, one plain handler may run in
    place (see `Server.route`), and one more for each handler that has blocked in place. With
    `threads=1`, one plain handler or one step of a plain iterator runs at a time, so handlers
    need no locks against each other. `async def` handlers do not count.

    A plain handler of a WebSocket connection holds a thread besides the pool for as long as the connection
    lasts. There are at most `websocket_threads` of these; a handshake for which there is none gets a 503.

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
        model: Model = "event",
        workers: int = 1,
        threads: int | None = None,
        limits: Mapping[str, int] | None = None,
        timeouts: Mapping[str, float | None] | None = None,
        unix_mode: int | None = None,
        reuse_port: bool = False,
        inherit: bool = False,
        notify_systemd: bool = False,
        metrics: Metrics | None = None,
        proxy_protocol: Iterable[str] | None = None,
        forwarded: ForwardedFields | None = None,
        trusted_proxies: Iterable[str] | None = None,
        forwarded_host: bool = False,
        access_log: AccessLog | str | os.PathLike[str] | None = None,
        error_format: ErrorFormat = "text",
        overload: Overload | None = None,
        reserve: Iterable[int] = (),
        middleware: Iterable[ReadyMiddleware] = (),
        compression: Compression | bool = False,
        websocket_threads: int = WEBSOCKET_THREADS,
    ) -> None:
        super().__init__(
            Settings(
                model=model,
                workers=workers,
                threads=threads,
                limits=limits,
                timeouts=timeouts,
                unix_mode=unix_mode,
                reuse_port=reuse_port,
                inherit=inherit,
                notify_systemd=notify_systemd,
                metrics=metrics,
                proxy_protocol=proxy_protocol,
                forwarded=forwarded,
                trusted_proxies=trusted_proxies,
                forwarded_host=forwarded_host,
                access_log=access_log,
                error_format=error_format,
                overload=overload,
                reserve=reserve,
                middleware=middleware,
                compression=compression,
                websocket_threads=websocket_threads,
            )
        )

    def mount_wsgi(self, path: str, application: WSGIApplication) -> None:
        """Adds a WSGI application (PEP 3333), which gets the requests below a path.

        `"/"` stands for all requests that no route matches. Otherwise the path becomes `SCRIPT_NAME`, and
        what follows it `PATH_INFO`. Routes of the server go before the application. It has no part in
        middleware and error handlers of the server.

        An application that is quick runs in place, and one that blocks runs on the thread pool: see `route`.
        `wsgi.input` has the body while it comes, except for GET and HEAD, whose body is read before. What
        the application returns is iterated and closed on the thread that has called it.

        >>> from transom import Server
        >>> def old(environ, start_response):
        ...     start_response("200 OK", [("Content-Type", "text/plain")])
        ...     return [environ["PATH_INFO"].encode("latin-1")]
        >>> app = Server()
        >>> app.mount_wsgi("/old", old)
        >>> from urllib.request import urlopen
        >>> with app.start("127.0.0.1:0") as running:
        ...     urlopen(running.url + "/old/page").read()
        b'/page'

        Raises `TypeError` if it is no WSGI application, and `BadRouteError` or `AlreadyStartedError`, as
        `route` does.
        """
        self._add(WsgiMount(path, application).bindings(self), False)

    def mount_asgi(
        self,
        path: str,
        application: ASGIApplication,
        *,
        lifespan: LifespanMode = "auto",
        startup_timeout: float | None = STARTUP_TIMEOUT,
        websocket: WebSocketLimits | None = None,
    ) -> None:
        """Adds an ASGI 3 application, which gets the requests below a path.

        `"/"` stands for all requests that no route matches. Otherwise the path becomes `root_path`, and
        `path` begins with it. Routes of the server go before the application. It has no part in middleware
        and error handlers of the server.

        The application runs in the event loop of the handlers, as a task for each request. Such a task is
        not cancelled when its client disconnects: `receive` then returns `http.disconnect`, and `send`
        raises an `OSError`. At the deadline of a stop, `receive` returns `http.disconnect` too; 1 second
        later, the tasks that still run are cancelled, and the log names their requests.

        The application starts up before the server listens, and shuts down after its last request.
        `lifespan="auto"` also serves applications without that protocol, `"on"` does not, and `"off"` does
        not use it. `startup_timeout` bounds the start-up, in seconds; `None` stands for no bound. The
        shutdown has 3 seconds.

        `websocket` has limits of WebSocket connections by the names that the method `websocket` has, such as
        `{"message_limit": 65536}`. All origins may connect: the application looks at them. The server pings,
        and compresses messages if the client offers it. `send` waits while the client reads too slowly, and
        when the server stops, `receive` returns `websocket.disconnect` with 1001.

        Extensions are `http.response.trailers`, `http.response.early_hint`, `http.response.pathsend`,
        `websocket.http.response` and `tls`.

        >>> from transom import Server
        >>> async def api(scope, receive, send):
        ...     if scope["type"] == "http":
        ...         await send({"type": "http.response.start", "status": 200})
        ...         await send({"type": "http.response.body", "body": scope["path"].encode()})
        >>> app = Server()
        >>> app.mount_asgi("/api", api)
        >>> from urllib.request import urlopen
        >>> with app.start("127.0.0.1:0") as running:
        ...     urlopen(running.url + "/api/page").read()
        b'/api/page'

        Raises `TypeError` if it is no ASGI application, `InvalidArgumentError` for another argument, and
        `BadRouteError` or `AlreadyStartedError`, as `route` does. The start of the server raises
        `StartupError` if the application fails to start, or takes too long.
        """
        mount = AsgiMount(path, application, lifespan, startup_timeout, websocket)
        with self._lock:
            self._add(mount.bindings(self), False)
            self._hooks.add_manager(mount.lifespan)

    def _start(
        self,
        address: Addresses | None,
        loop: asyncio.AbstractEventLoop | None,
        tls: Tls | None,
        redirect: Address | None,
        lifespan: Lifespan,
        is_bound: bool = True,
    ) -> Running:
        addresses = checked(address) if is_bound else []
        if tls is not None and not isinstance(tls, Tls):
            raise TypeError(f"tls is a Tls, got {got(tls)}")
        if checked_redirect(redirect) is not None and tls is None:
            raise InvalidArgumentError("redirect needs tls: it leads to https")
        with self._lock:
            self._expect_idle()
            wording = Wording(self._settings.error_format, self._pages)
            bindings = self._all_bindings()
            handle = self._prepared(bindings)
            for status, (content_type, body) in wording.own_bodies.items():
                handle.own_body(status, content_type, body)
            bridge = Bridge()
            routes = [binding.compiled(wording, bridge) for binding in bindings]
            backlog = self._settings.limits.get("pool_queue", POOL_QUEUE)
            running = Running(
                handle,
                routes,
                self._settings.threads,
                backlog,
                self._forget,
                wording,
                lifespan,
                bridge.is_used,
                self._settings.websocket_threads,
                loop,
            )
            bridge.dispatcher = running._dispatcher
            self._starting = True
            try:
                with standard_held():
                    running._begin(addresses, self._settings.inherit, tls, redirect)
            finally:
                self._starting = False
            self._running = running
            return running

    def _forget(self) -> None:
        self._running = None

    def start(
        self, address: Addresses = _ADDRESS, *, tls: Tls | None = None, redirect: Address | None = None
    ) -> Running:
        """Starts the server on threads of its own, and returns once it listens.

        An address is one of `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`,
        `[fe80::1%eth0]:8080`, `unix:/path`, or on Linux `unix:@name` for an abstract name.
        Port 0 stands for any free port. An address may also be a socket that listens already, or
        `fd:3` for a descriptor of this process: the server listens on a copy, which it makes
        non-blocking, and the socket stays the program's, to close it. A list stands for several
        addresses. With `tls`, the server speaks TLS on each. `redirect` is one
        more address or socket: each request there gets a 308 to the same address by `https`, except for
        those below `/.well-known/acme-challenge/`, which are served. `async def` handlers run on
        one event loop, on a thread of its own. `start` installs no signal handler. A server that
        has stopped may be started again.

        Raises `BadAddressError`, `AddressInUseError`, `PermissionDeniedError` or
        `AlreadyStartedError`, or, if the system has no threads or descriptors left,
        `SystemCallError` or another `OSError`, with the reason. No thread and no socket
        is left then.
        """
        return self._start(address, None, tls, redirect, self._hooks.run())

    def start_unbound(self) -> Running:
        """Starts the server as `start` does, without an address and a socket, for tests.

        Clients connect with `Running.connect`; `transom.testing.TestClient` does it.
        """
        return self._start(None, None, None, None, self._hooks.run(), False)

    def run(
        self,
        address: Addresses = _ADDRESS,
        *,
        tls: Tls | None = None,
        redirect: Address | None = None,
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
                running._notify(signs)
                if not quiet:
                    print(f"listening on {running.url}", flush=True)
                by_signal = wait_for_sign(signs) is not None
            except BaseException:
                running.stop(0)
                raise
            if by_signal and not quiet:
                running._on_slow_stop = say_what_is_finished
            report = running.stop(max(stop_timeout, running._granted))
        if running._fatal is not None:
            raise running._fatal
        return report

    def _hurry(self) -> None:
        """Cuts off the requests that are being served, if a server runs."""
        if self.running is not None:
            self.running._hurry()

    async def serve(
        self,
        address: Addresses = _ADDRESS,
        *,
        tls: Tls | None = None,
        redirect: Address | None = None,
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
        return await running._serve_here(stop_timeout, ready)
