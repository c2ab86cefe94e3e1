"""The stream `wsgi.errors`: each line of it is logged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

_log = logging.getLogger("transom.wsgi")
#: The most characters that wait for the end of their line.
_LONGEST = 64 * 1024


class ErrorLog:
    """A text stream that logs what is written, line by line, to the logger `transom.wsgi`.

    Any thread may use it. The lines of different threads are not mixed.
    """

    def __init__(self) -> None:
        self._own = threading.local()

    def write(self, text: str) -> int:
        """Logs the lines that are complete, and keeps the rest until its end is written."""
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, got {type(text).__name__}")
        *lines, rest = (getattr(self._own, "rest", "") + text).split("\n")
        if len(rest) > _LONGEST:
            lines, rest = [*lines, rest], ""
        self._own.rest = rest
        for line in lines:
            _log.error("%s", line)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each of the texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Logs a line that is not complete."""
        rest: str = getattr(self._own, "rest", "")
        if rest:
            self._own.rest = ""
            _log.error("%s", rest)
