"""Several processes that serve on the same sockets, and the supervisor that looks after them."""

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

from transom import _native as native
from transom._addresses import Address, Addresses, checked, checked_redirect
from transom._check import flag, got, importable, seconds, whole
from transom._errors import AlreadyStartedError, Error, InvalidArgumentError, SystemCallError, make
from transom._running import STOP_TIMEOUT
from transom._shared_sockets import SharedSockets
from transom._signals import SLICE, hangup_taken, signals_taken, wait_for_sign
from transom._slot import LONGEST_DELAY, Slot
from transom._thread import SimpleQueue, start_thread

if TYPE_CHECKING:
    # multiprocessing is loaded only when it is needed.
    from multiprocessing.connection import Connection

    from transom._process import Task
    from transom._server import Server
    from transom._tls import Tls
    from transom._worker import Worker

_ADDRESS = "127.0.0.1:8080"
#: The most processes.
MOST_PROCESSES = 1024
#: The longest time between two signs of life of a process, in seconds.
_BEAT = 1.0
#: How long a process has to end beyond the time that its requests get, in seconds.
_GRACE = 2.0
#: How long processes have when the interpreter exits, in seconds.
_AT_EXIT = 1.0

_log = logging.getLogger("transom")


class Processes:
    """Several processes that serve one application on the same sockets, to use more than one core.

    `make` is a function that returns the `Server`. Each process calls it; so it is a function of a module,
    which the new process imports, and no lambda. A program that is run as a script starts the processes
    below `if __name__ == "__main__":`, as with `multiprocessing`.

        import transom

        def make():
            app = transom.Server()
            app.get("/")(lambda request: "hello")
            return app

        if __name__ == "__main__":
            transom.Processes(make, "0.0.0.0:8080", count=4).run()

    - `count` is the number of processes; the default is the number of processors.
    - `tls` is a function that returns the `Tls`. Each process calls it.
    - `redirect` is an address whose requests are redirected to https, as for `Server.start`.
    - `unix_mode` is the file mode of Unix sockets, as for `Server`.
    - A process that ends is replaced: at once if it has served for 10 seconds, and else after a delay
      that grows from 0.1 to 30 seconds.
    - A process has `start_timeout` seconds to serve. One that does not is killed and replaced.
    - A process that shows no sign of life for `hang_timeout` seconds is killed and replaced: its interpreter
      does not turn, because a handler holds the interpreter lock, or `Running.stuck` says that a part of it
      has not turned for the timeout `watchdog`. `None` is for ever.

    Each process has its own limits, counters, metrics and `on_start` functions. Connections go to whichever
    process takes them. Requests that are in progress when a process stops have the timeout of the stop to
    finish. In a restart, new clients are left to the other processes then, and connections that wait for
    requests stay open for the timeout `stop_delay`: each closes after an answer. If the application does not
    set that timeout, it is 1 second in a restart, and 0 when all processes stop.

    As a context manager, the processes stop at the end. Any thread may call the methods.

    Raises `InvalidArgumentError` or `TypeError` for a value that is none.
    """

    def __init__(
        self,
        make: Callable[[], Server],
        address: Addresses = _ADDRESS,
        *,
        count: int | None = None,
        tls: Callable[[], Tls] | None = None,
        redirect: Address | None = None,
        unix_mode: int | None = None,
        start_timeout: float = 60.0,
        hang_timeout: float | None = 60.0,
        stop_timeout: float = STOP_TIMEOUT,
    ) -> None:
        if not callable(make):
            raise TypeError(f"make is a function that returns a Server, got {got(make)}")
        importable("make", make)
        if tls is not None:
            if not callable(tls):
                raise TypeError(f"tls is a function that returns a Tls, got {got(tls)}")
            importable("tls", tls)
        self._make = make
        self._tls = tls
        self._addresses = checked(address)
        self._redirect = checked_redirect(redirect)
        if redirect is not None and tls is None:
            raise InvalidArgumentError("redirect needs tls: it leads to https")
        self._count = (os.cpu_count() or 1) if count is None else whole("count", count, 1, MOST_PROCESSES)
        if unix_mode is not None:
            whole("unix_mode", unix_mode, 0, 0o777)
        self._unix_mode = unix_mode
        seconds("start_timeout", start_timeout, zero=False)
        seconds("hang_timeout", hang_timeout, zero=False, none=True)
        seconds("stop_timeout", stop_timeout)
        self._start_timeout = start_timeout
        self._hang_timeout = hang_timeout
        self._stop_timeout = stop_timeout
        #: Held while the fields below are used.
        self._lock = threading.RLock()
        self._slots: list[Slot] = []
        #: The processes that have not ended, those of the slots and those that come and go.
        self._workers: set[Worker] = set()
        self._sockets: SharedSockets | None = None
        self._thread: threading.Thread | None = None
        #: A byte here wakes the thread.
        self._bell: tuple[int, int] | None = None
        self._is_stopping = False
        #: `True` until each process has served. One that ends before ends the start, and is not replaced.
        self._is_starting = False
        #: `True` once a signal has ended `run`: no process is waited for any more until it serves.
        self._gives_up = False
        #: Held by a start and by a restart: they come one after another.
        self._restarting = threading.Lock()
        #: Held while what is shared is closed.
        self._ending = threading.Lock()
        #: What `run` waits for.
        self._signs: SimpleQueue[object] = SimpleQueue()

    def start(self) -> Processes:
        """Starts the processes, and returns once each of them serves.

        Raises what `Server.start` raises if an address cannot be used, and `SystemCallError` with the
        reason if a process ends before it serves, or does not serve in time. No process is left then.
        """
        with self._restarting:
            self._start()
        return self

    def _start(self) -> None:
        with self._lock:
            if self._sockets is not None:
                raise AlreadyStartedError("the processes run already; stop them first")
            self._sockets = SharedSockets(self._addresses, self._unix_mode, self._redirect)
            self._is_stopping = False
            self._is_starting = True
            self._bell = os.pipe()
            self._slots = [Slot() for _ in range(self._count)]
        _all.add(self)
        try:
            first = [self._spawn(slot) for slot in self._slots]
            self._thread = threading.Thread(target=self._supervise, name="transom-processes", daemon=True)
            start_thread(self._thread)
            for worker in first:
                self._await_service(worker)
        except BaseException:
            self.stop(0)
            raise
        finally:
            self._is_starting = False

    def run(self, *, quiet: bool = False, ready: Callable[[Processes], object] | None = None) -> None:
        """Serves until Ctrl-C or SIGTERM. SIGHUP restarts the processes, one after another.

        Requests that are in progress get `stop_timeout` seconds to finish. A second signal cuts them off. A
        signal that comes before the processes serve ends them and `run`.
        `run` prints the URL unless `quiet`. `ready` is called once each process serves. In
        another thread than the main thread, no signal is taken, and `run` waits for a call of `stop`. Raises
        what `start` raises.
        """
        flag("quiet", quiet)
        signs = self._signs = SimpleQueue()
        self._gives_up = False
        with signals_taken(signs, self._kill_all, self._give_up), hangup_taken(self._restart_aside):
            try:
                self.start()
            except Error:
                if self._gives_up:
                    return
                raise
            try:
                if not quiet:
                    print(f"listening on {self.url} with {self._count} processes", flush=True)
                if ready is not None:
                    ready(self)
                wait_for_sign(signs)
            finally:
                self.stop(self._stop_timeout)

    @property
    def addresses(self) -> list[str]:
        """The addresses on which the processes serve; empty if they do not run."""
        sockets = self._sockets
        return [] if sockets is None else list(sockets.names)

    @property
    def port(self) -> int:
        """The first TCP port on which the processes serve; 0 if there is none."""
        for address in self.addresses:
            if not address.startswith("unix:"):
                return int(address.rpartition(":")[2])
        return 0

    @property
    def url(self) -> str:
        """The URL of the first address, as that of `Running`. Raises `Error` if the processes do not run."""
        if not self.addresses:
            raise Error("the processes do not run", native.NOT_STARTED)
        address = self.addresses[0]
        scheme = "http" if self._tls is None else "https"
        return address if address.startswith("unix:") else f"{scheme}://{address}"

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that serve now. Those that come or go are left out."""
        with self._lock:
            workers = [slot.worker for slot in self._slots]
            return [each.pid for each in workers if each is not None and each.serves.is_set()]

    def restart(self) -> None:
        """Replaces the processes one after another, so that the new ones load the application anew.

        Each new process serves before the old one is told to stop, and the next one starts when the old one
        has ended. No client is refused meanwhile. Requests in progress have `stop_timeout` seconds to finish.
        One restart follows another.

        Raises `SystemCallError` with the reason if a new process does not serve. The processes that were not
        replaced by then go on.
        """
        with self._restarting:
            for slot in self._slots:
                new = self._spawn(None)
                try:
                    self._await_service(new)
                except BaseException:
                    self._leave(new, 0)
                    raise
                with self._lock:
                    old = slot.seat(new, self._is_stopping)
                    if self._is_stopping:
                        # `stop` has told all processes, this one too.
                        return
                if old is not None:
                    self._leave(old, self._stop_timeout)
                    old.ended.wait()

    def resize(self, count: int) -> None:
        """Makes the processes `count`: starts more, or stops some of them.

        Returns once each new process serves, and each one too many has ended: its requests in progress have
        `stop_timeout` seconds to finish. Waits for a restart.

        Raises `SystemCallError` with the reason if a new process does not serve; those that serve by then
        stay. Raises `Error` if the processes do not run.
        """
        whole("count", count, 1, MOST_PROCESSES)
        with self._restarting:
            self._resize(count)

    def _resize(self, count: int) -> None:
        while len(self._slots) < count:
            new = self._spawn(None)
            try:
                self._await_service(new)
            except BaseException:
                self._leave(new, 0)
                raise
            with self._lock:
                slot = Slot()
                slot.seat(new, self._is_stopping)
                self._slots.append(slot)
        if self._sockets is None:
            raise make(native.NOT_STARTED, "the processes have stopped")
        with self._lock:
            leaving = [slot.worker for slot in self._slots[count:] if slot.worker is not None]
            del self._slots[count:]
        for worker in leaving:
            self._leave(worker, self._stop_timeout)
        for worker in leaving:
            worker.ended.wait()

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Stops the processes. Requests in progress have `timeout` seconds to finish.

        Returns once all processes have ended. One that has not ended 2 seconds after the timeout is killed.
        One that does not serve yet gets SIGTERM, which ends it at once, and is killed after 2 seconds.
        `stop` may be called again, also with a shorter timeout. If the processes do not run, nothing happens.
        """
        seconds("the timeout of a stop", timeout)
        with self._lock:
            self._is_stopping = True
            workers = list(self._workers)
            for worker in workers:
                self._tell_to_leave(worker, timeout, False)
        self._ring()
        if self._thread is not None and self._thread.ident is not None:
            for worker in workers:
                worker.ended.wait()
        with self._ending:
            self._end()
        self._signs.put(None)

    def _end(self) -> None:
        """Ends the thread, and closes what is shared. The processes have ended."""
        thread = self._thread
        if thread is not None and thread.ident is not None:
            thread.join()
        else:
            # The thread has not started.
            self._kill_all()
            for worker in list(self._workers):
                self._workers.discard(worker)
                worker.bury()
        with self._lock:
            self._thread = None
            self._slots = []
            if self._sockets is not None:
                self._sockets.close()
                self._sockets = None
            if self._bell is not None:
                for end in self._bell:
                    os.close(end)
                self._bell = None
        _all.discard(self)

    def _task(self) -> Task:
        from transom._process import Task

        assert self._sockets is not None
        limit = self._hang_timeout
        beat = _BEAT if limit is None else min(_BEAT, limit / 4)
        sockets, redirect = self._sockets.sockets, self._sockets.redirect
        return Task(self._make, self._tls, sockets, redirect, self._stop_timeout, beat)

    def _spawn(self, slot: Slot | None) -> Worker:
        """Starts a process, in a slot if it has one."""
        from transom._worker import Worker

        _stop_at_exit()
        with self._lock:
            if self._is_stopping or self._sockets is None:
                raise make(native.NOT_STARTED, "the processes have stopped")
            try:
                worker = Worker(self._task(), self._start_timeout, self._hang_timeout)
            except OSError as error:
                raise make(native.IO, f"a process could not be started: {error}", error.errno or 0) from error
            self._workers.add(worker)
            if slot is not None:
                slot.worker, slot.due = worker, None
        self._ring()
        return worker

    def _await_service(self, worker: Worker) -> None:
        """Waits until a process serves. Raises `SystemCallError` if it ends before."""
        while not worker.settled.wait(SLICE):
            if self._gives_up:
                self._leave(worker, 0)
        if worker.serves.is_set():
            return
        raise make(native.IO, f"process {worker.pid} does not serve: {worker.failure or worker.outcome}")

    def _leave(self, worker: Worker, timeout: float) -> None:
        with self._lock:
            self._tell_to_leave(worker, timeout, True)
        self._ring()

    @staticmethod
    def _tell_to_leave(worker: Worker, timeout: float, others_serve: bool) -> None:
        if not worker.ended.is_set():
            worker.leave(timeout, _GRACE, others_serve)

    def _give_up(self) -> None:
        """Ends the wait for processes that do not serve yet. Never waits; a signal handler may call it."""
        self._gives_up = True

    def _kill_all(self) -> None:
        """Kills all processes, so that a stop ends at once. Never waits; a signal handler may call it."""
        for worker in list(self._workers):
            worker.kill()

    def _ring(self) -> None:
        """Wakes the thread: there is a new process or a new deadline."""
        with self._lock:
            if self._bell is not None:
                os.write(self._bell[1], b"r")

    def _supervise(self) -> None:
        """Looks after the processes until all have ended and none is to be started."""
        from multiprocessing.connection import wait

        assert self._bell is not None
        bell = self._bell[0]
        while True:
            with self._lock:
                for worker in list(self._workers):
                    if not worker.listen():
                        self._workers.discard(worker)
                        worker.bury()
                        for slot in self._slots:
                            if slot.worker is worker:
                                is_early = self._is_starting and not worker.serves.is_set()
                                slot.note_end(worker, self._is_stopping or is_early)
                self._replace()
                if self._is_stopping and not self._workers:
                    return
                due = self._kill_late()
                sources: list[Connection | int] = [bell]
                for worker in self._workers:
                    sources.append(worker.process.sentinel)
                    if worker.talks:
                        sources.append(worker.conn)
            ready = wait(sources, None if due is None else max(0.0, due - monotonic()))
            if bell in ready:
                os.read(bell, 1024)

    def _replace(self) -> None:
        """Starts the processes that are due."""
        for slot in self._slots:
            if slot.due is None or slot.due > monotonic() or self._is_stopping:
                continue
            try:
                self._spawn(slot)
            except Error as error:
                slot.due = monotonic() + LONGEST_DELAY
                _log.error("%s; another try follows in %.3g s", error, LONGEST_DELAY)

    def _kill_late(self) -> float | None:
        """Kills the processes whose time is over. Returns when the next time is over."""
        now = monotonic()
        for worker in self._workers:
            if worker.deadline is not None and worker.deadline <= now:
                worker.failure = worker.lateness
                _log.error("process %d is killed: %s", worker.pid, worker.failure)
                worker.kill()
        times = [worker.deadline for worker in self._workers] + [slot.due for slot in self._slots]
        return min((time for time in times if time is not None), default=None)

    def _restart_aside(self) -> None:
        self._aside("restart", self.restart)

    @staticmethod
    def _aside(name: str, change: Callable[[], None]) -> None:
        """Calls `change` on a thread of its own, because a signal handler may not wait."""

        def run() -> None:
            try:
                change()
            except Error as error:
                _log.error("the %s has ended: %s", name, error)

        try:
            start_thread(threading.Thread(target=run, name=f"transom-{name}", daemon=True))
        except SystemCallError as error:
            _log.error("no %s: %s", name, error)

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(self._stop_timeout)


_all: weakref.WeakSet[Processes] = weakref.WeakSet()


def _stop_at_exit() -> None:
    """Has `_at_exit` run before `multiprocessing` waits for its processes: the last function is the first."""
    # It registers a function of its own.
    import multiprocessing.util  # noqa: F401

    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


def _at_exit() -> None:
    """Stops the processes that still run."""
    for processes in list(_all):
        processes.stop(_AT_EXIT)


def _after_fork_in_child() -> None:
    """The processes belong to the parent."""
    _all.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
