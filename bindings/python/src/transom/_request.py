"""A request, as a handler sees it: a view of its packed record, decoded when asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote

from transom._events import Events, Presence
from transom._http_error import BodyError
from transom._multi import Headers, MultiDict
from transom._packed import REQUEST_LEN, RequestHead, decode_params, end_of_params


class Request:
    """A request with its whole body.

    It may be kept and read after the answer, from any thread.
    """

    __slots__ = (
        "_at",
        "_body",
        "_cookies",
        "_data",
        "_head",
        "_headers",
        "_params",
        "_presence",
        "_query",
        "events",
        "route_id",
        "token",
    )

    _body: bytes
    _cookies: dict[str, str]
    _headers: Headers
    _params: dict[str, str]
    _presence: Presence
    _query: MultiDict

    def __init__(self, data: bytes, at: int, head: RequestHead, events: Events) -> None:
        self._data = data
        self._at = at
        self._head = head
        self.route_id = head[1]
        self.token = head[2]
        #: Where it is told what becomes of the client.
        self.events = events

    def _part(self, index: int) -> bytes:
        """The part whose length is the head's field `index`."""
        head = self._head
        start = self._at + REQUEST_LEN + sum(head[3:index])
        return self._data[start : start + head[index]]

    def _params_at(self) -> int:
        return self._at + REQUEST_LEN + sum(self._head[3:9])

    @property
    def method(self) -> str:
        """The method, as sent: `GET`, `POST`, ..."""
        return self._part(3).decode("latin-1")

    @property
    def target(self) -> str:
        """The request target, still percent-encoded; what was sent beyond ASCII is too."""
        return self._part(4).decode("latin-1")

    @property
    def raw_path(self) -> str:
        """The path, still percent-encoded; what was sent beyond ASCII is too."""
        return self._part(5).decode("latin-1")

    @property
    def path(self) -> str:
        """The path, percent-decoded; bytes that are not UTF-8 as in `params`."""
        return unquote(self.raw_path, errors="surrogateescape")

    @property
    def query_string(self) -> str:
        """The query, still percent-encoded; empty if there is none."""
        return self._part(6).decode("latin-1")

    @property
    def query(self) -> MultiDict:
        """The query, decoded: a mapping in which a name may have several values.

        Bytes that are not UTF-8 are as in `params`.
        """
        try:
            return self._query
        except AttributeError:
            self._query = MultiDict(_pairs(self.query_string))
            return self._query

    @property
    def headers(self) -> Headers:
        """The header fields; `headers.raw` has them as they came."""
        try:
            return self._headers
        except AttributeError:
            self._headers = Headers.parse(self._part(7))
            return self._headers

    @property
    def params(self) -> dict[str, str]:
        """What the `{names}` of the route's pattern stood for, percent-decoded.

        Bytes that are not UTF-8 are surrogates, as in `os.fsdecode`, so that no two values
        look the same: `value.encode("utf-8", "surrogateescape")` has them back, a file of
        that name can be opened, and a text that is sent has the bytes again.
        """
        try:
            return self._params
        except AttributeError:
            self._params = decode_params(self._data, self._params_at(), self._head[9])[0]
            return self._params

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies; of a repeated name, the first."""
        try:
            return self._cookies
        except AttributeError:
            cookies: dict[str, str] = {}
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
        """The body; empty if there is none."""
        try:
            return self._body
        except AttributeError:
            length = self._head[12]
            start = end_of_params(self._data, self._params_at(), self._head[9]) if length else 0
            self._body = self._data[start : start + length]
            return self._body

    @property
    def client(self) -> tuple[str, int] | None:
        """The address and port of the peer; `None` on a Unix socket."""
        host, colon, port = self._part(8).decode("latin-1").rpartition(":")
        if not colon or not port.isdigit():
            return None
        return host.strip("[]"), int(port)

    @property
    def http_version(self) -> str:
        """`"1.0"` or `"1.1"`."""
        return "1.0" if self._head[10] == 10 else "1.1"

    @property
    def presence(self) -> Presence:
        """Who waits for the answer, or reads it."""
        try:
            return self._presence
        except AttributeError:
            self._presence = Presence(self.events, self.token)
            return self._presence

    def end(self) -> None:
        """Lets go of those who wanted to know when the client leaves; they may refer to the request."""
        try:
            presence = self._presence
        except AttributeError:
            return
        presence.end()

    @property
    def is_gone(self) -> bool:
        """Whether the client has left or closed its sending side, or nobody waits for an answer any more.

        A handler that works for long may ask now and then, and give up. A client that has only
        closed its sending side looks the same as one that left, and gets its answer. In a
        stream, this says whether somebody still reads it.
        """
        return self.presence.is_gone

    def on_gone(self, function: Callable[[], object]) -> None:
        """Calls `function` once, when `is_gone` has become true; at once if it is.

        A plain generator that waits in code of its own cannot be interrupted. This wakes it:
        `request.on_gone(lambda: news.put(None))`. The function runs on a thread of the
        server and must not block. It is not called after the answer, unless that is a stream.
        """
        if not callable(function):
            raise TypeError(f"on_gone takes a function, got {type(function).__name__}")
        self.presence.on_gone(function)

    async def gone(self) -> None:
        """Waits until `is_gone` is true: for `async def` handlers that end with their client."""
        from asyncio import get_running_loop

        loop = get_running_loop()
        future = loop.create_future()

        def tell() -> None:
            if not future.done():
                future.set_result(None)

        def tell_from_anywhere() -> None:
            try:
                loop.call_soon_threadsafe(tell)
            except RuntimeError:
                pass  # The loop is closed.

        self.on_gone(tell_from_anywhere)
        await future

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without parameters; empty if not given."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def text(self) -> str:
        """The body as text, by the charset of its Content-Type or else as UTF-8.

        Raises `BodyError` (the client gets a 400) if it is not.
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
        """The body, read as JSON. Raises `BodyError` (the client gets a 400) if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise BodyError(400, f"the body is not JSON: {error}") from error

    def form(self) -> MultiDict:
        """The body, read as a form (`application/x-www-form-urlencoded`).

        Raises `BodyError` if it is none: the client gets a 415 or a 400.
        """
        if self.content_type != "application/x-www-form-urlencoded":
            raise BodyError(415, "the body is not application/x-www-form-urlencoded")
        try:
            return MultiDict(_pairs(self.body.decode("ascii")))
        except ValueError as error:
            raise BodyError(400, "the body is not a form") from error

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


def _pairs(text: str) -> list[tuple[str, str]]:
    """The names and values of a query or a form, decoded."""
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape")
