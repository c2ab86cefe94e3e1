"""A response, as a handler builds it."""

from __future__ import annotations

import json
import mimetypes
import os
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from datetime import datetime, timezone
from typing import Any, TypeAlias
from urllib.parse import quote

from transom._background import Work
from transom._check import check_status, flag, got, kind_of, text, whole
from transom._conditional import disposition
from transom._errors import BadStatusError
from transom._file import FilePart
from transom._headers import (
    BYTES,
    HTML,
    JSON,
    TEXT,
    HeadersInput,
    block_of,
    block_without,
    content_type_line,
    fields_of_block,
    header_line,
    pairs_of,
    usual_type,
)
from transom._http_date import http_date
from transom._json import dumps
from transom._json import encode as encode_json
from transom._packed import Parts
from transom._pending import Answered, Pending
from transom._reserved import check as check_fields
from transom._response_headers import ResponseHeaders
from transom._set_cookie import set_cookie
from transom._signing_keys import SigningKeys

#: A whole body. Text is sent as UTF-8.
Body: TypeAlias = str | bytes | bytearray | memoryview
#: A body in chunks. Empty chunks are skipped.
Chunks: TypeAlias = Iterator[Any] | AsyncIterator[Any]


def _encode_body(body: Any) -> tuple[bytes, str | None]:
    """Returns the bytes of a body, and its content type unless another is given."""
    if isinstance(body, str):
        try:
            return body.encode("utf-8", "surrogateescape"), TEXT
        except UnicodeEncodeError as error:
            raise ValueError(f"a body of type str contains a lone surrogate at {error.start}") from None
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body), BYTES
    if body is None:
        return b"", None
    hint = ": Response.json sends it" if isinstance(body, (Mapping, list)) else ""
    raise TypeError(f"a body is str, bytes, bytearray, memoryview or None, got {kind_of(body)}{hint}")


