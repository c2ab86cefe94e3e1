"""The access log: a line for each response, written by native code."""

from __future__ import annotations

import os
import socket
import weakref
from ctypes import byref, c_void_p
from typing import Protocol

from transom import _native as native
from transom._check import got, seconds, text, whole
from transom._descriptors import lent
from transom._errors import ErrorSlot, InvalidArgumentError, WrongTypeError, check
from transom._native import quick, waiting

#: The longest wait for the lines of a log that ends, in milliseconds.
_PATIENCE = 2000
#: The most bytes that a buffer may have.
_MOST_BUFFER = 1 << 40


class HasFileno(Protocol):
    """A file, a pipe or a socket, as Python has it."""

    def fileno(self) -> int:
        """Returns the descriptor."""
        ...


class AccessLog:
    """A log with a line for each response of the servers that have it, refusals included.

    `target` is the path of a file, which is made if there is none, or anything with a descriptor
    (`fileno`): `sys.stdout`, a pipe, a socket. The log keeps a copy of the descriptor.

    - `format` is `"common"`, `"combined"` (with Referer and User-Agent), `"json"` (an object in
      each line, with the names of OpenTelemetry) or a format of directives, which are those of
      Apache's `LogFormat`: `'%h %t "%r" %>s %O %D "%{Referer}i" "%{X-Request-Id}o"'`. The time is in
      UTC, and the number of bytes is that of the whole response, with its head. What a client has sent
      is escaped, so that it forges neither a line nor a field.
    - `buffer` is how many bytes of lines may wait to be written; 4 MiB by default.

    Native code formats and writes the lines, on a thread of its own, at the latest after 100 ms. No
    request waits for it, and no Python code runs: so a Python function cannot be the format. The
    directives are listed at `transom_access_log_set_format` in `transom.h`. Lines
    that cannot be written, or that come faster than they can, are lost and counted (`lost`). The
    log `transom` then gets a warning, and the access log itself a line once it can be written.

    Several servers may share a log. Any thread may call its methods.

    >>> import os, tempfile
    >>> from transom import Server
    >>> from urllib.request import urlopen
    >>> path = os.path.join(tempfile.mkdtemp(), "access.log")
    >>> log = AccessLog(path, format="json")
    >>> app = Server(access_log=log)
    >>> @app.get("/")
    ... def hello(request):
    ...     return "hello"
    >>> with app.start("127.0.0.1:0") as running:
    ...     urlopen(running.url).read()
    b'hello'
    >>> with open(path) as file:
    ...     '"http.response.status_code":200' in file.read()
    True

    Raises `SystemCallError` if the file cannot be opened, and `InvalidArgumentError` for an unknown
    format.
    """

    __slots__ = ("__weakref__", "_finalizer", "_pointer", "_shown")

    def __init__(
        self,
        target: str | os.PathLike[str] | HasFileno,
        *,
        format: str = "common",
        buffer: int | None = None,
    ) -> None:
        name = text("format", format).encode("utf-8", "replace").replace(b"\0", b"\\0")
        if buffer is not None:
            whole("buffer", buffer, 0, _MOST_BUFFER)
        made, slot = c_void_p(), ErrorSlot()
        if isinstance(target, str | os.PathLike):
            path = os.fsencode(target)
            if b"\0" in path:
                raise InvalidArgumentError(f"the path of an access log has no NUL, got {target!r}")
            slot.check(waiting.access_log_open(path, byref(made), slot.reference))
        else:
            slot.check(waiting.access_log_open_fd(_descriptor(target), byref(made), slot.reference))
        pointer = made.value or 0
        #: The native object.
        self._pointer: int = pointer
        self._shown = repr(target)
        self._finalizer = weakref.finalize(self, _end, pointer)
        # `_running` flushes the logs at exit, when the servers have stopped.
        self._finalizer.atexit = False
        _logs.add(self)
        slot = ErrorSlot()
        slot.check(quick.access_log_set_format(pointer, name, slot.reference))
        if buffer is not None:
            check(quick.access_log_set_buffer(pointer, buffer))

    def reopen(self) -> None:
        """Opens the file again, after it was renamed, as logrotate does. No line is lost.

        When this returns, no more lines go to the old file. Raises `SystemCallError` if the file
        cannot be opened, and the log goes on with the old one; also if the log has a descriptor in
        place of a path.
        """
        slot = ErrorSlot()
        slot.check(waiting.access_log_reopen(self._pointer, slot.reference))

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until the lines of all responses so far are written, or lost.

        Returns `False` if that takes longer than `timeout`, in seconds.
        """
        wait = seconds("timeout", timeout) or 0.0
        code = waiting.access_log_flush(self._pointer, int(wait * 1000))
        if code == native.TIMEOUT:
            return False
        check(code)
        return True

    @property
    def lost(self) -> int:
        """The number of lines that were lost."""
        return int(quick.access_log_lost(self._pointer))

    def __repr__(self) -> str:
        return f"<AccessLog {self._shown}>"


def access_log(given: AccessLog | str | os.PathLike[str] | None) -> AccessLog | None:
    """Returns the access log of a server from its argument: a log, or the path of its file."""
    if given is None or isinstance(given, AccessLog):
        return given
    if isinstance(given, str | os.PathLike):
        return AccessLog(given)
    raise WrongTypeError(f"access_log is an AccessLog or a path, got {got(given)}")


def _descriptor(target: object) -> int:
    fileno = getattr(target, "fileno", None)
    if not callable(fileno):
        raise WrongTypeError(f"an access log is written to a path or a file, got {got(target)}")
    flush = getattr(target, "flush", None)
    if callable(flush):
        # What Python holds back would come between the lines later.
        flush()
    number = int(fileno())
    # On Windows the number of a socket is its handle.
    return number if isinstance(target, socket.socket) else lent(number)


_logs: weakref.WeakSet[AccessLog] = weakref.WeakSet()


def flush_all() -> None:
    """Writes the lines of all logs. Each has a bounded time."""
    for log in list(_logs):
        waiting.access_log_flush(log._pointer, _PATIENCE)


def _end(pointer: int) -> None:
    """Writes the lines that there are, and frees the log. A server may still have it."""
    waiting.access_log_flush(pointer, _PATIENCE)
    waiting.access_log_free(pointer)
