"""The library's log messages, on their way to `logging.getLogger("transom")`."""

from __future__ import annotations

import logging
import threading
from ctypes import byref, c_int32, c_size_t, create_string_buffer

from transom import _native as native
from transom._native import quick

#: The level up to which the library keeps messages: 4 is debug. The logger's own level
#: decides what comes of them, also when it changes while a server runs.
LEVEL = 4
_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG}
#: The longest message, in bytes.
_LONGEST = 4096

_log = logging.getLogger("transom")


class _Pump:
    """Takes the messages in order, though several threads may be told of them."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._told = False
        self._level = c_int32()
        self._length = c_size_t()
        self._buffer = create_string_buffer(_LONGEST)

    def run(self) -> None:
        """Logs what waits. If another thread is at that, it goes on with what has come since."""
        self._told = True
        while self._told and self._turn.acquire(blocking=False):
            try:
                self._told = False
                self._log_all()
            finally:
                self._turn.release()

    def _log_all(self) -> None:
        arguments = byref(self._level), self._buffer, _LONGEST, byref(self._length)
        while quick.log_next(*arguments) == native.OK:
            level = _LEVELS.get(self._level.value, logging.DEBUG)
            if not _log.isEnabledFor(level):
                continue
            message = self._buffer.raw[: self._length.value].decode("utf-8", "replace")
            try:
                _log.log(level, "%s", message)
            except Exception:
                # Not even a log that fails may end the thread that is told of requests.
                pass


_pump = _Pump()


def log_all() -> None:
    """Passes on the messages that wait."""
    _pump.run()
