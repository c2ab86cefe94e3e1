"""The way of a request to the thread pool or the event loop, and of a streamed response."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import nullcontext
from contextvars import Context, copy_context
from time import perf_counter
from typing import Any, Protocol

from transom import _native as native
from transom._background import Work, report
from transom._batch import answer
from transom._conditional import outcome
from transom._events import Events
from transom._file import FilePart
from transom._functions import name_of
from transom._handle import Handle
from transom._headers import block_without
from transom._http_error import ClientGoneError, HTTPError
from transom._keep_alive import KeepAlive
from transom._packed import Parts
from transom._pending import Answered, Pending
from transom._pool import Pool
from transom._ranges import byte_ranges
from transom._request import Request
from transom._response import Response
from transom._result import from_value
from transom._route import Route
from transom._shares import share_of
from transom._sse import Lines
from transom._timed_jobs import VITAL, Job, TimedJob
from transom._turn import InTurn
from transom._websocket_handshake import Handshake
from transom._wording import Wording
from transom._writer import Writer, as_bytes

_log = logging.getLogger("transom")


class Loop(Protocol):
    """An event loop, as the dispatcher uses it.

    `LoopSide` implements it. Its module imports this one, so this one cannot import it.
    """

    #: The events of requests whose handlers run in the loop.
    events: Events

    def post(self, handed: list[tuple[Route, Request]]) -> None:
        """Runs asynchronous handlers in the loop."""

    def stream(self, route: Route, request: Request, response: Response, context: Context) -> None:
        """Sends a response whose chunks come from an asynchronous iterator."""

    def work(self, job: Work, then: Callable[[], None], pending: Pending | None = None) -> bool:
        """Runs work after a response, and calls `then` at its end. Returns `False` if the loop is closed."""

    def begin(self, make: Callable[[], Coroutine[Any, Any, None]], context: Context) -> bool:
        """Runs a coroutine in the loop, and returns `False` if the loop is closed."""

    async def drain(self, grace: float) -> None:
        """Waits up to `grace` seconds for the tasks that are left, then cancels them. Runs in the loop."""

    def wait_for(self, route: Route, request: Request, pending: Pending, context: Context) -> None:
        """Awaits what a plain handler has returned, and answers with the result."""


class Dispatcher:
    """The dispatcher of one run of a server: it has the routes, the thread pool and the event loop."""

    def __init__(
        self,
        handle: Handle,
        routes: list[Route],
        pool: Pool,
        make_loop: Callable[[Dispatcher], Loop],
        on_fatal: Callable[[BaseException], None],
        wording: Wording,
        alone: bool = False,
    ) -> None:
        self.handle = handle
        #: The events of requests whose handlers run on no event loop, and of log messages.
        self.events = Events()
        #: Tells when the server begins to stop.
        self.stopping = self.events.stopping
        #: The work after responses.
        self.background = self.events.background
        self.background.begin = self._begin_job
        #: Called with each exception of a handler that nothing answers, before its client learns of it.
        self.on_failure: Callable[[BaseException], object] | None = None
        #: Runs the handler of a WebSocket connection. It is set before the server starts.
        self.connect: Callable[[Route, Request, Response, Context], None]
        #: The comments in streams of events.
        self.keep_alive = KeepAlive()
        self.routes = routes
        self.pool = pool
        self.on_fatal = on_fatal
        self.wording = wording
        #: The context in which the server was started. Each request runs in a copy of it.
        self.context = copy_context()
        #: Held by the plain handler that runs, if only one may run at a time.
        self.turn = threading.Lock() if alone else None
        self._make_loop = make_loop
        self._loop: Loop | None = None
        self._lock = threading.Lock()

    @property
    def loop(self) -> Loop:
        """The event loop. It is made when it is first needed."""
        with self._lock:
            if self._loop is None:
                self._loop = self._make_loop(self)
            return self._loop

    def free(self) -> None:
        """Frees the queues of events. The threads that used them have ended."""
        self.events.free()
        if self._loop is not None:
            self._loop.events.free()

    def submit(self, route: Route, request: Request) -> None:
        """Runs a plain handler on the pool. If this fails, the client gets an error response."""
        try:
            self.to_pool(request, route.priority, lambda: self._run(route, request))
        except Exception as error:
            self._fail([(route, request)], error)

    def to_pool(
        self, request: Request, priority: bytes, job: Job, on_late: Callable[[], object] | None = None
    ) -> bool:
        """Runs a job for a request on the pool. Returns `False` if the pool has no room for it.

        The client then has its response. It also gets that if the job waits too long: `on_late` is then
        called on any thread, in place of the job.
        """
        if self.pool.is_timed:

            def refuse() -> None:
                self.handle.refuse(request._token, native.REJECT_OVERLOADED)
                if on_late is not None:
                    on_late()

            refused = self.pool.submit_timed(TimedJob(job, priority, refuse, share_of(request.client)))
        else:
            refused = 0 if self.pool.submit(job) else native.REJECT_POOL_FULL
        if refused:
            self.handle.refuse(request._token, refused)
        return not refused

    def post(self, handed: list[tuple[Route, Request]]) -> None:
        """Runs asynchronous handlers on the loop. If this fails, the clients get error responses."""
        try:
            self.loop.post(handed)
        except Exception as error:
            self._fail(handed, error)

    def _fail(self, handed: list[tuple[Route, Request]], error: Exception) -> None:
        for _, request in handed:
            answer(self.handle, request._token, self.wording.server_error)
        for route, request in handed:
            self._report(route, request, error)

    def _run(self, route: Route, request: Request) -> None:
        context = self.context.copy()
        try:
            value = self._call(route, request, context)
            is_parts = route.gives_parts and type(value) is tuple
            response = Response._of_parts(value) if is_parts else from_value(value)
            if response._jobs is not None:
                self.background.add(request._token, response._jobs)
            if response._chunks is None:
                request._end()
                answer(self.handle, request._token, response._parts)
                self.background.release(request._token)
            elif isinstance(response._chunks, (FilePart, AsyncIterator, Pending, Answered)):
                self.stream(route, request, response, context)
            else:
                context.run(self._send, route, request, response)
        except BaseException as error:
            request._end()
            # A log handler may read the request's context.
            answer(self.handle, request._token, context.run(self.failure, route, request, error))
            self.background.release(request._token)

    def _call(self, route: Route, request: Request, context: Context) -> Any:
        with self.turn or nullcontext():
            begun = perf_counter()
            try:
                return context.run(route.handler, request)
            finally:
                route.ran_on_pool(perf_counter() - begun)

    def in_turn(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function while no other plain handler runs, if only one may run at a time."""
        with self.turn or nullcontext():
            return function(*arguments)

    def stream(self, route: Route, request: Request, response: Response, context: Context) -> None:
        """Sends a response whose body is not known yet. Anything that may wait runs on another thread.

        Each step of the body runs in `context`. The caller must have left that context.
        """
        if isinstance(response._chunks, Handshake):
            self.connect(route, request, response, context)
        elif isinstance(response._chunks, Answered):
            self.background.release(request._token)
        elif isinstance(response._chunks, Pending):
            try:
                self.loop.wait_for(route, request, response._chunks, context)
            except BaseException:
                response._chunks.close()
                raise
        elif isinstance(response._chunks, FilePart):
            self._send_file(route, request, response._chunks, response, context)
        elif isinstance(response._chunks, AsyncIterator):
            self.loop.stream(route, request, response, context)
        # The handler has run: so the response goes before requests that wait, and is not refused.
        elif not self.to_pool(request, VITAL, lambda: context.run(self._send, route, request, response)):
            context.run(_close, response._chunks)
            self.background.release(request._token)

    def _send_file(
        self, route: Route, request: Request, file: FilePart, response: Response, context: Context
    ) -> None:
        try:
            several = self._send_part(request, file, response)
        except Exception as error:
            several = None
            self.stream_failed(route, request, error, None)
        if several is None:
            self.background.release(request._token)
        else:
            self.stream(route, request, several, context)

    def _send_part(self, request: Request, file: FilePart, response: Response) -> Response | None:
        """Sends a file or a part of it. Returns a stream that is to be sent if there are several parts."""
        fields = response.fields
        if file.tag is None or file.modified is None:
            file.send(request._token, response.status, fields)
            return None
        size = file.length
        status, parts = outcome(request.method, request.headers, file.tag, file.modified, size)
        if status == 304:
            answer(self.handle, request._token, (304, block_without(fields, "content-type"), b""))
        elif status == 412:
            raise HTTPError(412)
        elif status == 416:
            raise HTTPError(416, headers={"content-range": f"bytes */{size}"})
        elif len(parts) > 1:
            kept = [(name, value) for name, value in fields if name.lower() != "content-type"]
            kind, length, pieces = byte_ranges(parts, size, response.headers["content-type"], file.read)
            headers = [*kept, ("content-length", str(length))]
            return Response.stream(pieces, status=206, headers=headers, content_type=kind)
        elif parts:
            offset, length = parts[0]
            line = ("content-range", f"bytes {offset}-{offset + length - 1}/{size}")
            file.send(request._token, 206, [*fields, line], parts[0])
        else:
            file.send(request._token, 200, fields)
        return None

    def _send(self, route: Route, request: Request, response: Response) -> None:
        """Sends the chunks of a plain iterator, on a thread of the pool."""
        chunks: Any = response._chunks
        leave: list[Callable[[], object]] = [self.pool.seat().lend]
        if self.turn is not None:
            chunks = InTurn(chunks, self.turn, _close)
            leave.append(chunks.leave)
        writer = Writer(request, response, self.events)
        beat = None
        try:
            if response._prompt:
                writer.begin()
            if isinstance(response._chunks, Lines):
                beat = self.keep_alive.add(response._chunks, writer)
            # An iterator that waits in its own code cannot be interrupted after the client has
            # disconnected. Until it returns, the pool may start a replacement thread.
            request._presence.set_hook(lambda: [left() for left in leave])
            first = b"" if response._prompt else as_bytes(next(chunks, b""))
            if writer.begin(first):
                for chunk in chunks:
                    data = as_bytes(chunk)
                    if data and not writer.write(data):
                        break
                else:
                    writer.finish()
        except BaseException as error:
            self.stream_failed(route, request, error, writer)
        finally:
            request._end()
            if beat is not None:
                beat.end()
            writer.abort()
            _close(chunks)
            self.background.release(request._token)

    def stream_failed(
        self, route: Route, request: Request, error: BaseException, writer: Writer | None
    ) -> None:
        """Sends an error response to a request whose stream failed. If the stream has begun, only logs it."""
        if writer is None or not writer.has_begun:
            answer(self.handle, request._token, self.failure(route, request, error))
        else:
            self.report_begun(route, request, error)

    def report_begun(self, route: Route, request: Request, error: BaseException) -> None:
        """Logs an exception that ends a response which has begun, unless it says that the client has left."""
        if not isinstance(error, ClientGoneError):
            self._report(route, request, error)

    def failure(self, route: Route, request: Request, error: BaseException) -> Parts:
        """Returns the response to a request whose handler raised. Logs exceptions that are not expected."""
        errors = route.errors
        if errors is not None and isinstance(error, Exception):
            try:
                response = errors.answer(request, error)
            except Exception as raised:
                error = raised
            else:
                if response is not None:
                    if response._jobs is not None:
                        self.background.add(request._token, response._jobs)
                    if errors.is_unexpected(error):
                        self._report(route, request, error, True)
                    return response._parts
        if isinstance(error, HTTPError):
            try:
                return self.wording.http_error(error)
            except (TypeError, ValueError) as unsendable:
                error = unsendable
        self._report(route, request, error)
        return self.wording.server_error

    def _begin_job(self, job: Work, then: Callable[[], None]) -> bool:
        """Runs work after a response in the loop or on the pool, and calls `then` at its end."""
        if job.is_async:
            return self.loop.work(job, then)
        return self.pool.submit(lambda: self._work(job, then), True)

    def _work(self, job: Work, then: Callable[[], None]) -> None:
        try:
            value = self.in_turn(job.context.run, job.call)
            # A decorator may return a coroutine that it has not awaited.
            if hasattr(value, "__await__") and self.loop.work(job, then, Pending(value)):
                return
        except BaseException as error:
            self.job_failed(job, error)
        then()

    def job_failed(self, job: Work, error: BaseException) -> None:
        """Logs that work after a response failed."""
        report(job, error)
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.on_fatal(error)

    def _report(
        self, route: Route, request: Request, error: BaseException, is_answered: bool = False
    ) -> None:
        if self.on_failure is not None and not is_answered:
            self.on_failure(error)
        try:
            _log.error(
                "handler %s failed on %s %s, %s: %s",
                name_of(route.handler),
                request.method,
                request.target,
                route.place,
                error,
                exc_info=error,
            )
        except Exception:
            # The client must get its response even if a log handler of the host fails.
            pass
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.on_fatal(error)


def _close(chunks: Any) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        try:
            close()
        except Exception:
            _log.exception("closing a stream failed")
