"""The thread pool for handlers that block."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from transom._errors import SystemCallError
from transom._thread import SimpleQueue, join_thread, start_thread

Job = Callable[[], None]


class Seat:
    """The thread of the pool on which a job runs, for the duration of that job."""

    __slots__ = ("_pool", "is_lent", "is_over")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        #: `True` once the pool may have a replacement thread for this one.
        self.is_lent = False
        #: `True` once the job has ended.
        self.is_over = False

    def lend(self) -> None:
        """Lets the pool have a replacement thread until the job ends. No client waits for the job."""
        self._pool.lend(self)


class Pool:
    """A pool of up to `size` threads, started on demand, and a queue of up to `backlog` jobs.

    For each thread whose job no client waits for any more (`Seat.lend`), the pool may have a
    replacement thread, up to `size` of them.

    The threads are daemons, so a handler that never returns delays neither `stop` nor the
    exit of the interpreter.
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
        #: The number of jobs that have ended.
        self._ended = 0
        self._own = threading.local()
        self._closed = False

    def start(self) -> None:
        """Starts the first thread. Raises `SystemCallError` if the system has none.

        Since CPython 3.12, no thread can be started while the interpreter exits. Requests that
        come then need a thread that already runs.
        """
        with self._lock:
            self._grow()

    def submit(self, job: Job) -> bool:
        """Runs `job` on a thread as soon as one is free. Returns `False` if the queue is full."""
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

    def load(self) -> tuple[int, int]:
        """Returns how many jobs wait for a thread, and how many have ended so far."""
        return self._jobs.qsize(), self._ended

    def _most(self) -> int:
        """Returns how many threads the pool may have now."""
        return self._size + min(self._lent, self._size)

    def seat(self) -> Seat:
        """Returns the seat of the job that runs on the current thread."""
        seat = self._own.seat = Seat(self)
        return seat

    def lend(self, seat: Seat) -> None:
        """Allows a replacement thread until the job on that seat ends."""
        with self._lock:
            if seat.is_lent or seat.is_over:
                return
            seat.is_lent = True
            self._lent += 1
            if not self._closed and not self._jobs.empty() and len(self._threads) < self._most():
                try:
                    self._grow()
                except SystemCallError:
                    pass  # The queued jobs wait for another thread.

    def _leave(self) -> bool:
        """Records that a job has ended. Returns `True` if its thread must end, because there are too many."""
        seat: Seat | None = self._own.__dict__.pop("seat", None)
        with self._lock:
            self._unfinished -= 1
            self._ended += 1
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
        """Ends the threads. Returns `False` if one still runs a job after `timeout` seconds."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        while not self._jobs.empty():
            self._jobs.get()
        for _ in threads:
            self._jobs.put(None)
        end = time.monotonic() + timeout
        return all(join_thread(thread, max(0.0, end - time.monotonic())) for thread in threads)
