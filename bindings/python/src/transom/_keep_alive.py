"""Comments in streams of events whose iterators have had nothing for a while."""

from __future__ import annotations

import heapq
import threading
from itertools import count
from time import monotonic

from transom._errors import SystemCallError
from transom._sse import COMMENT, AsyncLines, Lines
from transom._thread import start_thread
from transom._writer import Writer


class Beat:
    """The comments of one stream, until `end`."""

    __slots__ = ("_lines", "_writer", "has_ended", "interval")

    def __init__(self, lines: Lines | AsyncLines, writer: Writer, interval: float) -> None:
        self._lines = lines
        self._writer = writer
        self.interval = interval
        self.has_ended = False

    def end(self) -> None:
        """Sends no more comments."""
        self.has_ended = True

    def tick(self, now: float) -> float:
        """Sends a comment if the iterator has had nothing for the interval. Returns when to ask again."""
        due = self._lines.since + self.interval
        if due > now:
            return due
        self._writer.write_now(COMMENT)
        return now + self.interval


class KeepAlive:
    """The thread that sends the comments. It starts with the first stream that wants them."""

    def __init__(self) -> None:
        #: When each stream is looked at again, as `monotonic` has it.
        self._due: list[tuple[float, int, Beat]] = []
        self._numbers = count()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, lines: Lines | AsyncLines, writer: Writer) -> Beat | None:
        """Sends comments in a stream from now on. Returns `None` if the stream wants none."""
        if lines.keep_alive is None:
            return None
        beat = Beat(lines, writer, lines.keep_alive)
        lines.since = monotonic()
        with self._change:
            if self._closed:
                return None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="transom-keep-alive", daemon=True)
                try:
                    start_thread(self._thread)
                except SystemCallError:
                    # The stream goes on without comments; a later one tries again.
                    self._thread = None
                    return None
            heapq.heappush(self._due, (lines.since + beat.interval, next(self._numbers), beat))
            self._change.notify()
        return beat

    def _run(self) -> None:
        with self._change:
            while not self._closed:
                now = monotonic()
                while self._due and self._due[0][0] <= now:
                    _, number, beat = heapq.heappop(self._due)
                    if not beat.has_ended:
                        heapq.heappush(self._due, (beat.tick(now), number, beat))
                self._change.wait(self._due[0][0] - now if self._due else None)

    def close(self) -> None:
        """Ends the thread."""
        with self._change:
            self._closed = True
            self._due.clear()
            self._change.notify()
