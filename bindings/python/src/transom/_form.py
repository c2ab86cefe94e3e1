"""A form of a request: its fields and files, the limits on them, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from urllib.parse import parse_qsl

from transom._check import text, whole
from transom._http_error import BodyError
from transom._multi import MultiDict
from transom._multipart import MOST_BOUNDARY, Parser
from transom._parameters import decode_extended, parse_parameters
from transom._upload_file import Files, UploadFile

_URLENCODED = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
#: The most bytes that are parsed at once: the largest piece of a body.
_PIECE = 256 * 1024
#: The encodings of a part that leave its bytes as they are.
_IDENTITY = ("7bit", "8bit", "binary")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """The limits on a form. A form that exceeds one gets a 413.

    The limit `max_body` of the route, or `body` of the server, bounds the whole body too.
    Raises `InvalidArgumentError` if a value is out of range.

    >>> FormLimits(file=10 * 1024 * 1024)
    FormLimits(parts=1000, files=100, head=8192, name=1024, field=1048576, fields=8388608, file=10485760, \
memory=1048576, folder=None)
    """

    #: The most fields and files of a form.
    parts: int = 1000
    #: The most files of a form. Each one that is not in memory has a descriptor.
    files: int = 100
    #: The most bytes of the header section of a part.
    head: int = 8 * 1024
    #: The most bytes of a name of a field of a multipart form, and of the name of a file.
    name: int = 1024
    #: The most bytes of a field of a multipart form.
    field: int = 1024 * 1024
    #: The most bytes of all fields together, with their names.
    fields: int = 8 * 1024 * 1024
    #: The most bytes of a file; `None` for no limit besides that of the body.
    file: int | None = None
    #: The most bytes of files that are kept in memory, together. Further ones go to temporary files.
    memory: int = 1024 * 1024
    #: The folder of temporary files; `None` for the folder that `tempfile` chooses.
    folder: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if limit.name == "folder":
                if value is not None:
                    text("folder of a form", os.fspath(value))
            elif value is not None or limit.name != "file":
                whole(f"{limit.name} of a form", value, 0, 2**63 - 1)


class Form(MultiDict):
    """The fields of a form, with its files in `files`.

    Values that are not UTF-8 have surrogates, so no information is lost: see `Request.params`.
    """

    __slots__ = ("files",)

    _kind = "form field"

    def __init__(self, pairs: Iterable[tuple[str, str]] = (), files: Iterable[UploadFile] = ()) -> None:
        super().__init__(pairs)
        #: The files, by the names of their fields.
        self.files = Files(list(files))


class FormReader:
    """A reader of a form, which gets the body in pieces."""

    def __init__(self, content_type: str, limits: FormLimits) -> None:
        kind = content_type.partition(";")[0].strip().lower()
        self._reader: _Multipart | _Urlencoded
        if kind == _MULTIPART:
            self._reader = _Multipart(_boundary(content_type), limits)
        elif kind == _URLENCODED:
            self._reader = _Urlencoded(limits)
        else:
            raise BodyError(415, f"the body is neither {_URLENCODED} nor {_MULTIPART}")

    @property
    def writes_files(self) -> bool:
        """`True` if a part of the form may be written to a temporary file by the next call of `feed`."""
        return self._reader.writes_files

    def feed(self, piece: bytes) -> None:
        """Reads the next piece of the body. Raises `BodyError` or `OSError`."""
        if len(piece) <= _PIECE:
            self._reader.feed(piece)
            return
        for at in range(0, len(piece), _PIECE):
            self._reader.feed(piece[at : at + _PIECE])

    def finish(self) -> Form:
        """Returns the form at the end of the body. Raises `BodyError` if the form is not complete."""
        return self._reader.finish()


class _Urlencoded:
    """A reader of `application/x-www-form-urlencoded`."""

    writes_files = False

    def __init__(self, limits: FormLimits) -> None:
        self._limits = limits
        self._body = bytearray()

    def feed(self, piece: bytes) -> None:
        self._body += piece
        if len(self._body) > self._limits.fields:
            raise BodyError(413, f"the fields of the form are larger than {self._limits.fields} bytes")

    def finish(self) -> Form:
        # Counted before anything is decoded.
        if self._body and self._body.count(b"&") >= self._limits.parts:
            raise BodyError(413, f"the form has more than {self._limits.parts} parts")
        try:
            body = self._body.decode("ascii")
            return Form(parse_qsl(body, keep_blank_values=True, errors="surrogateescape"))
        except ValueError as error:
            raise BodyError(400, "the body is not a form") from error


class _Multipart:
    """A reader of `multipart/form-data`. It is the sink of its parser."""

    def __init__(self, boundary: bytes, limits: FormLimits) -> None:
        self._limits = limits
        self._parser = Parser(boundary, self, limits.head)
        self._pairs: list[tuple[str, str]] = []
        self._files: list[UploadFile] = []
        self._count = 0
        #: The bytes of all fields with their names, and the bytes of files in memory.
        self._field_bytes = 0
        self._memory = 0
        self._name = ""
        self._value = bytearray()
        #: The file that is read, and if the client has named it.
        self._file: UploadFile | None = None
        self._named = False

    @property
    def writes_files(self) -> bool:
        on_disk = self._file is not None and not self._file.in_memory
        return on_disk or self._memory + _PIECE > self._limits.memory

    def feed(self, piece: bytes) -> None:
        self._parser.feed(piece)

    def finish(self) -> Form:
        self._parser.close()
        for file in self._files:
            file.file.seek(0)
        return Form(self._pairs, self._files)

    def begin(self, head: bytes) -> None:
        limits = self._limits
        self._count += 1
        if self._count > limits.parts:
            raise BodyError(413, f"the form has more than {limits.parts} parts")
        lines = _head_fields(head)
        name, filename = _names(lines.get("content-disposition"), limits)
        if lines.get("content-transfer-encoding", b"binary").decode("latin-1").lower() not in _IDENTITY:
            raise BodyError(400, "a part of the form has a Content-Transfer-Encoding")
        self._name = name
        self._file = None
        if filename is None:
            self._add_to_fields(len(name))
            return
        if len(self._files) >= limits.files:
            raise BodyError(413, f"the form has more than {limits.files} files")
        content_type = lines.get("content-type", b"text/plain").decode("latin-1")
        self._file = UploadFile(name, filename, content_type)
        self._named = bool(filename)

    def write(self, data: memoryview) -> None:
        if self._file is None:
            self._add_to_fields(len(data))
            self._value += data
            if len(self._value) > self._limits.field:
                raise BodyError(413, f"a field of the form is larger than {self._limits.field} bytes")
            return
        most = self._limits.file
        if most is not None and self._file.size + len(data) > most:
            raise BodyError(413, f"a file of the form is larger than {most} bytes")
        if self._file.in_memory:
            if self._memory + len(data) > self._limits.memory:
                self._memory -= self._file.size
                folder = self._limits.folder
                self._file._move_to_disk(None if folder is None else os.fspath(folder))
            else:
                self._memory += len(data)
        self._file._write(data)

    def end(self) -> None:
        file, self._file = self._file, None
        if file is None:
            self._pairs.append((self._name, self._value.decode("utf-8", "surrogateescape")))
            self._value = bytearray()
        elif self._named or file.size:
            # A file input without a file is sent as an empty file without a name.
            self._files.append(file)

    def _add_to_fields(self, length: int) -> None:
        self._field_bytes += length
        if self._field_bytes > self._limits.fields:
            raise BodyError(413, f"the fields of the form are larger than {self._limits.fields} bytes")


def _boundary(content_type: str) -> bytes:
    """Returns the boundary of a multipart body. Raises `BodyError`."""
    try:
        boundary = parse_parameters(content_type.encode("latin-1"))[1].get("boundary", b"")
    except ValueError as error:
        raise BodyError(400, "the Content-Type of the form is malformed") from error
    if (
        not 1 <= len(boundary) <= MOST_BOUNDARY
        or not boundary.isascii()
        or not boundary.decode().isprintable()
    ):
        raise BodyError(400, f"the form has no boundary of 1 to {MOST_BOUNDARY} characters")
    return boundary


def _head_fields(head: bytes) -> dict[str, bytes]:
    """Returns the header fields of a part, by their names in lower case. Raises `BodyError`."""
    found: dict[str, bytes] = {}
    for line in head.split(b"\r\n") if head else ():
        name, colon, value = line.partition(b":")
        key = name.decode("latin-1").lower()
        if not colon or not name or name != name.strip() or b"\n" in line or b"\r" in line or b"\0" in line:
            raise BodyError(400, "a header field of a part is malformed")
        if key in found:
            raise BodyError(400, "a part has a header field twice")
        found[key] = value.strip(b" \t")
    return found


def _names(disposition: bytes | None, limits: FormLimits) -> tuple[str, str | None]:
    """Returns the names of the field and of its file, if it is one. Raises `BodyError`."""
    if disposition is None:
        raise BodyError(400, "a part of the form has no Content-Disposition")
    try:
        kind, parameters = parse_parameters(disposition)
        given, plain, extended = (parameters.get(key) for key in ("name", "filename", "filename*"))
        filename = None if plain is None else plain.decode("utf-8", "surrogateescape")
        if extended is not None:
            filename = decode_extended(extended)
    except ValueError as error:
        raise BodyError(400, "the Content-Disposition of a part is malformed") from error
    if kind != "form-data" or given is None:
        raise BodyError(400, "a part of the form has no name")
    if max(len(given), len(plain or b""), len(extended or b"")) > limits.name:
        raise BodyError(413, f"a name in the form is longer than {limits.name} bytes")
    return given.decode("utf-8", "surrogateescape"), filename
