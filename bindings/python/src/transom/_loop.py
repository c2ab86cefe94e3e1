"""Asynchronous handlers on an event loop: one of ours on its own thread, or the host's."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from transom import _native as native
from transom._batch import Inbox, Outbox, record
from transom._dispatch import Dispatcher
from transom._native import quick
from transom._request import Request
from transom._response import TEXT, Pending, Response, content_type_line, from_value
from transom._route import Route
from transom._thread import join_thread, start_thread
from transom._writer import Writer, as_bytes

_TEXT_BLOCK = content_type_line(TEXT)
if sys.version_info >= (3, 12):
    #: An eager task runs up to its first wait when it is made, and costs little if it ends there.
    _make_task = partial(asyncio.Task, eager_start=True)
elif sys.version_info >= (3, 11):
    _make_task = asyncio.Task
else:

    def _make_task(work: Any, loop: asyncio.AbstractEventLoop, context: Context) -> asyncio.Task[None]:
        """A task that runs in a copy of `context`: it cannot be given one before CPython 3.11."""
        return context.run(lambda: asyncio.Task(work, loop=loop))


class LoopSide:
    """Runs asynchronous handlers as tasks of `loop`, and pulls requests there if told to."""

    def __init__(self, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        #: Set when there will be no more requests to pull.
        self.ended = asyncio.Event()
        self._dispatcher = dispatcher
        self._inbox = Inbox(dispatcher.handle, quick)
        self._outbox = Outbox(dispatcher.handle)
        self._tasks: set[asyncio.Task[None]] = set()
        self._posted: list[tuple[Route, Request]] = []
        self._post = threading.Lock()
        #: Whether a flush will come without being asked for.
        self._flushing = False
        self._closing = False

    def pull(self) -> None:
        """Pulls requests from now on, until the library has stopped: then `ended` is set.

        In the loop's thread, or before the loop runs. Raises `SystemCallError` or what the
        loop raises if its descriptor cannot be had or waited for.
        """
        fd = self._dispatcher.handle.event_fd

        def readable() -> None:
            requests = self._inbox.pull(0)
            if requests:
                self._take_batch(requests)
            elif self._inbox.status not in (native.TIMEOUT, native.WOULD_BLOCK):
                self.loop.remove_reader(fd)
                self.ended.set()

        self.loop.add_reader(fd, readable)

    def _take_batch(self, requests: list[Request]) -> None:
        dispatcher = self._dispatcher
        self._flushing = True
        for request in requests:
            route = dispatcher.routes[request.route_id]
            if route.is_async or route.in_place:
                self._begin(self._run(route, request), dispatcher.context.copy())
            else:
                dispatcher.submit(route, request)
        self._flush()

    def post(self, handed: list[tuple[Route, Request]]) -> None:
        """Takes requests over from another thread."""
        with self._post:
            first = not self._posted
            self._posted += handed
        if first:
            self._call(self._take_posted)

    def _take_posted(self) -> None:
        with self._post:
            handed, self._posted = self._posted, []
        self._flushing = True
        context = self._dispatcher.context
        for route, request in handed:
            self._begin(self._run(route, request), context.copy())
        self._flush()

    def stream(self, route: Route, request: Request, response: Response, context: Context) -> None:
        """Takes over a response that comes in chunks asynchronously, from another thread."""
        self._call(lambda: self._begin(self._send(route, request, response), context))

    def wait_for(self, route: Route, request: Request, pending: Pending, context: Context) -> None:
        """Awaits what a plain handler has returned, from another thread, and answers."""
        if not self._call(lambda: self._begin(self._run(route, request, pending), context)):
            pending.close()

    def _call(self, function: Callable[[], None]) -> bool:
        """Calls it in the loop; `False` if the loop is closed: nobody waits for an answer any more."""
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True

    def _begin(self, work: Coroutine[Any, Any, None], context: Context) -> None:
        task = _make_task(work, loop=self.loop, context=context)
        if task.done():
            return
        # The loop itself holds tasks only weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, route: Route, request: Request, pending: Pending | None = None) -> None:
        """Answers with what the handler returns, or with what it has returned to be awaited."""
        dispatcher = self._dispatcher
        value: Any
        try:
            if pending is not None:
                value = pending.awaitable
            elif route.is_async or dispatcher.turn is None:
                value = route.handler(request)
            elif dispatcher.turn.acquire(False):
                try:
                    value = route.handler(request)
                finally:
                    dispatcher.turn.release()
            else:
                # Another plain handler runs: the loop does not wait for its end.
                dispatcher.submit(route, request)
                return
            # A decorator may return a coroutine where it has not awaited one.
            while hasattr(value, "__await__"):
                value = await value
            if type(value) is str:
                parts = 200, _TEXT_BLOCK, value.encode("utf-8", "surrogateescape")
            else:
                response = from_value(value)
                if isinstance(response.chunks, AsyncIterator):
                    await self._send(route, request, response)
                    return
                if response.chunks is not None:
                    dispatcher.stream(route, request, response, copy_context())
                    return
                parts = response.parts
        except BaseException as error:
            if self._closing:
                raise
            parts = dispatcher.failure(route, request, error)
        self._outbox.pieces.extend(record(request.token, parts))
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    async def _send(self, route: Route, request: Request, response: Response) -> None:
        """Sends a response whose chunks come asynchronously."""
        chunks: Any = response.chunks
        writer = None
        try:
            first = b"" if response.prompt else as_bytes(await anext(chunks, b""))
            writer = Writer(request.token, response)
            if not first or await writer.write_async(first):
                async for chunk in chunks:
                    data = as_bytes(chunk)
                    if data and not await writer.write_async(data):
                        break
                else:
                    writer.finish()
        except BaseException as error:
            if self._closing:
                raise
            self._dispatcher.stream_failed(route, request, error, writer)
        finally:
            if writer is not None:
                writer.abort()
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    def _flush(self) -> None:
        self._flushing = False
        self._outbox.flush()

    async def close(self) -> None:
        """Cancels what still runs: the server has stopped. In the loop."""
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class LoopThread:
    """An event loop on a thread of its own; if `pulls`, it pulls requests.

    Raises `SystemCallError` or what asyncio raises if it cannot be; then nothing is left of it.
    """

    def __init__(self, dispatcher: Dispatcher, pulls: bool, on_thread: Callable[[], None]) -> None:
        self._loop = asyncio.new_event_loop()
        self._on_thread = on_thread
        self._thread = threading.Thread(target=self._run, name="transom-loop", daemon=True)
        try:
            self.side = LoopSide(dispatcher, self._loop)
            if pulls:
                self.side.pull()
            start_thread(self._thread)
        except BaseException:
            if self._thread.is_alive():
                self._loop.call_soon_threadsafe(self._loop.stop)
            else:
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

    def close(self, timeout: float) -> bool:
        """Ends the loop; `False` if something keeps it busy for longer than `timeout` seconds."""
        try:
            self._loop.call_soon_threadsafe(self._loop.stop)
        except RuntimeError:
            pass  # closed already
        return join_thread(self._thread, timeout)
