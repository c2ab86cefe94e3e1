"""A client for the tests of an application: without sockets, or over a real port.

>>> from transom import Server
>>> from transom.testing import TestClient
>>> app = Server()
>>> @app.post("/greetings")
... def greet(request):
...     return {"hello": request.json()["name"]}, 201
>>> with TestClient(app) as client:
...     answer = client.post("/greetings", json={"name": "Ada"})
>>> answer.status, answer.json()
(201, {'hello': 'Ada'})

pytest finds the fixture `transom_client` of this package by itself: see `docs/python.md`, or
`pytest --fixtures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urljoin, urlsplit

from transom._check import flag, got, seconds, text
from transom._cookie_jar import CookieJar
from transom._headers import HeadersInput
from transom._incoming import read_head
from transom._link import Link, MemoryLink, SocketLink
from transom._memory import MemoryConnection
from transom._outgoing import (
    DataInput,
    FileInput,
    FilesInput,
    Outgoing,
    Pairs,
    body_of,
    fields_of,
    peer_of,
    target_of,
)
from transom._running import Running
from transom._server import Server
from transom._test_response import StreamedResponse, TestResponse
from transom._test_websocket import Handshake, TestWebSocket, WebSocketRefused
from transom._tls import Tls

if TYPE_CHECKING:
    # The checkers have this module; the package does not need it to run.
    from typing_extensions import Unpack

    from transom._outgoing import RequestOptions

__all__ = [
    "CookieJar",
    "DataInput",
    "FileInput",
    "FilesInput",
    "MemoryConnection",
    "Pairs",
    "StreamedResponse",
    "TestClient",
    "TestResponse",
    "TestWebSocket",
    "WebSocketRefused",
    "serve",
]

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 20


class TestClient:
    """A client of an application, which runs on the server itself, without a port or a socket.

    Requests go through the same code as those of the network: limits, refusals and the framing of
    messages are the same. With `with`, the application starts at the beginning, with its functions for the
    start, and stops at the end. Otherwise the first request starts it, and `close` stops it.

    `raise_errors`: an exception of a handler that nothing in the application answers is raised by the
    request, instead of a response of status 500. `client` is the address that the application sees, and
    `host` the host. `headers` go with each request. `cookies` is the first content of the client's cookie
    jar. `timeout` is how many seconds the client waits for the server at most. With `follow_redirects`, the
    client follows redirects to this application.

    After each response, the client waits for work after it (`Response.background`), unless a stream is open.

    One thread uses a client at a time. Raises `TypeError` or `InvalidArgumentError`, and where it starts the
    application, what `Server.start` raises.
    """

    # Tells pytest that this is no class of tests.
    __test__ = False

    def __init__(
        self,
        app: Server,
        *,
        raise_errors: bool = True,
        client: tuple[str, int] | None = ("127.0.0.1", 50000),
        host: str = "testserver",
        headers: HeadersInput = (),
        cookies: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        follow_redirects: bool = False,
    ) -> None:
        if not isinstance(app, Server):
            raise TypeError(f"a TestClient takes a Server, got {got(app)}")
        self.app = app
        self.host = text("host", host)
        self.headers = fields_of(headers)
        #: The cookies, which go with each request, and which responses set.
        self.cookies = CookieJar()
        if cookies is not None:
            if not isinstance(cookies, Mapping):
                raise TypeError(f"cookies is a mapping from names to values, got {got(cookies)}")
            self.cookies.update(cookies)
        self._raise_errors = flag("raise_errors", raise_errors)
        self._follow = flag("follow_redirects", follow_redirects)
        self._peer = peer_of(client)
        self._timeout = cast(float, seconds("timeout", timeout, zero=False))
        self._running: Running | None = None
        self._failures: list[BaseException] = []
        self._streams = 0

    @property
    def running(self) -> Running:
        """The running application. It is started if it does not run."""
        if self._running is None:
            self._running = self._start()
            self._running._dispatcher.on_failure = self._failures.append
        return self._running

    @property
    def url(self) -> str:
        """The URL of the application, without a path."""
        return f"http://{self.host}"

    def _start(self) -> Running:
        return self.app.start_unbound()

    def _connect(self) -> Link:
        return MemoryLink(self.running.connect(self._peer), self._timeout)

    def connect(self) -> MemoryConnection:
        """Returns a connection to the application in memory, to send bytes that no HTTP client sends."""
        return self.running.connect(self._peer)

    def close(self) -> None:
        """Stops the application, if it runs. Requests that are being served have 10 seconds to finish."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()
            self._failures.clear()

    def __enter__(self) -> TestClient:
        _ = self.running
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Pairs | None = None,
        headers: HeadersInput = (),
        json: Any = ...,
        data: DataInput | None = None,
        files: FilesInput | None = None,
        cookies: Mapping[str, str] | None = None,
        follow_redirects: bool | None = None,
    ) -> TestResponse:
        """Sends a request and returns the response with its whole body.

        `params` are added to the query. `json` is sent as JSON. `data` is a form if it is a mapping or pairs;
        text and bytes are sent as they are, and an iterator of bytes in chunks. With `files`, the form is
        `multipart/form-data`. `headers` take the place of the client's of the same name, and `cookies` go
        with this request only.

        Raises what the handler raised, if `raise_errors` is on; `TimeoutError` if the server is silent, and
        `ConnectionError` if it breaks the response off; `TypeError` or `ValueError` if the request cannot be
        sent.
        """
        follow = self._follow if follow_redirects is None else flag("follow_redirects", follow_redirects)
        sent = self._send(method, path, params, headers, json, data, files, cookies)
        answer = sent.finish()
        for _ in range(_MOST_REDIRECTS):
            location = answer.headers.get("location")
            if not follow or answer.status not in _REDIRECTS or location is None:
                return answer
            path = self._path_of(location, path)
            if answer.status in (301, 302, 303) and method != "HEAD":
                method, json, data, files = "GET", ..., None, None
            sent = self._send(method, path, None, headers, json, data, files, cookies)
            answer = sent.finish()
        raise ConnectionError(f"more than {_MOST_REDIRECTS} redirects, the last to {path}")

    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Pairs | None = None,
        headers: HeadersInput = (),
        json: Any = ...,
        data: DataInput | None = None,
        files: FilesInput | None = None,
        cookies: Mapping[str, str] | None = None,
    ) -> StreamedResponse:
        """Sends a request and returns the response when its head has come. Its body is read piece by piece.

        The result is a context manager: at the end of `with`, the client leaves. Otherwise as `request`.

        >>> from transom import Server
        >>> app = Server()
        >>> @app.get("/letters")
        ... def letters(request):
        ...     yield from "abc"
        >>> with TestClient(app) as client, client.stream("GET", "/letters") as answer:
        ...     answer.status, b"".join(answer)
        (200, b'abc')
        """
        return self._send(method, path, params, headers, json, data, files, cookies)

    def websocket(
        self,
        path: str,
        *,
        params: Pairs | None = None,
        headers: HeadersInput = (),
        subprotocols: Iterable[str] = (),
        cookies: Mapping[str, str] | None = None,
    ) -> TestWebSocket:
        """Opens a WebSocket connection and returns it. `subprotocols` are those that the client lists.

        Raises `WebSocketRefused`, with the response, if the server answers with another status than 101;
        otherwise as `request`.

        >>> from transom import Server
        >>> app = Server()
        >>> @app.websocket("/greetings")
        ... def greet(socket):
        ...     for name in socket:
        ...         socket.send(f"hello {name}")
        >>> with TestClient(app) as client, client.websocket("/greetings") as socket:
        ...     socket.send("Ada")
        ...     socket.receive()
        'hello Ada'
        """
        handshake = Handshake()
        fields = fields_of(headers, handshake.fields)
        names = ", ".join(text("a subprotocol", name) for name in subprotocols)
        if names:
            fields.append(("sec-websocket-protocol", names))
        response = self._send("GET", path, params, fields, ..., None, None, cookies)
        link = response._link
        if response.status != 101 or link is None:
            raise WebSocketRefused(response.finish())
        try:
            handshake.check(response.headers)
        except BaseException:
            response._end(link.close)
            raise
        return TestWebSocket(response, link, self._raise_failure)

    def _send(
        self,
        method: str,
        path: str,
        params: Pairs | None,
        headers: HeadersInput,
        json: Any,
        data: DataInput | None,
        files: FilesInput | None,
        cookies: Mapping[str, str] | None,
    ) -> StreamedResponse:
        text("a method", method)
        target = target_of(path, params)
        body, media = body_of(json, data, files)
        fields = fields_of(
            [("user-agent", "transom-test-client"), ("accept", "*/*")],
            [] if media is None else [("content-type", media)],
            self.headers,
            headers,
        )
        if not any(name.lower() == "cookie" for name, _ in fields):
            sent = {**self.cookies.matching(target), **(cookies or {})}
            if sent:
                fields.append(("cookie", "; ".join(f"{name}={value}" for name, value in sent.items())))
        request = Outgoing(method, target, self.host, fields, body)
        self._failures.clear()
        link = self._connect()
        try:
            for piece in request.pieces():
                if not link.write(piece):
                    break  # The server has refused the rest of the body.
            answer = read_head(link, method)
        except BaseException:
            link.close()
            self._raise_failure()
            raise
        self._streams += 1
        response = StreamedResponse(answer, link, self._ended)
        for line in response.headers.get_all("set-cookie"):
            self.cookies.store(line)
        return response

    def _ended(self) -> None:
        """Called once for each response, when it has ended or the test has left it."""
        self._streams -= 1
        running = self._running
        is_quiet = (
            self._streams > 0
            or running is None
            or running._is_own_thread
            or running._dispatcher.background.wait(self._timeout)
        )
        self._raise_failure()
        if not is_quiet:
            raise TimeoutError(f"work after a response has not ended within {self._timeout:.3g} s")

    def _raise_failure(self) -> None:
        """Raises the exception of a handler, if there is one that the test is to get."""
        if self._failures:
            error = self._failures[0]
            self._failures.clear()
            if self._raise_errors:
                raise error

    def _path_of(self, location: str, path: str) -> str:
        """Returns the path of a redirect. Raises `ValueError` if it leads to another host."""
        parts = urlsplit(urljoin(f"{self.url}{path}", location))
        if parts.netloc != urlsplit(self.url).netloc:
            raise ValueError(f"a redirect leads to another host: {location}")
        return f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"

    def get(self, path: str, **options: Unpack[RequestOptions]) -> TestResponse:
        """Sends a GET request. The options are those of `request`."""
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Unpack[RequestOptions]) -> TestResponse:
        """Sends a HEAD request. The options are those of `request`."""
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Unpack[RequestOptions]) -> TestResponse:
        """Sends an OPTIONS request. The options are those of `request`."""
        return self.request("OPTIONS", path, **options)

    def post(self, path: str, **options: Unpack[RequestOptions]) -> TestResponse:
        """Sends a POST request. The options are those of `request`."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Unpack[RequestOptions]) -> TestResponse:
        """Sends a PUT request. The options are those of `request`."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Unpack[RequestOptions]) -> TestResponse:
        """Sends a PATCH request. The options are those of `request`."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Unpack[RequestOptions]) -> TestResponse:
        """Sends a DELETE request. The options are those of `request`."""
        return self.request("DELETE", path, **options)


class _SocketClient(TestClient):
    """A test client over sockets."""

    def __init__(self, app: Server, address: str, tls: Tls | None, **options: Any) -> None:
        super().__init__(app, **options)
        self._address = address
        self._tls = tls

    def _start(self) -> Running:
        running = self.app.start(self._address, tls=self._tls)
        if self.host == "":
            address = running.addresses[0]
            self.host = "localhost" if address.startswith("unix:") else address
        return running

    @property
    def url(self) -> str:
        """The URL of the application, without a path."""
        _ = self.running
        return f"{'http' if self._tls is None else 'https'}://{self.host}"

    def _connect(self) -> Link:
        return SocketLink(self.running.addresses[0], self._tls is not None, self._timeout)


def serve(
    app: Server,
    address: str = "127.0.0.1:0",
    *,
    tls: Tls | None = None,
    raise_errors: bool = True,
    host: str | None = None,
    headers: HeadersInput = (),
    cookies: Mapping[str, str] | None = None,
    timeout: float = 30.0,
    follow_redirects: bool = False,
) -> TestClient:
    """Returns a test client that talks to the application over sockets: by default, on a port of its own.

    The client's `url` has the port, for other clients such as a browser. `address` and `tls` are those of
    `Server.start`; certificates are not verified. The others are those of `TestClient`, and `host` is the
    address by default.

    >>> from transom import Server
    >>> app = Server()
    >>> @app.get("/")
    ... def hello(request):
    ...     return "hello"
    >>> with serve(app) as client:
    ...     client.get("/").text
    'hello'
    """
    return _SocketClient(
        app,
        address,
        tls,
        raise_errors=raise_errors,
        host="" if host is None else host,
        headers=headers,
        cookies=cookies,
        timeout=timeout,
        follow_redirects=follow_redirects,
    )
