"""Batches of requests from the library, and batches of responses to it."""

from __future__ import annotations

import ctypes
import logging
import struct
from contextlib import suppress
from ctypes import byref, c_char, c_int32, c_size_t, c_uint32, create_string_buffer, string_at
from types import SimpleNamespace

from transom import _native as native
from transom._errors import make
from transom._events import Events
from transom._handle import Handle
from transom._native import quick
from transom._packed import REQUEST_START, RESPONSE, Parts, Pieces, encode
from transom._plain import SERVER_ERROR
from transom._request import Request, unpack

#: The most requests in a batch, and the most responses in one call. With 64 instead of 32, threads take over
#: from each other less often: a small request takes 2 % less (64 connections on one core, 2026-11).
MOST = 64

_CAPACITY = 256 * 1024
#: The buffer of an inbox that has none at the moment.
_EMPTY = create_string_buffer(1)
_ALL_OK = bytes(MOST * 4)
_join = b"".join
_log = logging.getLogger("transom")


class Inbox:
    """The source of batches of requests. Only one thread uses an inbox."""

    __slots__ = (
        "_buffer",
        "_count",
        "_count_at",
        "_events",
        "_handle",
        "_length",
        "_length_at",
        "_most",
        "_pull",
        "_span",
        "status",
    )

    def __init__(self, handle: Handle, events: Events, view: SimpleNamespace) -> None:
        self._handle = handle
        self._events = events
        self._pull = view.server_next_batch
        self._buffer = create_string_buffer(_CAPACITY)
        self._count = c_uint32()
        self._length = c_size_t()
        self._count_at = byref(self._count)
        self._length_at = byref(self._length)
        #: The most requests of a batch.
        self._most = MOST
        #: How long a batch may take if the waits of requests are limited, in seconds, or 0.
        self._span = 0.0 if handle.overload is None else handle.overload.target / 2
        #: The library's status of the last pull.
        self.status = native.OK

    def pull(self, timeout: int) -> list[Request]:
        """Returns up to `MOST` queued requests; waits up to `timeout` milliseconds for the first.

        If the list is empty, `status` says why.
        """
        while True:
            buffer = self._buffer
            self.status = status = self._pull(
                self._handle.pointer,
                buffer,
                len(buffer),
                self._most,
                timeout,
                self._count_at,
                self._length_at,
            )
            if status == native.OK:
                try:
                    data = string_at(buffer, self._length.value)
                    requests = unpack(data, self._count.value, self._events)
                except MemoryError:
                    # There may still be memory for the small requests.
                    requests = self._copy_one_by_one(buffer)
                del buffer
                self._shrink()
                if requests:
                    return requests
            elif status == native.BUFFER_TOO_SMALL:
                del buffer
                self._grow(self._length.value)
            else:
                return []

    def note_duration(self, count: int, elapsed: float) -> None:
        """Notes how long a batch took, in seconds, if the waits of requests are limited.

        The library decides which requests have waited too long while they are in its queue. So the next
        batch is only as large as can be answered soon.
        """
        if self._span and elapsed > 0:
            self._most = max(1, min(MOST, int(self._span * count / elapsed)))

    def _copy_one_by_one(self, buffer: ctypes.Array[c_char]) -> list[Request]:
        """Returns the requests in the buffer. Refuses those that there is no memory to copy."""
        requests: list[Request] = []
        at = 0
        for _ in range(self._count.value):
            length, _, token = REQUEST_START.unpack_from(buffer, at)
            try:
                data = string_at(ctypes.addressof(buffer) + at, length)
                requests += unpack(data, 1, self._events)
            except MemoryError:
                _log.error("a request was refused: there is no memory for its %d bytes", length)
                self._handle.refuse(token, native.REJECT_NO_MEMORY)
            at += length
        return requests

    def _grow(self, size: int) -> None:
        """Makes room for the first queued request, or refuses it if there is no memory."""
        try:
            self._buffer = create_string_buffer(max(size, _CAPACITY))
        except (MemoryError, OverflowError):
            quick.server_refuse_larger(self._handle.pointer, len(self._buffer))

    def _shrink(self) -> None:
        """Replaces a large buffer by a small one, after its content was copied."""
        if len(self._buffer) > _CAPACITY:
            self._buffer = _EMPTY
            with suppress(MemoryError):
                self._buffer = create_string_buffer(_CAPACITY)


class Outbox:
    """A list of responses that are sent together. Only one thread uses it; any may call `copy_out`."""

    __slots__ = ("_done", "_done_at", "_handle", "_results", "pieces")

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._results = (c_int32 * MOST)()
        self._done = c_uint32()
        self._done_at = byref(self._done)
        #: The pieces of the records that are still to be sent.
        self.pieces: list[bytes] = []

    def flush(self) -> None:
        """Sends the responses. Logs those that the library refuses; their clients get a 500."""
        pieces = self.pieces
        most = 4 * MOST
        while pieces:
            try:
                records = _join(pieces if len(pieces) <= most else pieces[:most])
            except MemoryError:
                if most > 4:
                    # Sent one at a time, the records need less memory.
                    most = 4
                    continue
                size = len(pieces[2])
                pieces[:4] = encode(RESPONSE.unpack(pieces[0])[2], *SERVER_ERROR)
                records = _join(pieces[:4])
                _log.error("there is no memory to send a response of %d bytes: stream it", size)
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
        """Sends the responses from another thread, without removing them.

        The owner may send them again: the library takes only the first response to a request.
        """
        copy = Outbox(self._handle)
        copy.pieces = self.pieces.copy()
        copy.flush()


def record(token: int, parts: Parts, flags: int = 0) -> Pieces:
    """Returns the pieces of a response's record; those of a 500 if the response is too large."""
    try:
        return encode(token, *parts, flags)
    except struct.error:
        _log.error("a response of %d bytes is too large: stream it", len(parts[2]))
        return encode(token, *SERVER_ERROR)


def answer(handle: Handle, token: int, parts: Parts) -> None:
    """Sends one response. Any thread may call it."""
    outbox = Outbox(handle)
    outbox.pieces.extend(record(token, parts))
    outbox.flush()


def _log_refusals(status: int, results: list[int]) -> None:
    for code in [status, *results]:
        # A request that was answered or cut off needs no response.
        if code not in (native.OK, native.ALREADY_ANSWERED, native.GONE, native.STOPPED):
            _log.error("an answer was refused: %s", make(code))
