"""Starting and joining threads, and the check that they are real ones."""

from __future__ import annotations

import _thread
import selectors
import sys
import threading

# gevent replaces the classes in `queue` by others that do not work between threads.
from _queue import Empty as Empty
from _queue import SimpleQueue as SimpleQueue

from transom import _native as native
from transom._errors import make

if sys.platform == "linux":
    import resource

#: The address space that must be left for another thread, in bytes: 8 MiB for its stack, 64 MiB that glibc
#: sets aside for its allocations (`HEAP_MAX_SIZE` in malloc/arena.c), and 8 MiB for everything else.
_ROOM = (8 + 64 + 8) << 20


def start_thread(thread: threading.Thread) -> None:
    """Starts a thread.

    Raises `SystemCallError` if the system has no threads left, if the interpreter is exiting, or
    if `threading` starts green threads: one that waits in the library would block all others.
    """
    _expect_real_threads()
    try:
        thread.start()
    except RuntimeError as error:
        raise make(native.IO, f"thread {thread.name} could not be started: {error}") from error


def start_another_thread(thread: threading.Thread) -> None:
    """Starts a thread that the others can do without.

    Raises `SystemCallError` also if the process has a limit on its address space, and too little is left.
    """
    left = _address_space_left()
    if left is not None and left < _ROOM:
        reason = f"{left} bytes of address space are left"
        raise make(native.IO, f"thread {thread.name} could not be started: {reason}")
    start_thread(thread)


def _address_space_left() -> int | None:
    """Returns how many bytes the process may still map; `None` without a limit, or if nobody tells."""
    if sys.platform != "linux":
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        # The first number is the size of the whole program, in pages (proc_pid_statm(5)).
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[0])
    except OSError:
        return None
    return limit - pages * resource.getpagesize()


def join_thread(thread: threading.Thread, timeout: float) -> bool:
    """Waits up to `timeout` seconds for a thread. Returns `True` if it has certainly ended."""
    try:
        thread.join(timeout)
    except RuntimeError:
        # The start was interrupted, so it is not known whether the thread runs.
        return False
    return not thread.is_alive()


def expect_real_loop() -> None:
    """Raises `SystemCallError` if an event loop cannot wait on a thread of its own."""
    _expect_real_threads()
    _expect_real("selectors", selectors.DefaultSelector, "select")


def _expect_real_threads() -> None:
    _expect_real("threads", _thread.start_new_thread, "thread")


def _expect_real(what: str, found: object, option: str) -> None:
    # Debuggers replace these functions too, by equivalent ones.
    replacer = (getattr(found, "__module__", None) or "").partition(".")[0]
    if replacer in ("gevent", "eventlet"):
        message = (
            f"{replacer} has replaced the {what} of this process by monkey patching, and the server needs "
            f"the real ones: run it in a process of its own, or patch with {option}=False"
        )
        raise make(native.IO, message)
