"""The environment of a WSGI application: a dict for each request, made from its packed record."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import unquote

from transom._native import FORWARDED, HTTPS, STREAMS
from transom._packed import REQUEST_LEN, RequestHead, end_of_params
from transom._request import Request
from transom._wsgi.errors import ErrorLog
from transom._wsgi.file_wrapper import FileWrapper
from transom._wsgi.input import EMPTY, Input

#: The keys of the fields whose variables do not begin with `HTTP_`.
_PLAIN = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
#: Where the part of a record begins that is the same for equal requests: after its route and its token.
_VARYING = 16
#: The lengths of the parts of a record between its head and its path parameters.
_LENGTHS = struct.Struct("=16x6I")
#: The most names of fields whose keys are kept: clients choose the names, and must not fill the memory.
_MOST_KEYS = 512

#: The most requests and header blocks that are kept, and the longest.
_MOST_KEPT = 256
_LONGEST_KEPT = 2048
#: The most records that are kept.
_MOST_RECORDS = 1024
#: The most addresses of clients that are kept.
_MOST_ADDRESSES = 1024

_keys: dict[str, str] = {"": ""}
#: The hosts and ports of clients: one that keeps its connection has the same each time.
_addresses: dict[bytes, tuple[str, str]] = {}

_Text = TypeVar("_Text", bytes, str)
_Kept = TypeVar("_Kept")


def _key_of(name: str) -> str:
    """Returns the key of a header field, or an empty one if the field is dropped.

    A name with `_` is dropped: it would have the key of a name with `-`, which a proxy may have checked.
    """
    lower = name.lower()
    key = "" if "_" in name else _PLAIN.get(lower) or "HTTP_" + name.upper().replace("-", "_")
    if len(_keys) < _MOST_KEYS:
        _keys[name] = key
    return key


class Environs:
    """The maker of the environments of one application, in one run of a server.

    `path` is where the application is mounted, empty for the whole server. `name` is the host and the port
    of the server, or `None` if they depend on the connection.
    """

    def __init__(self, path: str, name: tuple[str, str] | None, threads: bool, processes: bool) -> None:
        script = path.encode().decode("latin-1")
        self._skipped = len(script)
        self._asks_for_name = name is None
        host, port = name or ("localhost", "80")
        self._base: dict[str, Any] = {
            "SCRIPT_NAME": script,
            "SERVER_NAME": host,
            "SERVER_PORT": port,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": "transom",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": ErrorLog(),
            "wsgi.multithread": threads,
            "wsgi.multiprocess": processes,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input": EMPTY,
            # Each request has its own. They have places here so that a copy need not grow.
            "wsgi.early_hints": None,
            "REMOTE_ADDR": "",
        }

        # Clients repeat their header fields, and those that keep their connections also whole requests. What
        # was parsed before is copied: a request takes 0.5 us that the same connection sends again, 1 us that
        # another one sends, 2 us with known fields, and otherwise 2.4 us with one field and 4.5 us with nine
        # (CPython 3.11, 2026-11).
        self._records: dict[bytes, dict[str, Any]] = {}
        # For requests with a body: the environment without it, where the body begins, and its length.
        self._with_body: dict[bytes, tuple[dict[str, Any], int, int]] = {}
        self._requests: dict[bytes, dict[str, Any]] = {}
        self._blocks: dict[str, dict[str, Any]] = {}

    def make(self, request: Request) -> dict[str, Any]:
        """Returns the environment of a request."""
        at = request._at + _VARYING
        if request._end_at - at > _LONGEST_KEPT:
            # No record of this length is kept, and a look-up would hash all of it, with its body.
            return self._made(request, b"")
        record = request._data[at : request._end_at]
        environ = self._records.get(record)
        return self._made(request, record) if environ is None else environ.copy()

    def _made(self, request: Request, record: bytes) -> dict[str, Any]:
        """Returns the environment of a request with a body, or whose record is new, or not kept and empty."""
        data, at = request._data, request._at
        end = at + REQUEST_LEN + sum(_LENGTHS.unpack_from(data, at))
        # All but the path parameters, which follow from the path, and the body.
        key = data[at + _VARYING : end]
        kept = self._with_body.get(key)
        if kept is not None:
            template, start, size = kept
            start += at
            environ = template.copy()
            environ["wsgi.input"] = BytesIO(data[start : start + size])
            return environ
        head = request._head
        peer_len, params, _, flags, size = head[8:]
        environ = self._template_of(key[: len(key) - peer_len], head).copy()
        client = key[len(key) - peer_len :]
        if flags & FORWARDED:
            client, _, host = client.split(b" ")
            if host:
                environ["HTTP_HOST"] = host.decode("latin-1")
        address = _addresses.get(client)
        if address is None:
            address = _address_of(client)
        environ["REMOTE_ADDR"], port = address
        if port:
            environ["REMOTE_PORT"] = port
        if self._asks_for_name:
            self._add_name(environ, request)
        if size:
            start = end_of_params(data, end, params)
            if not self._asks_for_name:
                _keep(self._with_body, key, (environ.copy(), start - at, size), _MOST_RECORDS)
            environ["wsgi.input"] = BytesIO(data[start : start + size])
        elif flags & STREAMS:
            environ["wsgi.input"] = Input(request.stream)
        elif record and not self._asks_for_name:
            _keep(self._records, record, environ.copy(), _MOST_RECORDS)
        return environ

    def _template_of(self, key: bytes, head: RequestHead) -> dict[str, Any]:
        """Returns what the environments of requests have in common that differ in their clients."""
        template = self._requests.get(key)
        if template is not None:
            return template
        _, _, _, path_at, target_len, query_at, headers_at, _, _, _, version, flags, _ = head
        method = path_at
        path_at += target_len
        query_at += path_at
        headers_at += query_at
        # Decoding the parts at once, and cutting the text, takes less time than decoding each part.
        text = key[REQUEST_LEN - _VARYING :].decode("latin-1")
        block = text[headers_at:]
        fields = self._blocks.get(block)
        if fields is None:
            fields = self._fields_of(block)
        template = fields.copy()
        path = text[path_at:query_at]
        if "%" in path:
            path = unquote(path, "latin-1")
        template["REQUEST_METHOD"] = text[:method]
        template["PATH_INFO"] = path[self._skipped :]
        template["QUERY_STRING"] = text[query_at:headers_at]
        template["RAW_URI"] = template["REQUEST_URI"] = text[method:path_at]
        if version == 10:
            template["SERVER_PROTOCOL"] = "HTTP/1.0"
        if flags & HTTPS:
            template["wsgi.url_scheme"] = "https"
            template["HTTPS"] = "on"
        _keep(self._requests, key, template)
        return template

    def _fields_of(self, block: str) -> dict[str, Any]:
        """Returns an environment with the variables of a header block."""
        template = self._base.copy()
        for line in block.split("\r\n"):
            name, _, value = line.partition(":")
            key = _keys.get(name)
            if key is None:
                key = _key_of(name)
            if key:
                value = value.strip(" \t")
                if key in template:
                    template[key] += ("; " if key == "HTTP_COOKIE" else ",") + value
                else:
                    template[key] = value
        if "CONTENT_LENGTH" in template:
            _correct_length(template)
        _keep(self._blocks, block, template)
        return template

    @staticmethod
    def _add_name(environ: dict[str, Any], request: Request) -> None:
        """Sets the name of the server to the address to which the client has connected."""
        local = request.local
        if local is not None:
            environ["SERVER_NAME"], environ["SERVER_PORT"] = local[0], str(local[1])
        elif environ["wsgi.url_scheme"] == "https":
            environ["SERVER_PORT"] = "443"


def _correct_length(environ: dict[str, Any]) -> None:
    """Leaves out a Content-Length that does not frame the body (RFC 9112 6.3)."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        del environ["CONTENT_LENGTH"]
    elif "," in environ["CONTENT_LENGTH"]:
        # Lengths that came more than once are equal.
        environ["CONTENT_LENGTH"] = environ["CONTENT_LENGTH"].partition(",")[0].strip()


def _keep(kept: dict[_Text, _Kept], key: _Text, value: _Kept, most: int = _MOST_KEPT) -> None:
    if len(key) <= _LONGEST_KEPT:
        if len(kept) >= most:
            kept.clear()
        kept[key] = value


def _address_of(peer: bytes) -> tuple[str, str]:
    """Returns the host and the port of a client. Both are empty for one on a Unix socket."""
    client = peer.decode("latin-1")
    host, colon, port = client.rpartition(":")
    if host.endswith("]"):
        host = host[1:-1]
    elif ":" in host or not colon:
        # A proxy that named the client did not tell its port.
        host, port = client, ""
    if client.startswith("unix:") or not ("." in host or ":" in host):
        host, port = "", ""
    if len(_addresses) >= _MOST_ADDRESSES:
        _addresses.clear()
    _addresses[peer] = host, port
    return host, port
