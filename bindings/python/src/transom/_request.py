"""A request, as a handler sees it: a view of a packed record, decoded on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from ctypes import create_string_buffer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, unquote

from transom._background import Work
from transom._body import BodyStream
from transom._events import Events, Presence
from transom._form import Form, FormLimits, FormReader
from transom._http_error import BodyError
from transom._multi import Cookies, Headers, MultiDict, Query
from transom._native import FORWARDED, HAS_QUERY, HTTPS, STREAMS, TLS, quick
from transom._packed import REQUEST_LEN, RequestHead, decode_params, decode_tls, end_of_params
from transom._tls import TlsInfo

#: The room for the text of an IP address with a zone and a port.
_LONGEST_ADDRESS = 128


class Request:
    """A request, with its whole body unless its route has `stream=True`.

    Any thread may read it, also after the response was sent. Only a body that comes in pieces is
    read before that, by one thread or task at a time.
    """

    __slots__ = (
        "_at",
        "_body",
        "_cookies",
        "_data",
        "_form",
        "_head",
        "_headers",
        "_local",
        "_params",
        "_presence",
        "_query",
        "_state",
        "_stream",
        "events",
        "route_id",
        "token",
    )

    _body: bytes
    _cookies: dict[str, str]
    _form: Form
    _headers: Headers
    _local: tuple[str, int] | None
    _params: dict[str, Any]
    _presence: Presence
    _query: MultiDict
    _state: SimpleNamespace
    _stream: BodyStream

    def __init__(self, data: bytes, at: int, head: RequestHead, events: Events) -> None:
        self._data = data
        self._at = at
        self._head = head
        self.route_id = head[1]
        self.token = head[2]
        #: The queue of events about the client of this request.
        self.events = events

    @property
    def record(self) -> tuple[bytes, int, RequestHead]:
        """The data of a batch, the offset of this request's record in it, and the head of the record."""
        return self._data, self._at, self._head

    def _part(self, index: int) -> bytes:
        """Returns the part of the record whose length is field `index` of the record's head."""
        head = self._head
        start = self._at + REQUEST_LEN + sum(head[3:index])
        return self._data[start : start + head[index]]

    def _params_at(self) -> int:
        return self._at + REQUEST_LEN + sum(self._head[3:9])

    @property
    def method(self) -> str:
        """The method as the client sent it, such as `GET`."""
        return self._part(3).decode("latin-1")

    @property
    def target(self) -> str:
        """The request target, percent-encoded. Bytes beyond ASCII are percent-encoded too."""
        return self._part(4).decode("latin-1")

    @property
    def raw_path(self) -> str:
        """The path, percent-encoded. Bytes beyond ASCII are percent-encoded too."""
        return self._part(5).decode("latin-1")

    @property
    def path(self) -> str:
        """The path, percent-decoded. Bytes that are not UTF-8 become surrogates, as in `params`."""
        return unquote(self.raw_path, errors="surrogateescape")

    @property
    def url(self) -> str:
        """The URL that the client asked for, percent-encoded, such as `https://example.org/a?b=c`.

        It consists of `scheme`, `host`, `raw_path` and `query_string`, so it is what a trusted proxy
        tells. Without a `host`, it begins with the path.
        """
        host, path = self.host, self.raw_path
        query = f"?{self.query_string}" if self._head[11] & HAS_QUERY else ""
        # The target `*` asks for the whole server.
        path = path if path.startswith("/") else ""
        return f"{self.scheme}://{host}{path}{query}" if host else f"{path}{query}"

    @property
    def query_string(self) -> str:
        """The query, percent-encoded; empty if there is none."""
        return self._part(6).decode("latin-1")

    @property
    def query(self) -> MultiDict:
        """The decoded query. If `query[name]` is missing, the client gets a 400.

        Bytes that are not UTF-8 become surrogates, as in `params`.
        """
        try:
            return self._query
        except AttributeError:
            self._query = Query(_pairs(self.query_string))
            return self._query

    @property
    def headers(self) -> Headers:
        """The header fields. If `headers[name]` is missing, the client gets a 400.

        `headers.raw` has the fields as bytes, as they were sent.
        """
        try:
            return self._headers
        except AttributeError:
            self._headers = Headers.parse(self._part(7))
            return self._headers

    @property
    def params(self) -> dict[str, Any]:
        """The values of the `{names}` in the route's pattern, percent-decoded, and converted by converters.

        Bytes that are not UTF-8 become surrogates, as with `os.fsdecode`, so no information is
        lost: `value.encode("utf-8", "surrogateescape")` gives the bytes back, `open(value)` opens
        the file of that name, and a response body that contains the value contains the bytes.
        """
        try:
            return self._params
        except AttributeError:
            self._params = decode_params(self._data, self._params_at(), self._head[9])[0]
            return self._params

    def set_params(self, params: dict[str, Any]) -> None:
        """Sets the values of the path, which converters have made."""
        self._params = params

    @property
    def raw_params(self) -> dict[str, bytes]:
        """The values of the `{names}` in the route's pattern as bytes, percent-decoded."""
        params = decode_params(self._data, self._params_at(), self._head[9])[0]
        return {name: value.encode("utf-8", "surrogateescape") for name, value in params.items()}

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies; of several with the same name, the first.

        If `cookies[name]` is missing, the client gets a 400.
        """
        try:
            return self._cookies
        except AttributeError:
            cookies = Cookies()
            for line in self.headers.get_all("cookie"):
                for pair in line.split(";"):
                    name, equals, value = pair.strip().partition("=")
                    if equals and name:
                        if len(value) > 1 and value[0] == value[-1] == '"':
                            value = value[1:-1]
                        cookies.setdefault(name, value)
            self._cookies = cookies
            return cookies

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
            length = self._head[12]
            start = end_of_params(self._data, self._params_at(), self._head[9]) if length else 0
            self._body = self._data[start : start + length]
            return self._body

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
            stream = self._stream = BodyStream(self.token, self.events, whole)
        stream.events = self.events
        return stream

    @property
    def client(self) -> tuple[str, int] | None:
        """The IP address and port of the client; `None` on a Unix socket.

        It is the client that a trusted proxy named, if there is one: see `forwarded` and
        `proxy_protocol` of `Server`. The port is then 0 if the proxy did not tell it.
        """
        return _address(self._ends()[0])

    @property
    def connection_client(self) -> tuple[str, int] | None:
        """The IP address and port of the other end of the connection, which may be a proxy."""
        return _address(self._ends()[1])

    @property
    def local(self) -> tuple[str, int] | None:
        """The IP address and port at which the connection came in; `None` on a Unix socket.

        The first use asks the system, which no longer knows it once the response was handed over: it is
        `None` then too.
        """
        try:
            return self._local
        except AttributeError:
            text = create_string_buffer(_LONGEST_ADDRESS)
            responder = quick.token_responder(self.token)
            quick.responder_local_address(responder, text, len(text))
            self._local = _address(text.value.decode("utf-8", "replace"))
            return self._local

    @property
    def scheme(self) -> str:
        """`"https"` or `"http"`, as a trusted proxy or the connection tells it."""
        return "https" if self._head[11] & HTTPS else "http"

    @property
    def tls(self) -> TlsInfo | None:
        """What the TLS handshake of the connection settled; `None` if the connection has no TLS."""
        if not self._head[11] & TLS:
            return None
        at = end_of_params(self._data, self._params_at(), self._head[9]) + self._head[12]
        (version, cipher, name, alpn), certificates, resumed = decode_tls(self._data, at)
        return TlsInfo(version, cipher, name or None, alpn or None, resumed, certificates)

    @property
    def host(self) -> str:
        """The host that the client addressed, with its port if it named one.

        A trusted proxy tells it if the server asks for it; otherwise it is the one of the target or
        of the field Host. Empty if an HTTP/1.0 client named none.
        """
        told = self._ends()[2]
        if told is not None:
            return told
        scheme, separator, rest = self.target.partition("://")
        if separator and scheme.isalpha():
            return rest.partition("/")[0].partition("?")[0]
        return self.headers.get("host", "")

    def _ends(self) -> tuple[str, str, str | None]:
        """Returns the client, the other end of the connection, and the host if a proxy named the client."""
        text = self._part(8).decode("latin-1")
        if not self._head[11] & FORWARDED:
            return text, text, None
        client, proxy, host = text.split(" ")
        return client, proxy, host

    @property
    def http_version(self) -> str:
        """`"1.0"` or `"1.1"`."""
        return "1.0" if self._head[10] == 10 else "1.1"

    @property
    def presence(self) -> Presence:
        """The state of the client: whether it still waits for the response or reads it."""
        try:
            return self._presence
        except AttributeError:
            self._presence = Presence(self.events, self.token)
            return self._presence

    def end(self) -> None:
        """Forgets the functions to call when the client disconnects: they may refer to the request."""
        try:
            presence = self._presence
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
        return self.presence.is_gone

    def on_gone(self, function: Callable[[], object]) -> None:
        """Calls `function` once, when `is_gone` becomes true, or at once if it is true.

        A plain generator that waits in its own code cannot be interrupted. It can wake itself:
        `request.on_gone(lambda: news.put(None))`. The function runs on a thread of the
        server and must not block. It is not called once the response was sent.
        """
        if not callable(function):
            raise TypeError(f"on_gone takes a function, got {type(function).__name__}")
        self.presence.on_gone(function)

    async def gone(self) -> None:
        """Waits until `is_gone` is true. For `async def` handlers that end when their client disconnects."""
        future, tell = _news()
        self.on_gone(tell)
        await future

    @property
    def is_stopping(self) -> bool:
        """`True` once the server has begun to stop: the request has the timeout of the stop to finish."""
        return self.events.stopping.has_begun

    def on_stopping(self, function: Callable[[], object]) -> Callable[[], None]:
        """Calls `function` once, when the server begins to stop, or at once if it has begun.

        It runs on the thread that stops the server and must not block. The result is a function that
        forgets it: a stream calls that when it ends.
        """
        if not callable(function):
            raise TypeError(f"on_stopping takes a function, got {type(function).__name__}")
        return self.events.stopping.add(function)

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
        self.events.background.add(self.token, [Work(function, arguments, named)])

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

    @property
    def content_length(self) -> int | None:
        """The length of the body in bytes as the client announced it.

        `None` if the client announced none: there is no body, or it comes in chunks.
        """
        value = self.headers.get("content-length")
        # The server has refused lengths that differ.
        return None if value is None else int(value.partition(",")[0])

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without parameters; empty without a Content-Type."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

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

    def json(self) -> Any:
        """Parses the body as JSON. Raises `BodyError` if this fails; the client gets a 400."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BodyError(400, f"the body is not JSON: {error}") from error

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


def _pairs(text: str) -> list[tuple[str, str]]:
    """Decodes the names and values of a query or a form."""
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape")


def _address(text: str) -> tuple[str, int] | None:
    """Parses an address with or without a port. `None` for a Unix socket."""
    if text.startswith("unix:"):
        return None
    if text.startswith("["):
        host, _, port = text[1:].partition("]:")
        return host, int(port)
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, int(port)
    return (text, 0) if ":" in text or "." in text else None