class Response:
    """A response: its status, header fields and body.

    The content type of a `str` body is `text/plain; charset=utf-8`, and that of other bodies
    `application/octet-stream`, unless `content_type` or `headers` give another. A 204, 205 or 304
    has no content type by default. Each pair of `headers` becomes one field line, so two
    `set-cookie` pairs are both sent.

    The server adds Date and the fields that frame the message. Of the latter, a handler may set
    Content-Length (to the length of the body), `Connection: close`, and Upgrade in a 426.
    Transfer-Encoding, Keep-Alive, TE, Trailer and Proxy-Connection raise `BadHeaderError`.

    Raises `BadHeaderError`, `BadStatusError` or `TypeError`, with the reason.

    >>> Response("no such user", status=404, headers={"X-Reason": "deleted"})
    <Response 404 text/plain; charset=utf-8, 12 bytes>
    """

    __slots__ = ("_chunks", "_jobs", "_parts", "_prompt")

    #: Status, header block and body, as the library sends them.
    _parts: Parts
    #: The body if it is not in `parts`: chunks, or a file. Or an awaitable that gives the response.
    _chunks: Chunks | FilePart | Pending | Answered | None
    #: `True` if the header section is sent before the first chunk is known.
    _prompt: bool
    #: The work to do once the response was handed over.
    _jobs: list[Work] | None

    def __init__(
        self,
        body: Body | None = None,
        *,
        status: int = 200,
        headers: HeadersInput = (),
        content_type: str | None = None,
    ) -> None:
        self._chunks = None
        self._jobs = None
        self._prompt = True
        try:
            # Text is the usual body: `encode` without arguments takes half the time.
            encoded, usual_type = (body.encode(), TEXT) if type(body) is str else _encode_body(body)
        except UnicodeEncodeError:
            encoded, usual_type = _encode_body(body)
        kind = usual_type if content_type is None else content_type
        if type(status) is int and status == 200 and not headers and type(kind) is str:
            # The checks of the other arguments would take a third of the constructor's time.
            self._parts = (200, content_type_line(kind), encoded)
            return
        status = check_status(status)
        self._parts = (status, block_of(status, headers, content_type, usual_type), encoded)

    @classmethod
    def _of_parts(cls, parts: Parts) -> Response:
        """Returns a response with these parts, which were checked before."""
        response = cls.__new__(cls)
        response._parts = parts
        response._chunks = response._jobs = None
        response._prompt = True
        return response

    @classmethod
    def text(cls, text: str, *, status: int = 200, headers: HeadersInput = ()) -> Response:
        """Returns a response with a text, `text/plain; charset=utf-8`."""
        return cls(_expect_str(text), status=status, headers=headers, content_type=usual_type(TEXT, status))

    @classmethod
    def html(cls, page: str, *, status: int = 200, headers: HeadersInput = ()) -> Response:
        """Returns a response with an HTML page, `text/html; charset=utf-8`."""
        return cls(_expect_str(page), status=status, headers=headers, content_type=usual_type(HTML, status))

    @classmethod
    def json(
        cls,
        value: Any,
        *,
        status: int = 200,
        headers: HeadersInput = (),
        default: Callable[[Any], Any] | None = None,
        indent: int | None = None,
        sort_keys: bool = False,
        ensure_ascii: bool = False,
    ) -> Response:
        """Returns a response with a value as JSON, `application/json`. Raises what `json.dumps` raises.

        `default`, `indent`, `sort_keys` and `ensure_ascii` are those of `json.dumps`.

        >>> Response.json({"id": 7}).body
        b'{"id":7}'
        """
        if default is None and indent is None and not sort_keys and not ensure_ascii:
            body = dumps(value)
        else:
            body = json.dumps(
                value,
                default=default,
                indent=indent,
                sort_keys=sort_keys,
                ensure_ascii=ensure_ascii,
                allow_nan=False,
                separators=(",", ":") if indent is None else None,
            )
        return cls(encode_json(body), status=status, headers=headers, content_type=usual_type(JSON, status))

    @classmethod
    def redirect(cls, location: str, *, status: int = 303, headers: HeadersInput = ()) -> Response:
        """Returns a redirect to `location`. Characters that a URL cannot contain are percent-encoded.

        >>> Response.redirect("/caf\\u00e9").fields
        [('location', '/caf%C3%A9')]
        """
        if check_status(status) not in (301, 302, 303, 307, 308):
            raise BadStatusError(f"{status} is not the status of a redirect: 301, 302, 303, 307 or 308")
        line = ("location", quote(text("location", location), safe="!#$%&'()*+,/:;=?@[]~", errors="replace"))
        return cls(status=status, headers=[line, *pairs_of(headers)])

    @classmethod
    def stream(
        cls,
        chunks: Iterable[Body] | AsyncIterable[Body],
        *,
        status: int = 200,
        headers: HeadersInput = (),
        content_type: str | None = None,
    ) -> Response:
        """Returns a response whose body is sent in chunks; `application/octet-stream` by default.

        A chunk is a `str` or bytes, and is sent when the iterator yields it. The header section
        is sent at once, before the first chunk. A plain iterator runs on the thread pool and
        occupies one thread until it ends; an asynchronous one runs on the event loop.

        When the client disconnects, the iterator is closed. An asynchronous iterator that is
        waiting is cancelled. A plain iterator that waits in its own code cannot be
        interrupted; `Request.on_gone` can wake it.
        """
        if isinstance(chunks, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(
            chunks, (Iterable, AsyncIterable)
        ):
            raise TypeError(f"a stream is an iterator of str or bytes, got {kind_of(chunks)}")
        response = cls.__new__(cls)
        response._jobs = None
        response._chunks = aiter(chunks) if isinstance(chunks, AsyncIterable) else iter(chunks)
        response._prompt = True
        status = check_status(status)
        response._parts = (status, block_of(status, headers, content_type, BYTES), b"")
        return response

    @classmethod
    def file(
        cls,
        path: str | os.PathLike[str],
        *,
        offset: int = 0,
        length: int | None = None,
        status: int = 200,
        headers: HeadersInput = (),
        content_type: str | None = None,
        conditional: bool = True,
        download_as: str | None = None,
    ) -> Response:
        """Returns a response with a regular file: `length` bytes from `offset`, by default to its end.

        A whole file has the fields ETag, Last-Modified and Accept-Ranges, and the server answers
        conditional requests and ranges, one or several: 304, 206, 412 or 416 (RFC 9110, 13 and 14). A request
        for more than 32 parts gets the whole file. `conditional=False` turns this off. An ETag or a
        Last-Modified in `headers` takes the place of the file's.

        `download_as` is a name under which the client stores the file (Content-Disposition); what is not safe
        in a file name becomes `_`.

        The file is opened at once. The system sends it, without a copy in Python. If no
        content type is given, it is guessed from the name. If the file becomes shorter while
        it is sent, the connection closes before the announced length.

        The path is opened as it is. If a path comes from a client, check it first.

        Raises what `open` raises, `ValueError` if the path is no regular file or the file is
        too short, and what the constructor raises.

        >>> import tempfile
        >>> page = tempfile.NamedTemporaryFile(suffix=".html")
        >>> page.write(b"<h1>hello</h1>"), page.flush()
        (14, None)
        >>> Response.file(page.name)
        <Response 200 text/html, 14 bytes of a file>
        """
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"the path of a file is a str or os.PathLike, got {got(path)}")
        for name, given in (("offset", offset), ("length", length)):
            if given is not None or name == "offset":
                whole(f"{name} of a file", given, 0, 2**63 - 1)
        usual, encoding = mimetypes.guess_type(path)
        if usual is None or encoding is not None:
            usual = BYTES
        response = cls.__new__(cls)
        response._jobs = None
        response._prompt = True
        status = check_status(status)
        response._parts = (status, block_of(status, headers, content_type, usual), b"")
        part = response._chunks = FilePart(path, offset, length)
        # A file that the system generates has a size of 0, and changes without a new time.
        if (
            flag("conditional", conditional)
            and status == 200
            and not offset
            and length is None
            and part.length
        ):
            part.tag = response.headers.setdefault("etag", part.own_tag)
            part.modified = response.headers.setdefault("last-modified", http_date(part.changed))
            response.headers["accept-ranges"] = "bytes"
        if download_as is not None:
            response.headers["content-disposition"] = disposition(text("download_as", download_as))
        return response

    def copy(self) -> Response:
        """Returns another response with the same parts. A stream or a file is shared."""
        copied = type(self).__new__(type(self))
        copied._parts, copied._chunks, copied._prompt = self._parts, self._chunks, self._prompt
        copied._jobs = None if self._jobs is None else list(self._jobs)
        return copied

    def background(self, function: Callable[..., object], /, *arguments: Any, **named: Any) -> None:
        """Calls `function` with these arguments once the response was handed over for its last byte.

        It may be `async def`. A plain function runs on the thread pool, an asynchronous one in the event loop
        of the handlers; those of one response run one after another. An exception is logged. The work is
        also done if the client has left. A stop waits for it, at most until its deadline; what the pool has
        no room for is dropped with a line in the log. `Request.background` does the same for any response.

        Raises `TypeError` if `function` cannot be called, such as a coroutine.

        >>> response = Response("your order is placed", status=202)
        >>> response.background(print, "a letter to", "ada@example.org", sep=" ")
        """
        job = Work(function, arguments, named)
        if self._jobs is None:
            self._jobs = [job]
        else:
            self._jobs.append(job)

    @property
    def status(self) -> int:
        """The status. It may be set; raises what the constructor raises."""
        return self._parts[0]

    @status.setter
    def status(self, status: int) -> None:
        status = check_status(status)
        check_fields(status, self.fields)
        self._parts = status, *self._parts[1:]

    @property
    def body(self) -> bytes:
        """The body; empty if it is sent in chunks or is a file."""
        return self._parts[2]

    @property
    def headers(self) -> ResponseHeaders:
        """The header fields as a mapping, which changes the response.

        >>> response = Response("x")
        >>> response.headers["X-A"] = "1"
        >>> response.headers["x-a"], "Content-Type" in response.headers
        ('1', True)
        """
        return ResponseHeaders(self)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The header fields as pairs, in order, with repeated names."""
        return fields_of_block(self._parts[1])

    def add_header(self, name: str, value: str) -> None:
        """Adds a header field, and keeps those of the same name. Raises what the constructor raises."""
        status, block, body = self._parts
        line = header_line(name, value)
        # Only a Content-Length depends on the fields that are there.
        before = self.fields if name.lower() == "content-length" else []
        check_fields(status, [*before, (name, value)])
        self._parts = status, block + line, body

    def set_header(self, name: str, value: str) -> None:
        """Sets a header field, and removes others of the same name. Raises what the constructor raises.

        A Set-Cookie field is added to the others, because each cookie has its own field.

        >>> response = Response("<p>", headers={"x-a": "1"})
        >>> response.set_header("Content-Type", "text/html")
        >>> response.fields
        [('x-a', '1'), ('Content-Type', 'text/html')]
        """
        line = header_line(name, value)
        check_fields(self.status, [(name, value)])
        status, block, body = self._parts
        if name.lower() != "set-cookie":
            block = block_without(self.fields, name.lower())
        self._parts = status, block + line, body

    def set_cookie(
        self,
        name: str,
        value: str,
        *,
        max_age: int | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = True,
        same_site: str | None = "Lax",
        expires: datetime | None = None,
        partitioned: bool = False,
        keys: SigningKeys | None = None,
    ) -> None:
        """Adds a Set-Cookie field. `max_age` is in seconds, and `expires` a `datetime` with a time zone.

        With `keys`, the value is signed; `Request.signed_cookie` reads it. A cookie that browsers refuse
        is a `BadHeaderError`: `__Secure-`, `__Host-`, `SameSite=None` and `partitioned` need `secure`.

        `same_site` is one of the strings `Strict`, `Lax` and `None`, in any case; the value `None`
        leaves the attribute out. Raises `BadHeaderError`, `ValueError` or `TypeError`, with
        the name of the argument.

        >>> response = Response("in")
        >>> response.set_cookie("session", "abc", max_age=60)
        >>> response.headers["set-cookie"]
        'session=abc; Max-Age=60; Path=/; HttpOnly; SameSite=Lax'
        """
        if keys is not None:
            value = keys.sign(name, value)
        self.add_header(
            "set-cookie",
            set_cookie(
                name, value, max_age, path, domain, secure, http_only, same_site, expires, partitioned
            ),
        )

    def delete_cookie(self, name: str, *, path: str | None = "/", domain: str | None = None) -> None:
        """Has the client forget a cookie. `path` and `domain` must be those with which it was set.

        >>> response = Response("out")
        >>> response.delete_cookie("session")
        >>> response.headers["set-cookie"]
        'session=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax'
        """
        epoch = datetime.fromtimestamp(0, timezone.utc)
        self.set_cookie(name, "", max_age=0, expires=epoch, path=path, domain=domain)

    def __repr__(self) -> str:
        types = [value for name, value in self.fields if name.lower() == "content-type"]
        if isinstance(self._chunks, FilePart):
            length = f"{self._chunks.length} bytes of a file"
        else:
            length = "stream" if self._chunks is not None else f"{len(self.body)} bytes"
        return f"<Response {self.status} {types[0] if types else 'no type'}, {length}>"


#: What a handler returns that has sent its response by itself.
ANSWERED = Response()
ANSWERED._chunks = Answered()


def _expect_str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected str, got {kind_of(value)}")
    return value
