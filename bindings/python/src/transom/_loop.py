"""Asynchronous handlers on an event loop: one of ours on its own thread, or the host's."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from transom import _native as native
from transom._batch import Inbox, Outbox, record
from transom._dispatch import Dispatcher
from transom._events import Events
from transom._headers import TEXT, content_type_line
from transom._native import quick
from transom._request import Request
from transom._response import Pending, Response
from transom._result import from_value
from transom._route import Route
from transom._thread import join_thread, start_thread
from transom._writer import Writer, as_bytes

_TEXT_BLOCK = content_type_line(TEXT)
#: Chunks of a stream after which others have their turn in the loop.
_TURN = 64
_log = logging.getLogger("transom")
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
        #: What the library tells of requests in this loop.
        self.events = Events()
        self._readers: list[tuple[int, Events]] = []
        self._listen(self.events)
        self._inbox = Inbox(dispatcher.handle, self.events, quick)
        self._outbox = Outbox(dispatcher.handle)
        self._tasks: set[asyncio.Task[None]] = set()
        #: Those that have just begun, with their requests.
        self._begun: list[tuple[asyncio.Task[None], Request]] = []
        self._posted: list[tuple[Route, Request]] = []
        self._post = threading.Lock()
        #: Whether a flush will come without being asked for.
        self._flushing = False
        self._closing = False

    def _listen(self, events: Events) -> None:
        """Delivers events in the loop from now on, in its thread or before it runs."""
        try:
            fd = events.fd
            self.loop.add_reader(fd, events.deliver)
        except BaseException:
            events.free()
            raise
        self._readers.append((fd, events))

    def _unlisten(self) -> None:
        for fd, events in self._readers:
            self.loop.remove_reader(fd)
            events.close()
        self._readers.clear()

    def discard(self) -> None:
        """Frees what it has in a loop that does not run it: its start has failed."""
        self._unlisten()
        self.events.free()

    def pull(self) -> None:
        """Pulls requests from now on, until the library has stopped: then `ended` is set.

        In the loop's thread, or before the loop runs. Raises `SystemCallError` or what the
        loop raises if its descriptor cannot be had or waited for.
        """
        try:
            fd = self._dispatcher.handle.event_fd
            self._dispatcher.events.follow_log()
            self._listen(self._dispatcher.events)

            def readable() -> None:
                requests = self._inbox.pull(0)
                if requests:
                    self._take_batch(requests)
                elif self._inbox.status not in (native.TIMEOUT, native.WOULD_BLOCK):
                    self.loop.remove_reader(fd)
                    self.ended.set()

            self.loop.add_reader(fd, readable)
        except BaseException:
            self.discard()
            raise

    def _take_batch(self, requests: list[Request]) -> None:
        dispatcher = self._dispatcher
        self._flushing = True
        for request in requests:
            route = dispatcher.routes[request.route_id]
            if route.is_async or route.in_place:
                self._begin(self._run(route, request), dispatcher.context.copy(), request)
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
            self._begin(self._run(route, request), context.copy(), request)
        self._flush()

    def stream(self, route: Route, request: Request, response: Response, context: Context) -> None:
        """Takes over a response that comes in chunks asynchronously, from another thread."""
        self._call(lambda: self._begin(self._send(route, request, response), context))

    def wait_for(self, route: Route, request: Request, pending: Pending, context: Context) -> None:
        """Awaits what a plain handler has returned, from another thread, and answers."""
        if not self._call(lambda: self._begin(self._run(route, request, pending), context, request)):
            pending.close()

    def _call(self, function: Callable[[], object]) -> bool:
        """Calls it in the loop; `False` if the loop is closed: nobody waits for an answer any more."""
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True

    def _begin(
        self, work: Coroutine[Any, Any, None], context: Context, request: Request | None = None
    ) -> None:
        task = _make_task(work, loop=self.loop, context=context)
        if task.done():
            return
        # The loop itself holds tasks only weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if request is not None:
            if not self._begun:
                self.loop.call_soon(self._watch_begun)
            self._begun.append((task, request))

    def _watch_begun(self) -> None:
        """Has handlers cancelled that wait for something when nobody waits for them any more."""
        begun, self._begun = self._begun, []
        for task, request in begun:
            if not task.done() and not request.presence.has_hook:
                request.presence.set_hook(self._in_loop(task.cancel))

    def _in_loop(self, function: Callable[[], object]) -> Callable[[], None]:
        """A function that calls that one in the loop."""

        def call() -> None:
            # Of a request that came by another thread, that may be told.
            if asyncio._get_running_loop() is self.loop:
                function()
            else:
                self._call(function)

        return call

    async def _run(self, route: Route, request: Request, pending: Pending | None = None) -> None:
        """Answers with what the handler returns, or with what it has returned to be awaited."""
        dispatcher = self._dispatcher
        value: Any
        request.events = self.events
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
            if isinstance(error, asyncio.CancelledError) and request.presence.is_over:
                _log.debug("a handler was cancelled: nobody waits for the answer to %r any more", request)
                return
            parts = dispatcher.failure(route, request, error)
        request.end()
        self._outbox.pieces.extend(record(request.token, parts))
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    async def _send(self, route: Route, request: Request, response: Response) -> None:
        """Sends a response whose chunks come asynchronously, as long as somebody reads them."""
        chunks: Any = response.chunks
        task: Any = asyncio.current_task()
        writer = Writer(request, response, self.events)
        left = ended = False

        def leave() -> None:
            nonlocal left
            if not ended and not left:
                left = True
                task.cancel()

        def probe() -> None:
            writer.begin()
            if writer.is_over:
                leave()

        try:
            if response.prompt:
                writer.begin()
            else:
                request.presence.probe = self._in_loop(probe)
            request.presence.set_hook(self._in_loop(leave))
            first = b"" if response.prompt else as_bytes(await anext(chunks, b""))
            writer.begin()
            if not first or await writer.write_async(first):
                count = 0
                async for chunk in chunks:
                    data = as_bytes(chunk)
                    if data and not await writer.write_async(data):
                        break
                    count += 1
                    if count % _TURN == 0:
                        # Chunks that are all at hand keep nobody else from the loop.
                        await asyncio.sleep(0)
                else:
                    writer.finish()
        except BaseException as error:
            if self._closing:
                raise
            if not (left and isinstance(error, asyncio.CancelledError)):
                self._dispatcher.stream_failed(route, request, error, writer)
        finally:
            # What it does at its end is not interrupted.
            ended = True
            request.end()
            writer.abort()
            await _close(chunks, task if left else None)

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
        self._unlisten()


async def _close(chunks: Any, cancelled: asyncio.Task[None] | None) -> None:
    if cancelled is not None and sys.version_info >= (3, 11):
        # Its end may take timeouts of its own.
        cancelled.uncancel()
    close = getattr(chunks, "aclose", None)
    if close is not None:
        try:
            await close()
        except Exception:
            _log.exception("closing a stream failed")


class LoopThread:
    """An event loop on a thread of its own; if `pulls`, it pulls requests.

    Raises `SystemCallError` or what asyncio raises if it cannot be; then nothing is left of it.
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

    def close(self, timeout: float) -> bool:
        """Ends the loop; `False` if something keeps it busy for longer than `timeout` seconds."""
        try:
            self._loop.call_soon_threadsafe(self._loop.stop)
        except RuntimeError:
            pass  # closed already
        return join_thread(self._thread, timeout)
