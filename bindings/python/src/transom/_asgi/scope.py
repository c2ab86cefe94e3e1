"""The scope of a request to an ASGI application: a dict, made from the packed record of the request."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from transom._asgi.tls import tls_extension
from transom._native import FORWARDED, HTTPS, TLS
from transom._packed import REQUEST_LEN
from transom._request import Request
from transom._request_view import address_of

#: The most names of fields, and the most clients, that are kept: clients choose them.
_MOST = 512

#: The host and the port of a socket; the port is `None` for the path of a Unix socket.
Place = tuple[str, int | None]


class _Names(dict[bytes, bytes]):
    """The names of header fields in lower case, by the names as clients write them."""

    def __missing__(self, name: bytes) -> bytes:
        lower = name.lower()
        if len(self) < _MOST:
            self[name] = lower
        return lower


class _Clients(dict[bytes, Place | None]):
    """The addresses of clients, by their texts. Most requests come on a connection that is there."""

    def __missing__(self, text: bytes) -> Place | None:
        place = address_of(text.decode("latin-1"))
        if len(self) >= _MOST:
            self.clear()
        self[text] = place
        return place


class Scopes:
    """The maker of the scopes of one application, in one run of a server.

    `path` is where the application is mounted, empty for the whole server. `server` is the address of the
    server, or `None` if it depends on the connection. `state` is what the lifespan of the application has
    left there.
    """

    def __init__(self, path: str, server: Place | None, state: dict[str, Any]) -> None:
        self._root_path = path
        self._server = server
        self._state = state
        self._names = _Names()
        self._clients = _Clients()

    def make(self, request: Request) -> dict[str, Any]:
        """Returns the scope of a request, with nothing that another scope shares but what `state` has."""
        data, at, head = request._record
        at += REQUEST_LEN
        method_end = at + head[3]
        path_at = method_end + head[4]
        query_at = path_at + head[5]
        headers_at = query_at + head[6]
        peer_at = headers_at + head[7]
        flags = head[11]
        raw_path = data[path_at:query_at]
        path = raw_path.decode("latin-1")
        names = self._names
        headers = []
        for line in data[headers_at : peer_at - 2].split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon:
                headers.append((names[name], value.strip(b" \t")))
        peer = data[peer_at : peer_at + head[8]]
        if flags & FORWARDED:
            peer, _, host = peer.split(b" ")
            if host:
                headers = [(b"host", host), *[pair for pair in headers if pair[0] != b"host"]]
        server = self._server
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1" if head[10] == 11 else "1.0",
            "method": data[at:method_end].decode("latin-1"),
            "scheme": "https" if flags & HTTPS else "http",
            # Bytes that are not UTF-8 are lost here; `raw_path` has them.
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": data[query_at:headers_at],
            "root_path": self._root_path,
            "headers": headers,
            "client": self._clients[peer],
            "server": request.local if server is None else server,
            "state": self._state.copy(),
            "extensions": {
                "http.response.trailers": {},
                "http.response.early_hint": {},
                "http.response.pathsend": {},
            },
        }
        if flags & TLS:
            scope["extensions"]["tls"] = tls_extension(request)
        return scope
