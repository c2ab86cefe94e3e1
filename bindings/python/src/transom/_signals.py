"""The signals that `Server.run` and `Processes.run` take, and the words for a slow stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from transom._thread import Empty, SimpleQueue

#: The longest that a wait lasts before Python's signal handlers may run, in seconds.
SLICE = 0.25


def say_what_is_finished(pending: int, left: float) -> None:
    """Prints why the program does not end yet after a signal."""
    number = "1 request or stream is" if pending == 1 else f"{pending} requests or streams are"
    line = f"stopping: {number} being finished, for at most {left:.3g} s; Ctrl-C or SIGTERM again cuts"
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        # Standard error is closed.
        pass


def wait_for_sign(signs: SimpleQueue[object]) -> object:
    """Waits for a sign and returns it. Python's signal handlers run meanwhile.

    The wait is in Python, because a wait in the library would delay signal handlers. The wait is
    in slices, because a signal ends a wait only if the system delivers the signal to this
    thread, and only after the wait has begun. The handler of a signal that another thread
    gets, or that arrives just before the system call, runs at the end of the slice.
    """
    while True:
        try:
            return signs.get(timeout=SLICE)
        except Empty:
            pass


@contextmanager
def signals_taken(
    signs: SimpleQueue[object], hurry: Callable[[], None], begin: Callable[[], None] | None = None
) -> Iterator[None]:
    """Puts each SIGINT and SIGTERM into `signs`, in the main thread only.

    The first calls `begin`, too, and each other one `hurry`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def handle(signum: int, _frame: object) -> None:
        nonlocal came
        if came:
            hurry()
        elif begin is not None:
            begin()
        came = True
        signs.put(signum)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def hangup_taken(restart: Callable[[], None]) -> Iterator[None]:
    """Calls `restart` for each SIGHUP, in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGHUP, lambda *_: restart())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before if before is not None else signal.SIG_DFL)
