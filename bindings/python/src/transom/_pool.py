"""Threads for work that blocks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from transom._errors import SystemCallError
from transom._thread import SimpleQueue, join_thread, start_thread

Job = Callable[[], None]


class Seat:
    """A thread of the pool, for as long as the job lasts that asked for it."""

    __slots__ = ("_pool", "is_lent", "is_over")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        #: Whether the pool may have another thread meanwhile.
        self.is_lent = False
        #: Whether the job has ended.
        self.is_over = False

    def lend(self) -> None:
        """Nobody waits for the job any more: until it ends, the pool may have another thread for others."""
        self._pool.lend(self)


class Pool:
    """Up to `size` threads, started as they are needed; up to `backlog` jobs wait for one.

    For each that is kept by a job that nobody waits for any more (`Seat.lend`) there may
    be another, up to `size` of them.

    The threads are daemons: a handler that never returns keeps neither `stop` nor
    the interpreter from ending.
    """

    def __init__(self, size: int, backlog: int, on_thread: Callable[[], None]) -> None:
        self._size = size
        self._limit = size + backlog
        self._on_thread = on_thread
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._lent = 0
        self._own = threading.local()
        self._closed = False

    def start(self) -> None:
        """Starts the first thread. Raises `SystemCallError` if there is none to be had.

        While the interpreter ends, none can be started any more (CPython 3.12): requests
        that come then need one that is there.
        """
        with self._lock:
            self._grow()

    def submit(self, job: Job) -> bool:
        """Runs `job` on a thread, now or as soon as one is free; `False` if too many wait."""
        with self._lock:
            if self._closed or self._unfinished >= self._limit + self._lent:
                return False
            if self._unfinished >= len(self._threads) < self._most():
                try:
                    self._grow()
                except SystemCallError:
                    if not self._threads:
                        return False
            self._unfinished += 1
            self._jobs.put(job)
        return True

    def _most(self) -> int:
        """How many threads there may be now."""
        return self._size + min(self._lent, self._size)

    def seat(self) -> Seat:
        """The seat of the job that runs on this thread of the pool."""
        seat = self._own.seat = Seat(self)
        return seat

    def lend(self, seat: Seat) -> None:
        """Has another thread for others while the job on that seat lasts."""
        with self._lock:
            if seat.is_lent or seat.is_over:
                return
            seat.is_lent = True
            self._lent += 1
            if not self._closed and not self._jobs.empty() and len(self._threads) < self._most():
                try:
                    self._grow()
                except SystemCallError:
                    pass  # Those who wait go on waiting.

    def _leave(self) -> bool:
        """A job has ended; says whether its thread is one too many now."""
        seat: Seat | None = self._own.__dict__.pop("seat", None)
        with self._lock:
            self._unfinished -= 1
            if seat is not None:
                seat.is_over = True
                self._lent -= seat.is_lent
            if self._closed or len(self._threads) <= self._most():
                return False
            self._threads.remove(threading.current_thread())
            return True

    def _grow(self) -> None:
        thread = threading.Thread(target=self._work, name=f"transom-pool-{len(self._threads)}", daemon=True)
        start_thread(thread)
        self._threads.append(thread)

    def _work(self) -> None:
        self._on_thread()
        while True:
            job = self._jobs.get()
            if job is None:
                return
            try:
                job()
            except Exception:
                logging.getLogger("transom").exception("a job of the thread pool failed")
            del job
            if self._leave():
                return

    def close(self, timeout: float) -> bool:
        """Ends the threads; `False` if some still run a job after `timeout` seconds."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        while not self._jobs.empty():
            self._jobs.get()
        for _ in threads:
            self._jobs.put(None)
        end = time.monotonic() + timeout
        return all(join_thread(thread, max(0.0, end - time.monotonic())) for thread in threads)
