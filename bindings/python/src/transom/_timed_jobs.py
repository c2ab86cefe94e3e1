"""The jobs that wait for a thread of the pool, if the time that they wait is limited."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter

from transom._overload import Congestion, Overload
from transom._shares import Shares

Job = Callable[[], None]

#: The priority that is never refused, and goes first.
VITAL = b"vital"


class TimedJob:
    """A job that waits, and what to do if it waits too long."""

    __slots__ = ("job", "priority", "refuse", "since", "source")

    def __init__(self, job: Job, priority: bytes, refuse: Job, source: str | None = None) -> None:
        self.job = job
        self.priority = priority
        #: The address that counts for its client, if there is one.
        self.source = source
        #: Called in place of the job, on any thread.
        self.refuse = refuse
        self.since = perf_counter()


class TimedJobs:
    """The jobs that wait: the vital ones, and then the others in the order in which they came.

    Work that no client waits for has its turn among the others, and no limit on its time. While the queue is
    overloaded, an address with more than its share of the others is refused first. The caller holds a lock.
    """

    def __init__(self, overload: Overload) -> None:
        self._congestion = Congestion(overload)
        self._vital: deque[TimedJob] = deque()
        self._others: deque[TimedJob] = deque()
        self._shares = Shares()
        #: The work that no client waits for, each with its time.
        self._unhurried: deque[tuple[float, Job]] = deque()

    def __len__(self) -> int:
        return len(self._vital) + len(self._others) + len(self._unhurried)

    def room_taken_by_others(self, priority: bytes) -> int:
        """Returns how many of the waiting jobs do not count for the limit on jobs of this priority."""
        return len(self._others) if priority == VITAL else 0

    def admits(self, priority: bytes, waiting: int, source: str | None = None) -> bool:
        """Returns `True` if a job may join `waiting` others; -1 if a thread takes the job at once."""
        if waiting < 0:
            self._congestion.note_idle()
            return True
        oldest = perf_counter() - self._others[0].since if self._others else 0.0
        if (
            source is not None
            and priority != VITAL
            and self._shares.is_over(source)
            and self._congestion.is_overloaded
        ):
            priority = b"low"
        return self._congestion.admits(priority, waiting, oldest)

    def put(self, job: TimedJob) -> None:
        """Adds a job."""
        if job.priority == VITAL:
            self._vital.append(job)
            return
        self._others.append(job)
        if job.source is not None:
            self._shares.add(job.source)

    def put_unhurried(self, job: Job) -> None:
        """Adds work that no client waits for."""
        self._unhurried.append((perf_counter(), job))

    def take_late(self) -> list[TimedJob]:
        """Takes the jobs out that have waited too long, although no thread is free for them."""
        late = []
        while self._others and not self._may_wait(self._others[0]):
            late.append(self._next())
        return late

    def _next(self) -> TimedJob:
        """Takes the first of the others."""
        job = self._others.popleft()
        if job.source is not None:
            self._shares.remove(job.source)
        return job

    def take(self) -> tuple[Job | None, list[TimedJob]]:
        """Takes the next job that may begin, and those before it that have waited too long."""
        if self._vital:
            return self._vital.popleft().job, []
        late = self.take_late()
        if self._unhurried and not (self._others and self._others[0].since < self._unhurried[0][0]):
            return self._unhurried.popleft()[1], late
        if not self._others:
            return None, late
        timed = self._next()
        self._congestion.note_start(perf_counter() - timed.since)
        return timed.job, late

    def clear(self) -> None:
        """Drops all jobs."""
        self._vital.clear()
        self._others.clear()
        self._shares = Shares()
        self._unhurried.clear()

    def _may_wait(self, job: TimedJob) -> bool:
        return self._congestion.may_start(job.priority, perf_counter() - job.since)
