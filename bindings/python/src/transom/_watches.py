"""Has an event loop call functions while descriptors of the library are ready."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable

from transom._thread import SimpleQueue, start_thread
from transom._waiter import Waiter


class Watches:
    """The descriptors of the library that an event loop watches.

    A loop that cannot watch them has a thread for each: on Windows they are handles of events, which no loop
    takes for a socket, and elsewhere a loop may know no `add_reader`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads: dict[int, _Watch] = {}

    def add(self, descriptor: int, function: Callable[[], object]) -> None:
        """Calls `function` in the loop while `descriptor` is ready.

        Call it in the loop's thread or before the loop runs. Raises what the loop raises, or
        `SystemCallError` if there is no thread.
        """
        if sys.platform != "win32":
            try:
                self._loop.add_reader(descriptor, function)
            except NotImplementedError:
                pass
            else:
                return
        watch = _Watch(self._loop, descriptor, function)
        watch.start()
        self._threads[descriptor] = watch

    def remove(self, descriptor: int) -> None:
        """Ends the calls. The descriptor may be closed then. Call it in the loop's thread."""
        watch = self._threads.pop(descriptor, None)
        if watch is not None:
            watch.end()
        elif sys.platform != "win32":
            try:
                self._loop.remove_reader(descriptor)
            except NotImplementedError:
                pass  # Its thread has ended.

    def close(self) -> None:
        """Ends the threads that are left. Call it in the loop's thread, or when the loop does not run."""
        while self._threads:
            self._threads.popitem()[1].end()


class _Watch:
    """A thread that waits for a descriptor, and has the loop call a function then, one call at a time."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, function: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._function = function
        self._waiter = Waiter(descriptor)
        #: Whether the thread goes on, after each call.
        self._called: SimpleQueue[bool] = SimpleQueue()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="transom-watch", daemon=True)

    def start(self) -> None:
        try:
            start_thread(self._thread)
        except BaseException:
            self._waiter.close()
            raise

    def _run(self) -> None:
        while self._waiter.wait():
            try:
                self._loop.call_soon_threadsafe(self._call)
            except RuntimeError:
                return  # The loop is closed.
            if not self._called.get():
                return

    def _call(self) -> None:
        # A call that was under way when the watch ended comes to nothing.
        if self._is_over:
            return
        try:
            self._function()
        finally:
            self._called.put(not self._is_over)

    def end(self) -> None:
        """Ends the thread. The function is not called afterwards."""
        self._is_over = True
        self._called.put(False)
        self._waiter.end()
        # It waits for nothing any more.
        self._thread.join()
        self._waiter.close()
