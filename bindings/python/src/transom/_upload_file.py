"""A file that a form has sent."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from typing import IO

from transom._http_error import MissingValueError
from transom._unnamed_file import copy_within_system, give_name, unnamed_file

#: The bytes that are copied at once from one file to another.
_COPY = 1024 * 1024
_SEPARATOR = re.compile(r"[/\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class UploadFile:
    """A file that a form has sent. Its content is in memory if it is small, and else in a temporary file.

    The temporary file has no name, and is closed when this object is no longer referred to: the form of
    the request refers to it. `save_to` keeps the content.
    """

    __slots__ = ("_file", "_is_named", "_size", "content_type", "filename", "name")

    def __init__(self, name: str, filename: str, content_type: str) -> None:
        #: The name of the form field.
        self.name = name
        #: The name that the client gave the file, without its folders and control characters. It may be
        #: empty, and it may be a name that matters to your system: better not open it for writing unchecked.
        self.filename = _base_name(filename)
        #: The media type that the client names, with its parameters; `text/plain` if it names none.
        self.content_type = content_type
        self._size = 0
        self._file: IO[bytes] = io.BytesIO()
        #: `True` once the temporary file has a name.
        self._is_named = False

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._size

    @property
    def file(self) -> IO[bytes]:
        """The content, as an open binary file. It is positioned at the beginning at first."""
        return self._file

    @property
    def in_memory(self) -> bool:
        """`True` if the content is in memory."""
        return isinstance(self._file, io.BytesIO)

    def read(self) -> bytes:
        """Returns the whole content."""
        self._file.seek(0)
        return self._file.read()

    def save_to(self, path: str | os.PathLike[str]) -> None:
        """Writes the whole content to a file, which is replaced if it exists. Raises what `open` raises.

        Nothing is copied if the content is in a temporary file, the path is new and on the same file system:
        the temporary file gets that name, the first time. `file` is then the saved file. `FormLimits` has
        the folder of temporary files.

        It blocks: in an `async def` handler, call `await asyncio.to_thread(upload.save_to, path)`.
        """
        if isinstance(self._file, io.BytesIO):
            with open(path, "wb") as copy:
                copy.write(self._file.getbuffer())
            return
        self._file.flush()
        descriptor = self._file.fileno()
        if self._is_named:
            if _is_file(path, descriptor):
                return
        elif give_name(descriptor, path):
            self._is_named = True
            return
        with open(path, "wb") as copy:
            if not copy_within_system(descriptor, copy.fileno()):
                self._file.seek(0)
                shutil.copyfileobj(self._file, copy, _COPY)

    def _write(self, data: memoryview) -> None:
        """Adds to the content, while the form is read."""
        self._file.write(data)
        self._size += len(data)

    def _move_to_disk(self, folder: str | None) -> None:
        """Moves the content to a temporary file. Raises `OSError`."""
        memory = self._file
        if isinstance(memory, io.BytesIO):
            file = unnamed_file(folder)
            try:
                file.write(memory.getbuffer())
            except BaseException:
                file.close()
                raise
            self._file = file

    def __repr__(self) -> str:
        return f"<UploadFile {self.name!r} {self.filename!r}, {self.size} bytes, {self.content_type}>"


def _base_name(filename: str) -> str:
    name = _CONTROL.sub("", _SEPARATOR.split(filename)[-1])
    return "" if name in (".", "..") else name


def _is_file(path: str | os.PathLike[str], descriptor: int) -> bool:
    """Returns `True` if a path is that of an open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


class Files(Mapping[str, UploadFile]):
    """The files of a form, by the names of their fields. A name may have several files.

    `[name]` is the first file, and `get_all` has all files. `[name]` raises `MissingValueError`,
    a `KeyError`, if there is none; if the handler does not catch it, the client gets a 400.
    """

    __slots__ = ("_files",)

    def __init__(self, files: list[UploadFile]) -> None:
        self._files: dict[str, list[UploadFile]] = {}
        for file in files:
            self._files.setdefault(file.name, []).append(file)

    def get_all(self, name: str) -> list[UploadFile]:
        """Returns the files of a name, in order; an empty list if there is none."""
        return list(self._files.get(name, ()))

    def __getitem__(self, name: str) -> UploadFile:
        files = self._files.get(name)
        if files is None:
            raise MissingValueError("file", name)
        return files[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __repr__(self) -> str:
        return f"Files({[file for files in self._files.values() for file in files]!r})"
