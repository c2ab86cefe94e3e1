"""The body of a request whose route streams: it is read in pieces while it comes."""

from __future__ import annotations

import sys
from ctypes import byref, c_size_t
from threading import Lock
from typing import Any

from transom import _native as native
from transom._events import Events
from transom._http_error import BodyError, ClientGoneError, HTTPError
from transom._native import quick, uninitialized, waiting

#: The most bytes of a piece at first. Each that is full makes the next one twice as large: a piece costs more
#: than its bytes.
PIECE = 64 * 1024
#: The most bytes of any piece.
_LARGEST = 256 * 1024
#: The bytes after which an asynchronous iteration lets other tasks run.
_TURN = 1024 * 1024

_NOT_TWICE = "two threads or tasks read the body of a request at the same time"


class BodyStream:
    """The body of a request in pieces, each `bytes` of at most 256 KiB.

    A plain handler iterates with `for`, an `async def` handler with `async for`. The memory that a
    body takes is bounded: the client is asked for more only after a piece was read. A client that
    waits for `100 Continue` gets it with the first piece. If the route does not stream, the body
    is in memory, and is the only piece.

    These exceptions end the iteration. If the handler does not catch them, the client gets their status:

    - `ClientGoneError` (400): the client has left before the end of the body, or the server has cut it off;
    - `BodyError` (413): the body is larger than the limit; (408): the body came too slowly; (400): the
      chunks of the body are malformed;
    - `HTTPError` (503): there is no memory for more of the body.

    Also raises `RuntimeError` if the request was answered before, if two threads or tasks read at once,
    or if `for` is used in an event loop, which would stop the loop.
    """

    __slots__ = (
        "_end",
        "_events",
        "_length",
        "_length_at",
        "_reading",
        "_size",
        "_taken",
        "_token",
        "_whole",
    )

    def __init__(self, token: int, events: Events, whole: bytes | None) -> None:
        self._token = token
        #: The queue of events that tells when there is more to read.
        self._events = events
        self._whole = whole
        #: What every read does from now on: `None` if it reads, `_OVER` at the end, or an exception.
        self._end: tuple[type[Exception], tuple[object, ...]] | None = (
            None if whole is None or whole else _OVER
        )
        self._reading = Lock()
        #: The most bytes of the next piece.
        self._size = PIECE
        #: The bytes that were read since other tasks last ran.
        self._taken = 0
        if whole is None:
            self._length = c_size_t()
            self._length_at = byref(self._length)

    def __iter__(self) -> BodyStream:
        return self

    def __next__(self) -> bytes:
        if self._whole is None and _in_loop():
            raise RuntimeError("an event loop runs in this thread: read the body with `async for`")
        # Another thread that wants the GIL would take it at each piece, which costs more than the call.
        piece = self._read(quick.token_read, 0)
        if piece is None:
            piece = self._read(waiting.token_read, native.FOREVER)
        if not piece:
            raise StopIteration
        return piece

    def __aiter__(self) -> BodyStream:
        return self

    async def __anext__(self) -> bytes:
        if self._taken >= _TURN:
            # A client that sends fast must not keep other tasks from running.
            self._taken = 0
            await _turn()
        while True:
            piece = self._read(quick.token_read, 0)
            if piece:
                self._taken += len(piece)
                return piece
            if piece is not None:
                raise StopAsyncIteration
            is_fast, self._taken = self._taken > 0, 0
            if is_fast:
                # It has soon sent more, and an event costs more than a turn of the loop.
                await _turn()
            elif not await self._events.body(self._token):
                raise RuntimeError(_NOT_TWICE)

    def _read(self, token_read: Any, timeout: int) -> bytes | None:
        """Returns the next piece, empty at the end, or `None` if none has come within the timeout."""
        if not self._reading.acquire(False):
            raise RuntimeError(_NOT_TWICE)
        try:
            if self._end is not None or self._whole is not None:
                return self._read_end()
            size = self._size
            piece: bytes = uninitialized(None, size)
            code = token_read(self._token, piece, size, timeout, self._length_at)
            if code == _OK:
                length = self._length.value
                if length == size:
                    self._size = min(2 * size, _LARGEST)
                    # A whole piece is handed on as it was filled, without a copy.
                    return piece
                self._size = PIECE
                if not length:
                    self._end = _OVER
                return piece[:length]
            if code in (native.WOULD_BLOCK, native.TIMEOUT):
                return None
            self._end = _ERRORS.get(code, _ANSWERED)
            return self._read_end()
        finally:
            self._reading.release()

    def _read_end(self) -> bytes:
        """Returns a body that is in memory, and later its end; raises what has ended the body."""
        if self._end is _OVER:
            return b""
        if self._end is not None:
            kind, arguments = self._end
            raise kind(*arguments)
        self._end = _OVER
        return self._whole or b""


async def _turn() -> None:
    """Lets other tasks run."""
    from asyncio import sleep

    await sleep(0)


_OK = native.OK
_OVER: tuple[type[Exception], tuple[object, ...]] = (StopIteration, ())
_ANSWERED = (RuntimeError, ("the request was answered: its body can no longer be read",))
#: The exceptions for the statuses that end a body.
_ERRORS: dict[int, tuple[type[Exception], tuple[object, ...]]] = {
    native.GONE: (ClientGoneError, ()),
    native.STOPPED: (ClientGoneError, ()),
    native.BODY_TOO_LARGE: (BodyError, (413, "the body is larger than the limit")),
    native.TOO_SLOW: (BodyError, (408, "the body came too slowly")),
    native.BAD_BODY: (BodyError, (400, "the chunks of the body are malformed")),
    native.NO_MEMORY: (HTTPError, (503, "there is no memory for more of the body")),
}


def error_of(code: int) -> Exception:
    """Returns the exception for the status that ends a body."""
    kind, arguments = _ERRORS.get(code, _ANSWERED)
    return kind(*arguments)


def _in_loop() -> bool:
    """Returns `True` if an event loop runs in this thread."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None
