"""The native writer of a response body in chunks."""

from __future__ import annotations

from typing import Any

from transom import _native as native
from transom._body_start import start_body
from transom._errors import make
from transom._events import Events
from transom._native import quick, waiting
from transom._request import Request
from transom._response import Response

#: The longest chunk that is copied or sent while the thread has the GIL, in bytes: some tens of us.
_AT_ONCE = 64 * 1024


class Writer:
    """The writer of a body in chunks. The body is cut off unless `finish` is called."""

    __slots__ = ("_events", "_pointer", "_request", "_response", "has_begun")

    def __init__(self, request: Request, response: Response, events: Events) -> None:
        self._request = request
        self._response = response
        self._events = events
        self._pointer: int | None = None
        #: `True` once the response has begun, or can no longer be sent.
        self.has_begun = False

    def begin(self, first: bytes = b"") -> bool:
        """Sends the status and header fields, unless they were sent before, with the first piece of the body.

        Returns `False` if the client is gone. Raises an error if they cannot be sent.
        """
        if self.has_begun:
            return self.write(first) if first else self._pointer is not None
        status, block, _ = self._response._parts
        self._pointer = pointer = start_body(self._request._token, status, block, first)
        self.has_begun = True
        if pointer is None:
            return False
        self._request._presence.begin(pointer, self._events)
        return True

    @property
    def is_over(self) -> bool:
        """`True` if the response has begun and its client is known to be gone."""
        return self.has_begun and self._pointer is None

    def write(self, data: bytes) -> bool:
        """Writes a chunk; waits for room without the GIL. Returns `False` if the client is gone."""
        pointer = self._pointer
        if pointer is None:
            return False
        length = len(data)
        if length <= _AT_ONCE:
            # Another thread that wants the GIL would take it at each chunk, which costs more than the call.
            code = quick.writer_write(pointer, data, length, 0)
            if not code:
                return True
            if code != native.WOULD_BLOCK:
                return _is_taken(code)
        return _is_taken(waiting.writer_write(pointer, data, length, native.FOREVER))

    def write_now(self, data: bytes) -> None:
        """Writes a chunk if there is room for it now and the client is there. Any thread may call it."""
        pointer = self._pointer
        if pointer is not None:
            quick.writer_write(pointer, data, len(data), 0)

    def try_write(self, data: bytes) -> bool | None:
        """Writes a chunk. Returns `None` if there is no room for it now, `False` if the client is gone.

        Call it in the loop that delivers the events: the chunk is sent at the end of the loop's turn.
        """
        pointer = self._pointer
        if pointer is None:
            return False
        code = self._events.feed(pointer, data, len(data))
        if code == native.OK:
            return True
        return None if code == native.WOULD_BLOCK else _is_taken(code)

    async def write_later(self, data: bytes) -> bool:
        """Writes a chunk that found no room, once there is some. Returns `False` if the client is gone."""
        taken = None
        while taken is None:
            assert self._pointer is not None
            await self._events.room(self._pointer, self._events.loop.create_future())
            taken = self.try_write(data)
        return taken

    def finish(self) -> None:
        """Ends the body. Raises an error if the Content-Length was larger."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            _is_taken(quick.writer_finish(pointer))

    def abort(self) -> None:
        """Cuts the body off, unless it was finished."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            quick.writer_free(pointer)


def _is_taken(code: int) -> bool:
    """Returns `True` if the library has taken the data, and `False` if the client is gone.

    Raises an error if the body has another length than announced, or there is no memory to copy it.
    """
    if code == native.NO_MEMORY:
        raise MemoryError("no memory for a chunk of a stream")
    if code in (native.BODY_TOO_LONG, native.BODY_TOO_SHORT):
        raise make(code)
    return code == native.OK


def as_bytes(chunk: Any) -> bytes:
    """Converts a chunk to bytes. Raises `TypeError` if it is neither text nor bytes."""
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, str):
        return chunk.encode("utf-8", "surrogateescape")
    if isinstance(chunk, (bytearray, memoryview)):
        return bytes(chunk)
    raise TypeError(f"a chunk of a stream is str or bytes, got {type(chunk).__name__}")
