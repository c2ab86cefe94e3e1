"""A thread's start, which the system may refuse."""

from __future__ import annotations

import threading

from transom import _native as native
from transom._errors import make


def start_thread(thread: threading.Thread) -> None:
    """Starts it. Raises `SystemCallError` if there are no threads left, or the interpreter is ending."""
    try:
        thread.start()
    except RuntimeError as error:
        raise make(native.IO, f"thread {thread.name} could not be started: {error}") from error


def join_thread(thread: threading.Thread, timeout: float) -> bool:
    """Waits for its end up to `timeout` seconds; `False` unless it has certainly ended."""
    try:
        thread.join(timeout)
    except RuntimeError:
        # Its start was interrupted: whether it runs is not known.
        return False
    return not thread.is_alive()
