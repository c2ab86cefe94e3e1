"""The place of one process of `Processes`, and when it is filled again."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # multiprocessing is loaded only when it is needed.
    from transom._worker import Worker

#: A process that ends within so many seconds of serving, or before, is replaced later and later.
_STEADY = 10.0
_FIRST_DELAY = 0.1
#: The longest time before a process is replaced, in seconds.
LONGEST_DELAY = 30.0

_log = logging.getLogger("transom")


class Slot:
    """The place of one process: who serves there, and when the next one starts if nobody does."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.due: float | None = None
        #: How many processes have ended early here, one after another.
        self.failures = 0

    def seat(self, worker: Worker, is_stopping: bool) -> Worker | None:
        """Takes a process that serves in place of the one that is here, and returns that."""
        old, self.worker = self.worker, worker
        self.due, self.failures = None, 0
        if worker.ended.is_set():
            # Nobody has noticed here, because the process had no place yet.
            self.note_end(worker, is_stopping)
        return old

    def note_end(self, worker: Worker, is_stopping: bool) -> None:
        """Decides when the process of this place, which has ended, is replaced."""
        self.worker = None
        if is_stopping:
            return
        lived = monotonic() - worker.ready_at if worker.serves.is_set() else 0.0
        self.failures = 0 if lived >= _STEADY else self.failures + 1
        delay = _delay(self.failures)
        self.due = monotonic() + delay
        _log.warning(
            "process %d has ended (%s); another one starts in %.3g s",
            worker.pid,
            worker.failure or worker.outcome,
            delay,
        )


def _delay(failures: int) -> float:
    """Returns how long a place stays empty after so many processes that ended early, in seconds."""
    return min(LONGEST_DELAY, _FIRST_DELAY * 2 ** min(failures - 1, 20)) if failures else 0.0
