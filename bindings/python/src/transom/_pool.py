"""Threads for work that blocks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from transom._errors import SystemCallError
from transom._thread import SimpleQueue, join_thread, start_thread

Job = Callable[[], None]


class Pool:
    """Up to `size` threads, started as they are needed; up to `backlog` jobs wait for one.

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
            if self._closed or self._unfinished >= self._limit:
                return False
            if self._unfinished >= len(self._threads) < self._size:
                try:
                    self._grow()
                except SystemCallError:
                    if not self._threads:
                        return False
            self._unfinished += 1
            self._jobs.put(job)
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
            with self._lock:
                self._unfinished -= 1

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
