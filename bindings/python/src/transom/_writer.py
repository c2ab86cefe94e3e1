"""The native writer of a body that comes in chunks."""

from __future__ import annotations

from ctypes import byref, c_void_p
from typing import Any

from transom import _native as native
from transom._errors import make
from transom._native import quick, waiting
from transom._response import Response

#: How long an asynchronous stream waits before it tries again to write to a
#: client that is slow to read, in seconds: at first, and at most.
_FIRST_WAIT = 0.001
_LONGEST_WAIT = 0.05


class Writer:
    """A body under way. Aborted unless finished, so that a part is not taken for the whole."""

    __slots__ = ("_pointer",)

    def __init__(self, token: int, response: Response) -> None:
        headers = native.header_array(response.headers)
        pointer = c_void_p()
        code = quick.responder_start(
            quick.token_responder(token), response.status, headers, len(headers), byref(pointer)
        )
        if code == native.OK:
            self._pointer = pointer.value
        elif code in (native.ALREADY_ANSWERED, native.GONE, native.STOPPED):
            self._pointer = None
        else:
            raise make(code)

    def write(self, data: bytes) -> bool:
        """Writes, waiting for room without the GIL; `False` if nobody reads any more."""
        if self._pointer is None:
            return False
        return _is_taken(waiting.writer_write(self._pointer, data, len(data), native.FOREVER))

    async def write_async(self, data: bytes) -> bool:
        """Writes, waiting for room in the loop; `False` if nobody reads any more."""
        from asyncio import sleep

        wait = _FIRST_WAIT
        while self._pointer is not None:
            code = quick.writer_write(self._pointer, data, len(data), 0)
            if code != native.WOULD_BLOCK:
                return _is_taken(code)
            await sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
        return False

    def finish(self) -> None:
        """Ends the body: it is whole. Raises if its Content-Length is larger."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            _is_taken(quick.writer_finish(pointer))

    def abort(self) -> None:
        """Cuts the body off, unless it is finished."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            quick.writer_free(pointer)


def _is_taken(code: int) -> bool:
    """Whether somebody reads what was written; raises if it is not as long as announced."""
    if code in (native.BODY_TOO_LONG, native.BODY_TOO_SHORT):
        raise make(code)
    return code == native.OK


def as_bytes(chunk: Any) -> bytes:
    """A chunk as it is sent. Raises `TypeError` if it is neither text nor bytes."""
    if isinstance(chunk, str):
        return chunk.encode("utf-8", "surrogateescape")
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, (bytearray, memoryview)):
        return bytes(chunk)
    raise TypeError(f"a chunk of a stream is str or bytes, got {type(chunk).__name__}")
