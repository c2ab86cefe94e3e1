"""The scope of a request to an ASGI application: a dict, made from the packed record of the request."""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import unquote

from transom._asgi.tls import tls_extension
from transom._native import FORWARDED, HTTPS, TLS, UPGRADE
from transom._packed import REQUEST_LEN, RequestHead
from transom._request import Request
from transom._request_view import address_of

#: The most names of fields, and the most clients, that are kept: clients choose them.
_MOST = 512
#: The most requests that are kept, and the longest.
_MOST_KEPT = 256
_LONGEST_KEPT = 2048
#: Where the part of a record begins that is the same for equal requests: after its route and its token.
_VARYING = 16

#: The host and the port of a socket; the port is `None` for the path of a Unix socket.
Place: TypeAlias = tuple[str, int | None]
#: The entries that scopes of equal requests have in common, and the header fields.
Template: TypeAlias = tuple[dict[str, Any], list[tuple[bytes, bytes]]]


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
        # Clients that keep their connections repeat requests. What was parsed before is copied.
        self._templates: dict[bytes, Template] = {}

    def make(self, request: Request) -> dict[str, Any]:
        """Returns the scope of a request, with nothing that another scope shares but what `state` has."""
        data, at, head = request._record
        _, _, _, method_len, target_len, path_len, query_len, headers_len, peer_len, _, _, flags, _ = head
        end = at + REQUEST_LEN + method_len + target_len + path_len + query_len + headers_len
        key = data[at + _VARYING : end]
        template = self._templates.get(key)
        if template is None:
            template = self._template_of(key, head)
        same, fields = template
        scope = same.copy()
        headers = fields.copy()
        peer = data[end : end + peer_len]
        if flags & FORWARDED:
            peer, _, host = peer.split(b" ")
            if host:
                headers = [(b"host", host), *[pair for pair in headers if pair[0] != b"host"]]
        scope["headers"] = headers
        scope["client"] = self._clients[peer]
        if self._server is None:
            scope["server"] = request.local
        scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
        scope["state"] = self._state.copy()
        scope["extensions"] = {
            "http.response.trailers": {},
            "http.response.early_hint": {},
            "http.response.pathsend": {},
        }
        if flags & TLS:
            scope["extensions"]["tls"] = tls_extension(request)
        return scope

    def make_websocket(self, request: Request) -> dict[str, Any]:
        """Returns the scope of a handshake of WebSocket."""
        scope = self.make(request)
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
        extensions = scope["extensions"]
        scope["extensions"] = {"websocket.http.response": {}}
        if "tls" in extensions:
            scope["extensions"]["tls"] = extensions["tls"]
        lists = [value for name, value in scope["headers"] if name == b"sec-websocket-protocol"]
        names = b",".join(lists).decode("latin-1").split(",")
        scope["subprotocols"] = [name.strip(" \t") for name in names if name.strip(" \t")]
        return scope

    def _template_of(self, key: bytes, head: RequestHead) -> Template:
        """Returns what the scopes of equal requests have in common, and their header fields."""
        _, _, _, method_len, target_len, path_len, query_len, _, _, _, version, flags, _ = head
        at = REQUEST_LEN - _VARYING
        path_at = at + method_len + target_len
        query_at = path_at + path_len
        headers_at = query_at + query_len
        raw_path = key[path_at:query_at]
        path = raw_path.decode("latin-1")
        names = self._names
        headers = []
        for line in key[headers_at:].split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon:
                headers.append((names[name], value.strip(b" \t")))
        same = {
            "type": "http",
            "http_version": "1.1" if version == 11 else "1.0",
            "method": key[at : at + method_len].decode("latin-1"),
            "scheme": "https" if flags & HTTPS else "http",
            # Bytes that are not UTF-8 are lost here; `raw_path` has them.
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": key[query_at:headers_at],
            "root_path": self._root_path,
            "server": self._server,
        }
        # Each handshake of WebSocket has another key.
        if len(key) <= _LONGEST_KEPT and not flags & UPGRADE:
            if len(self._templates) >= _MOST_KEPT:
                self._templates.clear()
            self._templates[key] = same, headers
        return same, headers
