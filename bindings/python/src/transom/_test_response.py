"""The responses of a test client: with the whole body, and piece by piece."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from transom._link import Link
from transom._multi import Headers

_PIECE = 64 * 1024


class TestResponse:
    """A response with its whole body."""

    # Tells pytest that this is no class of tests.
    __test__ = False

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes) -> None:
        #: The status, such as 200.
        self.status = status
        #: The reason phrase, such as `OK`.
        self.reason = reason
        #: The header fields, by names in any case; `get_all` returns all values of a name.
        self.headers = headers
        #: The body as bytes.
        self.body = body

    @property
    def text(self) -> str:
        """The body as text, by the charset of its Content-Type, or else UTF-8.

        Bytes that are not text become U+FFFD.
        """
        return self.body.decode(charset_of(self.headers), "replace")

    def json(self) -> Any:
        """Parses the body as JSON. Raises `ValueError` if this fails."""
        return json.loads(self.body)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies that this response sets, by their names."""
        pairs = (line.partition(";")[0].partition("=") for line in self.headers.get_all("set-cookie"))
        return {name.strip(): value for name, _, value in pairs}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.reason}, {len(self.body)} bytes>"


class StreamedResponse:
    """A response whose body is read piece by piece. As a context manager, it leaves at the end.

    Iterating over it yields the bytes of the body as they come. Each way of reading raises `ConnectionError`
    if the server breaks the body off, `TimeoutError` if it is silent for the client's `timeout`, and at the
    end the exception of the handler, as `TestClient.request` does.
    """

    def __init__(self, answer: http.client.HTTPResponse, link: Link, on_end: Callable[[], None]) -> None:
        #: The status, such as 200.
        self.status = answer.status
        #: The reason phrase, such as `OK`.
        self.reason = answer.reason
        block = "".join(f"{name}: {value}\r\n" for name, value in answer.getheaders())
        #: The header fields, by names in any case; `get_all` returns all values of a name.
        self.headers = Headers.parse(block.encode("latin-1"))
        self._answer = answer
        self._link: Link | None = link
        self._on_end = on_end

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._read():
            yield piece

    def _read(self) -> bytes:
        """Returns what has come of the body; waits for it. Empty at the end."""
        link = self._link
        if link is None:
            return b""
        try:
            piece = self._answer.read1(_PIECE)
            # A body that is shorter than its announced length ends without an exception.
            if not piece and self._answer.length:
                raise http.client.IncompleteRead(b"", self._answer.length)
        except (http.client.HTTPException, ConnectionError) as error:
            self._end(link.close)
            raise ConnectionError(f"the server has broken the response off: {error}") from error
        except BaseException:
            self._end(link.close)
            raise
        if not piece:
            self._end(link.finish)
        return piece

    def _end(self, leave: Callable[[], None]) -> None:
        self._link = None
        leave()
        self._on_end()

    def lines(self) -> Iterator[str]:
        """Yields the lines of a text as they come, without their ends: for events, and JSON in lines."""
        rest = b""
        charset = charset_of(self.headers)
        for piece in self:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.removesuffix(b"\r").decode(charset, "replace")
        if rest:
            yield rest.decode(charset, "replace")

    def read(self) -> bytes:
        """Returns the rest of the body."""
        return b"".join(self)

    def finish(self) -> TestResponse:
        """Returns the response with the rest of its body."""
        return TestResponse(self.status, self.reason, self.headers, self.read())

    def close(self) -> None:
        """Leaves: the server learns that its client is gone, unless the body has been read to its end."""
        link = self._link
        if link is not None:
            self._end(link.close)

    def __enter__(self) -> StreamedResponse:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status} {self.reason}>"


def charset_of(headers: Headers) -> str:
    """Returns the charset of a Content-Type, or else UTF-8."""
    for parameter in headers.get("content-type", "").split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"')
            try:
                "".encode(charset)
            except LookupError:
                break
            return charset
    return "utf-8"
