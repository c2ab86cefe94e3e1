"""The requests of a test client: their heads and bodies, from what a test gives."""

from __future__ import annotations

import io
import json as json_module
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any, TypeAlias, TypedDict
from urllib.parse import quote, urlencode

from transom._check import got, shown
from transom._headers import HeadersInput, is_token, pairs_of

#: Names and values for a query or a form. A value may be a list, whose items each get the name.
Pairs: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]
#: A file of a form: its content, or a tuple of its name, its content and, perhaps, its media type.
FileInput: TypeAlias = (
    str | bytes | IO[bytes] | tuple[str, str | bytes | IO[bytes]] | tuple[str, str | bytes | IO[bytes], str]
)
#: The files of a form, with the names of their fields.
FilesInput: TypeAlias = Mapping[str, FileInput] | Iterable[tuple[str, FileInput]]
#: A body: a form, text or bytes, or an iterator of bytes, which is sent in chunks.
DataInput: TypeAlias = Pairs | str | bytes | Iterator[bytes]


class RequestOptions(TypedDict, total=False):
    """The options of a request, as `TestClient.request` documents them."""

    params: Pairs | None
    headers: HeadersInput
    json: Any
    data: DataInput | None
    files: FilesInput | None
    cookies: Mapping[str, str] | None
    follow_redirects: bool | None


_BOUNDARY = "transom-test-boundary-7d3f0c5a91b24e68"


class Outgoing:
    """A request that is ready to be sent. Raises `TypeError` or `ValueError` if it cannot be sent."""

    def __init__(
        self,
        method: str,
        target: str,
        host: str,
        headers: list[tuple[str, str]],
        body: bytes | Iterator[bytes],
    ) -> None:
        self.method = method
        self.target = target
        names = {name.lower() for name, _ in headers}
        lines = [] if "host" in names else [("host", host)]
        lines += headers
        self.chunks: Iterator[bytes] | None = None
        self.body = b""
        if isinstance(body, bytes):
            self.body = body
            if (body or method in ("POST", "PUT", "PATCH")) and not names & {
                "content-length",
                "transfer-encoding",
            }:
                lines.append(("content-length", str(len(body))))
        else:
            self.chunks = body
            lines.append(("transfer-encoding", "chunked"))
        for name, value in lines:
            if not is_token(name):
                raise ValueError(f"header name {shown(name)} is not a token")
            if any(mark in value for mark in "\r\n\0"):
                raise ValueError(f"the value of header {name} has a line break or a NUL: {shown(value)}")
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        # Any byte can be sent: as with `os.fsencode`, and as UTF-8 what is not in Latin-1.
        self.head = _bytes(f"{method} {target} HTTP/1.1\r\n{head}\r\n")

    def pieces(self) -> Iterator[bytes]:
        """Yields the bytes of the request."""
        yield self.head + self.body if len(self.body) < 65536 else self.head
        if len(self.body) >= 65536:
            for at in range(0, len(self.body), 65536):
                yield self.body[at : at + 65536]
        if self.chunks is not None:
            for chunk in self.chunks:
                if not isinstance(chunk, (bytes, bytearray, memoryview)):
                    raise TypeError(f"a piece of a request body is bytes, got {got(chunk)}")
                if chunk:
                    yield b"%x\r\n%b\r\n" % (len(chunk), chunk)
            yield b"0\r\n\r\n"


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def target_of(path: str, params: Pairs | None) -> str:
    """Returns the request target for a path and a query."""
    if not isinstance(path, str):
        raise TypeError(f"a path is a str such as '/users/7', got {got(path)}")
    if path != "*" and not path.startswith("/"):
        raise ValueError(f"a path begins with '/', got {shown(path)}")
    path = quote(path.partition("#")[0], safe="!#$%&'()*+,/:;=?@[]~", errors="surrogateescape")
    if params is None:
        return path
    query = urlencode(_flat("params", params))
    return f"{path}{'&' if '?' in path else '?'}{query}" if query else path


