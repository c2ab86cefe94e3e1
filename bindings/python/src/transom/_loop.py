"""Asynchronous handlers on an event loop: on that of `LoopThread`, or on the host's."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from time import perf_counter
from typing import Any

from transom import _native as native
from transom._background import Work
from transom._batch import Inbox, Outbox, record
from transom._dispatch import Dispatcher
from transom._events import Events
from transom._headers import TEXT, content_type_line
from transom._http_error import ClientGoneError
from transom._lag import Lag
from transom._native import quick
from transom._packed import Parts
from transom._pending import Pending
from transom._request import Request
from transom._response import Response
from transom._result import from_value
from transom._route import Route
from transom._sse import AsyncLines
from transom._watches import Watches
from transom._writer import Writer, as_bytes

_TEXT_BLOCK = content_type_line(TEXT)
#: The number of chunks after which a stream lets other tasks run.
_TURN = 64
_log = logging.getLogger("transom")
if sys.version_info >= (3, 12):
    #: An eager task runs up to its first wait when it is created. One that never waits costs little.
    _make_task = partial(asyncio.Task, eager_start=True)
elif sys.version_info >= (3, 11):
    _make_task = asyncio.Task
else:

    def _make_task(work: Any, loop: asyncio.AbstractEventLoop, context: Context) -> asyncio.Task[None]:
        """Makes a task that runs in a copy of `context`. Tasks take a context since CPython 3.11."""
        return context.run(lambda: asyncio.Task(work, loop=loop))


class LoopSide:
    """The server's part in an event loop: it runs handlers as tasks, and pulls requests after `pull`."""

    def __init__(self, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        #: Set when the library has stopped and no requests are left.
        self.ended = asyncio.Event()
        self._dispatcher = dispatcher
        #: The events of requests in this loop.
        self.events = Events(dispatcher.stopping, dispatcher.background)
        self._watches = Watches(loop)
        self._readers: list[tuple[int, Events]] = []
        self._listen(self.events)
        self._inbox = Inbox(dispatcher.handle, self.events, quick)
        self._outbox = Outbox(dispatcher.handle)
        #: The jobs of requests that are not over.
        self._waiting = dispatcher.background.waiting
        self._tasks: set[asyncio.Task[None]] = set()
        #: The tasks that have just begun, with their requests.
        self._begun: list[tuple[asyncio.Task[None], Request]] = []
        #: What other threads have posted, each with its time.
        self._posted: list[tuple[float, list[tuple[Route, Request]]]] = []
        self._post = threading.Lock()
        #: The requests that wait for the loop, if the time is limited that they wait.
        overload = dispatcher.handle.overload
        self._lag = None if overload is None else Lag(dispatcher.handle, overload)
        #: `True` while a flush is scheduled, or the caller will flush.
        self._flushing = False
        self._closing = False

    def _listen(self, events: Events) -> None:
        """Delivers events in the loop from now on. Call it in the loop's thread or before the loop runs."""
        try:
            fd = events.fd
            self._watches.add(fd, events.deliver)
            events.loop = self.loop
        except BaseException:
            events.free()
            raise
        self._readers.append((fd, events))

    def _unlisten(self) -> None:
        for fd, events in self._readers:
            self._watches.remove(fd)
            events.close()
        self._readers.clear()
        self._watches.close()

    def discard(self) -> None:
        """Frees the events after a failed start, when the loop does not run."""
        self._unlisten()
        self.events.free()

    def pull(self) -> None:
        """Pulls requests from now on, until the library has stopped. Then `ended` is set.

        Call it in the loop's thread or before the loop runs. Raises `SystemCallError` if there
        is no descriptor, or what the loop raises if it cannot watch the descriptor.
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
                    self._watches.remove(fd)
                    self.ended.set()

            self._watches.add(fd, readable)
        except BaseException:
            self.discard()
            raise

    def _take_batch(self, requests: list[Request]) -> None:
        dispatcher = self._dispatcher
        self._flushing = True
        began = perf_counter()
        for request in requests:
            route = dispatcher.routes[request._route_id]
            if route.is_host:
                self._begin(route.handler(request), dispatcher.context.copy())  # type: ignore[arg-type]
            elif route.is_async or route.in_place:
                self._begin(self._run(route, request), dispatcher.context.copy(), request)
            else:
                dispatcher.submit(route, request)
        self._flush()
        self._inbox.note_duration(len(requests), perf_counter() - began)

    def post(self, handed: list[tuple[Route, Request]]) -> None:
        """Runs the handlers of requests that another thread has pulled."""
        now = 0.0
        if self._lag is not None:
            handed, now = self._lag.admitted(handed)
        with self._post:
            first = not self._posted
            self._posted.append((now, handed))
        if first:
            self._call(self._take_posted)

    def _take_posted(self) -> None:
        with self._post:
            posted, self._posted = self._posted, []
        self._flushing = True
        context = self._dispatcher.context
        for since, handed in posted:
            for route, request in handed:
                if route.is_host:
                    self._begin(self._host(route, request, since), context.copy())
                else:
                    self._begin(self._run(route, request, since=since), context.copy(), request)
        self._flush()

    def stream(self, route: Route, request: Request, response: Response, context: Context) -> None:
        """Sends a response whose chunks come from an asynchronous iterator. Called on other threads."""
        self._call(lambda: self._begin(self._send(route, request, response), context))

    def wait_for(self, route: Route, request: Request, pending: Pending, context: Context) -> None:
        """Awaits what a plain handler has returned, and answers with the result. Called on other threads."""
        if not self._call(lambda: self._begin(self._run(route, request, pending), context, request)):
            pending.close()
            self._dispatcher.background.release(request._token)

    def work(self, job: Work, then: Callable[[], None], pending: Pending | None = None) -> bool:
        """Runs work after a response, or awaits what it has returned, and calls `then` at its end.

        Called on any thread. Returns `False` if the loop is closed.
        """
        if self._call(lambda: self._begin(self._work(job, then, pending), job.context)):
            return True
        if pending is not None:
            pending.close()
        return False

    def begin(self, make: Callable[[], Coroutine[Any, Any, None]], context: Context) -> bool:
        """Runs a coroutine as a task. Called on any thread. Returns `False` if the loop is closed."""
        return self._call(lambda: self._begin(make(), context))

    async def _work(self, job: Work, then: Callable[[], None], pending: Pending | None) -> None:
        try:
            value = job.call() if pending is None else pending.awaitable
            while hasattr(value, "__await__"):
                value = await value
        except BaseException as error:
            if self._closing:
                raise
            self._dispatcher.job_failed(job, error)
        then()

    def _call(self, function: Callable[[], object]) -> bool:
        """Calls a function in the loop. Returns `False` if the loop is closed, and with it all clients."""
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
        # The loop holds only weak references to tasks.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if request is not None:
            if not self._begun:
                self.loop.call_soon(self._watch_begun)
            self._begun.append((task, request))

    def _watch_begun(self) -> None:
        """Lets waiting handlers be cancelled once their requests are over."""
        begun, self._begun = self._begun, []
        for task, request in begun:
            if not task.done() and not request._presence.has_hook:
                request._presence.set_hook(self._in_loop(partial(self._cancel, task, request)))

    def _cancel(self, task: asyncio.Task[None], request: Request) -> None:
        """Cancels a task of a request that is over. One that waits for the body gets an exception from it."""
        if not self.events.wake_reader(request._token):
            task.cancel()

    def _in_loop(self, function: Callable[[], object]) -> Callable[[], None]:
        """Returns a function that calls `function` in the loop, from any thread."""

        def call() -> None:
            # The events of a request that another thread has pulled come on that thread.
            if asyncio._get_running_loop() is self.loop:
                function()
            else:
                self._call(function)

        return call

    async def _run(
        self, route: Route, request: Request, pending: Pending | None = None, since: float = 0.0
    ) -> None:
        """Runs the handler, or awaits what it has returned, and answers with the result.

        `since` is when the request was posted, if the time is limited that it waits.
        """
        if since and self._lag is not None and not self._lag.lets_start(route, request, since):
            return
        dispatcher = self._dispatcher
        value: Any
        request._events = self.events
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
                # Another plain handler is running, and the loop must not wait for it.
                dispatcher.submit(route, request)
                return
            # A decorator may return a coroutine that it has not awaited.
            while hasattr(value, "__await__"):
                value = await value
            if type(value) is str:
                parts = 200, _TEXT_BLOCK, value.encode("utf-8", "surrogateescape")
            else:
                response = from_value(value)
                if response._jobs is not None:
                    dispatcher.background.add(request._token, response._jobs)
                if isinstance(response._chunks, AsyncIterator):
                    await self._send(route, request, response)
                    return
                if response._chunks is not None:
                    dispatcher.stream(route, request, response, copy_context())
                    return
                parts = response._parts
        except BaseException as error:
            if self._closing:
                raise
            if isinstance(error, asyncio.CancelledError) and request._presence.is_over:
                _log.debug(
                    "a handler was cancelled: no client waits for the response to %r any more", request
                )
                dispatcher.background.release(request._token)
                return
            parts = dispatcher.failure(route, request, error)
        request._end()
        self._outbox.pieces.extend(record(request._token, parts))
        if self._waiting and request._token in self._waiting:
            self._outbox.flush()
            dispatcher.background.release(request._token)
        elif not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    async def _host(self, route: Route, request: Request, since: float) -> None:
        """Calls a handler that sends its response by itself, for a request that another thread has pulled."""
        if not since or self._lag is None or self._lag.lets_start(route, request, since):
            await route.handler(request)  # type: ignore[misc]

    def answer(self, token: int, parts: Parts, flags: int = 0) -> None:
        """Sends a response with those of the other requests in this turn of the loop. Call it in the loop."""
        self._outbox.pieces.extend(record(token, parts, flags))
        if not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)

    async def _send(self, route: Route, request: Request, response: Response) -> None:
        """Sends the chunks of an asynchronous iterator, while the client reads them."""
        chunks: Any = response._chunks
        task: Any = asyncio.current_task()
        writer = Writer(request, response, self.events)
        left = ended = False
        beat = None

        def leave() -> None:
            nonlocal left
            if not ended and not left:
                left = True
                self._cancel(task, request)

        def probe() -> None:
            writer.begin()
            if writer.is_over:
                leave()

        try:
            if response._prompt:
                writer.begin()
            else:
                request._presence.probe = self._in_loop(probe)
            request._presence.set_hook(self._in_loop(leave))
            source: Any = chunks
            convert: Callable[[Any], bytes] = as_bytes
            if isinstance(chunks, AsyncLines):
                # Its own steps would be one more coroutine for each event.
                source, convert = chunks.events, chunks.line
                beat = self._dispatcher.keep_alive.add(chunks, writer)
            first = b"" if response._prompt else as_bytes(await anext(chunks, b""))
            # A body that has just begun has room.
            if writer.begin(first):
                count = 0
                async for chunk in source:
                    data = convert(chunk)
                    if data:
                        # Mostly there is room, and a call takes less time than a coroutine.
                        taken = writer.try_write(data)
                        if not (await writer.write_later(data) if taken is None else taken):
                            break
                    count += 1
                    if count % _TURN == 0:
                        # An iterator that never waits must not keep other tasks from running.
                        await asyncio.sleep(0)
                else:
                    writer.finish()
        except BaseException as error:
            if self._closing:
                raise
            if not (left and isinstance(error, (asyncio.CancelledError, ClientGoneError))):
                self._dispatcher.stream_failed(route, request, error, writer)
        finally:
            # The clean-up of the iterator is not cancelled.
            ended = True
            request._end()
            if beat is not None:
                beat.end()
            writer.abort()
            await _close(chunks, task if left else None)
            self._dispatcher.background.release(request._token)

    def _flush(self) -> None:
        self._flushing = False
        self._outbox.flush()

    @property
    def is_closing(self) -> bool:
        """`True` once the tasks that are left are being cancelled."""
        return self._closing

    async def drain(self, grace: float) -> None:
        """Waits up to `grace` seconds for the tasks that are left, then cancels them. Runs in the loop."""
        for is_last in (False, True):
            tasks = self._tasks - {asyncio.current_task()}
            if not tasks:
                return
            if is_last:
                self._closing = True
                for task in tasks:
                    task.cancel()
            await asyncio.wait(tasks, timeout=grace)

    async def close(self) -> None:
        """Cancels the tasks that still run after the server has stopped. Runs in the loop."""
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._unlisten()


async def _close(chunks: Any, cancelled: asyncio.Task[None] | None) -> None:
    if cancelled is not None and sys.version_info >= (3, 11):
        # The clean-up may use `asyncio.timeout`, which fails in a task that is being cancelled.
        cancelled.uncancel()
    close = getattr(chunks, "aclose", None)
    if close is not None:
        try:
            await close()
        except Exception:
            _log.exception("closing a stream failed")
