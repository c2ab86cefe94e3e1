"""The sending half of an exchange: the messages of an application become a response."""

from __future__ import annotations

import os
from asyncio import get_running_loop, sleep
from ctypes import c_char_p, c_void_p, cast
from stat import S_ISREG
from typing import Any

from transom import _native as native
from transom._asgi.application import Message
from transom._asgi.head import block_of, expect_status, fields_of
from transom._asgi.shared import Shared
from transom._body_start import start_body
from transom._check import got, shown
from transom._descriptors import READING
from transom._errors import ErrorSlot
from transom._file import send_descriptor
from transom._headers import fields_of_block
from transom._native import field_array, quick
from transom._request import Request
from transom._reserved import WITHOUT_CONTENT

#: The states of a response: no message has come, the start has, the body is being sent, trailers are
#: awaited, and all was handed over, or can no longer be sent.
EXPECTED, STARTED, SENDING, TRAILERS, OVER = range(5)

#: The number of messages after which `send` lets other tasks run.
_TURN = 64
#: A larger body is written in pieces, with back-pressure.
_LARGE = 256 * 1024
#: The size of these pieces. With 256 KiB, a body of 1 MiB took 1.5 times as long: each piece waits for
#: the client to have read the one before (2026-11).
_PIECE = 1024 * 1024
#: The most bytes of the first parts of a body that are held until the end of a turn of the loop.
_MOST_HELD = 32 * 1024
_NO_BYTES = "the body of http.response.body is bytes"


class DisconnectedError(ConnectionResetError):
    """What `send` raises when the client has disconnected, as ASGI says from version 2.4 of its HTTP on."""

    def __init__(self) -> None:
        super().__init__("the client has disconnected")


