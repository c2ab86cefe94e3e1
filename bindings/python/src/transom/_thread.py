"""A thread's start, which the system may refuse; and the real ones, whatever has replaced them."""

from __future__ import annotations

import _thread
import selectors
import threading

# `queue` has others when gevent has patched it: they do not work between threads.
from _queue import Empty as Empty
from _queue import SimpleQueue as SimpleQueue

from transom import _native as native
from transom._errors import make


def start_thread(thread: threading.Thread) -> None:
    """Starts it.

    Raises `SystemCallError` if there are no threads left, the interpreter is ending, or
    what `threading` starts are no threads: one that waits in the library would stop all.
    """
    _expect_real_threads()
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


def expect_real_loop() -> None:
    """Raises `SystemCallError` if an event loop on a thread of its own cannot wait."""
    _expect_real_threads()
    _expect_real("selectors", selectors.DefaultSelector, "select")


def _expect_real_threads() -> None:
    _expect_real("threads", _thread.start_new_thread, "thread")


def _expect_real(what: str, found: object, option: str) -> None:
    # Others replace these too, such as debuggers, with what does the same.
    replacer = (getattr(found, "__module__", None) or "").partition(".")[0]
    if replacer in ("gevent", "eventlet"):
        message = (
            f"{replacer} has replaced the {what} of this process by monkey patching, and the server needs "
            f"the real ones: run it in a process of its own, or patch with {option}=False"
        )
        raise make(native.IO, message)
