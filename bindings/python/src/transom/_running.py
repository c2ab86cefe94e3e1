"""A server that runs: where it listens, and how it is stopped."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING

from transom._check import seconds
from transom._dispatch import Dispatcher
from transom._errors import Error, ForkedError, SystemCallError
from transom._handle import Handle, Report
from transom._pool import Pool
from transom._puller import Pullers
from transom._route import Route
from transom._thread import SimpleQueue, expect_real_loop, start_thread

if TYPE_CHECKING:
    # Loaded only by those who use it: it takes as much memory as all the rest.
    import asyncio

    from transom._loop import LoopSide, LoopThread

#: How long requests under way get to finish after a stop, in seconds, unless the stop says.
STOP_TIMEOUT = 10.0
#: How long exchanges under way get when the interpreter exits, in seconds.
_AT_EXIT = 1.0
#: How long threads get to end once the library has stopped, in seconds, and how long past
#: the deadline of a stop all of it may take. A thread that a handler keeps is left behind;
#: it is a daemon.
_JOIN = 0.25
#: How long a stop goes on without a word, in seconds.
_WORDLESS = 0.3
#: The longest that a wait lasts before Python's signal handlers may run, in seconds.
_SLICE = 0.05

_log = logging.getLogger("transom")


class Running:
    """A server that was started. As a context manager it stops at the end.

    Its methods may be called from any thread.
    """

    def __init__(
        self,
        handle: Handle,
        routes: list[Route],
        threads: int,
        backlog: int,
        on_end: Callable[[], None],
        host_loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.port: int = 0
        """The port that is listened on; 0 on a Unix socket."""
        self.addresses: list[str] = []
        """All addresses that are listened on."""
        self._handle = handle
        self._on_end = on_end
        self._threads: set[threading.Thread] = set()
        #: What a handler raised to end the program.
        self.fatal: BaseException | None = None
        self._signs: SimpleQueue[object] | None = None
        #: Called once if a stop takes a moment, with the number of exchanges under way and
        #: the seconds that they have left.
        self.on_slow_stop: Callable[[int, float], None] | None = None
        self._lock = threading.Lock()
        #: Held while the handle is used from outside, and when it is freed. A signal
        #: handler may come in between on the same thread.
        self._using = threading.RLock()
        self._report: Report | None = None
        self._ended = threading.Event()
        #: A handler has stopped the server, and no thread could be had to wait for its end.
        self._deserted = False
        #: How long those under way then have, in seconds.
        self.granted = 0.0
        self._forked = False
        self._host_loop = host_loop
        self._loop_pulls = bool(routes) and all(route.is_async for route in routes)
        self._needs_loop = any(route.needs_loop for route in routes)
        self._needs_pool = any(not route.is_async and not route.in_place for route in routes)
        self._loop_thread: LoopThread | None = None
        #: The host's loop, if the server runs in one.
        self._side: LoopSide | None = None
        self._pool = Pool(threads, backlog, self._add_thread)
        self._dispatcher = Dispatcher(handle, routes, self._pool, self._make_loop, self._fail, threads == 1)
        self._pullers = Pullers(self._dispatcher, threads + 2, self._add_thread)

    def begin(self, address: str) -> None:
        """Listens and pulls requests. If that cannot be, raises, and nothing is left of it."""
        try:
            self._handle.start(address)
            self.port, self.addresses = self._handle.port, self._handle.addresses
            # Threads that are needed are there from the start on: later, while the
            # interpreter ends, there are no more.
            if self._needs_pool:
                self._pool.start()
            if self._host_loop is not None:
                self._add_thread()
            if self._host_loop is not None or self._needs_loop:
                _ = self._dispatcher.loop
            if self._host_loop is None and not self._loop_pulls:
                self._pullers.start()
            _runnings.add(self)
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        """Ends what a start has begun before it failed."""
        try:
            self._handle.stop(0)
        except Error:
            # It does not even listen.
            self._handle.free()
            self._dispatcher.free()
        else:
            self._reap(0)

    def _add_thread(self) -> None:
        self._threads.add(threading.current_thread())

    def _make_loop(self, dispatcher: Dispatcher) -> LoopSide:
        from transom._loop import LoopSide, LoopThread

        if self._host_loop is not None:
            self._side = LoopSide(dispatcher, self._host_loop)
            self._side.pull()
            return self._side
        expect_real_loop()
        self._loop_thread = LoopThread(dispatcher, self._loop_pulls, self._add_thread)
        return self._loop_thread.side

    @property
    def url(self) -> str:
        """Where it is reached: `http://127.0.0.1:8080`, or `unix:/path`."""
        address = self.addresses[0]
        return address if address.startswith("unix:") else f"http://{address}"

    def _fail(self, error: BaseException) -> None:
        """A handler raised `KeyboardInterrupt` or `SystemExit`: stops."""
        self.fatal = self.fatal or error
        self._begin_stop(_AT_EXIT)
        self._sign()

    def notify(self, signs: SimpleQueue[object]) -> None:
        """Puts something into `signs` when the server is about to end, or has ended."""
        self._signs = signs
        if self.fatal is not None or self._report is not None or self._deserted:
            self._sign()

    def _sign(self) -> None:
        if self._signs is not None:
            self._signs.put(None)

    def expect_unforked(self) -> None:
        """Raises `ForkedError` in a child of the process that started the server."""
        if self._forked:
            raise ForkedError("this server was started before a fork: in the child it cannot be used")

    def hurry(self) -> None:
        """Cuts what is under way; never waits, and may be called by a signal handler."""
        self._begin_stop(0)

    def _begin_stop(self, timeout: float) -> Report | None:
        """Begins to stop; the numbers as of now, or `None` if they are final."""
        self.expect_unforked()
        seconds("the timeout of a stop", timeout)
        with self._using:
            if self._report is not None:
                return None
            self._handle.stop(timeout)
            return self._handle.report()

    def stop(self, timeout: float = STOP_TIMEOUT) -> Report:
        """Stops: no new requests; those under way get `timeout` seconds, then they are cut.

        Returns when all has stopped, with the numbers. In a handler it only begins to
        stop and returns the numbers as of now, for the handler's own exchange is one of
        those waited for. May be called again, also to shorten the time. A handler that
        runs on after the deadline is left to itself, and nobody waits for its answer.
        """
        report = self._begin_stop(timeout)
        if report is None:
            return self._final()
        if threading.current_thread() in self._threads:
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
        """Lets a new thread see to the end; if there is none, `run`, the next start or stop, or the exit."""
        thread = threading.Thread(target=self.stop, args=(timeout,), name="transom-stop", daemon=True)
        try:
            start_thread(thread)
        except SystemCallError as error:
            self.granted = timeout
            self._deserted = True
            self._sign()
            _log.warning("a handler has stopped the server, and no thread sees to its end: %s", error)

    @property
    def over(self) -> bool:
        """Whether a handler has stopped it, and nobody may have seen to its end."""
        if not self._deserted or self._forked:
            return False
        with self._using:
            return self._report is not None or self._handle.wait(0)

    def _final(self) -> Report:
        """The numbers, once all has ended."""
        self._ended.wait()
        assert self._report is not None
        return self._report

    def _reap(self, timeout: float) -> Report:
        """Waits for the end of all threads, the library's and ours, and frees what they used."""
        begun = monotonic()
        end = begun + timeout + _JOIN
        while not self._handle.wait(_SLICE) and monotonic() < end:
            if self.on_slow_stop is not None and monotonic() - begun > _WORDLESS:
                tell, self.on_slow_stop = self.on_slow_stop, None
                pending = self._handle.report().pending
                if pending:
                    tell(pending, max(0.0, begun + timeout - monotonic()))
        report = self._handle.report()
        end = min(end, monotonic() + _JOIN)

        def left() -> float:
            return max(0.0, end - monotonic())

        # Each is told to end, however little time there is to see it do so.
        clean = self._pullers.join(left())
        clean = self._pool.close(left()) and clean
        if self._loop_thread is not None:
            clean = self._loop_thread.close(left()) and clean
        self._conclude(report, clean)
        return report

    def _conclude(self, report: Report, clean: bool) -> None:
        with self._using:
            self._report = report
            if clean:
                self._handle.free()
                self._dispatcher.free()
        _runnings.discard(self)
        self._on_end()
        self._ended.set()
        self._sign()

    async def serve_here(self, timeout: float, ready: Callable[[Running], object] | None) -> Report:
        """Serves in the host's loop until stopped or cancelled, then until all has ended."""
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
        while not ended.is_set() or not self._handle.wait(0):
            try:
                if ended.is_set():
                    await asyncio.sleep(0.005)
                else:
                    await ended.wait()
            except asyncio.CancelledError:
                # The first one stops within the time, another one at once.
                under_way = self._begin_stop(0 if cancelled else timeout)
                if under_way is not None and under_way.pending and not cancelled:
                    _log.info(
                        "stopping: %d under way, for at most %.3g s; a second cancellation cuts",
                        under_way.pending,
                        timeout,
                    )
                cancelled = True
        clean = False
        try:
            await side.close()
            clean = True
        finally:
            report = self._handle.report()
            self._conclude(report, self._pool.close(0) and clean)
        failed = failed or self.fatal
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
        return f"<Running {self.url}{' (stopped)' if self._report is not None else ''}>"


_runnings: weakref.WeakSet[Running] = weakref.WeakSet()


def _at_exit() -> None:
    """Stops what still runs, while Python threads still can."""
    for running in list(_runnings):
        running._begin_stop(_AT_EXIT)
    for running in list(_runnings):
        if running._host_loop is None:
            running.stop(_AT_EXIT)


def _after_fork_in_child() -> None:
    for running in list(_runnings):
        running._forked = True
    _runnings.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