def body_of(
    json: Any, data: DataInput | None, files: FilesInput | None
) -> tuple[bytes | Iterator[bytes], str | None]:
    """Returns the body of a request and its media type. `json` is `...` if there is none."""
    if json is not ...:
        if data is not None or files is not None:
            raise TypeError("a request has json, or data and files, not both")
        return json_module.dumps(json, separators=(",", ":"), ensure_ascii=False).encode(
            "utf-8", "surrogatepass"
        ), "application/json"
    if files is not None:
        if isinstance(data, (str, bytes, Iterator)):
            raise TypeError(f"data beside files is the other fields of the form, got {got(data)}")
        return _multipart(_flat("data", data or ()), files), f"multipart/form-data; boundary={_BOUNDARY}"
    if data is None:
        return b"", None
    if isinstance(data, str):
        return data.encode("utf-8", "surrogateescape"), "text/plain; charset=utf-8"
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data), "application/octet-stream"
    if isinstance(data, Iterator):
        return data, "application/octet-stream"
    form = urlencode(_flat("data", data), errors="surrogateescape")
    return form.encode(), "application/x-www-form-urlencoded"


def _flat(what: str, given: Pairs) -> list[tuple[str, str]]:
    """Returns pairs of texts; each item of a list gets a pair."""
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{what} is a mapping or pairs of names and values, got {got(given)}")
    flat = []
    for pair in given.items() if isinstance(given, Mapping) else given:
        match pair:
            case (str() as name, value):
                values = value if isinstance(value, (list, tuple)) else [value]
            case _:
                raise TypeError(
                    f"{what} is a mapping or pairs of names and values, got {got(pair)} among them"
                )
        for each in values:
            if isinstance(each, bool):
                each = "true" if each else "false"
            flat.append((name, "" if each is None else str(each)))
    return flat


def _multipart(fields: list[tuple[str, str]], files: FilesInput) -> bytes:
    """Returns a body with the fields and files of a form (RFC 7578)."""
    if isinstance(files, (str, bytes)) or not isinstance(files, Iterable):
        raise TypeError(f"files is a mapping or pairs of names and files, got {got(files)}")
    out = io.BytesIO()
    for name, value in fields:
        out.write(_part_head(name, None, None))
        out.write(value.encode("utf-8", "surrogateescape") + b"\r\n")
    for name, file in files.items() if isinstance(files, Mapping) else files:
        filename: str | None = None
        media = "application/octet-stream"
        match file:
            case (str() as filename, content):
                pass
            case (str() as filename, content, str() as media):
                pass
            case _:
                content = file
        if not isinstance(content, (str, bytes)) and hasattr(content, "read"):
            if filename is None:
                filename = os.path.basename(str(getattr(content, "name", "file")))
            content = content.read()
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogateescape")
        if not isinstance(content, bytes):
            raise TypeError(
                f"file {shown(name)} is bytes, str, a binary file or a tuple (name, content[, type]), "
                f"got {got(file)}"
            )
        out.write(_part_head(name, filename or "file", media))
        out.write(content + b"\r\n")
    out.write(f"--{_BOUNDARY}--\r\n".encode())
    return out.getvalue()


def _part_head(name: str, filename: str | None, media: str | None) -> bytes:
    def escaped(text: str) -> str:
        return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")

    line = f'content-disposition: form-data; name="{escaped(name)}"'
    if filename is not None:
        line += f'; filename="{escaped(filename)}"'
    if media is not None:
        line += f"\r\ncontent-type: {media}"
    return f"--{_BOUNDARY}\r\n{line}\r\n\r\n".encode("utf-8", "surrogateescape")


def fields_of(*given: HeadersInput) -> list[tuple[str, str]]:
    """Returns the header fields of a request. A later field takes the place of an earlier one."""
    fields: list[tuple[str, str]] = []
    for headers in given:
        pairs = pairs_of(headers)
        names = {name.lower() for name, _ in pairs}
        fields = [(name, value) for name, value in fields if name.lower() not in names] + pairs
    return fields


def peer_of(client: tuple[str, int] | None) -> str | None:
    """Returns the address of a client as the library takes it."""
    match client:
        case None:
            return None
        case (str() as address, int() as port):
            return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        case _:
            raise TypeError(
                f"client is an IP address and a port, such as ('127.0.0.1', 50000), got {got(client)}"
            )
