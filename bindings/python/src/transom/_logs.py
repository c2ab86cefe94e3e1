"""The transfer of the library's log messages to `logging.getLogger("transom")`."""

from __future__ import annotations

import logging
import threading
from ctypes import byref, c_int32, c_size_t, create_string_buffer

from transom import _native as native
from transom._native import quick

#: The level up to which the library keeps messages: 4 is debug. The level of the Python logger
#: decides which are logged, also when it changes while a server runs.
LEVEL = 4
_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG}
#: The longest message, in bytes.
_LONGEST = 4096

_log = logging.getLogger("transom")


class _Pump:
    """The reader of messages. It keeps their order although several threads call it."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._told = False
        self._level = c_int32()
        self._length = c_size_t()
        self._buffer = create_string_buffer(_LONGEST)

    def run(self) -> None:
        """Logs the queued messages. If another thread is doing so, that thread logs the new ones too."""
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
                # A log handler of the host that fails must not end the thread that delivers events.
                pass


_pump = _Pump()


def log_all() -> None:
    """Logs the queued messages of the library."""
    _pump.run()
