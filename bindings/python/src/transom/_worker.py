"""A process of `Processes`, as its supervisor sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from multiprocessing import get_context
from time import monotonic

from transom._process import BEAT, FAILED, READY, Task, serve


class Worker:
    """A process: what it has said, and how it is stopped.

    The thread of the supervisor calls `listen` and `bury`. Other threads wait for the events.
    """

    def __init__(self, task: Task, start_timeout: float, hang_timeout: float | None) -> None:
        # A process that is forked would have copies of locks that other threads hold.
        context = get_context("spawn")
        self.conn, theirs = context.Pipe()
        #: `True` until the process has closed its end of the connection.
        self.talks = True
        self._hang_timeout = hang_timeout
        #: Set once the process serves.
        self.serves = threading.Event()
        #: Set once the process serves, or has ended before.
        self.settled = threading.Event()
        #: Set once the process has ended.
        self.ended = threading.Event()
        #: Why the process does not serve, if it has said so or was killed for it.
        self.failure = ""
        #: How the process has ended.
        self.outcome = ""
        self.ready_at = 0.0
        #: When the process is killed, unless it says something or ends before; `None` for never.
        self.deadline: float | None = monotonic() + start_timeout
        self._is_leaving = False
        try:
            self.process = context.Process(target=serve, args=(task, theirs), name="transom-worker")
            self.process.start()
        except BaseException:
            self.conn.close()
            raise
        finally:
            theirs.close()
        assert self.process.pid is not None
        self.pid: int = self.process.pid

    def listen(self) -> bool:
        """Reads what the process has said. Returns `False` once the process has ended."""
        is_alive = self.process.is_alive()
        try:
            while self.talks and self.conn.poll():
                self._hear(*self.conn.recv())
        except (EOFError, OSError):
            self.talks = False
        return is_alive

    def _hear(self, kind: str, text: str) -> None:
        if kind == FAILED:
            self.failure = text
            return
        assert kind in (READY, BEAT)
        if not self._is_leaving:
            self.deadline = None if self._hang_timeout is None else monotonic() + self._hang_timeout
        if kind == READY:
            self.ready_at = monotonic()
            self.serves.set()
            self.settled.set()

    def leave(self, timeout: float, grace: float, others_serve: bool) -> None:
        """Tells the process to stop within `timeout` seconds, and has it killed `grace` seconds later.

        `others_serve` says whether new clients have another process to go to. Never waits. A process that
        does not serve yet has no requests to finish.
        """
        if not self.serves.is_set():
            timeout = 0
        due = monotonic() + timeout + grace
        if self._is_leaving and self.deadline is not None:
            due = min(due, self.deadline)
        self.deadline = due
        if not self._is_leaving:
            self._is_leaving = True
            try:
                self.conn.send((timeout, others_serve))
            except OSError:
                # The process has ended.
                pass
            if not self.serves.is_set():
                self._signal(self.process.terminate)

    @property
    def lateness(self) -> str:
        """Why the deadline is the end of the process."""
        if self._is_leaving:
            return "it has not stopped in time"
        return "it shows no sign of life" if self.serves.is_set() else "it did not serve in time"

    def kill(self) -> None:
        """Kills the process. Never waits; a signal handler may call it."""
        self.deadline = None
        self._signal(self.process.kill)

    @staticmethod
    def _signal(send: Callable[[], None]) -> None:
        try:
            send()
        except ValueError:
            # The process has ended.
            pass

    def bury(self) -> None:
        """Frees what is left of a process that has ended."""
        self.process.join()
        code = self.process.exitcode
        self.outcome = f"exit status {code}" if code is None or code >= 0 else f"signal {-code}"
        self.process.close()
        self.conn.close()
        self.ended.set()
        self.settled.set()
