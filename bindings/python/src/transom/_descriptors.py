"""Descriptors for the library: those of Python, and on Windows the handles behind them."""

from __future__ import annotations

import os
import sys

#: The flags to open a file for reading, without waiting for the other end of a named pipe. Python's own
#: `os.open` sees to it that no other process inherits the descriptor.
READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

if sys.platform == "win32":
    # The library may have another C runtime than Python: its numbers mean nothing there.
    from msvcrt import get_osfhandle
    from multiprocessing.reduction import duplicate

    def lent(descriptor: int) -> int:
        """Returns an open file as the library takes it, which stays the caller's."""
        return get_osfhandle(descriptor)

    def given(descriptor: int) -> int:
        """Returns a copy of an open file, which the library closes."""
        return int(duplicate(get_osfhandle(descriptor)))

else:
    #: Returns a copy of an open file, which the library closes.
    given = os.dup

    def lent(descriptor: int) -> int:
        """Returns an open file as the library takes it, which stays the caller's."""
        return descriptor