class Sender:
    """A response, as far as the application has got with it. It is used in the event loop alone."""

    # Most requests change few of these, and values of the class need not be set for each of them.
    _block: bytes
    _has_trailers: bool
    _status: int
    _trailers: list[tuple[str, str]]
    _writer: int | None = None
    _count = 0
    #: The first parts of a body, until the end of the turn of the loop in which they came: one call sends a
    #: response that is whole by then. Otherwise each part would wake the thread of the server.
    _held: list[bytes] | None = None
    _held_size = 0
    #: `True` once the request has a `Presence`, which may refer to this.
    _has_presence = False
    #: How far the response has got.
    state = EXPECTED
    #: `True` once the client is known to have left.
    is_gone = False

    def __init__(self, shared: Shared, request: Request) -> None:
        self._shared = shared
        self._request = request
        self._token = request._token

    async def send(self, message: Message) -> None:
        """Takes a message of the application: the function `send` of ASGI."""
        kind = message["type"]
        state = self.state
        if kind == "http.response.body":
            if STARTED <= state <= SENDING:
                body = message.get("body", b"")
                if type(body) is not bytes:
                    body = _as_bytes(body)
                if message.get("more_body", False):
                    await self._send_part(body)
                elif state == STARTED and not self._has_trailers:
                    block = self._block
                    at = block.lower().find(b"content-length: ")
                    if at >= 0 and not block.startswith(b"%d\r" % len(body), at + 16):
                        self._expect_length(len(body))
                    if len(body) > _LARGE and self._status not in WITHOUT_CONTENT:
                        await self._send_large(body, at >= 0)
                        return
                    self.state = OVER
                    self._shared.answer(self._token, (self._status, block, body))
                    self._settle()
                else:
                    await self._send_last(body)
                return
        elif kind == "http.response.start":
            if state == EXPECTED:
                status = message["status"]
                if type(status) is not int or not 200 <= status <= 599:
                    status = expect_status(status)
                self._has_trailers = bool(message.get("trailers", False))
                self._block = block_of(status, message.get("headers", ()), self._has_trailers)
                self._status = status
                self.state = STARTED
                return
        elif kind == "http.response.trailers" and state == TRAILERS:
            self._add_trailers(message)
            return
        elif kind == "http.response.early_hint" and state in (EXPECTED, STARTED):
            self._hint(message)
            return
        elif kind == "http.response.pathsend" and state == STARTED:
            self._send_path(message)
            return
        self._refuse(kind)

    def _expect_length(self, length: int) -> None:
        """Raises `RuntimeError` unless the Content-Length is that of the body, or of one that is not sent."""
        for line in self._block.split(b"\r\n"):
            name, _, value = line.partition(b": ")
            if name.lower() == b"content-length" and int(value.partition(b",")[0]) != length:
                if self._request.method == "HEAD" or self._status == 304:
                    continue
                raise RuntimeError(
                    f"the body has {length} bytes, and the Content-Length of http.response.start is "
                    f"{value.decode('latin-1')}"
                )

    def _refuse(self, kind: Any) -> None:
        """Raises the error for a message that does not come next."""
        if self.is_gone:
            raise DisconnectedError
        expected = {
            EXPECTED: "http.response.start",
            STARTED: "http.response.body",
            SENDING: "http.response.body",
            TRAILERS: "http.response.trailers",
            OVER: "no message, because the response is complete",
        }[self.state]
        raise RuntimeError(
            f"the application sent the message {shown(kind)}, and what comes next is {expected}"
        )

    async def _send_part(self, body: bytes) -> None:
        """Sends a part of the body, and waits while the client has not read enough of those before."""
        if self.state == STARTED:
            if self._may_hold(body):
                self._held = [body]
                self._held_size = len(body)
                self.state = SENDING
                get_running_loop().call_soon(self._end_turn)
                return
            self._begin(body)
            return
        if self._held is not None:
            self._held.append(body)
            self._held_size += len(body)
            if self._held_size > _MOST_HELD or len(self._held) == _TURN:
                self._release()
            return
        if body:
            await self._write(body, len(body))
            self._count += 1
            if self._count % _TURN == 0:
                # A stream that never waits must not keep other tasks from running.
                await sleep(0)

    def _may_hold(self, body: bytes) -> bool:
        """Returns `True` if the parts of the body may be sent together, as one that has no length yet."""
        return (
            len(body) <= _MOST_HELD
            and not self._has_trailers
            and self._status not in WITHOUT_CONTENT
            and b"content-length: " not in self._block.lower()
        )

    def _end_turn(self) -> None:
        try:
            self._release()
        except DisconnectedError:
            pass  # `send` says so next time.
        except MemoryError:
            # The next part tries again.
            self._held_size = _MOST_HELD

    def _release(self) -> None:
        """Sends what is held, as the beginning of a response whose body comes in parts."""
        held, self._held = self._held, None
        if held is None:
            return
        try:
            self._begin(b"".join(held))
        except MemoryError:
            # Nothing was sent. The next message tries again.
            self._held = held
            raise

    async def _send_last(self, body: bytes) -> None:
        held = self._held
        if held is not None:
            parts = self._status, self._block, b"".join([*held, body])
            self._held = None
            self.state = OVER
            self._shared.answer(self._token, parts, native.WITHOUT_LENGTH)
            self._settle()
            return
        if self.state == STARTED:
            self._begin(body)
        elif body:
            await self._write(body, len(body))
        if self._has_trailers:
            self._trailers = []
            self.state = TRAILERS
        else:
            self._finish()

    async def _send_large(self, body: bytes, has_length: bool) -> None:
        """Sends a large body, and waits while the client has not read enough of it."""
        if not has_length:
            self._block += b"content-length: %d\r\n" % len(body)
        self._begin()
        # The library copies each piece. A slice would be one more copy.
        address = cast(c_char_p(body), c_void_p).value or 0
        for at in range(0, len(body), _PIECE):
            await self._write(c_char_p(address + at), min(_PIECE, len(body) - at))
        self._finish()

    def _begin(self, first: bytes = b"") -> None:
        """Sends the status and the header fields of a response whose body comes in parts, and the first."""
        request = self._request
        writer = start_body(self._token, self._status, self._block, first)
        self.state = SENDING
        if writer is None:
            self._lose()
        else:
            self._writer = writer
            self._has_presence = True
            request._presence.begin(writer, request._events)

    async def _write(self, data: bytes | c_char_p, size: int) -> None:
        while True:
            writer = self._writer
            if writer is None:
                # The exchange has ended while this task waited.
                raise DisconnectedError
            code = self._request._events.feed(writer, data, size)
            if code == native.OK:
                return
            if code == native.WOULD_BLOCK:
                await self._request._events.room(writer, get_running_loop().create_future())
            else:
                self._check(code)

    def _check(self, code: int) -> None:
        """Raises the error for a status of the writer."""
        if code == native.NO_MEMORY:
            raise MemoryError("no memory for a part of the body")
        if code in (native.BODY_TOO_LONG, native.BODY_TOO_SHORT):
            which = "longer" if code == native.BODY_TOO_LONG else "shorter"
            raise RuntimeError(f"the body is {which} than the Content-Length of http.response.start")
        self._lose()

    def _lose(self) -> None:
        """Notes that nobody reads the response any more, and raises the error that says so."""
        self.is_gone = True
        self.abort()
        raise DisconnectedError

    def _finish(self) -> None:
        writer, self._writer = self._writer, None
        self.state = OVER
        self._settle()
        if writer is not None:
            code = quick.writer_finish(writer)
            if code in (native.BODY_TOO_LONG, native.BODY_TOO_SHORT):
                self._check(code)

    def _settle(self) -> None:
        """Tells who waits for an event that the exchange is over."""

    def _add_trailers(self, message: Message) -> None:
        """Takes trailers, and sends all of them with the last."""
        headers = message.get("headers", ())
        block_of(0, headers)
        self._trailers += fields_of(headers)
        if message.get("more_trailers", False):
            return
        array = field_array(self._trailers)
        slot = ErrorSlot()
        assert self._writer is not None
        code = quick.writer_finish_with(self._writer, array, len(array), slot.reference)
        if code == native.BAD_HEADER:
            slot.check(code)
        self._writer = None
        self.state = OVER
        self._settle()
        slot.check_present(code)

    def _hint(self, message: Message) -> None:
        """Sends `103 Early Hints` with links."""
        links = message.get("links", ())
        if isinstance(links, (str, bytes)) or not all(isinstance(link, bytes) for link in links):
            raise TypeError(f"the links of http.response.early_hint are several bytes, got {got(links)}")
        headers = [(b"link", link) for link in links]
        block_of(0, headers)
        array = field_array(fields_of(headers))
        slot = ErrorSlot()
        responder = quick.token_responder(self._token)
        slot.check_present(quick.responder_early_hints(responder, array, len(array), slot.reference))

    def _send_path(self, message: Message) -> None:
        """Has the system send a file as the body."""
        path = message["path"]
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"the path of http.response.pathsend is a str, got {got(path)}")
        descriptor = os.open(path, READING)
        try:
            if not S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError(f"{os.fspath(path)!r} is no regular file")
            fields = fields_of_block(self._block)
            send_descriptor(self._token, self._status, fields, descriptor, 0, native.TO_END)
        finally:
            os.close(descriptor)
        self.state = OVER
        self._settle()

    def abort(self) -> None:
        """Cuts the response off unless it is whole."""
        try:
            # The client learns what the application has sent, and that it is not all.
            self._release()
        except (DisconnectedError, MemoryError):
            self._held = None
        self.state = OVER
        writer, self._writer = self._writer, None
        if writer is not None:
            quick.writer_free(writer)
        self._settle()


def _as_bytes(body: Any) -> bytes:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    raise TypeError(f"{_NO_BYTES}, got {got(body)}")
