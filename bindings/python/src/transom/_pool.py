"""The thread pool for handlers that block."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from transom import _native as native
from transom._errors import SystemCallError
from transom._overload import Overload
from transom._thread import Empty, SimpleQueue, join_thread, start_another_thread, start_thread
from transom._timed_jobs import Job, TimedJob, TimedJobs


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

    With `overload`, the time is limited that jobs wait, as the library limits it.

    The threads are daemons, so a handler that never returns delays neither `stop` nor the
    exit of the interpreter.
    """

    def __init__(
        self, size: int, backlog: int, on_thread: Callable[[], None], overload: Overload | None = None
    ) -> None:
        self._size = size
        self._limit = size + backlog
        self._on_thread = on_thread
        #: The jobs. If their time is limited, only `_wake`, once for each job in `_timed`.
        #: `None` ends a thread.
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._timed = None if overload is None else TimedJobs(overload)
        #: `True` if the time is limited that jobs wait: they are then submitted by `submit_timed`.
        self.is_timed = overload is not None
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

    def submit(self, job: Job, later: bool = False) -> bool:
        """Runs `job` on a thread as soon as one is free. Returns `False` if the queue is full.

        For jobs that no client waits for (`later`), the queue is twice as long: requests do not fill it.
        """
        with self._lock:
            if not self._has_room(self._limit if later else 0):
                return False
            if self._timed is not None:
                self._timed.put_unhurried(job)
                job = _wake
            self._jobs.put(job)
        return True

    def submit_timed(self, job: TimedJob) -> int:
        """Runs a job on a thread as soon as one is free, if it need not wait too long.

        Returns 0, or the reason for which the job is refused.
        """
        timed = self._timed
        assert timed is not None
        with self._lock:
            if not timed.admits(job.priority, self._unfinished - self._most(), job.source):
                refused = native.REJECT_OVERLOADED
            elif not self._has_room(timed.room_taken_by_others(job.priority)):
                refused = native.REJECT_POOL_FULL
            else:
                refused = 0
                timed.put(job)
                self._jobs.put(_wake)
            # Their clients learn it now: perhaps no thread becomes free.
            late = timed.take_late()
            for _ in late:
                self._drop_wake()
        _refuse(late)
        return refused

    def _drop_wake(self) -> None:
        """Takes back the wake of a job that was refused while it waited. One wake is as good as another."""
        self._unfinished -= 1
        try:
            self._jobs.get_nowait()
        except Empty:
            pass  # A thread has it, and finds the job gone.

    def _has_room(self, others: int) -> bool:
        """Counts a job in, and starts a thread for it if one may be. `others` jobs do not count."""
        if self._closed or self._unfinished - others >= self._limit + self._lent:
            return False
        if self._unfinished >= len(self._threads) < self._most():
            try:
                self._grow()
            except SystemCallError:
                if not self._threads:
                    return False
        self._unfinished += 1
        return True

    def load(self) -> tuple[int, int]:
        """Returns how many jobs wait for a thread, and how many have ended so far."""
        return self._jobs.qsize() if self._timed is None else len(self._timed), self._ended

    def _most(self) -> int:
        """Returns how many threads the pool may have now."""
        return self._size + min(self._lent, self._size)

    def seat(self) -> Seat:
        """Returns the seat of the job that runs on the current thread."""
        seat = self._own.seat = Seat(self)
        return seat

    def own_seat(self) -> Seat | None:
        """Returns the seat of the job on the current thread; `None` if it is no thread of the pool."""
        return self.seat() if getattr(self._own, "works", False) else None

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
        if self._threads:
            start_another_thread(thread)
        else:
            start_thread(thread)
        self._threads.append(thread)

    def _work(self) -> None:
        self._on_thread()
        self._own.works = True
        while True:
            job = self._jobs.get()
            if job is None:
                return
            if job is _wake:
                job = self._next_timed()
                if job is None:
                    continue
            try:
                job()
            except Exception:
                logging.getLogger("transom").exception("a job of the thread pool failed")
            del job
            if self._leave():
                return

    def _next_timed(self) -> Job | None:
        """Returns the next job of `_timed`, or `None` if none is left. Refuses late ones."""
        assert self._timed is not None
        with self._lock:
            job, late = self._timed.take()
            self._unfinished -= len(late)
        _refuse(late)
        return job

    def close(self, timeout: float) -> bool:
        """Ends the threads. Returns `False` if one still runs a job after `timeout` seconds."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            if self._timed is not None:
                self._timed.clear()
        while not self._jobs.empty():
            self._jobs.get()
        for _ in threads:
            self._jobs.put(None)
        end = time.monotonic() + timeout
        return all(join_thread(thread, max(0.0, end - time.monotonic())) for thread in threads)


def _wake() -> None:
    """Stands for a job whose time is limited."""


def _refuse(late: list[TimedJob]) -> None:
    for job in late:
        try:
            job.refuse()
        except Exception:
            logging.getLogger("transom").exception("a job that waited too long could not be refused")
