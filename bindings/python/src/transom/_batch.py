"""Requests in and answers out, a batch at a time."""

from __future__ import annotations

import logging
import struct
from contextlib import suppress
from ctypes import byref, c_int32, c_size_t, c_uint32, create_string_buffer, string_at
from types import SimpleNamespace

from transom import _native as native
from transom._errors import make
from transom._handle import Handle
from transom._native import quick
from transom._packed import REQUEST, RESPONSE, Pieces, encode
from transom._request import Request
from transom._response import SERVER_ERROR, Parts

#: The most requests in a batch, and the most answers sent in one call.
MOST = 32

_CAPACITY = 256 * 1024
_ALL_OK = bytes(MOST * 4)
_join = b"".join
_log = logging.getLogger("transom")


class Inbox:
    """Pulls batches of requests. One thread uses it."""

    __slots__ = ("_buffer", "_count", "_count_at", "_handle", "_length", "_length_at", "_pull", "status")

    def __init__(self, handle: Handle, view: SimpleNamespace) -> None:
        self._handle = handle
        self._pull = view.server_next_batch
        self._buffer = create_string_buffer(_CAPACITY)
        self._count = c_uint32()
        self._length = c_size_t()
        self._count_at = byref(self._count)
        self._length_at = byref(self._length)
        #: What the library said to the last pull.
        self.status = native.OK

    def pull(self, timeout: int) -> list[Request]:
        """The requests that wait, up to `MOST`; waits up to `timeout` milliseconds for the first.

        An empty list means that none came; `status` says why.
        """
        buffer = self._buffer
        self.status = status = self._pull(
            self._handle.pointer, buffer, len(buffer), MOST, timeout, self._count_at, self._length_at
        )
        if status == native.OK:
            try:
                data = string_at(buffer, self._length.value)
            except MemoryError:
                self._give_up()
                self.status = native.TIMEOUT
                return []
            requests = []
            at = 0
            for _ in range(self._count.value):
                head = REQUEST.unpack_from(data, at)
                requests.append(Request(data, at, head))
                at += head[0]
            if len(buffer) > _CAPACITY:
                with suppress(MemoryError):
                    self._buffer = create_string_buffer(_CAPACITY)
            return requests
        if status == native.BUFFER_TOO_SMALL:
            try:
                self._buffer = create_string_buffer(max(self._length.value, _CAPACITY))
            except MemoryError:
                _log.error("there is no memory to take a request of %d bytes", self._length.value)
                quick.server_refuse_larger(self._handle.pointer, len(buffer))
                self.status = native.TIMEOUT
                return []
            return self.pull(timeout)
        return []

    def _give_up(self) -> None:
        """Answers what was pulled with a 500, where it lies: there is no memory to look at it."""
        _log.error("there is no memory to take %d requests", self._count.value)
        at = 0
        for _ in range(self._count.value):
            head = REQUEST.unpack_from(self._buffer, at)
            answer(self._handle, head[2], SERVER_ERROR)
            at += head[0]


class Outbox:
    """Collects answers and sends them together. One thread uses it; any may `copy_out`."""

    __slots__ = ("_done", "_done_at", "_handle", "_results", "pieces")

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._results = (c_int32 * MOST)()
        self._done = c_uint32()
        self._done_at = byref(self._done)
        #: The pieces of the records that wait to be sent.
        self.pieces: list[bytes] = []

    def flush(self) -> None:
        """Sends what waits. What the library refuses is logged; the client then got a 500."""
        pieces = self.pieces
        most = 4 * MOST
        while pieces:
            try:
                records = _join(pieces if len(pieces) <= most else pieces[:most])
            except MemoryError:
                if most > 4:
                    # One at a time they need less.
                    most = 4
                    continue
                size = len(pieces[2])
                pieces[:4] = encode(RESPONSE.unpack(pieces[0])[3], *SERVER_ERROR)
                records = _join(pieces[:4])
                _log.error("there is no memory to send an answer of %d bytes: stream it", size)
            results = self._results
            status = quick.server_respond_batch(
                self._handle.pointer, records, len(records), results, MOST, self._done_at
            )
            del pieces[:most]
            if status or bytes(results) != _ALL_OK:
                outcomes = results[: self._done.value]
                results[:] = [0] * MOST
                _log_refusals(status, outcomes)

    def copy_out(self) -> None:
        """Sends what waits, from another thread, and leaves it in place.

        That the owner sends it again does no harm: an exchange is answered once.
        """
        copy = Outbox(self._handle)
        copy.pieces = self.pieces.copy()
        copy.flush()


def record(token: int, parts: Parts) -> Pieces:
    """An answer's record in pieces; that of a 500 if it is too large for one."""
    try:
        return encode(token, *parts)
    except struct.error:
        _log.error("an answer of %d bytes is too large: stream it", len(parts[2]))
        return encode(token, *SERVER_ERROR)


def answer(handle: Handle, token: int, parts: Parts) -> None:
    """Sends one answer, from any thread."""
    outbox = Outbox(handle)
    outbox.pieces.extend(record(token, parts))
    outbox.flush()


def _log_refusals(status: int, results: list[int]) -> None:
    for code in [status, *results]:
        # An exchange that is over needs no answer.
        if code not in (native.OK, native.ALREADY_ANSWERED, native.GONE, native.STOPPED):
            _log.error("an answer was refused: %s", make(code))
