"""The application: routes, limits, timeouts, and the ways to run it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from transom._check import flag, got, seconds, shown, text, whole
from transom._errors import AlreadyStartedError, InvalidArgumentError
from transom._handle import Handle, Report
from transom._route import Handler, Route
from transom._running import STOP_TIMEOUT, Running
from transom._standard import standard_held
from transom._thread import Empty, SimpleQueue

if TYPE_CHECKING:
    import asyncio

H = TypeVar("H", bound=Handler)
_Model = Literal["sequential", "threads", "event"]

_ADDRESS = "127.0.0.1:8080"
_MOST_THREADS = 1024
#: The library's default for the limit `pool_queue`. The pool of this package keeps to the same limit.
_POOL_QUEUE = 1024
#: The longest that `run` waits before Python's signal handlers may run, in seconds.
_SLICE = 0.25


class Server:
    """An HTTP server.

    `model` is how native threads drive the connections. Handlers run where they always
    do, on Python threads or an event loop:

    - `"event"`: `workers` threads drive all connections; one drives far more than Python
      can answer.
    - `"threads"`: each connection has a native thread, up to the limit
      `connection_threads`; further clients wait in the kernel's backlog.
    - `"sequential"`: one thread serves one connection at a time, and all others wait in
      the backlog. So one request is under way at a time, and handlers never run at the
      same time, unless one outlives its request: it runs on past the timeout `handler`,
      or streams to a client that has left.

    In the last two, which are there on Linux only, a connection makes room when clients
    wait for it: it is closed after its answer, or when it has asked nothing for as long
    as the timeout `drain` says.

    `unix_mode` is the mode of the file of a Unix socket, such as `0o660` for the owner and
    the group: it holds before any client can connect. Without it, it is the umask's affair.

    `threads` is the size of the pool for plain handlers that block, by default the number
    of processors + 4, at most 32. Beside the pool, one plain handler runs in place (see
    `Server.route`), and one more for each that has blocked there. With `threads=1`, one
    plain handler runs at a time, wherever, and each step of a plain iterator is one: they
    need no locks against each other. `async def` handlers do not count.

    `limits` (bytes or counts) and `timeouts` (seconds,
    `None` for none) override defaults by name:

    - limits: `target`, `head`, `headers`, `body`, `chunk_extensions`, `trailers`,
      `connections`, `connections_per_address`, `head_rate`, `body_rate`, `write_rate`,
      `bodies`, `output`, `drain`, `pool_queue`, `connection_threads`, `thread_stack`, `backlog`
    - timeouts: `head`, `idle`, `body`, `write`, `handler`, `drain`, `linger`,
      `linger_idle`

    Handlers take a `Request` and return text, bytes, a dict or list (sent as JSON),
    `None` (204), a tuple `(value, status[, headers])`, an iterator (streamed) or a
    `Response`. An `async def` handler runs on an event loop. A plain one that is quick
    runs in place, where a request costs least, and one that blocks runs on the thread
    pool: the server finds out which, see `Server.route`.

    >>> app = Server(limits={"body": 1024 * 1024}, timeouts={"idle": 5.0})
    >>> @app.get("/users/{id}")
    ... def user(request):
    ...     return {"id": request.params["id"]}
    >>> from urllib.request import urlopen
    >>> with app.start("127.0.0.1:0") as running:
    ...     urlopen(running.url + "/users/7").read()
    b'{"id":"7"}'

    Raises `InvalidArgumentError` for an unknown name or a senseless value.
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
    ) -> None:
        if model not in get_args(_Model):
            raise InvalidArgumentError(f"model is 'sequential', 'threads' or 'event', got {shown(model)}")
        self._model = model
        self._workers = whole("workers", workers, 1, _MOST_THREADS)
        usual = min(32, (os.cpu_count() or 1) + 4)
        self._threads = usual if threads is None else whole("threads", threads, 1, _MOST_THREADS)
        self._limits = _mapping("limits", limits)
        self._timeouts = _mapping("timeouts", timeouts)
        if unix_mode is not None:
            whole("unix_mode", unix_mode, 0, 0o777)
        self._unix_mode = unix_mode
        self._routes: list[Route] = []
        self._bindings: list[tuple[str | None, str, int]] = []
        self._fallback: int | None = None
        self._running: Running | None = None
        self._lock = threading.Lock()
        # Never started: it says at once which settings and routes cannot be.
        self._trial = self._configured()

    def _configured(self) -> Handle:
        handle = Handle()
        handle.set_model(self._model)
        handle.set_workers(self._workers)
        if self._unix_mode is not None:
            handle.set_unix_mode(self._unix_mode)
        for name, value in self._limits.items():
            handle.set_limit(name, value)
        for name, timeout in self._timeouts.items():
            handle.set_timeout(name, timeout)
        return handle

    def route(
        self, pattern: str, *, methods: Iterable[str] | None = ("GET",), blocking: bool | None = None
    ) -> Callable[[H], H]:
        """Decorates a handler for a pattern and some methods; `None` is any method.

        `{name}` in a pattern stands for one segment of the path and `{*name}`, at its
        end, for all that is left, which may be empty. GET answers HEAD too. Methods are
        case-sensitive: `GET`, not `get`.

        A plain function runs in place, on the thread that pulls requests, while its
        recent runs are short (about a millisecond), and on the thread pool otherwise.
        A new handler begins on the pool; sixteen short runs in a row bring it in place.
        A run of more than 50 ms, or a mean above half a millisecond, sends it back, and
        each time it takes more short runs to return. While a run in place is late,
        another thread takes over the other requests. `blocking=True` keeps a handler on
        the pool, `blocking=False` in place. In a host's event loop (`serve`), plain
        functions run on the pool unless `blocking=False`.

        Raises `BadRouteError` if the route cannot be, `AlreadyStartedError` while the
        server runs, `TypeError` if the function cannot take a request.
        """
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
            route = Route(handler, blocking, pattern)
            with self._lock:
                self._expect_idle()
                route_id = len(self._routes)
                for method in wanted:
                    self._trial.route(method, pattern, route_id)
                    self._bindings.append((method, pattern, route_id))
                self._routes.append(route)
            return handler

        return decorate

    def get(self, pattern: str, *, blocking: bool | None = None) -> Callable[[H], H]:
        """Decorates a handler for GET, and so for HEAD; see `route`."""
        return self.route(pattern, methods=["GET"], blocking=blocking)

    def post(self, pattern: str, *, blocking: bool | None = None) -> Callable[[H], H]:
        """Decorates a handler for POST; see `route`."""
        return self.route(pattern, methods=["POST"], blocking=blocking)

    def put(self, pattern: str, *, blocking: bool | None = None) -> Callable[[H], H]:
        """Decorates a handler for PUT; see `route`."""
        return self.route(pattern, methods=["PUT"], blocking=blocking)

    def delete(self, pattern: str, *, blocking: bool | None = None) -> Callable[[H], H]:
        """Decorates a handler for DELETE; see `route`."""
        return self.route(pattern, methods=["DELETE"], blocking=blocking)

    def patch(self, pattern: str, *, blocking: bool | None = None) -> Callable[[H], H]:
        """Decorates a handler for PATCH; see `route`."""
        return self.route(pattern, methods=["PATCH"], blocking=blocking)

    def head(self, pattern: str, *, blocking: bool | None = None) -> Callable[[H], H]:
        """Decorates a handler for HEAD; see `route`."""
        return self.route(pattern, methods=["HEAD"], blocking=blocking)

    def options(self, pattern: str, *, blocking: bool | None = None) -> Callable[[H], H]:
        """Decorates a handler for OPTIONS; see `route`."""
        return self.route(pattern, methods=["OPTIONS"], blocking=blocking)

    def any(self, pattern: str, *, blocking: bool | None = None) -> Callable[[H], H]:
        """Decorates a handler for every method that has none of its own there; see `route`."""
        return self.route(pattern, methods=None, blocking=blocking)

    def fallback(self, *, blocking: bool | None = None) -> Callable[[H], H]:
        """Decorates a handler for paths that no pattern matches, in place of a plain 404."""

        def decorate(handler: H) -> H:
            route = Route(handler, blocking, None)
            with self._lock:
                self._expect_idle()
                self._trial.fallback(len(self._routes))
                self._fallback = len(self._routes)
                self._routes.append(route)
            return handler

        return decorate

    def _expect_idle(self) -> None:
        running = self._running
        if running is not None:
            running.expect_unforked()
            if running.over:
                running.stop(0)
        if self._running is not None:
            raise AlreadyStartedError("the server runs already; stop it first")

    def _start(self, address: str, loop: asyncio.AbstractEventLoop | None) -> Running:
        if not isinstance(address, str):
            raise TypeError(f"an address is a str such as {_ADDRESS!r}, got {got(address)}")
        with self._lock:
            self._expect_idle()
            handle = self._configured()
            for method, pattern, route_id in self._bindings:
                handle.route(method, pattern, route_id)
            if self._fallback is not None:
                handle.fallback(self._fallback)
            backlog = self._limits.get("pool_queue", _POOL_QUEUE)
            running = Running(handle, self._routes, self._threads, backlog, self._forget, loop)
            with standard_held():
                running.begin(address)
            self._running = running
            return running

    def _forget(self) -> None:
        self._running = None

    @property
    def running(self) -> Running | None:
        """The server while it runs."""
        running = self._running
        return None if running is None or running.over else running

    def start(self, address: str = _ADDRESS) -> Running:
        """Listens and returns; the server runs on threads of its own until stopped.

        Addresses are such as `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`,
        `[fe80::1%eth0]:8080`, `unix:/path`, or on Linux `unix:@name` for an abstract name;
        port 0 is any free one. Handlers run on threads of ours, `async def`
        ones on one event loop. No signal handler is installed. After a stop it may be
        started again.

        Raises `BadAddressError`, `AddressInUseError`, `PermissionDeniedError`,
        `AlreadyStartedError`, or, if the system has no threads or descriptors left,
        `SystemCallError` or another `OSError`, with the reason. Then nothing is left of it.
        """
        return self._start(address, None)

    def run(
        self, address: str = _ADDRESS, *, quiet: bool = False, stop_timeout: float = STOP_TIMEOUT
    ) -> Report:
        """Runs until Ctrl-C, SIGTERM, or a stop from elsewhere; says where it listens unless `quiet`.

        In the main thread, both signals stop the server gracefully: it takes no new
        requests, and those under way get `stop_timeout` seconds; a second signal cuts
        them at once. While they are being finished, a line on stderr says so unless
        `quiet`. Then `run` returns, so that a program that ends with it exits with 0,
        and the signals are handled as before. A handler's `KeyboardInterrupt` or
        `SystemExit` stops the server and is raised here. Raises as `start`.
        """
        flag("quiet", quiet)
        seconds("stop_timeout", stop_timeout)
        signs: SimpleQueue[object] = SimpleQueue()
        with _signals(self, signs):
            running = self.start(address)
            try:
                running.notify(signs)
                if not quiet:
                    print(f"listening on {running.url}", flush=True)
                by_signal = _wait_for_sign(signs) is not None
            except BaseException:
                running.stop(0)
                raise
            if by_signal and not quiet:
                running.on_slow_stop = _say_what_is_finished
            report = running.stop(max(stop_timeout, running.granted))
        if running.fatal is not None:
            raise running.fatal
        return report

    async def serve(
        self,
        address: str = _ADDRESS,
        *,
        ready: Callable[[Running], object] | None = None,
        stop_timeout: float = STOP_TIMEOUT,
    ) -> Report:
        """Serves in the running event loop, until stopped (`server.running.stop()`) or cancelled.

        `async def` handlers run as tasks of this loop, without any thread of ours. When
        it listens, `ready` is called. A cancellation stops the server gracefully within
        `stop_timeout` seconds; a second one cuts what is under way. Raises as `start`.
        """
        from asyncio import get_running_loop

        seconds("stop_timeout", stop_timeout)
        if ready is not None and not callable(ready):
            raise TypeError(f"ready is a function that takes a Running, got {got(ready)}")
        running = self._start(address, get_running_loop())
        return await running.serve_here(stop_timeout, ready)


