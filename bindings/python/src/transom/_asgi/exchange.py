"""One request to an application: its events, and the response that comes of it."""

from __future__ import annotations

from asyncio import Future, get_running_loop, sleep
from ctypes import string_at

from transom import _native as native
from transom._asgi.application import Message
from transom._asgi.sender import EXPECTED, OVER, STARTED, TRAILERS, Sender
from transom._body import PIECE, error_of
from transom._native import STREAMS, quick

#: The number of parts of a body after which `receive` lets other tasks run.
_TURN = 16


class Exchange(Sender):
    """A request and its response, as the functions `receive` and `send` of ASGI."""

    #: `True` once the application has got the last part of the body.
    _has_body = False
    #: The bytes of the body that are still to come, if the client has announced how many.
    _left: int | None = None
    _parts = 0
    #: `True` while a task waits for a part of the body.
    _awaits_part = False
    _is_watched = False
    #: The tasks that wait for the end of the exchange.
    _waiting: tuple[Future[None], ...] = ()

    def expect_length(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Takes the length of the body from the fields of the request: it tells which part is the last."""
        for name, value in headers:
            if name == b"transfer-encoding":
                self._left = None
                break
            if name == b"content-length":
                # Equal lengths that came more than once are one.
                self._left = int(value.partition(b",")[0])

    @property
    def has_begun(self) -> bool:
        """`True` once the response was handed over, or its beginning."""
        return self.state not in (EXPECTED, STARTED)

    async def receive(self) -> Message:
        """Returns the next event: a part of the body, or that the client or the exchange is gone."""
        while self.state != OVER and not self._has_body and not self.is_gone:
            head = self._request._head
            if head[12] or not head[11] & STREAMS:
                self._has_body = True
                return {"type": "http.request", "body": self._request._in_record(), "more_body": False}
            part = self._read()
            if part is not None:
                self._parts += 1
                if self._parts % _TURN == 0:
                    # A client that sends fast must not keep other tasks from running.
                    await sleep(0)
                return {"type": "http.request", "body": part, "more_body": not self._has_body}
            if not self.is_gone:
                await self._until_part()
        if self.state != OVER and not self.is_gone:
            await self._until_gone()
        return {"type": "http.disconnect"}

    async def _until_part(self) -> None:
        """Waits for more of the body, or the end of the exchange."""
        if self._awaits_part:
            raise RuntimeError("two tasks wait in receive for the body of a request at the same time")
        self._awaits_part = True
        try:
            await self._request._events.body(self._token)
        finally:
            self._awaits_part = False

    def _read(self) -> bytes | None:
        """Returns the next part of the body, or `None` if none has come yet, or none will come."""
        shared = self._shared
        code = quick.token_read(self._token, shared.buffer, PIECE, 0, shared.length_at)
        if code == native.OK:
            size = shared.length.value
            if self._left is not None:
                self._left -= size
            self._has_body = not size or self._left == 0
            return string_at(shared.buffer, size)
        if code not in (native.WOULD_BLOCK, native.TIMEOUT):
            self._end_of_body(code)
        return None

    def _end_of_body(self, code: int) -> None:
        """Answers for a body that cannot be read to its end: it is too large, too slow or malformed.

        ASGI has no event for that. So the client gets its response from the server, and the application
        is told that the exchange is gone.
        """
        self.is_gone = True
        if not self.has_begun:
            self._shared.refuse(self._request, error_of(code))
        self.abort()

    async def _until_gone(self) -> None:
        """Waits until the client has left, or the exchange is over."""
        future = get_running_loop().create_future()
        self._waiting = (*self._waiting, future)
        try:
            if not self._is_watched:
                self._is_watched = self._has_presence = True
                self._request._presence.on_gone(self._left_client)
            await future
        finally:
            self._waiting = tuple(each for each in self._waiting if each is not future)

    def _left_client(self) -> None:
        self.is_gone = True
        self._settle()

    def _settle(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        if self._awaits_part:
            self._request._events.wake_reader(self._token)

    def end(self) -> None:
        """Ends what the application has left: the response is cut off, and no event comes any more."""
        if self.state != OVER:
            self.abort()
        if self._has_presence:
            self._request._end()

    @property
    def fault(self) -> str:
        """The words for an application that has returned before the response was complete."""
        if self.state == EXPECTED:
            return "the application has returned without a response"
        if self.state == TRAILERS:
            return "the application has returned without the trailers that it announced"
        return "the application has returned before the end of the response"
