"""A running server: its addresses, and how it stops."""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING

from transom._access_log import flush_all
from transom._addresses import Address, listen
from transom._check import seconds
from transom._dispatch import Dispatcher
from transom._errors import Error, SystemCallError
from transom._handle import Handle
from transom._lifespan import Lifespan
from transom._operated import Operated
from transom._pool import Pool
from transom._puller import Pullers
from transom._report import Report
from transom._route import Route
from transom._thread import SimpleQueue, expect_real_loop, start_thread
from transom._tls import Tls
from transom._websocket_host import WebSocketHost
from transom._wording import Wording

if TYPE_CHECKING:
    # asyncio is loaded only when it is needed: it takes as much memory as everything else.
    import asyncio

    from transom._loop import LoopSide
    from transom._loop_thread import LoopThread

#: How long requests get to finish when the server stops, in seconds, by default.
STOP_TIMEOUT = 10.0
#: How long requests get to finish when the interpreter exits, in seconds.
_AT_EXIT = 1.0
#: How long threads get to end after the library has stopped, in seconds, and how long a stop may
#: last beyond its timeout. A thread in which a handler still runs is left behind: it is a daemon.
_JOIN = 0.25
#: How long a stop lasts before it says what it waits for, in seconds.
_WORDLESS = 0.3
#: The longest that a wait lasts before Python's signal handlers may run, in seconds.
_SLICE = 0.05

#: The name of an event loop for the watchdog, and what it says if the loop is stuck.
_LOOP = "the event loop"
#: How long an asynchronous function for the stop may run, in seconds.
_STOP_HOOK = 5.0
_LOOP_IS_STUCK = "it runs no task: a handler may block it"

_log = logging.getLogger("transom")


