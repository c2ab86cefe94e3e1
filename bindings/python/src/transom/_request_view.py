"""The head of a request and its connection: a view of a packed record, decoded on demand."""

from __future__ import annotations

from ctypes import create_string_buffer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from transom._http_error import HTTPError
from transom._multi import Cookies, Headers, MultiDict, Query
from transom._native import FORWARDED, HAS_QUERY, HTTPS, TLS, quick
from transom._packed import (
    REQUEST,
    REQUEST_LEN,
    RequestHead,
    decode_params,
    decode_tls,
    end_of_params,
)
from transom._tls import TlsInfo

if TYPE_CHECKING:
    from transom._signing_keys import SigningKeys

#: The most fields of a query.
_MOST_FIELDS = 1000
#: The most cookies of a request.
MOST_COOKIES = 1000
#: The room for the text of an IP address with a zone and a port.
_LONGEST_ADDRESS = 128


class RequestView:
    """What a request tells without its body. Its class sets the first four fields."""

    __slots__ = (
        "_at",
        "_cookies",
        "_data",
        "_decoded_head",
        "_headers",
        "_local",
        "_params",
        "_query",
        "_token",
    )

    _data: bytes
    _at: int
    #: `None` until a property needs it: many handlers need none of its numbers.
    _decoded_head: RequestHead | None
    _token: int
    _cookies: dict[str, str]
    _headers: Headers
    _local: tuple[str, int] | None
    _params: dict[str, Any]
    _query: MultiDict

    @property
    def _record(self) -> tuple[bytes, int, RequestHead]:
        """The data of a batch, the offset of this request's record in it, and the head of the record."""
        return self._data, self._at, self._head

    @property
    def _head(self) -> RequestHead:
        """The head of the record."""
        head = self._decoded_head
        if head is None:
            head = self._decoded_head = REQUEST.unpack_from(self._data, self._at)
        return head

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
    def _is_head(self) -> bool:
        """`True` if the method is HEAD. Most methods have another length, and need not be decoded."""
        return self._head[3] == 4 and self.method == "HEAD"

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
            text = self.query_string
            # Counted before anything is decoded.
            if text.count("&") >= _MOST_FIELDS:
                raise HTTPError(400, f"the query has more than {_MOST_FIELDS} fields") from None
            self._query = Query(_pairs(text))
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

    def _set_params(self, params: dict[str, Any]) -> None:
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

        If `cookies[name]` is missing, the client gets a 400. A request with more than 1,000 cookies
        gets a 431.
        """
        try:
            return self._cookies
        except AttributeError:
            cookies = Cookies()
            count = 0
            for line in self.headers.get_all("cookie"):
                for pair in line.split(";"):
                    name, equals, value = pair.strip().partition("=")
                    if equals and name:
                        count += 1
                        if count > MOST_COOKIES:
                            raise HTTPError(
                                431, f"the request has more than {MOST_COOKIES} cookies"
                            ) from None
                        if len(value) > 1 and value[0] == value[-1] == '"':
                            value = value[1:-1]
                        cookies.setdefault(name, value)
            self._cookies = cookies
            return cookies

    def signed_cookie(self, name: str, keys: SigningKeys) -> str | None:
        """Returns the value of a cookie that one of the keys has signed; `None` if there is none.

        `Response.set_cookie(keys=)` signs one.
        """
        signed = self.cookies.get(name)
        return None if signed is None else keys.verify(name, signed)

    @property
    def client(self) -> tuple[str, int] | None:
        """The IP address and port of the client; `None` on a Unix socket.

        It is the client that a trusted proxy named, if there is one: see `forwarded` and
        `proxy_protocol` of `Server`. The port is then 0 if the proxy did not tell it.
        """
        return address_of(self._ends()[0])

    @property
    def connection_client(self) -> tuple[str, int] | None:
        """The IP address and port of the other end of the connection, which may be a proxy."""
        return address_of(self._ends()[1])

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
            responder = quick.token_responder(self._token)
            quick.responder_local_address(responder, text, len(text))
            self._local = address_of(text.value.decode("utf-8", "replace"))
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


def _pairs(text: str) -> list[tuple[str, str]]:
    """Decodes the names and values of a query or a form."""
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape")


def address_of(text: str) -> tuple[str, int] | None:
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
