"""One request to an application: what the application does, and the response that comes of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

from transom._batch import answer
from transom._check import got
from transom._dispatch import Dispatcher
from transom._errors import ErrorSlot, SystemCallError
from transom._file import send_descriptor
from transom._http_error import ClientGoneError
from transom._native import field_array, quick
from transom._packed import Parts
from transom._request import Request
from transom._reserved import WITHOUT_CONTENT
from transom._response import Response
from transom._writer import Writer
from transom._wsgi.file_wrapper import FileWrapper
from transom._wsgi.head import Head, head_of

_log = logging.getLogger("transom")


class Exchange:
    """A request, and its response as far as the application has got with it.

    The application is called, iterated and closed on one thread, which alone uses this.
    """

    __slots__ = ("_dispatcher", "_head", "_is_one", "_is_whole", "_left", "_request", "_writer")

    _request: Request
    _dispatcher: Dispatcher
    _head: Head | None
    _writer: Writer | None
    _is_one: bool
    #: `True` once the whole response was handed over.
    _is_whole: bool
    #: The bytes that are still to come of a body whose length the application has announced.
    _left: int | None

    @property
    def has_begun(self) -> bool:
        """`True` once the response was handed over, or its beginning."""
        return self._is_whole or self._writer is not None

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], None]:
        """Takes the status and the header fields. They are sent with the first byte of the body."""
        if exc_info is not None:
            try:
                if self.has_begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                # The traceback refers to this frame, which would refer to the traceback.
                exc_info = None
        elif self._head is not None:
            raise RuntimeError("start_response was called before: a second call needs exc_info")
        self._head = head_of(status, headers)
        return self.write

    def early_hints(self, headers: list[tuple[str, str]], /) -> None:
        """Sends `103 Early Hints` with these fields. Does nothing once the response has begun."""
        if self.has_begun:
            return
        head_of("200 OK", headers)
        array = field_array(headers)
        responder = quick.token_responder(self._request._token)
        slot = ErrorSlot()
        slot.check_present(quick.responder_early_hints(responder, array, len(array), slot.reference))

    def write(self, data: bytes, /) -> None:
        """Sends a part of the body at once: the function that `start_response` returns."""
        if self._is_whole and self._left is None and not self._is_bodiless():
            raise RuntimeError("write was called after the end of the response")
        self._add(data)
        if self._writer is not None and self._writer.is_over:
            raise ClientGoneError

    def whole(self, chunks: list[bytes] | tuple[bytes, ...]) -> Parts | None:
        """Returns the response with these chunks as its body, or `None` if it was sent here."""
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if type(body) is not bytes:
            raise _no_bytes(body)
        head = self._head
        if head is None:
            raise _not_started()
        if self._writer is None and not self._is_whole:
            return head[0], head[1], body
        self._add(body)
        self._finish()
        return None

    def send(self, chunks: Any) -> None:
        """Sends the body that an application has returned, chunk after chunk."""
        if type(chunks) is FileWrapper and self._send_file(chunks):
            return
        # The only chunk is the whole body, which gets a Content-Length (PEP 3333).
        self._is_one = hasattr(chunks, "__len__") and len(chunks) == 1
        rest = iter(chunks)
        for chunk in rest:
            if not self._add(chunk):
                break
            if self._writer is not None and self._left is None:
                # Only chunks are left to send, and nothing is to be counted.
                self._write_all(rest, self._writer)
                break
        self._finish()

    def _write_all(self, chunks: Iterator[Any], writer: Writer) -> None:
        """Sends chunks until the last one, or until the client has left."""
        write = writer.write
        for chunk in chunks:
            if not isinstance(chunk, bytes):
                raise _no_bytes(chunk)
            if chunk and not write(chunk):
                break

    def end(self) -> None:
        """Ends a response that was sent here. It is cut off unless it is whole."""
        if self._writer is not None:
            self._request._end()
            self._writer.abort()

    def _given(self) -> Head:
        if self._head is None:
            raise _not_started()
        return self._head

    def _is_bodiless(self) -> bool:
        return self._given()[0] in WITHOUT_CONTENT or self._request._is_head

    def _finish(self) -> None:
        """Ends the response. Raises an error if the body is shorter than announced."""
        if self._is_whole:
            return
        if self._writer is None:
            self._answer(self._given(), b"")
        else:
            self._is_whole = True
            self._writer.finish()

    def _add(self, data: bytes) -> bool:
        """Sends a chunk. Returns `False` if nothing more can be sent."""
        if not isinstance(data, bytes):
            raise _no_bytes(data)
        if not data:
            return True
        if not self.has_begun:
            head = self._given()
            if self._is_bodiless():
                self._answer(head, b"")
                return False
            self._left = head[2]
            if self._is_one and head[2] is None:
                self._left = len(data)
            if self._left is not None and len(data) >= self._left:
                # The body is whole: one call sends it.
                piece = data[: self._left]
                self._left = 0
                self._answer(head, piece)
                return self._fits(len(data) - len(piece))
            if self._left is not None:
                self._left -= len(data)
            return self._begin(head, data)
        if self._left is None:
            return self._write(data)
        piece = data[: self._left]
        self._left -= len(piece)
        return (not piece or self._write(piece)) and self._fits(len(data) - len(piece))

    def _begin(self, head: Head, first: bytes) -> bool:
        """Sends the head of a response with its first chunk. Returns `False` if nobody reads it."""
        response = Response._of_parts((head[0], head[1], b""))
        self._writer = Writer(self._request, response, self._request._events)
        goes_on = self._writer.begin(first)
        seat = self._dispatcher.pool.own_seat()
        if seat is not None:
            # An application that waits in its own code cannot be interrupted after the client has
            # disconnected. Until it returns, the pool may start a replacement thread.
            self._request._presence.set_hook(seat.lend)
        return goes_on

    def _write(self, data: bytes) -> bool:
        return self._writer is not None and self._writer.write(data)

    @staticmethod
    def _fits(rest: int) -> bool:
        """Returns `False` if bytes are left beyond the Content-Length. Logs it."""
        if rest:
            _log.warning("a response was cut at its Content-Length: the application has sent more")
        return not rest

    def _answer(self, head: Head, body: bytes) -> None:
        """Sends a whole response."""
        self._is_whole = True
        answer(self._dispatcher.handle, self._request._token, (head[0], head[1], body))

    def _send_file(self, file: FileWrapper) -> bool:
        """Has the system send a file. Returns `False` if its blocks must be read."""
        status, block, announced = self._given()
        part = None if self.has_begun or status in WITHOUT_CONTENT else file.part()
        if part is None:
            return False
        descriptor, offset, length = part
        if announced is not None:
            if announced > length:
                return False
            length = announced
        fields = Response._of_parts((status, block, b"")).fields
        try:
            send_descriptor(self._request._token, status, fields, descriptor, offset, length)
        except (ValueError, SystemCallError):
            # The file was truncated meanwhile. Nothing was sent.
            return False
        self._is_whole = True
        return True


def new_exchange(request: Request, dispatcher: Dispatcher) -> Exchange:
    """Returns the exchange of a request. With a constructor in Python, this would take a third more time."""
    exchange = _new(Exchange)
    exchange._request = request
    exchange._dispatcher = dispatcher
    exchange._head = exchange._writer = exchange._left = None
    exchange._is_one = exchange._is_whole = False
    return exchange


_new = Exchange.__new__


def _no_bytes(chunk: object) -> TypeError:
    return TypeError(f"the body of a WSGI response consists of bytes, got {got(chunk)}")


def _not_started() -> RuntimeError:
    return RuntimeError("the application has not called start_response")
