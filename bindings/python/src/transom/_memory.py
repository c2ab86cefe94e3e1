"""A connection to a server in the same process that is bytes in memory, without a socket."""

from __future__ import annotations

import weakref
from ctypes import byref, c_size_t, c_void_p, create_string_buffer, string_at
from time import monotonic

from transom import _native as native
from transom._check import seconds
from transom._errors import ErrorSlot, make
from transom._finalizing import finish
from transom._native import quick, waiting

#: The longest wait in the library, in milliseconds, before Python's signal handlers may run.
_SLICE = 50
_CAPACITY = 64 * 1024


class MemoryConnection:
    """The client's end of a connection in memory: `Running.connect` makes it. It is for tests.

    Any thread may use it, one to read and another to write. As a context manager, it closes at the end.
    """

    def __init__(self, server: int, peer: str | None) -> None:
        pointer = c_void_p()
        slot = ErrorSlot()
        name = None if peer is None else peer.encode()
        slot.check(quick.server_connect(server, name, byref(pointer), slot.reference))
        self._pointer = pointer.value or 0
        self._finalizer = weakref.finalize(self, quick.client_free, self._pointer)
        self._buffer = create_string_buffer(_CAPACITY)

    def read(self, timeout: float | None = None) -> bytes:
        """Returns what the server has sent; empty at the end. Waits until there is something.

        Raises `TimeoutError` after `timeout` seconds, `ConnectionResetError` if the server has broken the
        connection off, and `ConnectionError` if it was closed here.
        """
        end = _end(timeout)
        length = c_size_t()
        while True:
            wait = _wait(end)
            code = waiting.client_read(self._pointer, self._buffer, _CAPACITY, wait, byref(length))
            if code == native.OK:
                return string_at(self._buffer, length.value)
            if code not in (native.TIMEOUT, native.WOULD_BLOCK):
                raise _broken(code)
            if _is_past(end):
                raise TimeoutError("the server has sent nothing in time")

    def write(self, data: bytes, timeout: float | None = None) -> None:
        """Sends bytes, all or none. Waits until the server has room for them.

        Raises `TimeoutError` after `timeout` seconds, and otherwise what `read` raises.
        """
        end = _end(timeout)
        while True:
            code = waiting.client_write(self._pointer, data, len(data), _wait(end))
            if code == native.OK:
                return
            if code not in (native.TIMEOUT, native.WOULD_BLOCK):
                raise _broken(code)
            if _is_past(end):
                raise TimeoutError("the server has taken nothing in time")

    def finish(self) -> None:
        """Closes the sending side, after what was written. The server may still send."""
        quick.client_finish(self._pointer)

    def close(self) -> None:
        """Breaks the connection off, as a client does that leaves."""
        finish(self._finalizer)

    def __enter__(self) -> MemoryConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(timeout: float | None) -> float | None:
    seconds("timeout", timeout, none=True)
    return None if timeout is None else monotonic() + timeout


def _wait(end: float | None) -> int:
    return _SLICE if end is None else max(0, min(_SLICE, round((end - monotonic()) * 1000)))


def _is_past(end: float | None) -> bool:
    return end is not None and monotonic() >= end


def _broken(code: int) -> Exception:
    if code == native.GONE:
        return ConnectionResetError("the server has broken the connection off")
    if code == native.ALREADY_ANSWERED:
        return ConnectionError("the connection was closed")
    return make(code)