class Running(Operated):
    """A server that was started. As a context manager, it stops the server at the end.

    Any thread may call its methods.
    """

    def __init__(
        self,
        handle: Handle,
        routes: list[Route],
        threads: int,
        backlog: int,
        on_end: Callable[[], None],
        wording: Wording,
        lifespan: Lifespan,
        needs_pool: bool,
        websocket_threads: int,
        host_loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(handle)
        self.port: int = 0
        """The TCP port on which the server listens; 0 with a Unix socket."""
        self.addresses: list[str] = []
        """The addresses on which the server listens."""
        self._names: list[str | None] = []
        self._scheme = "http"
        self._on_end = on_end
        self._threads: set[threading.Thread] = set()
        #: The `KeyboardInterrupt` or `SystemExit` that a handler raised.
        self._fatal: BaseException | None = None
        self._signs: SimpleQueue[object] | None = None
        #: Called once if a stop takes a moment, with the number of requests that are still
        #: being served and the seconds that they have left.
        self._on_slow_stop: Callable[[int, float], None] | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        #: When the stop ends at the latest, as `monotonic` has it.
        self._deadline = math.inf
        #: `True` if a handler has stopped the server and no thread could be started to wait for its end.
        self._deserted = False
        #: The timeout of that stop, in seconds.
        self._granted = 0.0
        self._host_loop = host_loop
        self._loop_pulls = bool(routes) and all(route.is_async for route in routes)
        self._lifespan = lifespan
        self._needs_loop = lifespan.needs_loop or any(route.needs_loop for route in routes)
        self._needs_pool = needs_pool or any(not route.is_async and not route.in_place for route in routes)
        self._loop_thread: LoopThread | None = None
        #: `True` once the library listens.
        self._listens = False
        #: `True` once the watchdog can watch.
        self._has_started = False
        #: The part that runs in the host's event loop, if the server runs in one.
        self._side: LoopSide | None = None
        self._pool = Pool(threads, backlog, self._add_thread, handle.overload)
        #: The way of requests to the threads and the loop.
        self._dispatcher = Dispatcher(
            handle, routes, self._pool, self._make_loop, self._fail, wording, threads == 1
        )
        self._websockets = WebSocketHost(self._dispatcher, websocket_threads, self._add_thread)
        self._dispatcher.connect = self._websockets.begin
        self._pullers = Pullers(self._dispatcher, threads + 2, self._add_thread)

    def _begin(
        self, addresses: list[Address], inherit: bool, tls: Tls | None, redirect: Address | None
    ) -> None:
        """Listens and pulls requests. If this fails, ends what it has started, and raises."""
        try:
            if self._host_loop is None:
                self._lifespan.start(self._await)
            self._scheme = "http" if tls is None else "https"
            listen(self._handle, addresses, inherit, tls, redirect)
            self._listens = True
            self.port, self.addresses = self._handle.port, self._handle.addresses
            self._names = [self._handle.listener_name(index) for index in range(len(self.addresses))]
            # The threads that will be needed are started now: while the interpreter
            # exits, none can be started.
            if self._needs_pool:
                self._pool.start()
            if self._host_loop is not None:
                self._add_thread()
            begun_early = self._loop_thread
            if self._host_loop is not None or self._needs_loop:
                _ = self._dispatcher.loop
            if begun_early is not None and self._loop_pulls:
                begun_early.pull()
            if self._host_loop is None and not self._loop_pulls:
                self._pullers.start()
            self._watch()
            _runnings.add(self)
        except BaseException:
            self._undo()
            raise

    def _watch(self) -> None:
        """Has the watchdog watch Python: the threads or the loop that take requests, and the pool."""
        events = self._dispatcher.events
        events.on_question = self._tell_load
        self._has_started = True
        if self._loop_thread is not None:
            self._watch_loop(self._loop_thread.side)
        if self._host_loop is not None or self._loop_pulls:
            self._handle.watch_events(events, _LOOP, _LOOP_IS_STUCK)
        else:
            self._handle.watch_events(events, "Python", "no thread runs: a handler may hold the GIL")

    def _tell_load(self) -> None:
        """Tells the watchdog the load of the pool."""
        self._use_handle(lambda handle: handle.set_load("the thread pool", *self._pool.load()))

    def _undo(self) -> None:
        """Ends what a failed start has started."""
        try:
            self._handle.stop(0)
        except Error:
            # The library has not started.
            self._lifespan.stop(self._await_briefly)
            if self._loop_thread is not None:
                self._loop_thread.close(_JOIN)
            self._handle.free()
            self._dispatcher.free()
        else:
            self._reap(0)

    def _add_thread(self) -> None:
        self._threads.add(threading.current_thread())

    def _make_loop(self, dispatcher: Dispatcher) -> LoopSide:
        from transom._loop import LoopSide
        from transom._loop_thread import LoopThread

        if self._host_loop is not None:
            self._side = LoopSide(dispatcher, self._host_loop)
            self._side.pull()
            return self._side
        expect_real_loop()
        # Before the library has started, there are no requests to pull.
        self._loop_thread = LoopThread(dispatcher, self._loop_pulls and self._listens, self._add_thread)
        side = self._loop_thread.side
        if self._has_started:
            self._watch_loop(side)
        return side

    def _watch_loop(self, side: LoopSide) -> None:
        """Has the watchdog watch an event loop that pulls no requests."""
        if not self._loop_pulls:
            self._handle.watch_events(side.events, _LOOP, _LOOP_IS_STUCK)

    def _await(self, awaitable: Awaitable[object], timeout: float | None = None) -> None:
        """Waits for what a function of the application has returned, in the event loop of the handlers."""
        _ = self._dispatcher.loop
        assert self._loop_thread is not None
        self._loop_thread.run(awaitable, timeout)

    def _await_briefly(self, awaitable: Awaitable[object]) -> None:
        self._await(awaitable, _STOP_HOOK)

    @property
    def names(self) -> list[str | None]:
        """The names of the sockets, in the order of `addresses`; `None` for a socket without a name.

        systemd passes names (`FileDescriptorName=`), and so does a predecessor.
        """
        return list(self._names)

    @property
    def url(self) -> str:
        """The URL of the server, such as `http://127.0.0.1:8080`, or `unix:/path`; with TLS, `https://...`.

        Empty after `Server.start_unbound`.
        """
        if not self.addresses:
            return ""
        address = self.addresses[0]
        return address if address.startswith("unix:") else f"{self._scheme}://{address}"

    @property
    def _is_own_thread(self) -> bool:
        """`True` on a thread that runs handlers."""
        return threading.current_thread() in self._threads

    def _fail(self, error: BaseException) -> None:
        """Stops, because a handler raised `KeyboardInterrupt` or `SystemExit`."""
        self._fatal = self._fatal or error
        self._begin_stop(_AT_EXIT)
        self._sign()

    def _notify(self, signs: SimpleQueue[object]) -> None:
        """Puts `None` into `signs` when the server is about to end, or has ended."""
        self._signs = signs
        if self._fatal is not None or self._report is not None or self._deserted:
            self._sign()

    def _sign(self) -> None:
        if self._signs is not None:
            self._signs.put(None)

    def _hurry(self) -> None:
        """Cuts off the requests that are being served. Never waits; a signal handler may call it."""
        self._begin_stop(0)

    def _begin_stop(self, timeout: float) -> Report | None:
        """Begins to stop. Returns the numbers so far, or `None` if the server has already stopped."""
        self._expect_unforked()
        seconds("the timeout of a stop", timeout)
        with self._using:
            if self._report is not None:
                return None
            self._handle.stop(timeout)
            self._deadline = min(self._deadline, monotonic() + timeout)
            report = self._handle.report()
        self._dispatcher.stopping.begin()
        return report

    def stop(self, timeout: float = STOP_TIMEOUT) -> Report:
        """Stops the server: it takes no new requests, and the others get `timeout` seconds to finish.

        Requests that have not finished by then are cut off. `stop` returns the numbers of
        both once the server has stopped. A handler that calls `stop` gets the numbers so far at
        once, because its own request is one of those that are being finished. `stop` may be
        called again, also with a shorter timeout. A handler that still runs after the timeout
        goes on, but its return value is dropped.
        """
        report = self._begin_stop(timeout)
        if report is None:
            return self._final()
        if self._is_own_thread:
            if self._host_loop is None:
                self._reap_elsewhere(timeout)
            return report
        if self._host_loop is not None:
            ended = self._ended.wait(timeout + _JOIN)
            return self._final() if ended else report
        # A signal that reaches another thread does not end this thread's wait for a lock.
        while not self._lock.acquire(timeout=_SLICE):
            pass
        try:
            return self._report or self._reap(timeout)
        finally:
            self._lock.release()

    def _reap_elsewhere(self, timeout: float) -> None:
        """Finishes the stop on a new thread. If none starts, `run` or a later call finishes it."""
        thread = threading.Thread(target=self.stop, args=(timeout,), name="transom-stop", daemon=True)
        try:
            start_thread(thread)
        except SystemCallError as error:
            self._granted = timeout
            self._deserted = True
            self._sign()
            _log.warning(
                "a handler has stopped the server, and no thread could be started to finish the stop: %s",
                error,
            )

    @property
    def _over(self) -> bool:
        """`True` if a handler has stopped the server and no thread may have finished the stop."""
        if not self._deserted or self._forked:
            return False
        with self._using:
            return self._report is not None or self._handle.wait(0)

    def _final(self) -> Report:
        """Waits until the server has stopped, and returns the numbers."""
        self._ended.wait()
        assert self._report is not None
        return self._report

    def _reap(self, timeout: float) -> Report:
        """Waits until the threads of the library and of this package have ended, and frees the server."""
        begun = monotonic()
        end = begun + timeout + _JOIN
        while not self._handle.wait(_SLICE) and monotonic() < end:
            if self._on_slow_stop is not None and monotonic() - begun > _WORDLESS:
                tell, self._on_slow_stop = self._on_slow_stop, None
                pending = self._handle.report().pending
                if pending:
                    tell(pending, max(0.0, begun + timeout - monotonic()))
        report = self._handle.report()
        while monotonic() < self._deadline and not self._websockets.wait(_SLICE):
            pass  # A handler ends once it has heard that its connection has closed.
        grace = monotonic() + _JOIN
        while self._works(grace):
            self._dispatcher.background.wait(_SLICE)
        self._tell_dropped()
        end = min(end, monotonic() + _JOIN)

        def left() -> float:
            return max(0.0, end - monotonic())

        # Each thread is told to end, even if no time is left to wait for it.
        self._dispatcher.keep_alive.close()
        clean = self._pullers.join(left())
        clean = self._pool.close(left()) and clean
        clean = self._websockets.close(left()) and clean
        self._lifespan.stop(self._await_briefly)
        # The functions for the stop have times of their own.
        end = max(end, monotonic() + _JOIN)
        if self._loop_thread is not None:
            clean = self._loop_thread.close(left()) and clean
        self._conclude(report, clean)
        return report

    def _works(self, grace: float) -> bool:
        """Returns `True` while the stop waits for handlers of connections, or for work after responses.

        Work of a request whose handler still runs, though no client waits for it, has until `grace`.
        """
        background, now = self._dispatcher.background, monotonic()
        if now >= self._deadline:
            return False
        if self._websockets.is_open:
            return True
        return background.is_running or (bool(background.waiting) and now < grace)

    def _tell_dropped(self) -> None:
        """Logs that work after responses has not ended by the deadline of the stop."""
        count = self._dispatcher.background.count
        if count:
            _log.warning("the server stops with background work of %d requests unfinished", count)

    def _conclude(self, report: Report, clean: bool) -> None:
        with self._using:
            self._report = report
            if clean and not self._hand_overs:
                self._handle.free()
                self._dispatcher.free()
        _runnings.discard(self)
        self._on_end()
        self._ended.set()
        self._sign()

    async def _serve_here(self, timeout: float, ready: Callable[[Running], object] | None) -> Report:
        """Serves in the host's event loop. Returns once the server has stopped."""
        import asyncio

        side = self._side
        assert side is not None
        ended = side.ended
        failed: BaseException | None = None
        try:
            if ready is not None:
                ready(self)
        except BaseException as error:
            failed = error
            self._begin_stop(0)
        cancelled = False
        grace = math.inf
        while not ended.is_set() or not self._handle.wait(0) or self._works(grace):
            try:
                if ended.is_set():
                    grace = min(grace, monotonic() + _JOIN)
                    await asyncio.sleep(0.005)
                else:
                    await ended.wait()
            except asyncio.CancelledError:
                # The first cancellation stops within the timeout, the second at once.
                under_way = self._begin_stop(0 if cancelled else timeout)
                if under_way is not None and under_way.pending and not cancelled:
                    _log.info(
                        "stopping: %d under way, for at most %.3g s; a second cancellation cuts",
                        under_way.pending,
                        timeout,
                    )
                cancelled = True
        self._tell_dropped()
        self._dispatcher.keep_alive.close()
        clean = False
        try:
            await self._lifespan.stop_here()
            await side.close()
            clean = True
        finally:
            report = self._handle.report()
            clean = self._pool.close(0) and clean
            self._conclude(report, self._websockets.close(0) and clean)
        failed = failed or self._fatal
        if failed is not None:
            raise failed
        if cancelled:
            raise asyncio.CancelledError
        return report

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Running {self.url or 'unbound'}{' (stopped)' if self._report is not None else ''}>"


_runnings: weakref.WeakSet[Running] = weakref.WeakSet()


def _at_exit() -> None:
    """Stops the servers that still run, while Python threads can still run."""
    for running in list(_runnings):
        running._begin_stop(_AT_EXIT)
    for running in list(_runnings):
        if running._host_loop is None:
            running.stop(_AT_EXIT)
    # Those of a server whose handlers still run are not flushed by its stop.
    flush_all()


def _after_fork_in_child() -> None:
    for running in list(_runnings):
        running._forked = True
    _runnings.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
