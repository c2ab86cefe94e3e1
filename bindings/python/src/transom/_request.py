"""A request, as a handler sees it: its head, its body, its client and its state."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from transom._background import Work
from transom._body import BodyStream
from transom._events import Events, Presence
from transom._form import Form, FormLimits, FormReader
from transom._http_error import BodyError
from transom._json_limits import DEFAULT, JsonLimits, parsed
from transom._native import STREAMS
from transom._packed import REQUEST_START, end_of_params
from transom._request_view import RequestView


class Request(RequestView):
    """A request, with its whole body unless its route has `stream=True`.

    Any thread may read it, also after the response was sent. Only a body that comes in pieces is
    read before that, by one thread or task at a time.
    """

    __slots__ = ("_body", "_end_at", "_events", "_form", "_made_presence", "_route_id", "_state", "_stream")

    _body: bytes
    #: Where the record ends in `_data`.
    _end_at: int
    #: The queue of events about the client of this request.
    _events: Events
    _form: Form
    _made_presence: Presence
    _route_id: int
    _state: SimpleNamespace
    _stream: BodyStream

    @property
    def body(self) -> bytes:
        """The body; empty if there is none.

        Raises `RuntimeError` if the route streams: the body is then read with `stream`.
        """
        try:
            return self._body
        except AttributeError:
            if self._head[11] & STREAMS:
                raise RuntimeError(
                    "the route has stream=True, so the body is read with request.stream()"
                ) from None
            self._body = self._in_record()
            return self._body

    def _in_record(self) -> bytes:
        """The body that the record has: with `stream=True`, a short one that has come, or else nothing."""
        length = self._head[12]
        start = end_of_params(self._data, self._params_at(), self._head[9]) if length else 0
        return self._data[start : start + length]

    def stream(self) -> BodyStream:
        """Returns the body in pieces, for routes with `stream=True`: see `BodyStream` for its exceptions.

        Each call returns the same iterator. A handler need not read the body, or not all of it.

        >>> from transom import Server
        >>> app = Server()
        >>> @app.post("/count", stream=True, max_body=2**40)
        ... async def count(request):
        ...     return str(sum([len(piece) async for piece in request.stream()]))
        >>> @app.post("/plain-count", stream=True)
        ... def plain_count(request):
        ...     return str(sum(len(piece) for piece in request.stream()))
        """
        try:
            stream = self._stream
        except AttributeError:
            whole = None if self._head[11] & STREAMS else self.body
            stream = self._stream = BodyStream(self._token, self._events, whole)
        stream._events = self._events
        return stream

    @property
    def _presence(self) -> Presence:
        """The state of the client: whether it still waits for the response or reads it."""
        try:
            return self._made_presence
        except AttributeError:
            self._made_presence = Presence(self._events, self._token)
            return self._made_presence

    def _end(self) -> None:
        """Forgets the functions to call when the client disconnects: they may refer to the request."""
        try:
            presence = self._made_presence
        except AttributeError:
            return
        presence.end()

    @property
    def is_gone(self) -> bool:
        """`True` if the client has disconnected, or no longer waits for the response.

        A handler that runs for long can ask from time to time, and give up. Before the response
        has begun, a client that has only closed its sending side looks like one that has
        disconnected; it still gets its response. In a stream, `is_gone` says whether the
        client still reads.
        """
        return self._presence.is_gone

    def on_gone(self, function: Callable[[], object]) -> None:
        """Calls `function` once, when `is_gone` becomes true, or at once if it is true.

        A plain generator that waits in its own code cannot be interrupted. It can wake itself:
        `request.on_gone(lambda: news.put(None))`. The function runs on a thread of the
        server and must not block. It is not called once the response was sent.
        """
        if not callable(function):
            raise TypeError(f"on_gone takes a function, got {type(function).__name__}")
        self._presence.on_gone(function)

    async def gone(self) -> None:
        """Waits until `is_gone` is true. For `async def` handlers that end when their client disconnects."""
        future, tell = _news()
        self.on_gone(tell)
        await future

    @property
    def is_stopping(self) -> bool:
        """`True` once the server has begun to stop: the request has the timeout of the stop to finish."""
        return self._events.stopping.has_begun

    def on_stopping(self, function: Callable[[], object]) -> Callable[[], None]:
        """Calls `function` once, when the server begins to stop, or at once if it has begun.

        It runs on the thread that stops the server and must not block. The result is a function that
        forgets it: a stream calls that when it ends.
        """
        if not callable(function):
            raise TypeError(f"on_stopping takes a function, got {type(function).__name__}")
        return self._events.stopping.add(function)

    async def stopping(self) -> None:
        """Waits until the server begins to stop. For streams that end then, instead of being cut off.

        >>> import asyncio
        >>> async def news(request):
        ...     stop = asyncio.ensure_future(request.stopping())
        ...     while not stop.done():
        ...         yield "tick"
        ...         await asyncio.wait([stop], timeout=1)
        """
        future, tell = _news()
        forget = self.on_stopping(tell)
        try:
            await future
        finally:
            forget()

    def background(self, function: Callable[..., object], /, *arguments: Any, **named: Any) -> None:
        """Calls `function` with these arguments once this request is over, whatever the response is.

        Otherwise as `Response.background`. Call it before the response is handed over: in the handler, in
        middleware, in the iterator of a stream, or in work that this has begun.

        >>> from transom import Server
        >>> app = Server()
        >>> @app.post("/orders")
        ... def order(request):
        ...     request.background(print, "a letter to", request.json()["email"])
        ...     return {"placed": True}, 202
        """
        self._events.background.add(self._token, [Work(function, arguments, named)])

    @property
    def state(self) -> SimpleNamespace:
        """A namespace for what parts of the application tell each other about this request.

        >>> from transom import Server
        >>> app = Server()
        >>> def signed_in(handler):
        ...     def wrapper(request):
        ...         request.state.user = request.cookies["user"]
        ...         return handler(request)
        ...     return wrapper
        >>> @app.get("/me")
        ... @signed_in
        ... def me(request):
        ...     return request.state.user
        """
        try:
            return self._state
        except AttributeError:
            self._state = SimpleNamespace()
            return self._state

    def text(self) -> str:
        """Decodes the body with the charset of its Content-Type, or else as UTF-8.

        Raises `BodyError` if this fails; the client gets a 400.
        """
        charset = "utf-8"
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                charset = value.strip().strip('"')
        try:
            return self.body.decode(charset)
        except (LookupError, UnicodeDecodeError) as error:
            raise BodyError(400, f"the body is not text in {charset}") from error

    def json(self, limits: JsonLimits = DEFAULT) -> Any:
        """Parses the body as JSON.

        Raises `BodyError` if this fails or if the JSON is nested too deeply, which the client gets as a 400,
        or if it is too large, as a 413.
        """
        return parsed(self.body, limits)

    def form(self, limits: FormLimits | None = None) -> Form:
        """Parses the body as a form: `application/x-www-form-urlencoded` or `multipart/form-data`.

        On a route with `stream=True`, the body is parsed while it comes, and files of a form take
        a bounded amount of memory; an `async def` handler then calls `read_form` instead. The first call
        parses the body, with the limits that it is given; others return the same form.

        Raises `BodyError` if the body is no form, which the client gets as a 415 or a 400, or if a
        limit is exceeded, as a 413. Raises what `stream` raises, and `OSError` if a temporary file
        cannot be written. If `form()[name]` is missing, the client gets a 400.
        """
        try:
            return self._form
        except AttributeError:
            reader = FormReader(self.headers.get("content-type", ""), limits or FormLimits())
            for piece in self.stream() if self._head[11] & STREAMS else (self.body,):
                reader.feed(piece)
            self._form = reader.finish()
            return self._form

    async def read_form(self, limits: FormLimits | None = None) -> Form:
        """Does what `form` does, in an `async def` handler.

        Temporary files are written on a thread of the event loop's executor.
        """
        try:
            return self._form
        except AttributeError:
            if not self._head[11] & STREAMS:
                return self.form(limits)
            from asyncio import get_running_loop

            reader = FormReader(self.headers.get("content-type", ""), limits or FormLimits())
            async for piece in self.stream():
                if reader.writes_files:
                    await get_running_loop().run_in_executor(None, reader.feed, piece)
                else:
                    reader.feed(piece)
            self._form = reader.finish()
            return self._form

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


def unpack(data: bytes, count: int, events: Events) -> list[Request]:
    """Returns the requests of a batch of `count` records. `events` is the queue of events about them."""
    requests = []
    new, start = Request.__new__, REQUEST_START.unpack_from
    at = 0
    for _ in range(count):
        # With a constructor in Python, this would take a third more time.
        request = new(Request)
        request._data = data
        request._at = at
        request._decoded_head = None
        request._events = events
        length, request._route_id, request._token = start(data, at)
        at += length
        request._end_at = at
        requests.append(request)
    return requests


def _news() -> tuple[Any, Callable[[], None]]:
    """Returns a future of the loop that runs, and a function that any thread may call to settle it."""
    from asyncio import get_running_loop

    loop = get_running_loop()
    future = loop.create_future()

    def settle() -> None:
        if not future.done():
            future.set_result(None)

    def tell() -> None:
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            pass  # The loop is closed.

    return future, tell