def _mapping(what: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise TypeError(f"{what} is a mapping from names to numbers, got {got(given)}")
    return dict(given or {})


def _say_what_is_finished(pending: int, left: float) -> None:
    """Tells whoever sent a signal why the program does not end yet."""
    number = "1 request or stream is" if pending == 1 else f"{pending} requests or streams are"
    line = f"stopping: {number} being finished, for at most {left:.3g} s; Ctrl-C or SIGTERM again cuts"
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        # Nobody reads it.
        pass


def _wait_for_sign(signs: SimpleQueue[object]) -> object:
    """Waits for a sign and returns it. Python's signal handlers run meanwhile.

    The wait is in Python, because a wait in the library would hold signals up. It is
    also in slices: a signal ends a wait only if the system delivers it to this thread, and
    only once the wait has begun. A signal that another thread gets, or that comes
    just before the system call, is seen at the end of the slice.
    """
    while True:
        try:
            return signs.get(timeout=_SLICE)
        except Empty:
            pass


@contextmanager
def _signals(server: Server, signs: SimpleQueue[object]) -> Iterator[None]:
    """Puts SIGINT and SIGTERM into `signs`, if this is the main thread; a second one cuts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def handle(signum: int, _frame: object) -> None:
        nonlocal came
        running = server.running
        if came and running is not None:
            running.hurry()
        came = True
        signs.put(signum)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
