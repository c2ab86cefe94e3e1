"""An event loop on a thread of the package."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from transom._dispatch import Dispatcher
from transom._loop import LoopSide
from transom._thread import join_thread, start_thread


class LoopThread:
    """An event loop on a thread of its own. With `pulls`, the loop also pulls requests.

    If it cannot be started, raises `SystemCallError` or what asyncio raises, and closes the loop.
    """

    def __init__(self, dispatcher: Dispatcher, pulls: bool, on_thread: Callable[[], None]) -> None:
        self._loop = asyncio.new_event_loop()
        self._on_thread = on_thread
        self._thread = threading.Thread(target=self._run, name="transom-loop", daemon=True)
        side: LoopSide | None = None
        try:
            side = self.side = LoopSide(dispatcher, self._loop)
            if pulls:
                side.pull()
            start_thread(self._thread)
        except BaseException:
            if self._thread.is_alive():
                self._loop.call_soon_threadsafe(self._loop.stop)
            else:
                if side is not None:
                    side.discard()
                self._loop.close()
            raise

    def _run(self) -> None:
        self._on_thread()
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(self.side.close())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def pull(self) -> None:
        """Pulls requests from now on. Raises what `LoopSide.pull` raises."""

        async def pull() -> None:
            self.side.pull()

        self.run(pull(), None)

    def run(self, awaitable: Awaitable[object], timeout: float | None) -> None:
        """Awaits something in the loop, for at most `timeout` seconds. Raises what it raises."""

        async def wait() -> None:
            await awaitable

        future = asyncio.run_coroutine_threadsafe(wait(), self._loop)
        try:
            future.result(timeout)
        except BaseException:
            future.cancel()
            raise

    def close(self, timeout: float) -> bool:
        """Ends the loop. Returns `False` if the loop is still busy after `timeout` seconds."""
        try:
            self._loop.call_soon_threadsafe(self._loop.stop)
        except RuntimeError:
            pass  # closed already
        return join_thread(self._thread, timeout)
